package docker

import (
	"errors"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// flush writes the engine's file system to its disk: that of its root folder
// if this user may open it, else all, for which nobody needs permission.
func flush(dir string) (durable bool, why string, err error) {
	f, err := os.Open(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false, "the engine's files are not on this machine", nil
	case err != nil:
		unix.Sync()
		return true, "", nil
	}
	defer f.Close()
	if err := unix.Syncfs(int(f.Fd())); err != nil {
		return false, "", &os.PathError{Op: "syncfs", Path: dir, Err: err}
	}
	return true, "", nil
}
