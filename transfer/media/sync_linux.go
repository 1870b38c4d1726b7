package media

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// syncFolder makes renames in a folder durable. Where the file system has no way
// to do that, why says so; that it tried and did not succeed is an error.
func syncFolder(dir string) (durable bool, why string, err error) {
	f, err := os.Open(dir)
	if err != nil {
		return false, "", err
	}
	defer f.Close()
	err = f.Sync()
	if err == nil {
		err = os.NewSyscallError("syncfs", unix.Syncfs(int(f.Fd())))
	}
	switch {
	case err == nil:
		return true, "", nil
	case errors.Is(err, unix.EINVAL), errors.Is(err, unix.ENOTSUP), errors.Is(err, unix.ENOSYS):
		return false, "its file system cannot sync a folder: " + err.Error(), nil
	}
	return false, "", &os.PathError{Op: "syncing", Path: dir, Err: err}
}
