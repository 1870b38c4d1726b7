package transfer

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// Dir is a folder for those who look at what is in it.
type Dir interface {
	ReadDir() ([]fs.DirEntry, error)
	// Open opens a regular file; nothing else, and through no link.
	Open(name string) (Regular, error)
	Remove(name string) error
}

// Regular is a regular file that is open for reading.
type Regular interface {
	io.ReaderAt
	io.Closer
	Size() int64 // in bytes, when it was opened
}

// LocalDir is a folder of this machine.
type LocalDir string

// ReadDir implements Dir.
func (d LocalDir) ReadDir() ([]fs.DirEntry, error) { return os.ReadDir(string(d)) }

// Remove implements Dir.
func (d LocalDir) Remove(name string) error { return os.Remove(filepath.Join(string(d), name)) }

// Open implements Dir. It does not wait at a pipe that somebody put there.
func (d LocalDir) Open(name string) (Regular, error) {
	path := filepath.Join(string(d), name)
	before, err := os.Lstat(path)
	if err != nil {
		return nil, err
	}
	if !before.Mode().IsRegular() {
		return nil, fmt.Errorf("%q is not a regular file", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil || !os.SameFile(before, info) {
		return nil, errors.Join(err, fmt.Errorf("%q has become another file", path), f.Close())
	}
	return localFile{f, info.Size()}, nil
}

type localFile struct {
	*os.File
	size int64
}

func (f localFile) Size() int64 { return f.size }
