package durable

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// renameNew is RenameNew by the system; ok is false where it, or the file system,
// has no such call.
func renameNew(from, to string) (ok bool, err error) {
	err = unix.Renameat2(unix.AT_FDCWD, from, unix.AT_FDCWD, to, unix.RENAME_NOREPLACE)
	if err == nil {
		return true, nil
	}
	lacks := errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EOPNOTSUPP)
	return !lacks, &os.LinkError{Op: "rename", Old: from, New: to, Err: err}
}
