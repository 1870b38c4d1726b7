package sftp

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"strings"
)

// locate finds folder and name as scp would: in a folder that exists under the
// file's own name, else under the last part of the path as a new name, unless the
// file's is exact.
func (p *Place) locate(ctx context.Context) (err error) {
	if p.located.Name == p.file.Name && p.located.Exact == p.file.Exact && p.dir != "" {
		return nil
	}
	dir := p.dest.Dir
	if strings.HasPrefix(dir, "~") {
		if dir, err = p.fromHome(ctx, dir); err != nil {
			return err
		}
	}
	if dir == "" {
		dir = "." // where a login starts
	}
	name := p.file.Name
	var info fs.FileInfo
	var abs string
	err = together(
		func() (err error) { info, err = p.client.Stat(dir); return err },
		func() error { abs, _ = p.client.RealPath(dir); return nil }, // asked for again if it fails
	)
	if errors.Is(err, fs.ErrNotExist) && p.mayBecome(dir) {
		abs = ""
		dir, name = path.Split(dir)
		info, err = p.client.Stat(path.Join(".", dir))
		if path.IsAbs(dir) {
			info, err = p.client.Stat(dir)
		}
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return p.noFolder(path.Clean(dir))
	case err != nil:
		return p.failed(err)
	case !info.IsDir():
		abs = ""
		dir, name = path.Split(dir)
	}
	if abs == "" {
		if abs, err = p.client.RealPath(cmp.Or(dir, ".")); err != nil {
			return p.failed(err)
		}
	}
	if p.file.Exact {
		name = p.file.Name
	}
	p.dir, p.name, p.located = abs, name, p.file
	return nil
}

// mayBecome says whether a path that is not there may be the file's to be.
func (p *Place) mayBecome(name string) bool {
	return !strings.HasSuffix(name, "/") && (p.isFile == nil || p.isFile(path.Base(name)))
}

// FolderError says that the folder of a destination is not there.
type FolderError struct {
	Dest Dest
	Dir  string // the folder; not absolute where it is below the login folder
	File string // what it would have to be, or be below, and is a file; or empty
}

// noFolder finds out why there is no such folder.
func (p *Place) noFolder(dir string) error {
	e := &FolderError{Dest: p.dest, Dir: dir}
	for at := dir; at != path.Dir(at); at = path.Dir(at) {
		info, err := p.client.Stat(at)
		if err == nil && !info.IsDir() {
			e.File = at
		}
		if err == nil || !errors.Is(err, fs.ErrNotExist) {
			break
		}
	}
	return e
}

func (e *FolderError) Error() string {
	if e.File != "" {
		return fmt.Sprintf("folder %q at %s: %s there is a file", e.Dir, e.Dest.Host, e.File)
	}
	return fmt.Sprintf("folder %q at %s: %v", e.Dir, e.Dest.Host, fs.ErrNotExist)
}

// Unwrap gives fs.ErrNotExist.
func (e *FolderError) Unwrap() error { return fs.ErrNotExist }

// userHome is ~ or ~user, as a shell may be given it as it is.
var userHome = regexp.MustCompile(`^~([A-Za-z0-9_][A-Za-z0-9_.-]*)?$`)

// fromHome takes ~ for the login folder, and ~user for what a shell there takes
// it for: the server would look for a file of that name.
func (p *Place) fromHome(ctx context.Context, dir string) (string, error) {
	home, below, _ := strings.Cut(dir, "/")
	if home == "~" {
		return below, nil
	}
	if userHome.MatchString(home) {
		said, err := p.output(ctx, posix(`printf '%s\n' `+home), nil, 0)
		if err == nil && path.IsAbs(said) {
			return said + "/" + below, nil
		}
	}
	return "", fmt.Errorf("folder %q at %s: the host knows no %s; write a path from /, or ./%s: %w", dir, p.dest.Host, home, dir, fs.ErrNotExist)
}
