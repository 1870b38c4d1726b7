//go:build linux || darwin

package main

import (
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// diskOf tells of the file system that a path is on, where that can be told.
func diskOf(path string) (disk, bool) {
	var st unix.Statfs_t
	info, err := os.Stat(path)
	if err != nil || unix.Statfs(path, &st) != nil {
		return disk{}, false
	}
	node, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return disk{}, false
	}
	return disk{free: int64(st.Bavail) * int64(st.Bsize), device: uint64(node.Dev)}, true //nolint:unconvert // the types differ between systems
}
