package transfer

import "context"

// Room says, before the first byte of several files is sent, whether a place
// has room for them all: a *NoSpaceError if not. What is there of them already
// needs none, as far as sizes tell. It answers what it found of the last.
func Room(ctx context.Context, p Place, files []File) (Found, error) {
	var found Found
	var err error
	need, older := int64(0), int64(0)
	for _, f := range files {
		if found, err = p.Find(ctx, f); err != nil {
			return found, err
		}
		older += found.Cleared()
		if found.Final != f.Size {
			need += f.Size - max(0, min(found.Begun, f.Size))
		}
	}
	if free := found.Free + older; found.Free >= 0 && need > free {
		return found, &NoSpaceError{Place: found.Place, Path: found.Path, Need: need, Free: free}
	}
	return found, nil
}
