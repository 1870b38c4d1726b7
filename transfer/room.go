package transfer

import (
	"context"
	"slices"
)

// Room says, before the first byte of several files is sent, whether a place
// has room for them all: a *NoSpaceError if not. What is there of them already
// needs none, as far as sizes tell. It answers what it found of the last, with what
// is older than any.
func Room(ctx context.Context, p Place, files []File) (Found, error) {
	var found Found
	var err error
	var need int64
	var older []Older
	for _, f := range files {
		if found, err = p.Find(ctx, f); err != nil {
			return found, err
		}
		for _, o := range found.Older {
			if !slices.ContainsFunc(older, func(known Older) bool { return known.Name == o.Name }) {
				older = append(older, o)
			}
		}
		if found.Final != f.Size {
			need += f.Size - max(0, min(found.Begun, f.Size))
		}
	}
	found.Older = older
	if room := found.Room(); room >= 0 && need > room {
		return found, found.Full(need)
	}
	return found, nil
}
