package bundle_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"airgap/bundle"
	"airgap/bundle/image"
)

// withFiles plans a single image and the files of a folder.
func withFiles(t *testing.T, paths ...string) *bundle.Plan {
	t.Helper()
	p := newPlace()
	kinds["one layer"](p)
	plan, err := bundle.NewPlan(t.Context(), []image.Set{p}, all)
	if err != nil {
		t.Fatal(err)
	}
	if err := plan.Include(paths, func(string) bool { return false }); err != nil {
		t.Fatal(err)
	}
	return plan
}

// TestFiles carries files of all sizes; equal ones are one blob.
func TestFiles(t *testing.T) {
	dir := t.TempDir()
	contents := map[string][]byte{
		"empty": {}, "small": []byte("small"), "equal": []byte("small"), "own frames": bytes.Repeat([]byte("many "), 20_000),
		"several": bytes.Repeat([]byte("frames of it"), 1<<20), "sub/folder/deep": []byte("deep"),
	}
	for name, b := range contents {
		path := filepath.Join(dir, "all", filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, level := range []bundle.Level{bundle.Fast, bundle.Default} {
		path := filepath.Join(t.TempDir(), "b")
		plan := withFiles(t, filepath.Join(dir, "all"))
		if _, err := plan.WriteFile(t.Context(), path, bundle.WriteOptions{Level: level}); err != nil {
			t.Fatal(err)
		}
		file, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := checked(t.Context(), file); err != nil {
			t.Error(err)
		}
		var streamed bytes.Buffer
		if _, err := withFiles(t, filepath.Join(dir, "all")).WriteTo(t.Context(), &streamed, bundle.WriteOptions{Level: level}); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(file, streamed.Bytes()) {
			t.Error("the stream is another bundle than the file")
		}
		b, err := bundle.Open(bytes.NewReader(file), int64(len(file)))
		if err != nil {
			t.Fatal(err)
		}
		if n := len(b.Manifest().Files); n != len(contents) {
			t.Errorf("%d files of %d", n, len(contents))
		}
		for _, f := range b.Manifest().Files {
			want, ok := contents[strings.TrimPrefix(f.Name, "all/")]
			if !ok || image.SHA256(want) != f.Digest {
				t.Errorf("file %q has the digest %s", f.Name, f.Digest)
			}
			got, err := image.ReadDocument(t.Context(), b, image.Descriptor{Digest: f.Digest, Size: min(int64(len(want)), image.MaxDocument)})
			if len(want) <= image.MaxDocument && (err != nil || !bytes.Equal(got, want)) {
				t.Errorf("file %q: %v", f.Name, err)
			}
		}
	}
}

// TestFileChanges: a file that changes between plan and write is not packed
// half old and half new.
func TestFileChanges(t *testing.T) {
	for name, change := range map[string]func(path string) error{
		"longer":   func(path string) error { return os.WriteFile(path, []byte("longer than before"), 0o644) },
		"shorter":  func(path string) error { return os.Truncate(path, 1) },
		"gone":     os.Remove,
		"replaced": func(path string) error { return os.Rename(path+"2", path) },
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "file")
			for _, p := range []string{path, path + "2"} {
				if err := os.WriteFile(p, []byte("before"), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			plan := withFiles(t, path)
			if err := change(path); err != nil {
				t.Fatal(err)
			}
			out := filepath.Join(t.TempDir(), "b")
			if _, err := plan.WriteFile(context.Background(), out, bundle.WriteOptions{}); err == nil || !strings.Contains(err.Error(), path) {
				t.Errorf("error %v", err)
			}
			if left, _ := os.ReadDir(filepath.Dir(out)); len(left) != 0 {
				t.Errorf("%v is left", left)
			}
		})
	}
}

// TestFileNames are paths that mean the same everywhere.
func TestFileNames(t *testing.T) {
	for _, name := range []string{"a", "a/b", ".env", "a b", "…", strings.Repeat("x", 255)} {
		if err := bundle.CheckFileName(name); err != nil {
			t.Error(err)
		}
	}
	for _, name := range []string{"", "/a", "a/", "a//b", ".", "..", "../a", "a/../b", `a\b`, "C:a", "a\nb", "\xff", strings.Repeat("x", 256), strings.Repeat("x/", 600) + "x"} {
		if err := bundle.CheckFileName(name); err == nil {
			t.Errorf("%q passes", name)
		}
	}
}

// TestForgedFiles are manifests whose files are not as the format has them.
func TestForgedFiles(t *testing.T) {
	digest := image.SHA256(nil)
	for name, files := range map[string][]bundle.File{
		"outside":         {{Name: "../../etc/passwd", Mode: "0644", Digest: digest}},
		"twice":           {{Name: "a", Mode: "0644", Digest: digest}, {Name: "a", Mode: "0644", Digest: digest}},
		"not sorted":      {{Name: "b", Mode: "0644", Digest: digest}, {Name: "a", Mode: "0644", Digest: digest}},
		"file and folder": {{Name: "a", Mode: "0644", Digest: digest}, {Name: "a.b", Mode: "0644", Digest: digest}, {Name: "a/b", Mode: "0644", Digest: digest}},
		"no content":      {{Name: "a", Mode: "0644", Digest: image.SHA256([]byte("not there"))}},
		"unlisted blob":   {{Name: "a", Mode: "0644", Digest: digest}},
		"sound":           {{Name: "a", Mode: "0644", Digest: digest}}, // the forgery itself is good
	} {
		t.Run(name, func(t *testing.T) {
			f := forged(t, kinds["one layer"])
			f.Manifest.Files, f.Manifest.Requires = files, []string{"file-modes"}
			if name != "unlisted blob" {
				f.Manifest.Blobs = append(f.Manifest.Blobs, bundle.Blob{Digest: digest, Stored: bundle.StoredAsIs, Entry: "blobs/sha256/" + digest.Hex})
				f.Manifest.Entries = append(f.Manifest.Entries, bundle.Entry{Name: "blobs/sha256/" + digest.Hex, SHA256: digest.Hex})
				f.Contents = append(f.Contents, nil)
			}
			f.Resize()
			if err := checked(t.Context(), f.File()); (err == nil) != (name == "sound") {
				t.Errorf("error %v", err)
			}
		})
	}
}

// TestFilesBeforeModes are those of bundles that only say what is executable.
func TestFilesBeforeModes(t *testing.T) {
	digest := image.SHA256(nil)
	yes, no := true, false
	for name, c := range map[string]struct {
		files    []bundle.File
		requires []string
		sound    bool
	}{
		"before modes":      {[]bundle.File{{Name: "a", Executable: &yes, Digest: digest}, {Name: "b", Executable: &no, Digest: digest}}, []string{}, true},
		"with modes":        {[]bundle.File{{Name: "a", Mode: "0755", Digest: digest}, {Name: "b", Mode: "0644", Digest: digest}}, []string{"file-modes"}, true},
		"some of both":      {[]bundle.File{{Name: "a", Mode: "0755", Digest: digest}, {Name: "b", Executable: &no, Digest: digest}}, []string{"file-modes"}, false},
		"both in one":       {[]bundle.File{{Name: "a", Mode: "0755", Executable: &yes, Digest: digest}}, []string{"file-modes"}, false},
		"neither":           {[]bundle.File{{Name: "a", Digest: digest}}, []string{}, false},
		"not required":      {[]bundle.File{{Name: "a", Mode: "0755", Digest: digest}}, []string{}, false},
		"required for none": {[]bundle.File{}, []string{"file-modes"}, false},
		"set-user-id":       {[]bundle.File{{Name: "a", Mode: "4755", Digest: digest}}, []string{"file-modes"}, false},
		"three digits":      {[]bundle.File{{Name: "a", Mode: "755", Digest: digest}}, []string{"file-modes"}, false},
		"no digits":         {[]bundle.File{{Name: "a", Mode: "rwx", Digest: digest}}, []string{"file-modes"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			f := forged(t, kinds["one layer"])
			f.Manifest.Files, f.Manifest.Requires = c.files, c.requires
			if len(c.files) > 0 {
				f.Manifest.Blobs = append(f.Manifest.Blobs, bundle.Blob{Digest: digest, Stored: bundle.StoredAsIs, Entry: "blobs/sha256/" + digest.Hex})
				f.Manifest.Entries = append(f.Manifest.Entries, bundle.Entry{Name: "blobs/sha256/" + digest.Hex, SHA256: digest.Hex})
				f.Contents = append(f.Contents, nil)
			}
			f.Resize()
			if err := checked(t.Context(), f.File()); (err == nil) != c.sound {
				t.Errorf("error %v", err)
			}
			if c.sound && (f.Manifest.Files[0].Perm() != 0o755 || f.Manifest.Files[1].Perm() != 0o644) {
				t.Errorf("modes %v and %v", f.Manifest.Files[0].Perm(), f.Manifest.Files[1].Perm())
			}
		})
	}
}

// TestTwoAtOnce: whichever of two bundles has the name in the end, the sums beside
// it are its own.
func TestTwoAtOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "b")
	for range 100 {
		var both sync.WaitGroup
		for _, content := range []string{"one", "another"} {
			file := filepath.Join(t.TempDir(), "file")
			if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
				t.Fatal(err)
			}
			plan := withFiles(t, file)
			both.Go(func() {
				if _, err := plan.WriteFile(t.Context(), path, bundle.WriteOptions{}); err != nil {
					t.Error(err)
				}
			})
		}
		both.Wait()
		raw, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		sums, err := os.ReadFile(path + ".sha256")
		if want := image.SHA256(raw).Hex + "  b\n"; err != nil || string(sums) != want {
			t.Fatalf("the sums are %q, expected %q: %v", sums, want, err)
		}
	}
}
