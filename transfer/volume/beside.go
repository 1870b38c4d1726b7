package volume

// Beside are the parity files in a folder that are for a whole file there, which
// has that sum (sha256, hexadecimal): those of its name, or renamed with it.
func Beside(dir, name, sum string) (names []string, err error) {
	defer wrap(&err, "looking for parity beside", name)
	entries, err := readFolder(dir)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		f := e.footer
		if !e.fits() || f.Parity == nil || f.Parity.Slice != 0 || f.Whole.SHA256 != sum {
			continue
		}
		if f.Name == name || e.name == name+".par" {
			names = append(names, e.name)
		}
	}
	return names, nil
}
