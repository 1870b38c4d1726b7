//go:build unix

package layout

import (
	"errors"
	"os"
	"syscall"
)

// canSyncFolders says whether a rename can be made durable.
const canSyncFolders = true

// syncFolder makes the entries of a folder durable, as far as its file system
// can.
func syncFolder(dir string) error {
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
