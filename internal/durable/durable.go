// Package durable makes files appear whole or not at all, and stay: under a
// temporary name first, synced, renamed, and their folder synced.
package durable

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"airgap/internal/lock"
)

// partial ends the names of temporary files: .NAME.RANDOM.partial.
const partial = ".partial"

// Partial is the name of the file for which CreateFile makes a temporary one of
// the given name.
func Partial(temporary string) (name string, ok bool) {
	rest, ok := strings.CutSuffix(temporary, partial)
	dot := strings.LastIndexByte(rest, '.')
	if !ok || dot < 2 || rest[0] != '.' {
		return "", false
	}
	_, err := strconv.ParseUint(rest[dot+1:], 10, 32)
	return rest[1:dot], err == nil
}

// RemovePartials removes the temporary files that CreateFile has left in a
// folder where its process was killed: those of the files that are ours. One that
// is being written is locked, and stays.
func RemovePartials(dir string, ours func(name string) bool) error {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, e := range entries {
		if name, ok := Partial(e.Name()); ok && ours(name) && e.Type().IsRegular() {
			removeLeft(filepath.Join(dir, e.Name()))
		}
	}
	return nil
}

// removeLeft removes a file that nobody has locked, as far as the system lets it.
func removeLeft(path string) {
	f, err := os.Open(path)
	if err != nil {
		return
	}
	defer f.Close()
	if lock.File(f) == nil {
		os.Remove(path)
	}
}

// NamedError says that a file is there whole under its name, and that its folder
// could not be synced: a cut may take it away.
type NamedError struct{ Err error }

func (e *NamedError) Error() string { return e.Err.Error() }

func (e *NamedError) Unwrap() error { return e.Err }

// syncDir is SyncDir, but for tests.
var syncDir = SyncDir

// CreateFile makes path appear with what fill writes: a temporary file beside
// it, which takes the place of what was there. With noClobber nothing is
// replaced: the error wraps fs.ErrExist. Once it has its name the error is a
// *NamedError. The file has the mode that the umask
// gives to new ones.
func CreateFile(path string, noClobber bool, fill func(*os.File) error) error {
	return CreateFileMode(path, 0o666, noClobber, fill)
}

// CreateFileMode is CreateFile with the mode perm, as far as the umask lets it.
func CreateFileMode(path string, perm fs.FileMode, noClobber bool, fill func(*os.File) error) (err error) {
	dir, base := filepath.Split(path)
	if dir == "" {
		dir = "."
	}
	f, err := createTemp(dir, base, perm)
	if err != nil {
		return err
	}
	named := false
	defer func() {
		f.Close()
		if err != nil && !named {
			os.Remove(f.Name())
		}
	}()
	if err := fill(f); err != nil {
		return err
	}
	err = f.Sync()
	if err == nil && runtime.GOOS == "windows" { // which renames no open file
		err = f.Close()
	}
	if err != nil {
		return err
	}
	if err := rename(f.Name(), path, noClobber); err != nil {
		return err
	}
	named = true
	if err := syncDir(dir); err != nil {
		return &NamedError{err}
	}
	return nil
}

// Hold keeps a folder from all others who hold it until release, for files that
// belong together and get their names one after the other. Where folders cannot
// be locked it does nothing.
func Hold(ctx context.Context, dir string) (release func(), err error) {
	f, err := lock.Take(ctx, func() (*os.File, error) { return os.Open(dir) }, func() {})
	switch {
	case err == nil:
		return func() { f.Close() }, nil
	case ctx.Err() != nil:
		return func() {}, err
	}
	return func() {}, nil
}

// createTemp makes the temporary file of one named base, and locks it where that
// can be: what nobody has locked was left by a process that was killed.
func createTemp(dir, base string, perm fs.FileMode) (*os.File, error) {
	for {
		f, err := openTemp(dir, base, perm)
		if err != nil || !errors.Is(lock.File(f), lock.ErrTaken) {
			return f, err
		}
		f.Close() // somebody has taken it for left, and removed it
	}
}

// openTemp makes a file of a name that nothing has, which unlike those of
// os.CreateTemp has the mode that it will keep from the start.
func openTemp(dir, base string, perm fs.FileMode) (*os.File, error) {
	const longest, tries = 200, 1000 // bytes of base: with what comes to them no name is too long
	for try := 0; ; try++ {
		var random [4]byte
		rand.Read(random[:]) // which never fails
		name := fmt.Sprintf(".%s.%d%s", base[:min(len(base), longest)], binary.NativeEndian.Uint32(random[:]), partial)
		f, err := os.OpenFile(filepath.Join(dir, name), os.O_RDWR|os.O_CREATE|os.O_EXCL, perm)
		if err == nil || !errors.Is(err, fs.ErrExist) || try == tries {
			return f, err
		}
	}
}

// rename moves a finished file to its name.
func rename(from, to string, noClobber bool) error {
	if noClobber {
		return RenameNew(from, to)
	}
	return os.Rename(from, to)
}

// RenameNew renames a file and replaces nothing: the error wraps fs.ErrExist if
// something has the name. Where the system has no call for that, or not for this file
// system, a link fails so; where there are no links either, a look comes first.
func RenameNew(from, to string) error {
	if ok, err := renameNew(from, to); ok {
		return err
	}
	switch err := os.Link(from, to); {
	case err == nil:
		return os.Remove(from)
	case errors.Is(err, fs.ErrExist):
		return err
	}
	if _, err := os.Lstat(to); !errors.Is(err, fs.ErrNotExist) {
		return errors.Join(err, &os.LinkError{Op: "rename", Old: from, New: to, Err: fs.ErrExist})
	}
	return os.Rename(from, to)
}
