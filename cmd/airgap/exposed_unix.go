//go:build unix

package main

import (
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"syscall"
)

// exposed says by what way others than the user and root can exchange a file in
// a folder, or the files of the folder itself; it is empty if there is none.
func exposed(dir string, file fs.FileInfo) string {
	const byAll = 0o002
	folder, err := os.Stat(dir)
	switch {
	case err != nil:
		return ""
	case !file.IsDir() && file.Mode()&byAll != 0:
		return fmt.Sprintf("everybody can write to %q", file.Name())
	case folder.Mode()&byAll != 0 && folder.Mode()&fs.ModeSticky == 0:
		return fmt.Sprintf("everybody can write to the folder %q", dir)
	case folder.Mode()&byAll != 0 && !trusted(file):
		return fmt.Sprintf("%q belongs to another user, in the folder %q to which everybody can write", file.Name(), dir)
	}
	return ""
}

// trusted says that a file is the user's, also behind sudo, or root's.
func trusted(file fs.FileInfo) bool {
	stat, ok := file.Sys().(*syscall.Stat_t)
	if !ok {
		return true
	}
	owner := int(stat.Uid)
	return owner == 0 || owner == os.Getuid() || strconv.Itoa(owner) == os.Getenv("SUDO_UID")
}
