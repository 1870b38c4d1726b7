package main

import (
	"context"
	"errors"
	"io/fs"
	"strings"

	"airgap/transfer"
	"airgap/transfer/volume"
)

// locksOf are what is locked in the folder that entries are of, by sends of that name
// or of volumes of it.
func locksOf(entries []fs.DirEntry, name string) (locked []string) {
	for _, e := range entries {
		if is, ok := transfer.LockedName(e.Name()); ok && (is == name || is == setOf(name) || volume.IsName(is, name)) {
			locked = append(locked, is)
		}
	}
	return locked
}

// atWork says whether another send that has locked one of these names is going on:
// what it has sent already only looks as if it were left of an earlier one.
func atWork(ctx context.Context, p transfer.Place, locked []string, o transfer.LockOptions) (bool, error) {
	for _, name := range locked {
		_, unlock, err := p.Lock(ctx, transfer.File{Name: name, Temporary: "." + name + ".partial", Exact: true}, o)
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

// setLock keeps other sends of that name out of a folder while several files are
// sent: each of them would wait for one file and then replace what has been sent
// before. Where the bundle is cut the name of the whole is locked as well, which is
// what those have who send it whole.
type setLock struct {
	*way
	name  string
	cut   bool
	owner string
	place transfer.Place  // by which it is held
	held  context.Context // ends when somebody takes it over
	give  []func()
}

// take takes the lock, unless it is held by the connection that is in use.
func (l *setLock) take(ctx context.Context) error {
	if l.place == l.way.place {
		return nil
	}
	return l.try(ctx, func(p transfer.Place) error { return l.lockAt(ctx, p) })
}

// lockAt takes it by a connection.
func (l *setLock) lockAt(ctx context.Context, p transfer.Place) error {
	if l.place == p {
		return nil
	}
	l.held, l.give = ctx, nil // what a connection had that broke off is gone with it
	for _, name := range l.names() {
		held, unlock, err := p.Lock(l.held, transfer.File{Name: name, Temporary: "." + name + ".partial"}, transfer.LockOptions{Owner: l.owner, Note: l.env.Note})
		if busy := (*transfer.BusyError)(nil); errors.As(err, &busy) {
			err = &transfer.BusyError{Place: busy.Place, Path: strings.TrimSuffix(busy.Path, setOf(""))}
		}
		if err != nil {
			l.release()
			return err
		}
		l.held, l.give = held, append(l.give, unlock)
	}
	l.place = p
	return nil
}

// names are what is locked.
func (l *setLock) names() []string {
	if l.cut {
		return []string{setOf(l.name), l.name}
	}
	return []string{setOf(l.name)}
}

func (l *setLock) release() {
	for _, unlock := range l.give {
		unlock()
	}
	l.give = nil
}

// listed is a folder that has been listed already.
type listed struct {
	transfer.Dir
	entries []fs.DirEntry
}

// ReadDir implements transfer.Dir.
func (d listed) ReadDir() ([]fs.DirEntry, error) { return d.entries, nil }

// entry is what the folder lists under a name, or nil. A folder that does not care
// for case may list it under another.
func (d listed) entry(name string) fs.DirEntry {
	var alike fs.DirEntry
	for _, e := range d.entries {
		if e.Name() == name {
			return e
		}
		if strings.EqualFold(e.Name(), name) {
			alike = e
		}
	}
	if alike != nil && isThere(d, name) {
		return alike
	}
	return nil
}
