package volume

// Leftovers are the files of a folder that earlier cuts of a file of that name
// have left there: those whose footers name another set than the one that is
// kept. An empty keep keeps none.
func Leftovers(dir, name, keep string) (_ []string, err error) {
	defer wrap(&err, "looking for old volumes in", dir)
	entries, err := readFolder(dir)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if e.footer != nil && e.footer.Name == name && e.footer.Set != keep {
			names = append(names, e.name)
		}
	}
	return names, nil
}
