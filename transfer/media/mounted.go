package media

import (
	"fmt"
	"path/filepath"
	"strings"
)

// mountFolders are where media are mounted.
var mountFolders = []string{"/media", "/run/media", "/mnt", "/Volumes"}

// Doubt says why the folder may not be what it is taken for: it is where media
// are mounted, and none is. Else it is empty.
func (p *Folder) Doubt() string { return doubt(p.dir, "/", mountFolders) }

func doubt(dir, root string, mountFolders []string) string {
	real, err := filepath.Abs(dir)
	if err == nil {
		real, err = filepath.EvalSymlinks(real)
	}
	if err != nil || !sameDevice(real, root) {
		return ""
	}
	for _, m := range mountFolders {
		if real == m || strings.HasPrefix(real, m+"/") {
			return fmt.Sprintf("%s is not a mounted medium: it is on the system's own disk", dir)
		}
	}
	return ""
}
