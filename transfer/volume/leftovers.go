package volume

import "slices"

// Leftovers are the files of a folder that earlier cuts of a file of that name
// have left there: those with a footer that names it, but for those to keep.
func Leftovers(dir, name string, keep []string) (_ []string, err error) {
	defer wrap(&err, "looking for old volumes in", dir)
	entries, err := readFolder(dir)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if e.footer != nil && e.footer.Name == name && !slices.Contains(keep, e.name) {
			names = append(names, e.name)
		}
	}
	return names, nil
}
