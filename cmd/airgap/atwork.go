package main

import (
	"context"
	"errors"
	"io/fs"
	"slices"

	"airgap/transfer"
	"airgap/transfer/volume"
)

// atWork says whether another send of that name, or of volumes of it, is going on
// in the folder that entries are of: what it has sent already only looks as if it
// were left of an earlier one.
func atWork(ctx context.Context, p transfer.Place, entries []fs.DirEntry, name string, o transfer.LockOptions) (bool, error) {
	for _, e := range entries {
		locked, ok := transfer.LockedName(e.Name())
		if !ok || locked != name && !volume.IsName(locked, name) {
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
