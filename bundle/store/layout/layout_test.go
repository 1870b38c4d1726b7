package layout

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/types"

	"airgap/bundle/image"
	"airgap/bundle/store/storetest"
)

// write makes a layout of a fixture without the Sink.
func write(t *testing.T, dir string, f storetest.Fixture) {
	t.Helper()
	if err := f.WriteLayout(dir); err != nil {
		t.Fatal(err)
	}
}

func writeIndex(t *testing.T, dir string, x *index) {
	t.Helper()
	raw, err := x.bytes()
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(dir, indexName), raw)
	writeFile(t, filepath.Join(dir, markerName), []byte(`{"imageLayoutVersion": "1.0.0"}`))
}

func writeFile(t *testing.T, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path, b, 0o644); err != nil {
		t.Fatal(err)
	}
}

func mustOpen(t *testing.T, dir string) *Layout {
	t.Helper()
	l, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestSource(t *testing.T) {
	storetest.Sources{New: func(t *testing.T, f storetest.Fixture) storetest.SourcePlace {
		dir := t.TempDir()
		write(t, dir, f)
		blob := func(d image.Digest) string { return filepath.Join(dir, "blobs", "sha256", d.Hex) }
		return storetest.SourcePlace{
			Source: mustOpen(t, dir), Origin: Origin,
			Spoil: func(t *testing.T, d image.Digest) {
				b := bytes.Clone(f.Images.Bytes(d))
				b[len(b)/2] ^= 1
				writeFile(t, blob(d), b)
			},
			Lose: func(t *testing.T, d image.Digest) {
				if err := os.Remove(blob(d)); err != nil {
					t.Fatal(err)
				}
			},
		}
	}}.Run(t)
}

// files lists everything below dir; nothing if there is no such folder.
func files(t *testing.T, dir string) (list []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		list = append(list, path)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func TestSink(t *testing.T) {
	storetest.Sinks{Salt: "oci", New: func(t *testing.T) storetest.SinkPlace {
		return sinkPlace(t, filepath.Join(t.TempDir(), "new", "layout"))
	}}.Run(t)
}

// TestSinkOfOthers brings images to a layout that holds some already.
func TestSinkOfOthers(t *testing.T) {
	storetest.Sinks{Salt: "oci", New: func(t *testing.T) storetest.SinkPlace {
		dir := t.TempDir()
		write(t, dir, storetest.NewFixture(t, "shared layers", "others"))
		return sinkPlace(t, dir)
	}}.Run(t)
}

// sinkPlace opens dir and takes what is in it now for granted.
func sinkPlace(t *testing.T, dir string) storetest.SinkPlace {
	t.Helper()
	before := files(t, filepath.Dir(dir))
	l, err := Create(dir)
	if err != nil {
		t.Fatal(err)
	}
	return storetest.SinkPlace{
		Sink: l,
		Find: func(t *testing.T, name string) image.Digest { return named(t, dir, name) },
		Check: func(t *testing.T, f storetest.Fixture, g *image.Graph) {
			checkWhole(t, dir, f, g)
		},
		Left: func(t *testing.T, _ *image.Graph) []string {
			return slices.DeleteFunc(files(t, filepath.Dir(dir)), func(path string) bool { return slices.Contains(before, path) })
		},
		Remove: func(t *testing.T, g *image.Graph) {
			if err := os.Remove(filepath.Join(dir, "blobs", "sha256", g.Layers()[0].Digest.Hex)); err != nil {
				t.Fatal(err)
			}
		},
		Point: func(t *testing.T, name string, g *image.Graph) {
			other, err := Create(dir)
			if err != nil {
				t.Fatal(err)
			}
			txn, err := other.Begin(t.Context(), image.Import{Graph: g, Names: []string{name}})
			if err == nil {
				_, err = txn.Commit(t.Context())
			}
			if err != nil {
				t.Fatal(err)
			}
		},
	}
}

// named reads index.json without this package.
func named(t *testing.T, dir, name string) image.Digest {
	t.Helper()
	var found []image.Digest
	for _, d := range listed(t, dir) {
		if d.Digest == (image.Digest{}) {
			t.Errorf("index.json lists something without a digest")
		}
		if d.Annotations["io.containerd.image.name"] == name && d.Annotations["org.opencontainers.image.ref.name"] == name {
			found = append(found, d.Digest)
		}
	}
	if len(found) == 0 {
		return image.Digest{}
	}
	if len(found) > 1 {
		t.Errorf("index.json lists %q as %v", name, found)
	}
	return found[0]
}

func listed(t *testing.T, dir string) []image.Descriptor {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(dir, "index.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	var index struct{ Manifests []image.Descriptor }
	if err := json.Unmarshal(raw, &index); err != nil {
		t.Fatal(err)
	}
	return index.Manifests
}

func checkWhole(t *testing.T, dir string, f storetest.Fixture, g *image.Graph) {
	t.Helper()
	if !slices.ContainsFunc(listed(t, dir), func(d image.Descriptor) bool { return d.Digest == g.Root.Desc.Digest }) {
		t.Errorf("index.json does not list %s", g.Root.Desc.Digest)
	}
	for _, d := range append(g.Documents(), g.Layers()...) {
		b, err := os.ReadFile(filepath.Join(dir, "blobs", "sha256", d.Digest.Hex))
		if err != nil || !bytes.Equal(b, f.Images.Bytes(d.Digest)) {
			t.Errorf("blob %s: %d bytes, %v", d.Digest, len(b), err)
		}
	}
	for _, path := range files(t, dir) {
		if strings.Contains(path, ".partial") {
			t.Errorf("%s was left", path)
		}
	}
}

func TestAll(t *testing.T) {
	f := storetest.NewFixture(t, "shared layers", "all")
	dir := t.TempDir()
	write(t, dir, f)
	set, err := mustOpen(t, dir).Open(t.Context(), []string{""}, image.Platforms{})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, root := range set.Roots() {
		names = append(names, root.Name)
	}
	if !slices.Equal(names, f.Names) {
		t.Errorf("got %v, want %v", names, f.Names)
	}
	writeIndex(t, dir, newIndex())
	if _, err := mustOpen(t, dir).Open(t.Context(), []string{""}, image.Platforms{}); !errors.Is(err, image.ErrNotFound) {
		t.Errorf("an empty layout: %v", err)
	}
}

// TestNames asks for one image in the forms in which tools write and users
// type names.
func TestNames(t *testing.T) {
	f := storetest.NewFixture(t, "single manifest", "names")
	root, _ := f.Images.Find(f.Names[0])
	for _, c := range []struct {
		annotations map[string]string
		ask, name   string
	}{
		{nil, root.Digest.String(), ""},
		{map[string]string{annotationOCI: "v1"}, "v1", ""},
		{map[string]string{annotationOCI: "my-app:v1"}, "my-app:v1", "docker.io/library/my-app:v1"},
		{map[string]string{annotationOCI: "my-app:v1"}, "docker.io/library/my-app:v1", "docker.io/library/my-app:v1"},
		{map[string]string{annotationOCI: "v1", annotationContainerd: "docker.io/library/my-app:v1"}, "v1", "docker.io/library/my-app:v1"},
		{map[string]string{annotationOCI: "v1", annotationContainerd: "docker.io/library/my-app:v1"}, "my-app:v1", "docker.io/library/my-app:v1"},
		{map[string]string{annotationOCI: "host:5000/x@" + root.Digest.String()}, root.Digest.String(), "host:5000/x@" + root.Digest.String()},
		{map[string]string{annotationOCI: "host:5000/x:1"}, "host:5000/x:1@" + root.Digest.String(), "host:5000/x:1@" + root.Digest.String()},
		{map[string]string{annotationOCI: "host:5000/x@" + image.SHA256(nil).String()}, root.Digest.String(), ""},
		{map[string]string{annotationOCI: "NOT a/name"}, "NOT a/name", ""},
	} {
		dir := t.TempDir()
		write(t, dir, f)
		d := root
		d.Annotations = c.annotations
		raw, err := json.Marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		x := newIndex()
		x.manifests = []entry{{raw: raw}}
		writeIndex(t, dir, x)
		set, err := mustOpen(t, dir).Open(t.Context(), []string{c.ask}, image.Platforms{})
		if err != nil {
			t.Errorf("%v asked for as %q: %v", c.annotations, c.ask, err)
		} else if got := set.Roots()[0]; got.Name != c.name || got.Desc.Annotations != nil {
			t.Errorf("%v asked for as %q: root %+v, want name %q", c.annotations, c.ask, got, c.name)
		}
	}
}

// TestFlat has two entries of one name, one per platform.
func TestFlat(t *testing.T) {
	m := storetest.NewMemory()
	dir := t.TempDir()
	x := newIndex()
	for _, p := range []image.Platform{storetest.Host, storetest.Other} {
		d := m.Manifest(storetest.Config{Platform: p})
		e := newEntry(d, "docker.io/library/flat:1")
		e.desc.Platform = &p
		raw, err := json.Marshal(e.desc)
		if err != nil {
			t.Fatal(err)
		}
		x.manifests = append(x.manifests, entry{raw: raw})
	}
	writeIndex(t, dir, x)
	l := mustOpen(t, dir)
	if _, err := l.Open(t.Context(), []string{"flat:1"}, image.Platforms{All: true}); err == nil {
		t.Error("two images were one")
	}
	set, err := l.Open(t.Context(), []string{"flat:1"}, image.Platforms{List: []image.Platform{storetest.Other}})
	if err != nil {
		t.Fatal(err)
	}
	if got := set.Roots()[0].Desc.Digest; got != m.Manifest(storetest.Config{Platform: storetest.Other}).Digest {
		t.Errorf("got %s, the other platform's", got)
	}
}

// TestForeignEntries adds to a layout that another tool made.
func TestForeignEntries(t *testing.T) {
	dir := t.TempDir()
	foreign := `{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"` + image.SHA256(nil).String() + `","size":7,"x-vendor":{"b":1,"a":2},"annotations":{"org.opencontainers.image.ref.name":"latest"}}`
	writeFile(t, filepath.Join(dir, indexName), []byte(`{"schemaVersion":2,"x-top":[1,2],"manifests":[`+foreign+`]}`))
	writeFile(t, filepath.Join(dir, markerName), []byte(`{"imageLayoutVersion":"1.0.0"}`))
	l, err := Create(dir)
	if err != nil {
		t.Fatal(err)
	}
	f := storetest.NewFixture(t, "single manifest", "foreign")
	bring(t, l, f)
	raw, err := os.ReadFile(filepath.Join(dir, indexName))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(raw), foreign) || !strings.Contains(string(raw), `"x-top":[1,2]`) {
		t.Errorf("index.json lost what others wrote: %s", raw)
	}
	if len(listed(t, dir)) != 2 {
		t.Errorf("index.json: %s", raw)
	}
}

func bring(t *testing.T, l *Layout, f storetest.Fixture) {
	t.Helper()
	for _, name := range f.Names {
		txn, err := l.Begin(t.Context(), image.Import{Graph: f.Graph(t, name), Names: []string{name}})
		if err != nil {
			t.Fatal(err)
		}
		if err := txn.Write(t.Context(), f.Images, func(int64) {}); err != nil {
			t.Fatal(err)
		}
		if _, err := txn.Commit(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// TestRootIsTheRegistrys proves that an index arrives nested and as it was.
func TestRootIsTheRegistrys(t *testing.T) {
	dir := t.TempDir()
	l, err := Create(dir)
	if err != nil {
		t.Fatal(err)
	}
	f := storetest.NewFixture(t, "index with attestations", "root")
	bring(t, l, f)
	root, _ := f.Images.Find(f.Names[0])
	got := listed(t, dir)
	if len(got) != 1 || got[0].Digest != root.Digest || got[0].MediaType != types.OCIImageIndex || got[0].Size != root.Size {
		t.Errorf("index.json lists %+v", got)
	}
}

// TestCutBlob leaves a blob as a crash would: it is not taken over.
func TestCutBlob(t *testing.T) {
	f := storetest.NewFixture(t, "single manifest", "cut")
	g := f.Graph(t, f.Names[0])
	for _, d := range append(g.Documents(), g.Layers()...) {
		dir := t.TempDir()
		write(t, dir, f)
		writeFile(t, filepath.Join(dir, "blobs", "sha256", d.Digest.Hex), f.Images.Bytes(d.Digest)[:d.Size-1])
		l, err := Create(dir)
		if err != nil {
			t.Fatal(err)
		}
		txn, err := l.Begin(t.Context(), image.Import{Graph: g, Names: f.Names})
		if err != nil {
			t.Fatal(err)
		}
		if state := txn.State(); state.Present || len(state.Need) != 1 || state.Need[0].Digest != d.Digest {
			t.Errorf("%s is cut, needed: %v", d.MediaType, state.Need)
		}
		if err := txn.Write(t.Context(), f.Images, func(int64) {}); err != nil {
			t.Fatal(err)
		}
		checkWhole(t, dir, f, g)
	}
}

func TestSymlinkedBlob(t *testing.T) {
	f := storetest.NewFixture(t, "single manifest", "link")
	d := f.Graph(t, f.Names[0]).Layers()[0]
	dir := t.TempDir()
	write(t, dir, f)
	blob := filepath.Join(dir, "blobs", "sha256", d.Digest.Hex)
	if err := os.Rename(blob, filepath.Join(dir, "elsewhere")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(dir, "elsewhere"), blob); err != nil {
		t.Skip(err)
	}
	set, err := mustOpen(t, dir).Open(t.Context(), f.Names, image.Platforms{})
	if err != nil {
		t.Fatal(err)
	}
	if r, err := set.Fetch(t.Context(), d); err == nil {
		io.Copy(io.Discard, r)
		r.Close()
		t.Error("a link to a blob was followed")
	}
}

func TestNotALayout(t *testing.T) {
	for what, content := range map[string]map[string]string{
		"no marker":    {indexName: `{"manifests":[]}`},
		"no index":     {markerName: `{"imageLayoutVersion":"1.0.0"}`},
		"new version":  {markerName: `{"imageLayoutVersion":"2.0.0"}`, indexName: `{"manifests":[]}`},
		"bad index":    {markerName: `{"imageLayoutVersion":"1.0.0"}`, indexName: `{"manifests":`},
		"path digest":  {markerName: `{"imageLayoutVersion":"1.0.0"}`, indexName: `{"manifests":[{"digest":"sha256:../../../../etc/passwd"}]}`},
		"key twice":    {markerName: `{"imageLayoutVersion":"1.0.0"}`, indexName: `{"manifests":[],"Manifests":[]}`},
		"other things": {"photo.jpg": "jpeg"},
	} {
		dir := t.TempDir()
		for name, text := range content {
			writeFile(t, filepath.Join(dir, name), []byte(text))
		}
		for how, open := range map[string]func(string) (*Layout, error){"Open": Open, "Create": Create} {
			if what == "no index" && how == "Create" {
				continue // it may have been killed before: see TestKilledBeforeIndex
			}
			var layoutErr *Error
			if _, err := open(dir); !errors.As(err, &layoutErr) || layoutErr.Dir != dir {
				t.Errorf("%s: %s: error %v", what, how, err)
			}
		}
		if got := len(files(t, dir)); got != len(content)+1 {
			t.Errorf("%s: %d files afterwards", what, got)
		}
	}
	if _, err := Open(filepath.Join(t.TempDir(), "absent")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no folder: error %v", err)
	}
}

// TestReferrers finds what belongs to an image in index.json, whoever wrote it.
func TestReferrers(t *testing.T) {
	s := storetest.NewSigned("layout")
	dir := t.TempDir()
	write(t, dir, s.Fixture)
	l := mustOpen(t, dir)
	x, err := l.readIndex()
	if err != nil {
		t.Fatal(err)
	}
	x.manifests = append(x.manifests, newEntry(s.SBOM.Desc, ""), newEntry(s.Report.Desc, ""))
	writeIndex(t, dir, x)
	set, err := l.Open(t.Context(), s.Names[:1], image.Platforms{})
	if err != nil {
		t.Fatal(err)
	}
	s.CheckReferrers(t, set)
}

// TestUnlisted: an image without a name is not there before index.json lists it,
// even if all of its blobs are.
func TestUnlisted(t *testing.T) {
	f := storetest.NewFixture(t, "single manifest", "unlisted")
	dir := t.TempDir()
	write(t, dir, f)
	writeIndex(t, dir, newIndex())
	g := f.Graph(t, f.Names[0])
	l := mustOpen(t, dir)
	for _, want := range []bool{false, true} {
		txn, err := l.Begin(t.Context(), image.Import{Graph: g})
		if err != nil {
			t.Fatal(err)
		}
		if s := txn.State(); s.Present != want || len(s.Need) > 0 {
			t.Errorf("state %+v, want present: %v", s, want)
		}
		if err := txn.Write(t.Context(), f.Images, func(int64) {}); err != nil {
			t.Fatal(err)
		}
		if _, err := txn.Commit(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(listed(t, dir)); n != 1 {
		t.Errorf("%d entries", n)
	}
}
