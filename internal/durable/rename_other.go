//go:build !linux

package durable

// renameNew has no call to make.
func renameNew(string, string) (ok bool, err error) { return false, nil }
