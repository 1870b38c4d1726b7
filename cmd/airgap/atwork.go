package main

import (
	"context"
	"errors"
	"io/fs"
	"slices"
	"strings"

	"airgap/transfer"
	"airgap/transfer/volume"
)

// atWork says whether another send of that name, or of volumes of it, is going on
// in the folder that entries are of: what it has sent already only looks as if it
// were left of an earlier one.
func atWork(ctx context.Context, p transfer.Place, entries []fs.DirEntry, name string, o transfer.LockOptions) (bool, error) {
	for _, e := range entries {
		locked, ok := transfer.LockedName(e.Name())
		if !ok || locked != name && locked != setOf(name) && !volume.IsName(locked, name) {
			continue
		}
		_, unlock, err := p.Lock(ctx, transfer.File{Name: locked, Temporary: "." + locked + ".partial"}, o)
		if busy := (*transfer.BusyError)(nil); errors.As(err, &busy) {
			return true, nil
		}
		if err != nil {
			return false, err
		}
		unlock() // its owner is dead: it is gone now
	}
	return false, nil
}

// setOf is what several files of a bundle of that name are called together, for a
// lock.
func setOf(name string) string { return name + ".set" }

// setLock keeps other sends of several files of that name out of a folder: each of
// them would wait for one file and then replace what has been sent before.
type setLock struct {
	*way
	name  string
	owner string
	place transfer.Place // by which it is held
	give  func()
}

// take takes the lock, unless it is held by the connection that is in use.
func (l *setLock) take(ctx context.Context) error {
	if l.place == l.way.place {
		return nil
	}
	err := l.try(ctx, func(p transfer.Place) error {
		_, give, err := p.Lock(ctx, transfer.File{Name: setOf(l.name), Temporary: "." + setOf(l.name) + ".partial"}, transfer.LockOptions{Owner: l.owner, Note: l.env.Note})
		if err == nil {
			l.place, l.give = p, give
		}
		return err
	})
	if busy := (*transfer.BusyError)(nil); errors.As(err, &busy) {
		return &transfer.BusyError{Place: busy.Place, Path: strings.TrimSuffix(busy.Path, setOf(""))}
	}
	return err
}

func (l *setLock) release() {
	if l.give != nil {
		l.give()
	}
}

// listed is a folder that has been listed already.
type listed struct {
	transfer.Dir
	entries []fs.DirEntry
}

// ReadDir implements transfer.Dir.
func (d listed) ReadDir() ([]fs.DirEntry, error) { return d.entries, nil }

// missing is the first of the names that is not among the entries, or "".
func missing(entries []fs.DirEntry, names []string) string {
	for _, name := range names {
		if !slices.ContainsFunc(entries, func(e fs.DirEntry) bool { return e.Name() == name }) {
			return name
		}
	}
	return ""
}
