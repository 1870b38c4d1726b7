package bundle

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"airgap/bundle/image"
)

// File is a file that travels with the images. Its content is one of the blobs.
type File struct {
	// Name is a relative path with slashes; see CheckFileName.
	Name       string       `json:"name"`
	Executable bool         `json:"executable"`
	Digest     image.Digest `json:"digest"`
}

// localFile is a file of this machine that will travel.
type localFile struct {
	name string // in the bundle
	path string
	info fs.FileInfo
}

// CheckFileName accepts what may stand in a bundle as a file's name: a relative
// path that means the same on every system, below whatever folder it is put.
func CheckFileName(name string) error {
	const most = 1024
	if name == "" || len(name) > most || !utf8.ValidString(name) {
		return fmt.Errorf("file name %q is empty, too long or no text", name)
	}
	if strings.ContainsFunc(name, func(r rune) bool { return unicode.IsControl(r) || strings.ContainsRune(`\:`, r) }) {
		return fmt.Errorf("file name %q has a character that some systems do not take", name)
	}
	for part := range strings.SplitSeq(name, "/") {
		if part == "" || part == "." || part == ".." || len(part) > 255 {
			return fmt.Errorf("file name %q is not a path below a folder", name)
		}
	}
	return nil
}

// checkFiles holds what must be true of a manifest's files.
func (m *Manifest) checkFiles(blobs map[image.Digest]int64) error {
	names := make([]string, len(m.Files))
	for i, f := range m.Files {
		names[i] = f.Name
		if err := CheckFileName(f.Name); err != nil {
			return err
		}
		if _, ok := blobs[f.Digest]; !ok {
			return fmt.Errorf("file %q: its content %s is not among the blobs", f.Name, f.Digest)
		}
	}
	return checkFileNames(names)
}

// checkFileNames wants sorted names, none of which is another or a folder of it.
func checkFileNames(names []string) error {
	taken := map[string]bool{}
	for i, name := range names {
		if i > 0 && names[i-1] >= name {
			return fmt.Errorf("file %q is there twice or out of order", name)
		}
		taken[name] = true
	}
	for _, name := range names {
		for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
			if taken[dir] {
				return fmt.Errorf("file %q is also a folder", dir)
			}
		}
	}
	return nil
}

// Include adds files to what will be packed, and folders with all that is in
// them. Each goes by the last part of its path, what is in a folder below that.
// Links and other things that are not files are refused by name.
func (p *Plan) Include(paths []string) error {
	for _, given := range paths {
		abs, err := filepath.Abs(given) // "." and ".." have names too
		if err != nil {
			return err
		}
		err = filepath.WalkDir(abs, func(at string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() {
				return err
			}
			rel, err := filepath.Rel(filepath.Dir(abs), at)
			if err != nil {
				return err
			}
			return p.include(filepath.ToSlash(rel), at)
		})
		if err != nil {
			return err
		}
	}
	slices.SortFunc(p.files, func(a, b localFile) int { return strings.Compare(a.name, b.name) })
	names := make([]string, len(p.files))
	for i, f := range p.files {
		names[i] = f.name
	}
	return checkFileNames(names)
}

func (p *Plan) include(name, at string) error {
	info, err := os.Lstat(at)
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%q is not a regular file", at)
	}
	if err := CheckFileName(name); err != nil {
		return err
	}
	p.files = append(p.files, localFile{name, at, info})
	for _, t := range []*Totals{&p.Totals, &p.known} {
		t.Files++
		t.Blobs++
		t.Size += info.Size()
	}
	return nil
}

// spoolFiles reads the files that travel along.
func (p *Plan) spoolFiles(ctx context.Context, s *spool, progress func(int64)) ([]File, error) {
	var files []File
	for _, f := range p.files {
		d, err := f.spool(ctx, s, progress)
		if err != nil {
			return nil, fmt.Errorf("file %q: %w", f.path, err)
		}
		files = append(files, File{f.name, f.info.Mode()&0o111 != 0, d})
	}
	return files, nil
}

func (f localFile) spool(ctx context.Context, s *spool, progress func(int64)) (image.Digest, error) {
	r, err := os.Open(f.path)
	if err != nil {
		return image.Digest{}, err
	}
	defer r.Close()
	info, err := r.Stat()
	if err == nil && !os.SameFile(info, f.info) {
		err = errors.New("it was replaced while it was packed")
	}
	if err != nil {
		return image.Digest{}, err
	}
	return s.put(ctx, "", f.info.Size(), image.CountingReader(io.Reader(r), progress))
}
