//go:build unix

package media

import (
	"errors"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// lockPath locks a file or a folder until that is closed, or its process ends; errTaken
// says that somebody else has. locked is false where the file system has no locks.
func lockPath(dir string) (lock io.Closer, locked bool, err error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, false, err
	}
	err = flock(f)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return nil, false, errors.Join(errTaken, f.Close())
	}
	return f, err == nil, nil
}
