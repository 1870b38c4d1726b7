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
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"unicode"
	"unicode/utf8"

	"airgap/bundle/image"
)

// File is a file that travels with the images. Its content is one of the blobs.
type File struct {
	// Name is a relative path with slashes; see CheckFileName.
	Name string `json:"name"`
	// Executable is what bundles without the feature file-modes have instead of
	// Mode; nil in others.
	Executable *bool `json:"executable,omitempty"`
	// Mode are the permission bits, as four octal digits.
	Mode   string       `json:"mode,omitempty"`
	Digest image.Digest `json:"digest"`
}

// Perm are the permission bits that the file has.
func (f File) Perm() fs.FileMode {
	if bits, err := strconv.ParseUint(f.Mode, 8, 9); err == nil {
		return fs.FileMode(bits)
	}
	if f.Executable != nil && *f.Executable {
		return 0o755
	}
	return 0o644
}

// formatMode is the form of File.Mode.
func formatMode(perm fs.FileMode) string { return fmt.Sprintf("%04o", perm.Perm()) }

// checkMode demands that the file has a mode, or what was there before modes if
// the manifest has none.
func (f File) checkMode(modes bool) error {
	if modes && f.Executable == nil && f.Mode == formatMode(f.Perm()) || !modes && f.Executable != nil && f.Mode == "" {
		return nil
	}
	return fmt.Errorf("file %q: its mode is not as the format has it", f.Name)
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
	modes := slices.Contains(m.Requires, fileModes)
	for i, f := range m.Files {
		names[i] = f.Name
		if err := f.checkMode(modes); err != nil {
			return err
		}
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
// Links and other things that are not files are refused by name. Files that
// skip tells of are left out, and so are folders with nothing in them:
// Totals.LeftFiles names both.
func (p *Plan) Include(paths []string, skip func(path string) bool) error {
	for _, given := range paths {
		abs, err := filepath.Abs(given) // "." and ".." have names too
		if err != nil {
			return err
		}
		err = filepath.WalkDir(abs, func(at string, entry fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			rel, err := filepath.Rel(filepath.Dir(abs), at)
			if err != nil {
				return err
			}
			switch name := filepath.ToSlash(rel); {
			case entry.IsDir():
				return p.leaveEmpty(name, at)
			case skip(at):
				p.leave(LeftFile{name, "it is what is being written"})
				return nil
			default:
				return p.include(name, at)
			}
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

// LeftFile is a file, or a folder if its name ends in a slash, that is not
// carried.
type LeftFile struct{ Name, Reason string }

func (p *Plan) leave(f LeftFile) {
	p.LeftFiles = append(p.LeftFiles, f)
	p.known.LeftFiles = p.LeftFiles
}

// leaveEmpty notes a folder with nothing in it.
func (p *Plan) leaveEmpty(name, at string) error {
	entries, err := os.ReadDir(at)
	if err == nil && len(entries) == 0 {
		p.leave(LeftFile{name + "/", "there is nothing in it"})
	}
	return err
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
		files = append(files, File{Name: f.name, Mode: formatMode(permOf(f.info)), Digest: d})
	}
	return files, nil
}

// permOf are the permission bits of a file; on a system that has none, those
// that files have elsewhere.
func permOf(info fs.FileInfo) fs.FileMode {
	if runtime.GOOS == "windows" {
		return 0o644
	}
	return info.Mode().Perm()
}

func (f localFile) spool(ctx context.Context, s *spool, progress func(int64)) (image.Digest, error) {
	r, err := os.OpenFile(f.path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // it may be a pipe by now, which nobody writes to
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
