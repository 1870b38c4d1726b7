package vectors

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"airgap/bundle/store/storetest"
)

// ReadBy has the second reader look at files, and compares the exit statuses that
// it would have for each. It counts those.
func ReadBy(t *testing.T, files map[string][]byte, want map[string]int) map[int]int {
	t.Helper()
	for _, program := range []string{"python3", "zstd"} {
		_, err := exec.LookPath(program)
		storetest.Require(t, program, err == nil, fmt.Sprint(err))
	}
	dir, err := Dir()
	if err != nil {
		t.Fatal(err)
	}
	args, names := []string{filepath.Join(dir, "reader.py")}, map[string]string{}
	for name, content := range files {
		path := filepath.Join(t.TempDir(), "bundle")
		if err := os.WriteFile(path, content, 0o644); err != nil {
			t.Fatal(err)
		}
		args, names[path] = append(args, path), name
	}
	out, err := exec.CommandContext(t.Context(), "python3", args...).CombinedOutput()
	if exit := new(exec.ExitError); err != nil && (!errors.As(err, &exit) || exit.ExitCode() != 3) {
		t.Fatalf("%v: %s", err, out)
	}
	seen := map[int]int{}
	for line := range strings.Lines(string(out)) {
		path, says, _ := strings.Cut(line, ": ")
		name, ok := names[path]
		code, _, _ := strings.Cut(says, ",")
		if !ok || code != strconv.Itoa(want[name]) {
			t.Errorf("%s: expected %d: %s", name, want[name], line)
		}
		delete(names, path)
		seen[want[name]]++
	}
	if len(names) > 0 {
		t.Errorf("nothing was said of %d files: %s", len(names), out)
	}
	return seen
}
