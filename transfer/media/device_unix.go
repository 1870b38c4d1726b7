//go:build unix

package media

import (
	"os"
	"syscall"
)

// sameDevice says whether two paths are known to be on one file system.
func sameDevice(a, b string) bool {
	of := func(path string) *syscall.Stat_t {
		info, err := os.Stat(path)
		if err != nil {
			return nil
		}
		st, _ := info.Sys().(*syscall.Stat_t)
		return st
	}
	x, y := of(a), of(b)
	return x != nil && y != nil && x.Dev == y.Dev
}
