package load

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"airgap/bundle/image"
	"airgap/internal/durable"
)

// Journal is what an import has done to the names of a place, so that it can
// be undone.
type Journal struct {
	To      string // the place, as its spec was given
	Address string // and which one it was
	Tags    []image.Tag
}

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
	Tags    []journalTag `json:"tags"`
}

// Save writes the journal to a file, whole or not at all. Names that it does
// not change are left out.
func (j Journal) Save(path string) error {
	file := journalFile{To: j.To, Address: j.Address, Tags: []journalTag{}}
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
	raw, err := json.MarshalIndent(file, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	return durable.CreateFile(path, false, func(f *os.File) error {
		_, err := f.Write(append(raw, '\n'))
		return errors.Join(err, f.Chmod(0o600))
	})
}

// ReadJournal reads what Save has written. The error wraps fs.ErrNotExist if
// there is none.
func ReadJournal(path string) (Journal, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return Journal{}, err
	}
	var file journalFile
	if err := json.Unmarshal(raw, &file); err != nil {
		return Journal{}, fmt.Errorf("journal %q: %w", path, err)
	}
	j := Journal{To: file.To, Address: file.Address}
	for _, t := range file.Tags {
		tag := image.Tag{Name: t.Name}
		if tag.New, err = parseDigest(t.New); err == nil && t.Old != "" {
			tag.Old, err = parseDigest(t.Old)
		}
		if err != nil {
			return Journal{}, fmt.Errorf("journal %q: %w", path, err)
		}
		j.Tags = append(j.Tags, tag)
	}
	return j, nil
}

func parseDigest(s string) (d image.Digest, err error) {
	if err = json.Unmarshal([]byte(fmt.Sprintf("%q", s)), &d); err == nil {
		err = image.CheckDigest(d)
	}
	return d, err
}

// Undo is what becomes of one name of a journal.
type Undo struct {
	Tag image.Tag
	Why string // it is left as it is; empty if it is put back
}

// PlanUndo decides for each name: it is put back to what it pointed to, unless
// it has been moved since.
func (j Journal) PlanUndo(ctx context.Context, place image.Tidier) ([]Undo, error) {
	var plan []Undo
	for _, tag := range j.Tags {
		u := Undo{Tag: tag}
		now, err := place.Tagged(ctx, tag.Name)
		switch {
		case err != nil:
			return nil, err
		case now == tag.Old:
			u.Why = "it is so already"
		case now != tag.New:
			u.Why = "it has been moved since"
		}
		plan = append(plan, u)
	}
	return plan, nil
}

// RunUndo puts names back, as planned. A name whose former image is gone is
// left as it is.
func RunUndo(ctx context.Context, place image.Tidier, plan []Undo) error {
	for i, u := range plan {
		if u.Why != "" {
			continue
		}
		err := place.Retag(ctx, u.Tag.Name, u.Tag.Old)
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
