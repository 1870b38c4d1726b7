package transfer

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"airgap/internal/durable"
)

// Rename gives a file here a name that was has, as Lstat has told: what has come
// there since, or has changed, is not replaced. Nil is nothing. The error for it is a
// *MeanwhileError.
func Rename(from, to string, was fs.FileInfo) error {
	if err := Unchanged(to, was); err != nil {
		return err
	}
	if _, err := os.Lstat(to); was != nil && !errors.Is(err, fs.ErrNotExist) {
		return os.Rename(from, to)
	}
	err := durable.RenameNew(from, to)
	if errors.Is(err, fs.ErrExist) {
		err = meanwhile(to, nil)
	}
	return err
}

// Unchanged is a *MeanwhileError if what has a path here is not what was, as Lstat
// has told; nil is nothing.
func Unchanged(path string, was fs.FileInfo) error {
	is, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case was == nil, !os.SameFile(was, is), !Alike(was, is):
		return meanwhile(path, was)
	}
	return nil
}

func meanwhile(path string, was fs.FileInfo) error {
	return &MeanwhileError{Place: filepath.Dir(path), Path: path, Appeared: was == nil}
}

// Alike says whether two looks at a name tell of the same file, in the same state.
func Alike(was, is fs.FileInfo) bool {
	return was.Mode().Type() == is.Mode().Type() && was.Size() == is.Size() && was.ModTime().Equal(is.ModTime())
}
