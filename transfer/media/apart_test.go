package media

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

// TestApart: a folder that somebody works in stays, one that a killed run has left
// goes, and nothing else does.
func TestApart(t *testing.T) {
	dir := t.TempDir()
	p, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	first, err := p.Apart(t.Context(), "b.tar")
	if err != nil {
		t.Fatal(err)
	}
	left, other := filepath.Join(dir, ".b.tar.123.partial"), filepath.Join(dir, ".c.tar.123.partial")
	for _, path := range []string{left, other} {
		if err := os.MkdirAll(filepath.Join(path, "in"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	file := filepath.Join(dir, ".b.tar.456.partial")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	second, err := p.Apart(t.Context(), "b.tar")
	if err != nil {
		t.Fatal(err)
	}
	there := func(path string) bool {
		_, err := os.Stat(path)
		return err == nil
	}
	if !there(first.Dir()) || !there(second.Dir()) || first.Dir() == second.Dir() || !there(other) || !there(file) {
		t.Error("what is not left over has gone")
	}
	if there(left) && runtime.GOOS != "windows" {
		t.Error("what a killed run has left is still there")
	}
	if err := first.Close(); err != nil || there(first.Dir()) {
		t.Errorf("it is still there: %v", err)
	}
	if err := second.Close(); err != nil {
		t.Error(err)
	}
}
