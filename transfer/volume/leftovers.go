package volume

import (
	"context"
	"slices"
)

// Leftovers are the files of a folder that earlier cuts of a file of that name
// have left there, but for those to keep: each has a footer that names it, and is
// called as that has it. What somebody has renamed is theirs.
func Leftovers(ctx context.Context, dir, name string, keep []string) (_ []string, err error) {
	defer wrap(&err, "looking for old volumes in", dir)
	entries, err := readFolder(ctx, dir)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if e.footer != nil && e.footer.Name == name && e.footer.calls(e.name) && !slices.Contains(keep, e.name) {
			names = append(names, e.name)
		}
	}
	return names, nil
}

// calls says whether a file of that footer is called so.
func (f Footer) calls(name string) bool {
	right := volumeName(f.Name, f.Number)
	if f.Parity != nil {
		right = parityName(f.Name, f.Number, f.Parity.Files)
	}
	return name == right
}
