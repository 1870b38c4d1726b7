//go:build unix

package main

import (
	"path/filepath"
	"syscall"
	"testing"
)

// TestPipe: nobody waits at a pipe that has the name of a bundle or of its sum.
func TestPipe(t *testing.T) {
	path := filepath.Join(t.TempDir(), "b.tar.zst")
	for _, name := range []string{path, path + ".sha256"} {
		if err := syscall.Mkfifo(name, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := openWhole(path); err == nil {
		t.Error("a pipe is opened")
	}
	if _, err := sumBeside(path); err == nil {
		t.Error("a pipe is read")
	}
}
