//go:build !unix

package durable

// CanSyncDirs says whether the system can make a rename durable.
const CanSyncDirs = false

// SyncDir does nothing: the system has no way to sync a folder.
func SyncDir(string) error { return nil }
