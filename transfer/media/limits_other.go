//go:build !linux

package media

import (
	"errors"
	"io"
	"os"
	"syscall"
)

// limits are not known here: a full medium is found when it is full.
func limits(string, int64) (free, largest int64, err error) { return -1, 0, nil }

func isNoSpace(err error) bool {
	const errorDiskFull = syscall.Errno(112) // Windows
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, errorDiskFull)
}

// isQuota is not told apart here.
func isQuota(error) bool { return false }

// openUncached cannot pass the page cache here, and says so.
func openUncached(path string) (r io.ReadCloser, how string, err error) {
	f, err := os.Open(path)
	return f, "read back", err
}

// syncFolder cannot be confirmed here.
func syncFolder(string) (durable bool, why string, err error) {
	return false, "this system cannot sync a folder: eject the medium before you pull it", nil
}
