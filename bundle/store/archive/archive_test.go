package archive_test

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"airgap/bundle/image"
	"airgap/bundle/store/archive"
	"airgap/bundle/store/storetest"
)

// entries are a tar in the making.
type entries struct {
	t    *testing.T
	buf  bytes.Buffer
	w    *tar.Writer
	seen map[string]bool
}

func newEntries(t *testing.T) *entries {
	e := &entries{t: t, seen: map[string]bool{}}
	e.w = tar.NewWriter(&e.buf)
	return e
}

func (e *entries) add(name string, content []byte) {
	if e.seen[name] {
		return
	}
	e.seen[name] = true
	if err := e.w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Size: int64(len(content)), Mode: 0o644}); err != nil {
		e.t.Fatal(err)
	}
	if _, err := e.w.Write(content); err != nil {
		e.t.Fatal(err)
	}
}

func (e *entries) json(name string, v any) {
	raw, err := json.Marshal(v)
	if err != nil {
		e.t.Fatal(err)
	}
	e.add(name, raw)
}

func (e *entries) link(name, target string) {
	if err := e.w.WriteHeader(&tar.Header{Typeflag: tar.TypeSymlink, Name: name, Linkname: target}); err != nil {
		e.t.Fatal(err)
	}
}

func (e *entries) bytes() []byte {
	if err := e.w.Close(); err != nil {
		e.t.Fatal(err)
	}
	return e.buf.Bytes()
}

type item struct {
	Config   string
	RepoTags []string
	Layers   []string
}

// dockerArchive is what docker save made before version 25: a folder per
// layer, and a link where a layer is in the archive already.
func dockerArchive(t *testing.T, f storetest.Fixture) []byte {
	e := newEntries(t)
	var list []item
	first := map[image.Digest]string{}
	for _, name := range f.Names {
		g := f.Graph(t, name)
		m, _ := storetest.Chosen(g, storetest.Host)
		it := item{Config: m.Config.Digest.Hex + ".json", RepoTags: []string{image.Familiar(name)}}
		for i, l := range m.Layers {
			folder := image.SHA256([]byte(name + string(rune(i)))).Hex
			if target, ok := first[l.Digest]; ok {
				e.link(folder+"/layer.tar", "../"+target+"/layer.tar")
			} else {
				first[l.Digest] = folder
				e.add(folder+"/VERSION", []byte("1.0"))
				e.json(folder+"/json", map[string]string{"id": folder})
				e.add(folder+"/layer.tar", f.Images.Bytes(l.Digest))
			}
			it.Layers = append(it.Layers, folder+"/layer.tar")
		}
		e.add(it.Config, f.Images.Bytes(m.Config.Digest))
		list = append(list, it)
	}
	e.json("manifest.json", list)
	e.json("repositories", map[string]any{})
	return e.bytes()
}

// ociArchive is an OCI layout in a tar.
func ociArchive(t *testing.T, f storetest.Fixture) []byte {
	e := newEntries(t)
	e.add("oci-layout", []byte(`{"imageLayoutVersion":"1.0.0"}`))
	var roots []image.Descriptor
	for _, name := range f.Names {
		g := f.Graph(t, name)
		for _, d := range append(g.Documents(), g.Layers()...) {
			e.add("blobs/sha256/"+d.Digest.Hex, f.Images.Bytes(d.Digest))
		}
		root := g.Root.Desc
		root.Annotations = map[string]string{"org.opencontainers.image.ref.name": name}
		roots = append(roots, root)
	}
	e.json("index.json", map[string]any{"schemaVersion": 2, "manifests": roots})
	return e.bytes()
}

func write(t *testing.T, content []byte) string {
	path := filepath.Join(t.TempDir(), "archive")
	if err := os.WriteFile(path, content, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

var dialects = map[string]struct {
	dialect archive.Dialect
	make    func(*testing.T, storetest.Fixture) []byte
}{
	"docker-archive": {archive.Docker, dockerArchive},
	"oci-archive":    {archive.OCI, ociArchive},
}

// TestEstimate has the ID that engines show, which is the config's digest, and the
// root's digest where that is the source's own.
func TestEstimate(t *testing.T) {
	f := storetest.NewFixture(t, "single manifest", "estimate")
	g := f.Graph(t, f.Names[0])
	for name, d := range dialects {
		a, err := archive.Open(write(t, d.make(t, f)), d.dialect)
		if err != nil {
			t.Fatal(err)
		}
		set, err := a.Open(t.Context(), []string{""}, image.Platforms{})
		if err != nil {
			t.Fatal(err)
		}
		var digest image.Digest
		if d.dialect == archive.OCI {
			digest = g.Root.Desc.Digest
		}
		if e := set.(image.Streamer).Estimate()[0]; e.ID != g.Manifests[0].Config.Digest || e.Digest != digest {
			t.Errorf("%s: ID %s and digest %s, expected %s and %s", name, e.ID, e.Digest, g.Manifests[0].Config.Digest, digest)
		}
	}
}

// TestDigestsInArchives: a name by a digest that the image does not have, or no
// longer, is none.
func TestDigestsInArchives(t *testing.T) {
	f := storetest.NewFixture(t, "single manifest", "digests")
	g := f.Graph(t, f.Names[0])
	repository := image.Repository(f.Names[0])
	own, other := repository+"@"+g.Root.Desc.Digest.String(), repository+"@"+image.SHA256(nil).String()
	for given, want := range map[string]map[archive.Dialect]string{
		own:                                  {archive.OCI: own, archive.Docker: ""},
		other:                                {archive.OCI: "", archive.Docker: ""},
		f.Names[0] + other[len(repository):]: {archive.OCI: f.Names[0], archive.Docker: f.Names[0]},
	} {
		for name, d := range dialects {
			raw := d.make(t, f)
			held := f.Names[0]
			if d.dialect == archive.Docker {
				held = image.Familiar(held)
			}
			path := write(t, renamed(t, raw, held, given))
			a, err := archive.Open(path, d.dialect)
			if err != nil {
				t.Fatal(err)
			}
			set, err := a.Open(t.Context(), []string{""}, image.Platforms{})
			if err != nil {
				t.Errorf("%s of %q: %v", name, given, err)
			} else if got := set.(image.Streamer).Estimate()[0].Name; got != want[d.dialect] {
				t.Errorf("%s of %q is named %q, expected %q", name, given, got, want[d.dialect])
			}
		}
	}
}

// renamed is an archive with another name in its documents.
func renamed(t *testing.T, raw []byte, from, to string) []byte {
	t.Helper()
	e := newEntries(t)
	for r := tar.NewReader(bytes.NewReader(raw)); ; {
		h, err := r.Next()
		if err == io.EOF {
			return e.bytes()
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		if h.Name == "manifest.json" || h.Name == "index.json" {
			content = bytes.ReplaceAll(content, []byte(`"`+from+`"`), []byte(`"`+to+`"`))
		}
		e.add(h.Name, content)
	}
}

// TestStreamers runs the suite on archives of both dialects, plain and packed.
func TestStreamers(t *testing.T) {
	for name, d := range dialects {
		for packing, pack := range map[string]func([]byte) []byte{"plain": func(b []byte) []byte { return b }, "gzip": gzipped, "zstd": zstded} {
			t.Run(name+" "+packing, func(t *testing.T) {
				storetest.Streamers{
					Salt: "archive",
					New: func(t *testing.T, f storetest.Fixture) storetest.StreamPlace {
						a, err := archive.Open(write(t, pack(d.make(t, f))), d.dialect)
						if err != nil {
							t.Fatal(err)
						}
						return storetest.StreamPlace{Source: a, Origin: name, DigestLost: d.dialect == archive.Docker}
					},
				}.Run(t)
			})
		}
	}
}

func gzipped(b []byte) []byte {
	var buf bytes.Buffer
	w := gzip.NewWriter(&buf)
	w.Write(b)
	w.Close()
	return buf.Bytes()
}

func zstded(b []byte) []byte {
	w, err := zstd.NewWriter(nil)
	if err != nil {
		panic(err)
	}
	defer w.Close()
	return w.EncodeAll(b, nil)
}

// TestUnsound archives are refused, each for its own reason.
func TestUnsound(t *testing.T) {
	f := storetest.NewFixture(t, "raw layers", "unsound")
	m, _ := storetest.Chosen(f.Graph(t, f.Names[0]), storetest.Host)
	config, layers := f.Images.Bytes(m.Config.Digest), m.Layers
	sound := func(e *entries, names ...string) {
		if names == nil {
			names = []string{"a/layer.tar", "b/layer.tar"}
		}
		e.add("a/layer.tar", f.Images.Bytes(layers[0].Digest))
		e.add("b/layer.tar", f.Images.Bytes(layers[1].Digest))
		e.add("c.json", config)
		e.json("manifest.json", []item{{"c.json", []string{"a:1"}, names}})
	}
	for name, c := range map[string]struct {
		fill func(e *entries)
		want string
	}{
		"sound":             {func(e *entries) { sound(e) }, ""},
		"layer is missing":  {func(e *entries) { sound(e, "a/layer.tar", "x/layer.tar") }, "not found"},
		"layers swapped":    {func(e *entries) { sound(e, "b/layer.tar", "a/layer.tar") }, "diffID"},
		"too few layers":    {func(e *entries) { sound(e, "a/layer.tar") }, "1 layers for 2 diffIDs"},
		"link to nowhere":   {func(e *entries) { e.link("l/layer.tar", "../../etc/passwd"); sound(e, "a/layer.tar", "l/layer.tar") }, "not found"},
		"name that escapes": {func(e *entries) { e.add("../x", nil); sound(e) }, "leaves the archive"},
		"absolute name":     {func(e *entries) { e.add("/x", nil); sound(e) }, "leaves the archive"},
		"entry twice":       {func(e *entries) { e.add("./c.json", []byte("{}")); sound(e) }, "twice"},
		"device":            {func(e *entries) { e.w.WriteHeader(&tar.Header{Typeflag: tar.TypeChar, Name: "null"}); sound(e) }, "kind"},
		"no manifest":       {func(e *entries) { e.add("c.json", config) }, "no manifest.json"},
		"no config":         {func(e *entries) { e.json("manifest.json", []item{{"c.json", nil, nil}}) }, "not found"},
		"key twice": {func(e *entries) {
			e.add("c.json", config)
			e.add("manifest.json", []byte(`[{"Config":"c.json","config":"d.json","Layers":[]}]`))
		}, "twice"},
		"not a name": {func(e *entries) {
			e.add("a/layer.tar", f.Images.Bytes(layers[0].Digest))
			e.add("b/layer.tar", f.Images.Bytes(layers[1].Digest))
			e.add("c.json", config)
			e.json("manifest.json", []item{{"c.json", []string{"Not A Name"}, []string{"a/layer.tar", "b/layer.tar"}}})
		}, "Not A Name"},
	} {
		t.Run(name, func(t *testing.T) {
			e := newEntries(t)
			c.fill(e)
			a, err := archive.Open(write(t, e.bytes()), archive.Docker)
			if err != nil {
				t.Fatal(err)
			}
			_, err = a.Open(t.Context(), []string{""}, image.Platforms{})
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, expected one about %q", err, c.want)
			}
		})
	}
}

// TestTruncated archives are refused wherever they are cut: a tar that ends on
// the boundary of an entry reads as if that were its end.
func TestTruncated(t *testing.T) {
	f := storetest.NewFixture(t, "single manifest", "truncated")
	for name, d := range dialects {
		whole := d.make(t, f)
		last := 0
		for cut := 0; cut < len(whole)-1024; cut += 512 {
			a, err := archive.Open(write(t, whole[:cut]), d.dialect)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := a.Open(t.Context(), f.Names, image.Platforms{}); err == nil {
				last = cut
				break
			}
		}
		// Only what follows the last document that counts may be missing.
		if rest := whole[last:]; last > 0 && d.dialect == archive.OCI && len(rest) > 1024 || last > 0 && len(rest) > 4096 {
			t.Errorf("%s of %d bytes accepted when cut to %d", name, len(whole), last)
		}
	}
}

// TestNames tells what is there when a name is not.
func TestNames(t *testing.T) {
	f := storetest.NewFixture(t, "shared layers", "names")
	a, err := archive.Open(write(t, dockerArchive(t, f)), archive.Docker)
	if err != nil {
		t.Fatal(err)
	}
	_, err = a.Open(t.Context(), []string{"nothing:1"}, image.Platforms{})
	if !errors.Is(err, image.ErrNotFound) || !strings.Contains(err.Error(), image.Familiar(f.Names[0])) {
		t.Errorf("error %v", err)
	}
	set, err := a.Open(t.Context(), []string{""}, image.Platforms{})
	if err != nil || len(set.Roots()) != 2 {
		t.Errorf("all images: %v, %v", set, err)
	}
	if _, err := archive.Open(t.TempDir(), archive.Docker); err == nil {
		t.Error("a folder was taken for an archive")
	}
}
