package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"airgap/cmd/airgap/internal/ui"
	"airgap/transfer"
	"airgap/transfer/volume"
)

// staged is volumes that take the place of an earlier set: all of them are written
// and proven under other names before the first gets its own, so that whatever ends
// a send one of the two sets is there. It is what volume.Made.Settle does for pack,
// at a place that need not be here.
type staged struct {
	*way
	name    string // of the whole
	alone   *setLock
	volumes []*stagedFile
	parity  []*stagedFile
	cleared []string // old parity that is removed
}

type stagedFile struct {
	transfer.File
	at      string // what it is called now: "" as a partial is
	free    string // what it is called meanwhile, where an earlier one has its name
	receipt transfer.Receipt
}

// stage finds out whether volumes have to be staged: they do if there is an earlier
// set, and room for both. What a send that was killed has begun to name is found.
func (w *way) stage(ctx context.Context, files []transfer.File, old volume.Earlier, alone *setLock) (*staged, error) {
	if !old.HasOthers(files) {
		return nil, nil
	}
	s := &staged{way: w, name: alone.name, alone: alone}
	for _, f := range files {
		switch file := (&stagedFile{File: f, at: old.Waiting(f)}); {
		case parityFile.MatchString(f.Name):
			s.parity = append(s.parity, file)
		case dataVolume.MatchString(f.Name):
			s.volumes = append(s.volumes, file)
		}
	}
	var full *transfer.NoSpaceError
	err := w.try(ctx, func(p transfer.Place) (err error) {
		full, err = s.lacks(ctx, p)
		return err
	})
	if err == nil && full != nil {
		return nil, w.giveUp(full, old, files)
	}
	if err != nil {
		return nil, err
	}
	return s, nil
}

// giveUp has the earlier volumes make room one by one, which is told; but never those
// that are read.
func (w *way) giveUp(full *transfer.NoSpaceError, old volume.Earlier, files []transfer.File) error {
	if old.Replaced(w.bundle.set, files) != nil {
		return &ownVolumesError{w.bundle.fileName(), len(w.sources()) > 0, full}
	}
	w.env.Warn("%s: there is no room for the volumes beside the earlier ones of %s (%s needed, %s free): those are given up, one by one",
		w.dest, w.bundle.fileName(), ui.Size(full.Need), ui.Size(full.Free))
	return nil
}

// ownVolumesError says that volumes are not given up, since they are what is read.
type ownVolumesError struct {
	name  string // of the whole
	known bool   // else they only may be: they are of that set, in a folder that may be the same
	full  *transfer.NoSpaceError
}

func (e *ownVolumesError) Error() string {
	are := "are"
	if !e.known {
		are = "may be"
	}
	return fmt.Sprintf("%s: there is no room for the volumes beside the earlier ones of %s, which %s the very ones that are read, and stay (%s needed, %s free)",
		e.full.Place, e.name, are, ui.Size(e.full.Need), ui.Size(e.full.Free))
}

func (e *ownVolumesError) Unwrap() error { return e.full }

// lacks says by how much there is too little room for all that is new beside what
// is there, or nil.
func (s *staged) lacks(ctx context.Context, p transfer.Place) (*transfer.NoSpaceError, error) {
	var need, cleared int64
	var found transfer.Found
	for _, f := range s.all() {
		var err error
		if found, err = p.Find(ctx, f.asTemporary(f.Name)); err != nil {
			return nil, err
		}
		if f.at != f.Name {
			need += f.Size - max(0, min(found.Begun, f.Size))
		}
		cleared += found.Cleared()
	}
	if free := found.Free + cleared; found.Free >= 0 && need > free {
		return &transfer.NoSpaceError{Place: found.Place, Path: found.Path, Need: need, Free: free}, nil
	}
	return nil, nil
}

func (s *staged) all() []*stagedFile { return slices.Concat(s.volumes, s.parity) }

// find is the one of that name, or nil.
func (s *staged) find(name string) *stagedFile {
	if s == nil {
		return nil
	}
	for _, f := range s.all() {
		if f.Name == name {
			return f
		}
	}
	return nil
}

// asTemporary is the file as it is to be called, with what it is called now for its
// partial.
func (f *stagedFile) asTemporary(name string) transfer.File {
	file := f.File
	file.Name, file.Temporary = name, f.at
	if f.at == "" || f.at == name {
		file.Temporary = f.Partial(f.Name)
	}
	return file
}

// settle gives all files their names, when each of them is proven.
func (s *staged) settle(ctx context.Context) error {
	err := s.try(ctx, func(p transfer.Place) error {
		if err := s.alone.lockAt(ctx, p); err != nil {
			return err
		}
		last, err := s.last(ctx, p)
		if err == nil {
			err = s.bring(ctx, p, last)
		}
		if err == nil {
			err = s.clearSums(ctx, p)
		}
		if err == nil {
			err = s.clearParity(ctx, p, false)
		}
		for _, f := range slices.Concat([]*stagedFile{last}, s.all()) {
			if err == nil && f.at != f.Name {
				err = s.call(ctx, p, f, f.Name)
			}
		}
		if err == nil {
			err = s.clearParity(ctx, p, true)
		}
		if err != nil {
			return err
		}
		durable, why, err := p.Sync(ctx)
		for _, f := range s.all() {
			f.receipt.Durable, f.receipt.Why = durable, why
		}
		return err
	})
	if err == nil && len(s.cleared) > 0 {
		s.env.Note("%s: removed the parity of an earlier %s", s.dest, s.name)
	}
	return err
}

// last is the volume that makes the set whole: one in the place of an earlier one,
// if there are any.
func (s *staged) last(ctx context.Context, p transfer.Place) (*stagedFile, error) {
	for _, f := range s.volumes {
		if f.at == f.Name {
			continue
		}
		if found, err := p.Find(ctx, f.asTemporary(f.Name)); err != nil || found.Final >= 0 {
			return f, err
		}
	}
	return s.volumes[len(s.volumes)-1], nil
}

// bring gives all volumes but the last names that are free.
func (s *staged) bring(ctx context.Context, p transfer.Place, last *stagedFile) error {
	for _, f := range s.volumes {
		if f == last || f.at != "" {
			continue
		}
		found, err := p.Find(ctx, f.asTemporary(f.Name))
		if f.free == "" { // a cut may come between its name and the word of that
			f.free = f.Name
			if found.Final >= 0 {
				f.free = fmt.Sprintf("%s.%s.new", f.Name, rand.Text()[:8])
			}
		}
		if err == nil {
			err = s.call(ctx, p, f, f.free)
		}
		if err != nil {
			return err
		}
	}
	_, _, err := p.Sync(ctx)
	return err
}

// call gives a file a name. After a cut it may have it already.
func (s *staged) call(ctx context.Context, p transfer.Place, f *stagedFile, name string) error {
	file := f.asTemporary(name)
	if err := transfer.MayReplace(ctx, p, file, transfer.SendOptions{MayReplace: mayReplace(f.File, s.name)}); err != nil {
		return err
	}
	found, err := p.Find(ctx, file)
	which := transfer.Partial
	switch {
	case err != nil:
		return err
	case found.Begun != f.Size && found.Final == f.Size: // the last look at all says whether it is this one
		which = transfer.Final
	case found.Begun != f.Size:
		return &transfer.GoneError{Path: found.Partial}
	}
	if was := f.at; was != "" { // first: who finds only the name knows of no sum
		err := p.Visit(ctx, func(dir transfer.Dir) error { return gone(dir.Remove(was + ".sha256")) })
		if err != nil {
			return err
		}
	}
	err = p.Commit(ctx, which, transfer.Sidecar(file, name))
	if err == nil {
		f.at = name
	}
	return err
}

// clearSums removes the sums of what is replaced.
func (s *staged) clearSums(ctx context.Context, p transfer.Place) error {
	return p.Visit(ctx, func(dir transfer.Dir) error {
		for _, f := range s.volumes {
			if f.at == f.Name {
				continue
			}
			if err := gone(dir.Remove(f.Name + ".sha256")); err != nil {
				return err
			}
		}
		return nil
	})
}

// clearParity removes earlier parity, which is of no use beside the new set. That of
// what is read may be all that makes it whole, and goes when nothing else is left to do.
func (s *staged) clearParity(ctx context.Context, p transfer.Place, all bool) error {
	return p.Visit(ctx, func(dir transfer.Dir) error {
		old, err := volume.FindEarlier(ctx, dir, s.name, "")
		if err != nil {
			return err
		}
		var stays []string
		if !all {
			stays = old.ParityOf(s.bundle.set)
		}
		parity := slices.DeleteFunc(without(old.Parity, stays), func(name string) bool {
			f := s.find(name)
			return f != nil && f.at == name || slices.ContainsFunc(s.parity, func(f *stagedFile) bool { return f.at == name })
		})
		s.cleared = append(s.cleared, parity...)
		return removeAll(dir, parity)
	})
}

// gone takes it for done that there is nothing to remove.
func gone(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
