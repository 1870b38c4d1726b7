//go:build unix

package media

import (
	"os"
	"syscall"
)

// ours says that a file has the owner that a file of ours has, which on media may
// be another than the user; where there is none yet, that it is the user's.
func ours(info, mine os.FileInfo) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	if mine == nil {
		return ok && int(st.Uid) == os.Geteuid()
	}
	own, known := mine.Sys().(*syscall.Stat_t)
	return ok && known && st.Uid == own.Uid
}

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
