// Package scratch is for what is kept only while a process runs.
package scratch

import (
	"errors"
	"os"
)

// File is a file without a name: nothing stays of it, however its process ends.
// Where the system has none such, it has a name for a moment, or (Windows) until
// it is closed.
type File struct {
	*os.File
	named bool
}

// New makes a file in a folder, empty for the one of temporary files. pattern is
// for its name, if it has to have one, as os.CreateTemp takes it.
func New(dir, pattern string) (*File, error) {
	if f, err := nameless(dir); err == nil {
		return &File{File: f}, nil
	}
	f, err := os.CreateTemp(dir, pattern)
	if err != nil {
		return nil, err
	}
	return &File{f, os.Remove(f.Name()) != nil}, nil
}

// Close removes the file.
func (f *File) Close() error {
	err := f.File.Close()
	if f.named {
		err = errors.Join(err, os.Remove(f.Name()))
	}
	return err
}
