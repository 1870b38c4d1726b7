//go:build unix

package bundle

import (
	"errors"
	"os"
	"syscall"
)

// syncDir makes a rename durable. Some file systems cannot sync a folder; the
// rename is then as durable as they make it.
func syncDir(dir string) error {
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
