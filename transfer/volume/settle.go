package volume

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"

	"airgap/transfer"
)

// Made is a set that has been made in a folder of its own, beside the one where
// it is wanted. Its files have their names there, with a .sha256 beside each.
type Made struct {
	From string // the folder that it is in
	Name string // of the whole file
	// Volumes are the names of its files in their order, or that of the file
	// itself; Parity those of its parity files.
	Volumes, Parity []string
	Sync            func() error // makes names durable, in both folders

	rename func(from, to string, was fs.FileInfo) error
	remove func(path string) error
}

// waiting is what stands behind the name of a volume that does not have it yet.
var waiting = regexp.MustCompile(`\.[A-Z2-7]{8}\.new$`)

// InTheWayError says that something has a name that the set needs, and is not of
// an earlier one.
type InTheWayError struct{ Path string }

func (e *InTheWayError) Error() string {
	return fmt.Sprintf("%q is in the way: it is not of an earlier set of volumes", e.Path)
}

// IsInTheWay says whether something in the folder here has a name that is needed,
// and is not of an earlier set. The folder says so, whatever its list has.
func (e Earlier) IsInTheWay(dir, name string) bool {
	if slices.Contains(slices.Concat(e.Volumes, e.Parity, e.Beside), name) {
		return false
	}
	_, err := os.Lstat(filepath.Join(dir, name))
	return !errors.Is(err, fs.ErrNotExist)
}

// Settle moves a set to its folder, in place of an earlier one of that name, and
// says what of that it has removed. At each moment one of the two is there whole,
// whatever ends it: of the new volumes all but one come first, under names that
// are free, then the last takes the place of one of the old, and then each other
// its own. Old parity and sums go before that moment. If it fails before, the old
// set is as it was, but for these. What comes meanwhile to have one of the names, or
// changes, is not replaced: a *transfer.MeanwhileError.
func (m Made) Settle(ctx context.Context, dir string) (removed []string, err error) {
	defer wrap(&err, "moving volumes to", dir)
	if m.rename == nil {
		m.rename, m.remove = transfer.Rename, os.Remove
	}
	old, err := FindEarlier(ctx, transfer.LocalDir(dir), m.Name, "")
	if err != nil {
		return nil, err
	}
	for _, name := range slices.Concat(m.Volumes, m.Parity) {
		if name != m.Name && old.IsInTheWay(dir, name) {
			return nil, &InTheWayError{filepath.Join(dir, name)}
		}
	}
	m.narrow(dir, old)
	s := &settling{Made: m, dir: dir, old: old, waits: map[string]string{}, was: map[string]fs.FileInfo{}}
	s.look()
	if err := s.take(s.last()); err != nil {
		return s.removed, err
	}
	if err := s.tidy(); err != nil {
		return s.removed, &UntidyError{err}
	}
	return s.removed, nil
}

// narrow takes from the new files the rights that one of the old did not give.
func (m Made) narrow(dir string, old Earlier) {
	perm := fs.FileMode(0o777)
	for _, name := range append(slices.Clone(old.Volumes), m.Name) {
		if info, err := os.Lstat(filepath.Join(dir, name)); err == nil && info.Mode().IsRegular() {
			perm &= info.Mode().Perm() | 0o600
		}
	}
	for _, name := range slices.Concat(m.Volumes, m.Parity) {
		for _, path := range []string{filepath.Join(m.From, name), filepath.Join(m.From, name) + ".sha256"} {
			if info, err := os.Lstat(path); err == nil && info.Mode().Perm()&^perm != 0 {
				_ = os.Chmod(path, info.Mode().Perm()&perm) // not every medium has any
			}
		}
	}
}

// UntidyError says that the new volumes are there whole, though some may not have
// their names yet; and parity, sums and old volumes may not be as they should.
type UntidyError struct{ Err error }

func (e *UntidyError) Error() string { return e.Err.Error() }

func (e *UntidyError) Unwrap() error { return e.Err }

// settling is one Settle.
type settling struct {
	Made
	dir     string
	old     Earlier
	waits   map[string]string      // under which names volumes wait for theirs
	was     map[string]fs.FileInfo // what has the names that are needed, or goes; nil for nothing
	removed []string
}

// look sees what has the names of volumes, parity and sums.
func (s *settling) look() {
	for _, name := range slices.Concat(s.Volumes, s.Parity, s.old.Volumes, s.old.Parity, s.old.Beside) {
		for _, name := range []string{name, name + ".sha256"} {
			s.was[name], _ = os.Lstat(s.to(name))
		}
	}
}

// call gives a file from somewhere else a name in the folder.
func (s *settling) call(from, name string) error {
	return s.rename(from, s.to(name), s.was[name])
}

// last is the volume that comes last, and makes the set whole: one in place of an
// old one, if there are any.
func (s *settling) last() string {
	for _, name := range s.Volumes {
		if slices.Contains(s.old.Volumes, name) {
			return name
		}
	}
	return s.Volumes[len(s.Volumes)-1]
}

// take brings the volumes. What fails before the last has come is undone.
func (s *settling) take(last string) error {
	err := s.bring(last)
	if err == nil {
		err = s.clear()
	}
	if err == nil {
		err = s.call(s.from(last), last)
	}
	if err == nil {
		return nil
	}
	for _, name := range s.waits {
		err = errors.Join(err, s.remove(s.to(name)))
	}
	return err
}

func (s *settling) from(name string) string { return filepath.Join(s.From, name) }
func (s *settling) to(name string) string   { return filepath.Join(s.dir, name) }

// bring moves all volumes but the last to names that are free.
func (s *settling) bring(last string) error {
	for _, name := range s.Volumes {
		if name == last {
			continue
		}
		free := name
		if s.was[name] != nil {
			free = fmt.Sprintf("%s.%s.new", name, rand.Text()[:8])
		}
		if err := s.call(s.from(name), free); err != nil {
			return err
		}
		s.waits[name] = free
	}
	return s.Sync()
}

// clear removes what would be wrong beside the new set: old parity, and the sums
// of what is replaced, if that is to be replaced still.
func (s *settling) clear() error {
	for _, name := range s.Volumes {
		if s.waits[name] == name { // a new one has it
			continue
		}
		if err := transfer.Unchanged(s.to(name), s.was[name]); err != nil {
			return err
		}
	}
	for _, name := range s.Volumes {
		if err := s.removeIfThere(name + ".sha256"); err != nil {
			return err
		}
	}
	return s.drop(s.oldParity())
}

// oldParity is that of the old volumes, and of a whole file that is replaced or is
// not there. That of one which stays has to go where its name is needed.
func (s *settling) oldParity() []string {
	_, err := os.Lstat(s.to(s.Name))
	parity := s.old.outdatedParity(err == nil && s.Volumes[0] != s.Name)
	for _, name := range s.old.Beside {
		if slices.Contains(s.Parity, name) && !slices.Contains(parity, name) {
			parity = append(parity, name)
		}
	}
	return parity
}

// drop removes old files with their sums.
func (s *settling) drop(names []string) error {
	for _, name := range names {
		if err := s.removeIfThere(name + ".sha256"); err != nil {
			return err
		}
		if err := s.removeIfThere(name); err != nil {
			return err
		}
		s.removed = append(s.removed, name)
	}
	return nil
}

// removeIfThere removes what still is what it was.
func (s *settling) removeIfThere(name string) error {
	if err := transfer.Unchanged(s.to(name), s.was[name]); err != nil {
		return err
	}
	if err := s.remove(s.to(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	delete(s.was, name)
	return nil
}

// tidy gives the volumes their names, removes what is left of the old set, and
// brings parity and sums.
func (s *settling) tidy() error {
	if err := s.Sync(); err != nil {
		return err
	}
	for _, name := range s.Volumes {
		if free := s.waits[name]; free != "" && free != name {
			if err := s.call(s.to(free), name); err != nil {
				return err
			}
		}
	}
	left := slices.DeleteFunc(s.old.Volumes, func(name string) bool { return slices.Contains(s.Volumes, name) })
	if err := s.drop(left); err != nil {
		return err
	}
	for _, name := range s.Parity {
		if err := s.call(s.from(name), name); err != nil {
			return err
		}
	}
	for _, name := range slices.Concat(s.Volumes, s.Parity) {
		if err := s.call(s.from(name)+".sha256", name+".sha256"); err != nil {
			return err
		}
	}
	return s.Sync()
}
