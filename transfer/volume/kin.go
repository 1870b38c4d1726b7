package volume

import (
	"io/fs"

	"airgap/transfer"
)

// Kin are the files of one send of what is called name, who know each other: what is
// left there of that name, whole, cut otherwise or of its parity, is older than each
// of them, but for what they go on with. Where the whole gets another name at its
// place, it is that which counts.
func Kin(name string, files []transfer.File) []transfer.File {
	goOn := map[string]bool{}
	for _, f := range files {
		goOn[f.Partial(f.Name)] = true
	}
	kin := make([]transfer.File, len(files))
	for i, f := range files {
		f.Kin = func(entry fs.FileInfo, called string) bool {
			whole := name
			if f.Name == name {
				whole = called
			}
			of, packed, left := transfer.LeftOf(entry.Name())
			switch {
			case !left || goOn[entry.Name()]:
				return false
			case packed || entry.IsDir(): // in which pack makes volumes
				return transfer.IsPacked(entry.Name(), whole)
			}
			return of == whole || IsName(of, whole)
		}
		kin[i] = f
	}
	return kin
}

// Alone are files of which only what is left of their very names is older.
func Alone(files []transfer.File) []transfer.File {
	alone := make([]transfer.File, len(files))
	for i, f := range files {
		f.Kin = nil
		alone[i] = f
	}
	return alone
}
