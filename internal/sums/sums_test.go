package sums

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestLine: sha256sum reads the line of every name, which is told from other text.
func TestLine(t *testing.T) {
	sum := "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" // of abc
	for _, name := range []string{"a.tar.zst", "a  b", " *a", "line\nbreak", `back\slash`, `b\n`} {
		line := Line(sum, name)
		if !IsLine(line) || !IsLine(strings.TrimSuffix(line, "\n")) || IsLine(line+line) {
			t.Errorf("%q is not told from others", line)
		}
		tool, err := exec.LookPath("sha256sum")
		if err != nil {
			continue
		}
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, name), []byte("abc"), 0o600); err != nil {
			continue // not every system has such names
		}
		cmd := exec.Command(tool, "-c", "-")
		cmd.Dir, cmd.Stdin = dir, strings.NewReader(line)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%q: %s, %v", line, out, err)
		}
	}
	for content, want := range map[string]bool{
		"": true, sum + "  a\n": true, sum + " *a\r\n": true, strings.ToUpper(sum) + "  a\n": true,
		"a\n": false, sum: false, sum[1:] + "x  a\n": false, "dear to somebody": false, sum + "  b\n": true, sum + "  ": false, sum + "  b\n\n": false, sum + "\n": false,
	} {
		if IsLine(content) != want {
			t.Errorf("%q is a line: %v", content, !want)
		}
	}
}
