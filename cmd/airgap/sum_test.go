package main

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// TestLongSum: of a file of sums no more is read than the first of them.
func TestLongSum(t *testing.T) {
	path, want := filepath.Join(t.TempDir(), "b.tar.zst"), strings.Repeat("0a", 32)
	for name, content := range map[string]string{path: "", path + ".sha256": want + "  b.tar.zst\n"} {
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Truncate(path+".sha256", 64<<20); err != nil {
		t.Fatal(err)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	sum, err := sumBeside(path)
	runtime.ReadMemStats(&after)
	if used := after.TotalAlloc - before.TotalAlloc; err != nil || sum != want || used > 1<<20 {
		t.Errorf("%q, %v, %d bytes", sum, err, used)
	}
}
