package transfer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"regexp"
	"slices"

	"airgap/internal/sums"
)

// Older is what somebody has left of a file, and no send will continue.
type Older struct {
	Name string
	Of   string // the file that it would have become
	Size int64
	// Packed says that it is no send's: who makes a file there calls it so. It may
	// be a folder.
	Packed bool
	// Stays says why it is not to be removed; empty if it is.
	Stays string
}

// Why something older stays.
const (
	Theirs    = "is somebody else's"
	Busy      = "is being written"
	MayBeBusy = "may be what a pack there is writing"
)

func (o Older) String() string {
	return fmt.Sprintf("%s (%d bytes), which %s", o.Name, o.Size, o.Stays)
}

// How what is left is called: by File.Partial and SendStream; by Commit, for sums;
// and by those who make a file or its sums, or a folder for it, on that machine.
var (
	partialForm = regexp.MustCompile(`(?s)^\.(.+)\.([0-9a-f]{8}|[A-Z2-7]{8})\.partial$`)
	sumsForm    = regexp.MustCompile(`(?s)^\.(.+)\.sha256\.partial$`)
	packedForm  = regexp.MustCompile(`(?s)^\.(.+?)(\.sha256)?\.(?:0|[1-9][0-9]{0,9})\.partial$`)
)

// IsPartial says whether an entry of a folder is called as a partial of what is
// called name is.
func IsPartial(entry, name string) bool {
	m := partialForm.FindStringSubmatch(entry)
	return m != nil && m[1] == name
}

// IsPacked says whether an entry of a folder is called as what is called name, or
// its sums, is while somebody makes it there.
func IsPacked(entry, name string) bool {
	m := packedForm.FindStringSubmatch(entry)
	return m != nil && m[1] == name
}

// LeftOf is the file of which an entry of a folder is called as something left is;
// packed says that no send calls it so, but who makes the file there.
func LeftOf(entry string) (name string, packed, ok bool) {
	for _, form := range []*regexp.Regexp{partialForm, sumsForm, packedForm} {
		if m := form.FindStringSubmatch(entry); m != nil {
			return m[1], form == packedForm, true
		}
	}
	return "", false, false
}

// OlderOf is what an entry is of what is older than f, in the folder in which that
// has the name called; ok is false if it is nothing of that. Whose it is, is for
// the place to say.
func OlderOf(info fs.FileInfo, f File, called string) (o Older, ok bool) {
	o = Older{Name: info.Name(), Size: info.Size()}
	o.Of, o.Packed, _ = LeftOf(o.Name)
	kin := f.Kin != nil && f.Kin(info, called)
	switch {
	case o.Name == f.Partial(called):
		return o, false
	case info.IsDir(): // of which no send makes any; what is in it counts
		o.Size, o.Packed = 0, true
		return o, kin
	case sumsForm.MatchString(o.Name) && info.Size() > sums.Most:
		return o, false
	}
	return o, info.Mode().IsRegular() && (kin || IsPartial(o.Name, called))
}

// Room is how many bytes can be written when what is older and ours has been
// cleared away; -1 if that is not known.
func (f Found) Room() int64 {
	if f.Free < 0 {
		return -1
	}
	return f.Free + f.Cleared()
}

// Cleared is how many bytes that makes room for.
func (f Found) Cleared() (n int64) {
	for _, o := range f.Older {
		if o.Stays == "" {
			n += o.Size
		}
	}
	return n
}

// Full is the error of a place in which so many bytes have no room.
func (f Found) Full(need int64) *NoSpaceError {
	return &NoSpaceError{Place: f.Place, Path: f.Path, Need: need, Free: f.Room(), Left: staying(f.Older)}
}

// staying are those that are not to be removed.
func staying(list []Older) (stay []Older) {
	for _, o := range list {
		if o.Stays != "" {
			stay = append(stay, o)
		}
	}
	return stay
}

// Beside has an error about room name what is left there and stays.
func Beside(err error, stay []Older) error {
	var full *NoSpaceError
	if errors.As(err, &full) && len(full.Left) == 0 {
		full.Left = stay
	}
	return err
}

// ClearOlder removes what is older than files, in whatever shape, and ours, each
// while its name is locked: what another has locked stays. The caller holds the
// locks of the names held, of one at least, from which the place knows what files of
// ours look like; and they keep those out who send the files in another shape. What
// stays is answered, and noted where no Send will do that.
func ClearOlder(ctx context.Context, p Place, files []File, held []string, o LockOptions) (stay []Older, err error) {
	found, err := p.Find(ctx, files[0])
	if err != nil {
		return nil, err
	}
	own := map[string]bool{found.Name: true}
	for _, f := range files[1:] {
		own[f.Name] = true
	}
	left := map[string][]Older{}
	for _, older := range found.Older {
		left[older.Of] = append(left[older.Of], older)
	}
	for _, name := range slices.Sorted(maps.Keys(left)) {
		list := left[name]
		if slices.Contains(held, name) || len(staying(list)) == len(list) {
			err = removeOlder(ctx, p, found, list, o.Note)
		} else {
			err = removeLocked(ctx, p, found, list, o)
		}
		if err != nil {
			return nil, err
		}
		if stay = append(stay, staying(list)...); !own[name] {
			noteStaying(found, list, o.Note)
		}
	}
	_, err = p.Find(ctx, files[0]) // what it has found before is no more
	return stay, err
}

// removeLocked is removeOlder of what has one name, while that is locked.
func removeLocked(ctx context.Context, p Place, found Found, list []Older, o LockOptions) error {
	name := list[0].Of
	held, unlock, err := p.Lock(ctx, File{Name: name, Temporary: list[0].Name, Exact: true}, o)
	if busy := (*BusyError)(nil); errors.As(err, &busy) {
		for i := range list {
			list[i].Stays = cmp.Or(list[i].Stays, Busy)
		}
		return nil
	}
	if err != nil {
		return err
	}
	defer unlock()
	return removeOlder(held, p, found, list, o.Note)
}

// removeOlder removes what does not have to stay. What nobody lets us remove stays.
func removeOlder(ctx context.Context, p Place, found Found, list []Older, note func(string, ...any)) error {
	return p.Visit(ctx, func(dir Dir) error {
		for i, o := range list {
			if o.Stays != "" {
				continue
			}
			err := dir.Remove(o.Name)
			switch {
			case errors.Is(err, fs.ErrPermission):
				list[i].Stays = "may not be removed"
			case errors.Is(err, fs.ErrNotExist):
			case err != nil:
				return err
			default:
				note("removed %s at %s: %d bytes of an older %s that has never become whole", o.Name, found.Place, o.Size, o.Of)
			}
		}
		return nil
	})
}

// noteStaying names what stays.
func noteStaying(found Found, list []Older, note func(string, ...any)) {
	for _, o := range staying(list) {
		note("%s at %s, %d bytes of an older %s, %s and stays", o.Name, found.Place, o.Size, o.Of, o.Stays)
	}
}
