package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"airgap/transfer/sftp"
)

// sourceLast moves the destination to the end that is the folder which the bundle is
// read from: what is read there may make room for what is sent, and the others would
// find nothing to read. It is empty if there is none.
func sourceLast(dests []string, b *bundleFile) (order []string, source string) {
	from := filepath.Dir(b.name)
	if b.set != nil {
		from = b.set.Dir()
	}
	for _, dest := range dests {
		if _, remote, err := sftp.ParseDest(dest); err == nil && !remote && sameFile(from, dest) {
			source = dest
		} else {
			order = append(order, dest)
		}
	}
	if source != "" {
		order = append(order, source)
	}
	return order, source
}

// distinct leaves out destinations that have been named before, in whatever
// spelling: they would be sent to twice, at once perhaps. again are those.
func distinct(dests []string) (once, again []string) {
	var folders []fs.FileInfo
	hosts := map[sftp.Dest]bool{}
	for _, dest := range dests {
		seen := false
		if at, remote, err := sftp.ParseDest(dest); err == nil && remote {
			at = at.Canonical()
			seen, hosts[at] = hosts[at], true
		} else if info, err := os.Stat(dest); err == nil {
			seen = slices.ContainsFunc(folders, func(f fs.FileInfo) bool { return os.SameFile(f, info) })
			folders = append(folders, info)
		}
		if seen {
			again = append(again, dest)
		} else {
			once = append(once, dest)
		}
	}
	return once, again
}
