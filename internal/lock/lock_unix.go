//go:build unix

package lock

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// lock locks f for this process. Network file systems may lock no folder.
func lock(f *os.File) error {
	err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	switch {
	case errors.Is(err, syscall.EWOULDBLOCK):
		return ErrTaken
	case err != nil:
		return fmt.Errorf("locking %q: %w: %w", f.Name(), errors.ErrUnsupported, err)
	}
	return nil
}
