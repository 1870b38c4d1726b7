//go:build unix

package media

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"

	"airgap/transfer"
)

// flock locks a file until it is closed.
func flock(f *os.File) error { return unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) }

// fateOf is what became of whoever has locked a file.
func fateOf(f *os.File) transfer.Fate {
	switch err := unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB); {
	case err == nil:
		return transfer.Dead
	case errors.Is(err, unix.EWOULDBLOCK):
		return transfer.Alive
	}
	return transfer.Unknown
}
