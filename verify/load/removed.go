package load

import (
	"encoding/json"
	"errors"
	"io/fs"
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
	path string
	mu   sync.Mutex
}

// NewRemoved is the one of that path.
func NewRemoved(path string) *Removed { return &Removed{path: path} }

// Names implements image.Removed.
func (r *Removed) Names(id image.Digest) ([]string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	all, err := r.read()
	return all[id.String()], err
}

// Keep implements image.Removed.
func (r *Removed) Keep(id image.Digest, names []string) error {
	return r.change(func(all map[string][]string) (changed bool) {
		names := slices.Concat(all[id.String()], names)
		slices.Sort(names)
		all[id.String()] = slices.Compact(names)
		return true
	})
}

// Forget implements image.Removed.
func (r *Removed) Forget(id image.Digest) error {
	return r.change(func(all map[string][]string) (changed bool) {
		_, changed = all[id.String()]
		delete(all, id.String())
		return changed
	})
}

func (r *Removed) change(do func(all map[string][]string) (changed bool)) error {
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

func (r *Removed) read() (map[string][]string, error) {
	all := map[string][]string{}
	raw, err := os.ReadFile(r.path)
	if errors.Is(err, fs.ErrNotExist) {
		return all, nil
	}
	if err == nil {
		err = json.Unmarshal(raw, &all)
	}
	return all, err
}
