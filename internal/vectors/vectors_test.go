package vectors_test

import (
	"bytes"
	"flag"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
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
	if seen := vectors.ReadBy(t, files, want); seen[0] < 30 || seen[1] < 3 || seen[3] < 150 {
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
	if seen := vectors.ReadBy(t, files, want); seen[0] < 20 {
		t.Errorf("only %d bundles", seen[0])
	}
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
