package scratch

import (
	"os"

	"golang.org/x/sys/unix"
)

// nameless makes a file that never has a name, where the file system has such.
func nameless(dir string) (*os.File, error) {
	if dir == "" {
		dir = os.TempDir()
	}
	return os.OpenFile(dir, unix.O_TMPFILE|os.O_EXCL|os.O_RDWR, 0o600)
}
