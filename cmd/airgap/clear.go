package main

import (
	"context"
	"crypto/rand"
	"errors"
	"io/fs"
	"path"
	"path/filepath"
	"slices"

	"airgap/cmd/airgap/internal/ui"
	"airgap/transfer"
	"airgap/transfer/media"
	"airgap/transfer/volume"
)

// clearLeft removes what sends that were broken off have left at the destination of
// what the files are, in whatever shape, but for what these go on with; unless they
// would find no room or be refused all the same. It answers what stays.
func (w *way) clearLeft(ctx context.Context, files []transfer.File, alone *setLock) (stay []transfer.Older, err error) {
	err = w.try(ctx, func(p transfer.Place) error {
		held, names, release, err := w.keepOut(ctx, p, files, alone)
		if err != nil {
			return err
		}
		defer release()
		if _, err := transfer.Room(held, p, files); err != nil {
			return err
		}
		if stay, err = transfer.ClearOlder(held, p, files, names, transfer.LockOptions{Owner: alone.owner, Note: w.env.Note}); err != nil || len(stay) == 0 {
			return err
		}
		_, err = transfer.Room(held, p, volume.Alone(files))
		return transfer.Beside(err, stay)
	})
	return stay, err
}

// keepOut keeps those out who send the same bundle there in another shape, and says
// which names are locked for it.
func (w *way) keepOut(ctx context.Context, p transfer.Place, files []transfer.File, alone *setLock) (held context.Context, names []string, release func(), err error) {
	if len(files) > 1 {
		err = alone.lockAt(ctx, p)
		return alone.held, alone.names(), func() {}, err
	}
	if err := transfer.MayReplace(ctx, p, files[0], transfer.SendOptions{MayReplace: mayReplace(files[0], w.bundle.fileName())}); err != nil {
		return nil, nil, nil, err
	}
	held, release, err = p.Lock(ctx, files[0], transfer.LockOptions{Owner: alone.owner, Note: w.env.Note})
	if err != nil {
		return nil, nil, nil, err
	}
	found, err := p.Find(held, files[0])
	if err != nil {
		release()
	}
	return held, []string{found.Name}, release, err
}

// dropBegun removes partials of what has been sent, where that was there already and
// nothing went on with them. The bundle is called name there.
func (w *way) dropBegun(dir listed, sent []transfer.File, name string) error {
	for _, f := range sent {
		if f.Name == w.bundle.fileName() {
			f.Name = name
		}
		partial := f.Partial(f.Name)
		if e := dir.entry(partial); e == nil || !e.Type().IsRegular() {
			continue
		}
		if err := gone(dir.Remove(partial)); err != nil {
			return err
		}
		w.env.Note("removed %s at %s: all of %s is there", partial, w.dest, f.Name)
	}
	return nil
}

// nameEarlier has an error about room for the whole bundle name the volumes that are
// there of the same name, which go only when that is there whole.
func (w *way) nameEarlier(ctx context.Context, err error) error {
	var full *transfer.NoSpaceError
	if w.place == nil || !errors.As(err, &full) {
		return err
	}
	name := path.Base(filepath.ToSlash(full.Path))
	if volume.IsName(name, w.bundle.fileName()) {
		return err
	}
	_ = w.place.Visit(ctx, func(folder transfer.Dir) error { // the error that there is already is the one to tell
		entries, err := folder.ReadDir()
		if err != nil {
			return err
		}
		dir := listed{folder, entries}
		old, err := volume.FindEarlier(ctx, dir, name, "")
		for _, is := range slices.Concat(old.Volumes, old.Parity) {
			e := dir.entry(is)
			if e == nil {
				continue
			}
			if info, err := e.Info(); err == nil {
				full.Left = append(full.Left, transfer.Older{Name: is, Of: name, Size: info.Size(), Stays: "is of an earlier set of volumes"})
			}
		}
		return err
	})
	return err
}

// clearMedium removes what is left half written on a medium of a bundle of that name,
// and locks whose owners are dead: no pack goes on with it. What somebody is writing
// stays, of which busy tells.
func clearMedium(ctx context.Context, env *ui.Env, medium *media.Folder, name string) (busy bool, err error) {
	o := transfer.LockOptions{Owner: rand.Text(), Note: env.Note, Try: true}
	var entries []fs.DirEntry
	err = medium.Visit(ctx, func(dir transfer.Dir) (err error) {
		entries, err = dir.ReadDir()
		return err
	})
	if err != nil {
		return false, err
	}
	if busy, err := atWork(ctx, medium, locksOf(entries, name), o); busy || err != nil {
		return busy, err
	}
	files := volume.Kin(name, []transfer.File{{Name: name, Temporary: "." + name + ".partial"}})
	found, err := medium.Find(ctx, files[0])
	if err != nil || len(found.Older) == 0 {
		return false, err
	}
	held, unlock, err := medium.Lock(ctx, files[0], o)
	if busy := (*transfer.BusyError)(nil); errors.As(err, &busy) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	defer unlock()
	_, err = transfer.ClearOlder(held, medium, files, []string{name}, o)
	return false, err
}
