package load

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"airgap/bundle"
	"airgap/bundle/image"
	"airgap/internal/durable"
	"airgap/verify"
)

// FilePlan is what writing a bundle's files into a folder will do.
type FilePlan struct {
	Dir   string
	Files []PlannedFile
}

// PlannedFile is one of them.
type PlannedFile struct {
	bundle.File
	Path    string // where it will be
	Size    int64  // bytes
	Present bool   // it is there, with this content
	// Backup is beside it and where the other file is kept that is there now;
	// empty if there is none.
	Backup string
}

// backups are the names, in order, for a file that another takes the place of.
func backups(path string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for n := 0; ; n++ {
			name := path + ".bak"
			if n > 0 {
				name += "." + strconv.Itoa(n)
			}
			if !yield(name) {
				return
			}
		}
	}
}

// freeBackup is the first of them that nothing has.
func freeBackup(path string) (string, error) {
	for name := range backups(path) {
		if _, err := os.Lstat(name); errors.Is(err, fs.ErrNotExist) {
			return name, nil
		} else if err != nil {
			return "", err
		}
	}
	panic("backups do not end")
}

// PlanFiles compares the files of a bundle with a folder, which need not exist.
func PlanFiles(docs *verify.Documents, dir string) (*FilePlan, error) {
	p := &FilePlan{Dir: dir}
	sizes := map[image.Digest]int64{}
	for _, b := range docs.Bundle().Manifest().Blobs {
		sizes[b.Digest] = b.Size
	}
	for _, f := range docs.Bundle().Manifest().Files {
		name := filepath.FromSlash(f.Name)
		if !filepath.IsLocal(name) { // names that mean something else to this system
			return nil, fmt.Errorf("file %q of the bundle cannot have this name here", f.Name)
		}
		planned := PlannedFile{File: f, Path: filepath.Join(dir, name), Size: sizes[f.Digest]}
		if err := planned.compare(); err != nil {
			return nil, err
		}
		p.Files = append(p.Files, planned)
	}
	return p, nil
}

// compare finds out what is where the file belongs.
func (f *PlannedFile) compare() error {
	info, err := os.Lstat(f.Path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case !info.Mode().IsRegular():
		return fmt.Errorf("%q is there and is no regular file", f.Path)
	}
	there, err := digestOf(f.Path)
	if err != nil || there == f.Digest {
		f.Present = err == nil
		return err
	}
	f.Backup, err = freeBackup(f.Path)
	return err
}

func digestOf(path string) (image.Digest, error) {
	f, err := os.Open(path)
	if err != nil {
		return image.Digest{}, err
	}
	defer f.Close()
	h := sha256.New()
	_, err = io.Copy(h, f)
	return image.HashDigest(h), err
}

// Unchanged says that Write has nothing to do.
func (p *FilePlan) Unchanged() bool {
	return !slices.ContainsFunc(p.Files, func(f PlannedFile) bool { return !f.Present })
}

// Write writes what is lacking, each file whole or not at all. What is replaced
// is kept under a name that nothing had; the plan says then which it was.
func (p *FilePlan) Write(ctx context.Context, v *verify.Verified) error {
	for i := range p.Files {
		f := &p.Files[i]
		if f.Present {
			continue
		}
		if err := f.write(ctx, v); err != nil {
			return fmt.Errorf("file %q: %w", f.Path, err)
		}
	}
	return nil
}

func (f *PlannedFile) write(ctx context.Context, v *verify.Verified) error {
	if err := os.MkdirAll(filepath.Dir(f.Path), 0o755); err != nil {
		return err
	}
	r, err := v.Fetch(ctx, image.Descriptor{Digest: f.Digest, Size: f.Size})
	if err != nil {
		return err
	}
	defer r.Close()
	return durable.CreateFileMode(f.Path, f.Perm(), f.Backup == "", func(to *os.File) error {
		if _, err := io.Copy(to, r); err != nil || f.Backup == "" {
			return err
		}
		f.Backup, err = keep(f.Path)
		return err
	})
}

// keep gives a file its backup name too, or only that on file systems without
// links. A name that something has is never taken.
func keep(path string) (backup string, err error) {
	for name := range backups(path) {
		switch err := os.Link(path, name); {
		case err == nil:
			return name, nil
		case !errors.Is(err, fs.ErrExist):
			return moveTo(path)
		}
	}
	panic("backups do not end")
}

// moveTo renames a file to a backup name that an empty file holds for it.
func moveTo(path string) (backup string, err error) {
	for name := range backups(path) {
		f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		if err != nil {
			return "", err
		}
		f.Close()
		if err := os.Rename(path, name); err != nil {
			return "", errors.Join(err, os.Remove(name))
		}
		return name, nil
	}
	panic("backups do not end")
}
