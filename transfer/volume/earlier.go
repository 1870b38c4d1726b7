package volume

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"regexp"
	"slices"
	"strings"

	"airgap/transfer"
)

// Earlier is what a folder has under the names of the volumes and parity files of
// a file.
type Earlier struct {
	// Volumes, their Parity, and what is Beside a file that was not cut as its
	// parity have a footer that names the file, and are called as that has it.
	// What somebody has renamed is theirs.
	Volumes, Parity, Beside []string
	// Others only have such a name.
	Others []string

	files map[string]entry // with footers
}

// Is says whether what is called as a file that has been sent ends as it does: a
// volume or parity with its footer. Anything else cannot be told by its end.
func (e Earlier) Is(sent transfer.File) bool {
	_, err := footerOf(sent.Data, sent.Size)
	return err != nil || e.endsAs(sent.Name, sent)
}

// HasOthers says whether there are volumes or parity of another set than the one
// that files are, or parity of what is not cut that one of them takes the place of.
func (e Earlier) HasOthers(files []transfer.File) bool {
	return slices.ContainsFunc(slices.Concat(e.Volumes, e.Parity), func(name string) bool {
		return !slices.ContainsFunc(files, func(f transfer.File) bool { return waiting.ReplaceAllString(name, "") == f.Name && e.endsAs(name, f) })
	}) || slices.ContainsFunc(files, func(f transfer.File) bool { return slices.Contains(e.Beside, f.Name) && !e.endsAs(f.Name, f) })
}

// Replaced are the names of what is of a set, as its footer says, and would have to
// make room for a file that is another: it may be the very file that the set is read
// from, by whatever path.
func (e Earlier) Replaced(s *Set, files []transfer.File) (names []string) {
	for _, f := range files {
		if is, there := e.files[f.Name]; there && s != nil && is.footer.Set == s.id && !e.endsAs(f.Name, f) {
			names = append(names, f.Name)
		}
	}
	return names
}

// ParityOf are the names of parity of a set.
func (e Earlier) ParityOf(s *Set) []string {
	return slices.DeleteFunc(slices.Concat(e.Parity, e.Beside), func(name string) bool { return s == nil || e.files[name].footer.Set != s.id })
}

// Waiting is the name under which a file waits for its own, or "".
func (e Earlier) Waiting(f transfer.File) string {
	for _, name := range slices.Concat(e.Volumes, e.Parity) {
		if name != f.Name && waiting.ReplaceAllString(name, "") == f.Name && e.endsAs(name, f) {
			return name
		}
	}
	return ""
}

// endsAs says whether what has a name is as long as a volume or parity file and has
// its footer.
func (e Earlier) endsAs(name string, f transfer.File) bool {
	want, err := footerOf(f.Data, f.Size)
	is, there := e.files[name]
	return err == nil && there && is.size == f.Size && bytes.Equal(is.footer.text(), want.text())
}

// Outdated is what has to go where the file is written anew, but for what is
// kept. Parity beside a whole file that stays is that one's.
func (e Earlier) Outdated(stays bool, keep []string) []string {
	names := slices.Concat(e.Volumes, e.outdatedParity(stays))
	return slices.DeleteFunc(names, func(name string) bool { return slices.Contains(keep, name) })
}

func (e Earlier) outdatedParity(stays bool) []string {
	if stays {
		return e.Parity
	}
	return slices.Concat(e.Parity, e.Beside)
}

// FindEarlier looks for what earlier cuts of a file of that name have left in a
// folder. Parity beside the file is no earlier one's if it is of that sha256; an
// empty one is not known yet.
func FindEarlier(ctx context.Context, dir transfer.Dir, name, sum string) (found Earlier, err error) {
	defer wrap(&err, "looking for old volumes of", name)
	list, err := dir.ReadDir()
	if err != nil {
		return found, err
	}
	list = called(dir, list, name)
	entries, err := readEntries(ctx, dir, list)
	if err != nil {
		return found, err
	}
	known := map[string]bool{}
	found.files = map[string]entry{}
	for _, e := range entries {
		f := e.footer
		if f != nil {
			found.files[e.name] = e
		}
		if f == nil || f.Name != name || !f.calls(e.name) {
			continue
		}
		known[e.name] = true
		switch {
		case f.Parity == nil:
			found.Volumes = append(found.Volumes, e.name)
		case f.Parity.Slice > 0:
			found.Parity = append(found.Parity, e.name)
		case f.Whole.SHA256 != sum:
			found.Beside = append(found.Beside, e.name)
		}
	}
	for _, d := range list {
		if !known[d.Name()] && IsName(d.Name(), name) {
			found.Others = append(found.Others, d.Name())
		}
	}
	return found, nil
}

// called are the entries of a folder that are called after a file, as volumes and
// parity would be: where the folder does not care for case, neither does this.
func called(dir transfer.Dir, list []fs.DirEntry, name string) (entries []fs.DirEntry) {
	for _, d := range list {
		if small, ok := smallName(d.Name(), name); ok && isCalled(dir, list, small) {
			entries = append(entries, renamed{d, small})
		} else if strings.HasPrefix(d.Name(), name+".") {
			entries = append(entries, d)
		}
	}
	return entries
}

// smallName is how a volume or parity file of a file of that name is called, where
// something is called so but for case.
func smallName(entry, name string) (small string, ok bool) {
	n := len(name)
	if len(entry) <= n || !strings.EqualFold(entry[:n], name) {
		return "", false
	}
	small = name + strings.ToLower(entry[n:])
	return small, small != entry && IsName(small, name)
}

// isCalled says whether a folder takes a name for that of a file which it lists
// under another.
func isCalled(dir transfer.Dir, list []fs.DirEntry, name string) bool {
	if slices.ContainsFunc(list, func(d fs.DirEntry) bool { return d.Name() == name }) {
		return false
	}
	f, err := dir.Open(name)
	if err == nil {
		f.Close()
	}
	return !errors.Is(err, fs.ErrNotExist)
}

// renamed is an entry by another name.
type renamed struct {
	fs.DirEntry
	name string
}

// Name implements fs.DirEntry.
func (r renamed) Name() string { return r.name }

// MayReplace says whether what has the name of a volume or parity file f of a file
// of that name may be lost for it: as FindEarlier knows it, or because it is the
// same one, by whatever name. The rest of it may be damaged.
func MayReplace(old io.ReaderAt, size int64, f transfer.File, name string) (bool, error) {
	was, err := footerOf(old, size)
	switch {
	case errors.Is(err, errNoFooter), errors.Is(err, ErrNewer), errors.Is(err, io.ErrUnexpectedEOF):
		return false, nil
	case err != nil:
		return false, err
	case was.Name == name && was.calls(f.Name):
		return true, nil
	}
	is, err := footerOf(f.Data, f.Size)
	return bytes.Equal(was.text(), is.text()), err
}

// suffix is what volumes and parity files are called behind the name of the file.
var suffix = regexp.MustCompile(`^\.(par|(par)?[0-9]{3,})$`)

// IsName says whether something is called as a volume or a parity file of a file
// of that name would be.
func IsName(base, name string) bool {
	rest, ok := strings.CutPrefix(base, name)
	return ok && suffix.MatchString(rest)
}

// calls says whether a file of that footer is called so, or is while it waits for
// its name.
func (f Footer) calls(name string) bool {
	right := volumeName(f.Name, f.Number)
	if f.Parity != nil {
		right = parityName(f.Name, f.Number, f.Parity.Files)
	}
	return waiting.ReplaceAllString(name, "") == right
}
