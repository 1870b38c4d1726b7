package media

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"airgap/transfer"
)

// Apart is a hidden folder in a place, for files that are to come to it together
// or not at all.
type Apart struct {
	*Folder
	lock io.Closer // held as long as somebody works in it
}

// errTaken says that somebody works in a folder.
var errTaken = errors.New("somebody works in it")

// Apart makes a folder for what will be called name and the like. What killed
// runs have left of such folders is removed.
func (p *Folder) Apart(ctx context.Context, name string) (*Apart, error) {
	if err := p.Sweep(ctx, name); err != nil {
		return nil, err
	}
	for range 3 { // somebody who sweeps may take a new one for one that is left
		dir, err := os.MkdirTemp(p.dir, "."+name+".*.partial")
		if err != nil {
			return nil, p.failed(err)
		}
		lock, _, err := lockPath(dir)
		if errors.Is(err, errTaken) {
			continue
		}
		if err != nil {
			return nil, errors.Join(p.failed(err), os.Remove(dir))
		}
		a := &Apart{&Folder{dir: dir, shown: p.shown}, lock}
		if _, err := os.Stat(dir); err == nil {
			return a, nil
		}
		a.Close() // there is nothing any more
	}
	return nil, fmt.Errorf("making a folder in %q: others take each of them away", p.dir)
}

// Dir is where it is.
func (a *Apart) Dir() string { return a.dir }

// Close removes it, with what is in it.
func (a *Apart) Close() error {
	return errors.Join(os.RemoveAll(a.dir), a.lock.Close())
}

// Sweep removes such folders that nobody works in any more.
func (p *Folder) Sweep(ctx context.Context, name string) error {
	entries, err := os.ReadDir(p.dir)
	for _, e := range entries {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		if !e.IsDir() || !transfer.IsPacked(e.Name(), name) {
			continue
		}
		dir := filepath.Join(p.dir, e.Name())
		lock, locked, err := lockPath(dir)
		if err != nil {
			continue // it may be gone by now, or somebody works in it
		}
		if locked {
			err = os.RemoveAll(dir)
		}
		if err := errors.Join(err, lock.Close()); err != nil {
			return p.failed(err)
		}
	}
	return p.failed(err)
}
