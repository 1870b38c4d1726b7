//go:build !linux && !darwin

package main

// diskOf tells of the file system that a path is on, where that can be told.
func diskOf(string) (disk, bool) { return disk{}, false }
