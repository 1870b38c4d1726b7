package load

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

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
	Path     string // where it will be
	Size     int64  // bytes
	Present  bool   // it is there, with this content
	Replaces bool   // another file is there, which will be kept beside it: see BackupName
}

// BackupName is what a file is called that another has taken the place of.
func BackupName(path string) string { return path + ".bak" }

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
	f.Present = there == f.Digest
	f.Replaces = !f.Present
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

// Write writes what is lacking, each file whole or not at all.
func (p *FilePlan) Write(ctx context.Context, v *verify.Verified) error {
	for _, f := range p.Files {
		if f.Present {
			continue
		}
		if err := f.write(ctx, v); err != nil {
			return fmt.Errorf("file %q: %w", f.Path, err)
		}
	}
	return nil
}

func (f PlannedFile) write(ctx context.Context, v *verify.Verified) error {
	if err := os.MkdirAll(filepath.Dir(f.Path), 0o755); err != nil {
		return err
	}
	r, err := v.Fetch(ctx, image.Descriptor{Digest: f.Digest, Size: f.Size})
	if err != nil {
		return err
	}
	defer r.Close()
	return durable.CreateFile(f.Path, !f.Replaces, func(to *os.File) error {
		if _, err := io.Copy(to, r); err != nil {
			return err
		}
		if f.Executable {
			if err := to.Chmod(0o755); err != nil {
				return err
			}
		}
		if f.Replaces {
			return keep(f.Path)
		}
		return nil
	})
}

// keep gives a file its backup name too, or only that on file systems without
// links.
func keep(path string) error {
	backup := BackupName(path)
	if err := os.Remove(backup); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if os.Link(path, backup) == nil {
		return nil
	}
	return os.Rename(path, backup)
}
