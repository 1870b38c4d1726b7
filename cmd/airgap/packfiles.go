package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// besideBundle is what follows a bundle's name in those of its sums, volumes and
// parity, and of a volume that has not replaced an older one yet.
var besideBundle = regexp.MustCompile(`^(\.[0-9]{3,}(\.[A-Z2-7]{8}\.new)?|\.par([0-9]{3,})?)?(\.sha256)?$`)

// isOutput says whether a file is one that this pack writes, or that an earlier one
// has written or was writing, and so is nothing to carry along.
func (o packOptions) isOutput(path string) bool {
	if o.output == stdio {
		to, ok := o.stream.(*os.File)
		return ok && isOpenFile(to, path)
	}
	dir, name := o.outputIn()
	isBegun := func(path string) bool {
		base := filepath.Base(path)
		return strings.HasPrefix(base, "."+name+".") && (strings.HasSuffix(base, ".partial") || strings.HasSuffix(base, ".lock"))
	}
	if isBegun(filepath.Dir(path)) { // in which volumes are made
		path = filepath.Dir(path)
	}
	beside, ok := strings.CutPrefix(filepath.Base(path), name)
	return (ok && besideBundle.MatchString(beside) || isBegun(path)) && sameFile(filepath.Dir(path), dir)
}

func isOpenFile(f *os.File, path string) bool {
	open, err1 := f.Stat()
	info, err2 := os.Stat(path)
	return err1 == nil && err2 == nil && os.SameFile(open, info)
}
