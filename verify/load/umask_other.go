//go:build !unix

package load

import "io/fs"

// umasked is 0: files have no such permission bits here.
func umasked(fs.FileMode) fs.FileMode { return 0 }
