package main

import (
	"bytes"
	"os"
	"runtime"
	"testing"
)

// TestIsProgram knows an airgap from other programs, and from what is none.
func TestIsProgram(t *testing.T) {
	path, err := os.Executable() // of the same module
	if err != nil {
		t.Fatal(err)
	}
	itself, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	shell, err := os.ReadFile("/bin/sh")
	if err != nil && runtime.GOOS != "windows" {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		raw  []byte
		ours bool
	}{"itself": {itself, true}, "a shell": {shell, false}, "nothing": {nil, false}, "text": {[]byte("\x7fELF, or so it says"), false}} {
		if ours, err := isProgram(bytes.NewReader(c.raw), int64(len(c.raw))); err != nil || ours != c.ours {
			t.Errorf("%s: %v, %v", name, ours, err)
		}
	}
}
