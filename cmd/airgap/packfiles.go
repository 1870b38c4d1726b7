package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// besideBundle is what follows a bundle's name in those of its sums, volumes and
// parity.
var besideBundle = regexp.MustCompile(`^(\.[0-9]{3,}|\.par([0-9]{3,})?)?(\.sha256)?$`)

// isOutput says whether a file is one that this pack writes, or has written
// before, and so is nothing to carry along.
func (o packOptions) isOutput(path string) bool {
	if o.output == stdio {
		to, ok := o.stream.(*os.File)
		return ok && isOpenFile(to, path)
	}
	dir, name := o.outputIn()
	base := filepath.Base(path)
	beside, ok := strings.CutPrefix(base, name)
	ours := ok && besideBundle.MatchString(beside) ||
		strings.HasPrefix(base, "."+name+".") && strings.HasSuffix(base, ".partial")
	return ours && sameFile(filepath.Dir(path), dir)
}

func isOpenFile(f *os.File, path string) bool {
	open, err1 := f.Stat()
	info, err2 := os.Stat(path)
	return err1 == nil && err2 == nil && os.SameFile(open, info)
}
