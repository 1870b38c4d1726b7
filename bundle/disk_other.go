//go:build !linux

package bundle

import "os"

// startWriteback is a hint that only Linux takes.
func startWriteback(*os.File, int64, int64) {}

// release is a hint that only Linux takes.
func release(*os.File, int64, int64) {}
