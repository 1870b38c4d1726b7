//go:build unix

package load

import (
	"io/fs"
	"syscall"
)

// umasked are the permission bits that a new file of perm has here. The system only
// tells the umask to who sets it.
func umasked(perm fs.FileMode) fs.FileMode {
	mask := syscall.Umask(0o077)
	syscall.Umask(mask)
	return perm &^ fs.FileMode(mask)
}
