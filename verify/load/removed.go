package load

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"airgap/bundle/image"
	"airgap/internal/durable"
)

// Removed is the file in which the names are kept of images that were removed
// from a place to be brought again. It outlives an import that is broken off,
// and need not exist.
type Removed struct {
	path, from string
	mu         sync.Mutex
}

// RemovedImage is what is kept of one image.
type RemovedImage struct {
	Names []string `json:"names"`
	From  string   `json:"from"` // the bundle that was to bring it again
}

// NewRemoved is the one of that path; from is the bundle that removed images are to
// be brought again from.
func NewRemoved(path, from string) *Removed { return &Removed{path: path, from: from} }

// Path is that of the file.
func (r *Removed) Path() string { return r.path }

// Images are all images of which something is kept.
func (r *Removed) Images() (map[string]RemovedImage, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.read()
}

// All implements image.Removed.
func (r *Removed) All() (ids []image.Digest, err error) {
	all, err := r.Images()
	for _, id := range slices.Sorted(maps.Keys(all)) {
		d, err := image.ParseDigest(id)
		if err != nil {
			return nil, err
		}
		ids = append(ids, d)
	}
	return ids, err
}

// Names implements image.Removed.
func (r *Removed) Names(id image.Digest) ([]string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	all, err := r.read()
	return all[id.String()].Names, err
}

// Keep implements image.Removed.
func (r *Removed) Keep(id image.Digest, names []string) error {
	return r.change(func(all map[string]RemovedImage) (changed bool) {
		names := slices.Concat(all[id.String()].Names, names)
		slices.Sort(names)
		all[id.String()] = RemovedImage{slices.Compact(names), r.from}
		return true
	})
}

// Forget implements image.Removed.
func (r *Removed) Forget(id image.Digest) error {
	return r.change(func(all map[string]RemovedImage) (changed bool) {
		_, changed = all[id.String()]
		delete(all, id.String())
		return changed
	})
}

// Before are tags with what those pointed to that nothing has now, since a reload was
// broken off: so rollback does not take them for new.
func (r *Removed) Before(tags []image.Tag) []image.Tag {
	ids, err := r.All()
	if err != nil || len(ids) == 0 {
		return tags // who gives names back says why
	}
	had := map[string]image.Digest{} // by normalised name
	for _, id := range ids {
		names, _ := r.Names(id) // of what has just been read
		for _, name := range names {
			if full, err := image.Normalize(name); err == nil {
				had[full] = id
			}
		}
	}
	before := slices.Clone(tags)
	for i, t := range before {
		if t.Old == (image.Digest{}) {
			before[i].Old = had[t.Name]
		}
	}
	return before
}

func (r *Removed) change(do func(all map[string]RemovedImage) (changed bool)) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	all, err := r.read()
	if err != nil {
		return err
	}
	if !do(all) {
		return nil
	}
	if len(all) == 0 {
		if err := os.Remove(r.path); !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	}
	raw, err := json.Marshal(all)
	if err == nil {
		err = os.MkdirAll(filepath.Dir(r.path), 0o700)
	}
	if err != nil {
		return err
	}
	return durable.CreateFileMode(r.path, 0o600, false, func(f *os.File) error {
		_, err := f.Write(append(raw, '\n'))
		return err
	})
}

func (r *Removed) read() (map[string]RemovedImage, error) {
	all := map[string]RemovedImage{}
	raw, err := os.ReadFile(r.path)
	if errors.Is(err, fs.ErrNotExist) {
		return all, nil
	}
	if err == nil {
		err = json.Unmarshal(raw, &all)
	}
	if err != nil {
		err = fmt.Errorf("what an unpack --reload that was broken off has removed cannot be read: %s: %w", r.path, err)
	}
	return all, err
}
