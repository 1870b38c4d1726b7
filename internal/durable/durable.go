// Package durable makes files appear whole or not at all, and stay: under a
// temporary name first, synced, renamed, and their folder synced.
package durable

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// CreateFile makes path appear with what fill writes: a temporary file beside
// it, mode 0644 unless fill changes that, which takes the place of what was
// there. With noClobber nothing is replaced: the error wraps fs.ErrExist.
func CreateFile(path string, noClobber bool, fill func(*os.File) error) (err error) {
	dir, base := filepath.Split(path)
	if dir == "" {
		dir = "."
	}
	f, err := os.CreateTemp(dir, "."+base+".*.partial")
	if err != nil {
		return err
	}
	defer func() {
		f.Close()
		if err != nil {
			os.Remove(f.Name())
		}
	}()
	if err := errors.Join(f.Chmod(0o644), fill(f)); err != nil {
		return err
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := rename(f.Name(), path, noClobber); err != nil {
		return err
	}
	return SyncDir(dir)
}

// rename moves a finished file to its name. Without clobbering it takes a
// link, which unlike a rename fails when the name has come into being.
func rename(from, to string, noClobber bool) error {
	if noClobber {
		switch err := os.Link(from, to); {
		case err == nil:
			return os.Remove(from)
		case errors.Is(err, fs.ErrExist):
			return err
		}
	}
	return os.Rename(from, to)
}
