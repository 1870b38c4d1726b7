package main

import (
	"io/fs"
	"os"
	"slices"

	"airgap/transfer/sftp"
)

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
