package main

import (
	"os"
	"path/filepath"

	"airgap/cmd/airgap/internal/ui"
)

// warnIfExposed says where a bundle is so that others could have exchanged it:
// that it is whole and sound does not tell whose it is.
func warnIfExposed(env *ui.Env, path string) {
	if path == stdio {
		return
	}
	info, err := os.Stat(path)
	if err != nil {
		return // it is named by something else than a file or a folder
	}
	dir := path
	if !info.IsDir() {
		dir = filepath.Dir(path)
	}
	if why := exposed(dir, info); why != "" {
		env.Warn("%s: that it is the bundle that was sent to you, its id or a signature tells, and verification does not", why)
	}
}
