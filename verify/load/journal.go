package load

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"airgap/bundle/image"
	"airgap/internal/durable"
)

// Journal is what an import does to the names of a place, so that it can be
// undone.
type Journal struct {
	Number  int    // in its folder; 0 until it is kept
	To      string // the place, as its spec was given
	Address string // and which one it was
	Engine  string // image.Tidier's Identity; empty if that was not noted
	Bundle  image.Digest
	Time    time.Time
	State   JournalState
	Tags    []image.Tag
	// Brought are the images that the import has brought. Others had been there,
	// be it under no name, as have all where this is not noted.
	Brought []image.Digest
}

// JournalState is how far an import, or its undoing, has come.
type JournalState string

const (
	Naming JournalState = "broken off" // unless it is at work: some of the names may be set
	Named  JournalState = "done"
	Undone JournalState = "put back"
)

// journalTag is a Tag in the journal's file. An empty digest stands for
// nothing.
type journalTag struct {
	Name string `json:"name"`
	Old  string `json:"old,omitempty"`
	New  string `json:"new"`
}

// journalFile is the form of the journal's file.
type journalFile struct {
	To      string       `json:"to"`
	Address string       `json:"address"`
	Engine  string       `json:"engine,omitempty"`
	Bundle  string       `json:"bundle"`
	Time    time.Time    `json:"time"`
	State   JournalState `json:"state"`
	Tags    []journalTag `json:"tags"`
	Brought []string     `json:"brought,omitempty"`
}

// Journals is a folder of journals, which need not exist. Each has a number,
// higher than those before it.
type Journals string

// journalsKept is how many of each place are kept.
const journalsKept = 10

// Keep writes a journal, whole or not at all, and gives it a number if it has
// none. Names that it does not change are left out; so are the oldest journals
// of the same place.
func (s Journals) Keep(j *Journal) error {
	if err := os.MkdirAll(string(s), 0o700); err != nil {
		return err
	}
	if j.Number > 0 {
		return s.write(*j, false)
	}
	all, err := s.numbers()
	if err != nil {
		return err
	}
	kept := *j
	for kept.Number = 1 + slices.Max(append(all, 0)); ; kept.Number++ {
		err := s.write(kept, true)
		if errors.Is(err, fs.ErrExist) {
			continue // another import, into another place, was quicker
		}
		if err != nil {
			return err
		}
		*j = kept
		return s.removeOld(j.Address)
	}
}

func (s Journals) path(number int) string {
	return filepath.Join(string(s), fmt.Sprintf("%d.json", number))
}

func (s Journals) write(j Journal, noClobber bool) error {
	file := journalFile{To: j.To, Address: j.Address, Engine: j.Engine, Bundle: j.Bundle.String(), Time: j.Time, State: j.State, Tags: []journalTag{}}
	for _, t := range j.Tags {
		if t.Old == t.New {
			continue
		}
		tag := journalTag{Name: t.Name, New: t.New.String()}
		if t.Old != (image.Digest{}) {
			tag.Old = t.Old.String()
		}
		file.Tags = append(file.Tags, tag)
	}
	for _, d := range j.Brought {
		file.Brought = append(file.Brought, d.String())
	}
	raw, err := json.MarshalIndent(file, "", "  ")
	if err != nil {
		return err
	}
	return durable.CreateFileMode(s.path(j.Number), 0o600, noClobber, func(f *os.File) error {
		_, err := f.Write(append(raw, '\n'))
		return err
	})
}

// numbers lists the journals that there are, the oldest first.
func (s Journals) numbers() (list []int, err error) {
	entries, err := os.ReadDir(string(s))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	for _, e := range entries {
		if n, ok := numberOf(e.Name()); ok {
			list = append(list, n)
		}
	}
	slices.Sort(list)
	return list, err
}

// numberOf is the number of a journal's file.
func numberOf(name string) (n int, ok bool) {
	number, ok := strings.CutSuffix(name, ".json")
	n, err := strconv.Atoi(number)
	return n, ok && err == nil && n > 0 && strconv.Itoa(n) == number
}

// List reads all journals, the oldest first. The error tells of those that
// cannot be read; the others are listed.
func (s Journals) List() (list []Journal, err error) {
	numbers, err := s.numbers()
	errs := []error{err}
	for _, n := range numbers {
		j, err := s.read(n)
		if err == nil {
			list = append(list, j)
		}
		errs = append(errs, err)
	}
	return list, errors.Join(errs...)
}

// removeOld removes all but the last journals of a place, and what killed
// processes have left half written. What cannot be read stays: it is not known
// whose it is.
func (s Journals) removeOld(address string) error {
	half := func(name string) bool { _, ok := numberOf(name); return ok }
	if err := durable.RemovePartials(string(s), half); err != nil {
		return err
	}
	list, _ := s.List()
	list = slices.DeleteFunc(list, func(j Journal) bool { return j.Address != address })
	for _, j := range list[:max(0, len(list)-journalsKept)] {
		if err := s.Remove(j); err != nil {
			return err
		}
	}
	return nil
}

// Remove removes a journal.
func (s Journals) Remove(j Journal) error {
	err := os.Remove(s.path(j.Number))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// read reads what write has written.
func (s Journals) read(number int) (Journal, error) {
	raw, err := os.ReadFile(s.path(number))
	if err != nil {
		return Journal{}, err
	}
	var file journalFile
	if err = json.Unmarshal(raw, &file); err != nil {
		return Journal{}, fmt.Errorf("journal %q: %w", s.path(number), err)
	}
	j := Journal{Number: number, To: file.To, Address: file.Address, Engine: file.Engine, Time: file.Time, State: file.State}
	j.Bundle, err = parseDigest(file.Bundle)
	for _, t := range file.Tags {
		tag := image.Tag{Name: t.Name}
		if err == nil {
			tag.New, err = parseDigest(t.New)
		}
		if err == nil && t.Old != "" {
			tag.Old, err = parseDigest(t.Old)
		}
		j.Tags = append(j.Tags, tag)
	}
	for _, text := range file.Brought {
		var d image.Digest
		if err == nil {
			d, err = parseDigest(text)
		}
		j.Brought = append(j.Brought, d)
	}
	if err != nil {
		return Journal{}, fmt.Errorf("journal %q: %w", s.path(number), err)
	}
	return j, nil
}

func parseDigest(s string) (d image.Digest, err error) {
	if err = json.Unmarshal([]byte(fmt.Sprintf("%q", s)), &d); err == nil {
		err = image.CheckDigest(d)
	}
	return d, err
}

// Attempts are the journals that belong to the last one of a list: its own and
// those of imports of the same bundle just before it that were broken off
// between two names, whose rest it has set. The last one comes first.
func Attempts(list []Journal) []Journal {
	last := list[len(list)-1]
	attempts := []Journal{last}
	for _, j := range slices.Backward(list[:len(list)-1]) {
		if j.Address != last.Address || j.Engine != last.Engine {
			continue
		}
		if j.State != Naming || j.Bundle != last.Bundle {
			break
		}
		attempts = append(attempts, j)
	}
	return attempts
}

// Join is one journal of several attempts: what the first has found and the
// last has made of it.
func Join(attempts []Journal) Journal {
	joined, at := attempts[0], map[string]int{} // at: places in the tags, by name
	joined.Tags, joined.Brought = nil, nil
	for _, j := range slices.Backward(attempts) {
		joined.Brought = append(joined.Brought, j.Brought...)
		for _, t := range j.Tags {
			i, known := at[t.Name]
			switch {
			case !known:
				at[t.Name] = len(joined.Tags)
				joined.Tags = append(joined.Tags, t)
			case joined.Tags[i].New == t.Old:
				joined.Tags[i].New = t.New
			default: // it was not set, or others have moved it in between
				joined.Tags[i] = t
			}
		}
	}
	return joined
}

// Undo is what becomes of one name of a journal.
type Undo struct {
	Tag     image.Tag
	Already bool   // it points to what it pointed to before the import
	Why     string // it is left as it is; empty if it is put back
	Brought bool   // the import has brought the image, which goes with its last name
}

// PlanUndo decides for each name: it is put back to what it pointed to, unless
// it has been moved since.
func (j Journal) PlanUndo(ctx context.Context, place image.Tidier) ([]Undo, error) {
	var plan []Undo
	var going []string // names that do not point to what the import has brought any more, in the end
	for _, tag := range j.Tags {
		u := Undo{Tag: tag, Brought: slices.Contains(j.Brought, tag.New)}
		now, err := place.Tagged(ctx, tag.Name)
		switch {
		case err != nil:
			return nil, err
		case now == tag.Old:
			u.Already = true
		case now == image.Digest{}:
			u.Why = "it has been removed since"
		case now != tag.New:
			u.Why = "it has been moved since"
		default:
			going = append(going, tag.Name)
		}
		plan = append(plan, u)
	}
	for i, u := range plan {
		if u.Already || u.Why != "" || u.Tag.Old != (image.Digest{}) {
			continue
		}
		takes, err := place.TakesAlong(ctx, u.Tag.Name, going)
		if err != nil {
			return nil, err
		}
		if takes {
			plan[i].Why = "the repository has the image by its digest, which would go with it"
		}
	}
	return plan, nil
}

// RunUndo puts names back, as planned. A name whose former image is gone is
// left as it is.
func RunUndo(ctx context.Context, place image.Tidier, plan []Undo) error {
	for i, u := range plan {
		if u.Already || u.Why != "" {
			continue
		}
		var err error
		if u.Tag.Old == (image.Digest{}) && !u.Brought {
			err = place.Untag(ctx, u.Tag.Name)
		} else {
			err = place.Retag(ctx, u.Tag.Name, u.Tag.Old)
		}
		switch {
		case errors.Is(err, image.ErrNotFound):
			plan[i].Why = "what it pointed to is gone"
		case errors.Is(err, image.ErrInUse):
			plan[i].Why = "a container uses it"
		case err != nil:
			return err
		}
	}
	return nil
}

// Settle notes what has been undone of attempts: the last one keeps the names
// that are left, so that they can be put back another time.
func (s Journals) Settle(attempts []Journal, plan []Undo) error {
	last := attempts[0]
	var left []image.Tag
	for _, u := range plan {
		if u.Why != "" {
			left = append(left, u.Tag)
		}
	}
	if len(left) > 0 {
		last.Tags, last.Brought = left, Join(attempts).Brought
	} else {
		last.State = Undone
	}
	if err := s.Keep(&last); err != nil {
		return err
	}
	for _, j := range attempts[1:] {
		j.State = Undone
		if err := s.Keep(&j); err != nil {
			return err
		}
	}
	return nil
}

// Pruned is what became of images whose names an import has moved.
type Pruned struct {
	Removed []image.Digest
	Kept    []image.Digest // because they are used
	Freed   int64          // bytes of disk
}

// PruneReplaced removes the images that names pointed to before and that
// nothing uses.
func PruneReplaced(ctx context.Context, place image.Tidier, tags []image.Tag) (p Pruned, err error) {
	before, err := place.Usage(ctx)
	if err != nil {
		return p, err
	}
	seen := map[image.Digest]bool{}
	for _, t := range tags {
		if !t.Moved() || seen[t.Old] {
			continue
		}
		seen[t.Old] = true
		switch err := place.RemoveUnused(ctx, t.Old); {
		case err == nil:
			p.Removed = append(p.Removed, t.Old)
		case errors.Is(err, image.ErrInUse):
			p.Kept = append(p.Kept, t.Old)
		default:
			return p, err
		}
	}
	after, err := place.Usage(ctx)
	p.Freed = max(0, before-after)
	return p, err
}
