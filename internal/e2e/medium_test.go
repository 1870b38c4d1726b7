//go:build linux

package e2e_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestReadme follows the README.txt of a medium as somebody would who has the
// medium, Docker, and nothing else: once all is whole, once a volume is lost, and
// once without airgap.
func TestReadme(t *testing.T) {
	src := needSources(t)
	program(t, "zstd", "zstd")
	target := there(t)
	here := newMachine(t)
	here.airgap(append([]string{"pack"}, madeNames...)...).ok()
	stick := filepath.Join(here.dir, "my stick")
	if err := os.Mkdir(stick, 0o755); err != nil {
		t.Fatal(err)
	}
	here.airgap("send", stick, "--volume-size", "2MiB", "--parity", "60%", "--with-binary").ok()
	text, err := os.ReadFile(filepath.Join(stick, "README.txt"))
	if err != nil {
		t.Fatal(err)
	}
	behind := newMachine(t, "DOCKER_HOST="+target.host)
	behind.dir = stick
	withAirgap, without := readmeCommands(t, strings.ReplaceAll(string(text), "/tmp/", here.dir+"/"))
	for _, c := range []struct {
		name  string
		harm  func()
		lines []string
		names []string // of what is there afterwards
	}{
		{"as it says", func() {}, withAirgap, madeNames},
		{"without airgap", func() {}, without, madeNames},
		{"a volume is lost", func() { remove(t, filepath.Join(stick, "bundle.tar.zst.002")) }, withAirgap[2:], madeNames},
		{"and was made anew", func() {}, withAirgap[:2], nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			target.empty(t)
			c.harm()
			for _, line := range c.lines {
				behind.shell(line)
			}
			for _, n := range c.names {
				same(t, target, n, src.engine.identity(t, n), made[n])
			}
		})
	}
}

// readmeCommands are the lines of the text that are meant to be typed: copying
// the program, verify, unpack, repair; and then those without airgap.
func readmeCommands(t *testing.T, text string) (withAirgap, without []string) {
	t.Helper()
	for line := range strings.Lines(strings.ReplaceAll(text, "|\n", "| ")) {
		command, indented := strings.CutPrefix(strings.TrimRight(line, "\n"), "      ")
		switch {
		case !indented:
		case strings.HasPrefix(command, "cp ") || strings.HasPrefix(command, "/"):
			withAirgap = append(withAirgap, command)
		case strings.HasPrefix(command, "sha256sum ") || strings.HasPrefix(command, "(head "):
			without = append(without, command)
		}
	}
	if len(withAirgap) != 4 || len(without) != 2 {
		t.Fatalf("commands %q and %q in\n%s", withAirgap, without, text)
	}
	return withAirgap, without
}

func remove(t *testing.T, path string) {
	t.Helper()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
}
