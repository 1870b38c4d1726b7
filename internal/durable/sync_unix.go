//go:build unix

package durable

import (
	"errors"
	"os"
	"syscall"
)

// CanSyncDirs says whether the system can make a rename durable.
const CanSyncDirs = true

// SyncDir makes the entries of a folder durable, as far as its file system can.
func SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	if err := d.Sync(); err != nil && !errors.Is(err, syscall.EINVAL) && !errors.Is(err, syscall.ENOTSUP) {
		return err
	}
	return nil
}
