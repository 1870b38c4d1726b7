package vectors_test

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"airgap/bundle/image"
	"airgap/bundle/store/storetest"
	"airgap/internal/forge"
	"airgap/internal/vectors"
)

var update = flag.Bool("update", false, "write testdata/vectors")

// handmade are files of testdata/vectors that nobody makes here.
var handmade = []string{"README.md", "reader.py"}

// TestReader has the second reader, which follows FORMAT.md alone, look at all
// bundles: what is good it finds sound, and what is bad it refuses.
func TestReader(t *testing.T) {
	list, err := vectors.Load()
	if err != nil {
		t.Fatal(err)
	}
	files, want := map[string][]byte{}, map[string]int{}
	for _, v := range list {
		if v.Unseen != "" || v.Large && os.Getenv("AIRGAP_TORTURE") == "" {
			continue
		}
		content, err := v.Read()
		if err != nil {
			t.Fatal(err)
		}
		files[v.Name], want[v.Name] = content[v.Arg], v.Reader
	}
	if seen := readBy(t, files, want); seen[0] < 30 || seen[1] < 3 || seen[3] < 150 {
		t.Errorf("so many vectors have these exit statuses: %v", seen)
	}
}

// TestReaderOfPacked has it look at what airgap packs, in both forms.
func TestReaderOfPacked(t *testing.T) {
	files, want := map[string][]byte{}, map[string]int{}
	for _, fixture := range storetest.Fixtures("reader") {
		set, err := fixture.Images.Open(t.Context(), fixture.Names, image.Platforms{})
		if err != nil {
			t.Fatal(err)
		}
		file, err := forge.Pack(t.Context(), set, image.Platforms{All: true})
		if err != nil {
			t.Fatal(err)
		}
		b, err := forge.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		files[fixture.Label], files[fixture.Label+", plain"] = file, b.Plain()
		want[fixture.Label], want[fixture.Label+", plain"] = 0, 0
	}
	if seen := readBy(t, files, want); seen[0] < 20 {
		t.Errorf("only %d bundles", seen[0])
	}
}

// readBy has the second reader look at files, and compares the exit statuses that
// it would have for each. It counts those.
func readBy(t *testing.T, files map[string][]byte, want map[string]int) map[int]int {
	t.Helper()
	for _, program := range []string{"python3", "zstd"} {
		_, err := exec.LookPath(program)
		storetest.Require(t, program, err == nil, fmt.Sprint(err))
	}
	dir, err := vectors.Dir()
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

// TestReaderIsSmall: what is said of it stays true.
func TestReaderIsSmall(t *testing.T) {
	dir, err := vectors.Dir()
	if err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(filepath.Join(dir, "reader.py"))
	if err != nil {
		t.Fatal(err)
	}
	const most = 200
	if n := bytes.Count(raw, []byte("\n")); n > most {
		t.Errorf("%d lines, and FORMAT.md says that %d suffice", n, most)
	}
}

// TestVectors compares what is there with what is made, byte for byte.
func TestVectors(t *testing.T) {
	want, err := vectors.Make()
	if err != nil {
		t.Fatal(err)
	}
	dir, err := vectors.Dir()
	if err != nil {
		t.Fatal(err)
	}
	have := map[string][]byte{}
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err == nil && !slices.Contains(handmade, name) {
			have[filepath.ToSlash(name)], err = os.ReadFile(path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	total := 0
	for _, name := range slices.Sorted(maps.Keys(want)) {
		total += len(want[name])
		if content, there := have[name]; there && bytes.Equal(want[name], content) {
			continue
		}
		if !*update {
			t.Errorf("%s is another: go test ./internal/vectors -update", name)
			continue
		}
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, want[name], 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for name := range have {
		if _, wanted := want[name]; wanted {
			continue
		}
		if !*update {
			t.Errorf("%s is no vector's", name)
		} else if err := os.Remove(filepath.Join(dir, filepath.FromSlash(name))); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d files, %d bytes", len(want), total)
}
