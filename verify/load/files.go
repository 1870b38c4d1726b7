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
	"syscall"

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
	// Mode are its permission bits here, and Was those that it has now, if it is
	// there with others; else both are 0.
	Mode, Was fs.FileMode
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

// OutsideError says that a link in a folder leads out of it, where a file would be.
type OutsideError struct{ Path, Dir string }

func (e *OutsideError) Error() string {
	return fmt.Sprintf("a link on the way to %q leads out of %q, and nothing is written outside of that", e.Path, e.Dir)
}

// PlanFiles compares the files of a bundle with a folder, which need not exist. It
// may be a link; those in it must not lead out of it.
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
		if err := planned.staysIn(dir, name); err != nil {
			return nil, err
		}
		if err := planned.compare(); err != nil {
			return nil, err
		}
		p.Files = append(p.Files, planned)
	}
	return p, nil
}

// staysIn refuses a path that leads out of the folder.
func (f *PlannedFile) staysIn(dir, name string) error {
	root, err := os.OpenRoot(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer root.Close()
	if _, err := root.Lstat(name); !isOutside(err) {
		return nil // compare tells
	}
	return &OutsideError{f.Path, dir}
}

// isOutside knows an os.Root's error about what is not in it, for which there is no
// other sign than that the system has not made it.
func isOutside(err error) bool {
	var path *fs.PathError
	var number syscall.Errno
	return errors.As(err, &path) && !errors.As(err, &number) && path.Err != fs.ErrNotExist
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
	if err != nil {
		return err
	}
	if f.Present = there == f.Digest; f.Present {
		if mode := umasked(f.Perm()); mode != 0 && mode != info.Mode().Perm() {
			f.Mode, f.Was = mode, info.Mode().Perm()
		}
		return nil
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
	return !slices.ContainsFunc(p.Files, func(f PlannedFile) bool { return !f.Present || f.Was != 0 || f.Mode != 0 })
}

// Write writes what is lacking, each file whole or not at all. What is replaced
// is kept under a name that nothing had; the plan says then which it was.
func (p *FilePlan) Write(ctx context.Context, v *verify.Verified) error {
	if len(p.Files) == 0 {
		return nil
	}
	if err := os.MkdirAll(p.Dir, 0o755); err != nil {
		return err
	}
	root, err := os.OpenRoot(p.Dir)
	if err != nil {
		return err
	}
	defer root.Close()
	p.removeLeft()
	for i := range p.Files {
		f := &p.Files[i]
		switch {
		case f.Present && f.Mode != 0:
			err = root.Chmod(filepath.FromSlash(f.Name), f.Mode)
		case !f.Present:
			err = f.write(ctx, root, v)
		}
		if isOutside(err) {
			err = &OutsideError{f.Path, p.Dir}
		}
		if err != nil {
			return fmt.Errorf("file %q: %w", f.Path, err)
		}
	}
	return nil
}

// removeLeft removes what killed runs have left half written of the files; in a
// folder that cannot be listed it stays.
func (p *FilePlan) removeLeft() {
	in := map[string][]string{}
	for _, f := range p.Files {
		dir, name := filepath.Split(f.Path)
		in[dir] = append(in[dir], name)
	}
	for dir, names := range in {
		_ = durable.RemovePartials(dir, func(name string) bool { return slices.Contains(names, name) })
	}
}

func (f *PlannedFile) write(ctx context.Context, root *os.Root, v *verify.Verified) error {
	if dir := filepath.Dir(filepath.FromSlash(f.Name)); dir != "." {
		if err := root.MkdirAll(dir, 0o755); err != nil {
			return err
		}
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
		if err := to.Sync(); err != nil { // which may take long: what is saved meanwhile is kept, too
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
