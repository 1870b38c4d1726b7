package image_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/types"

	"airgap/bundle/image"
	"airgap/bundle/store/storetest"
)

var all = image.Platforms{All: true}

func equalDigests(a, b []image.Descriptor) bool {
	return slices.EqualFunc(a, b, func(a, b image.Descriptor) bool { return a.Digest == b.Digest })
}

func root(d image.Descriptor) image.Root { return image.Root{Name: "docker.io/library/x:1", Desc: d} }

func readAll(t *testing.T, m *storetest.Memory, d image.Descriptor) *image.Graph {
	t.Helper()
	g, err := image.Read(t.Context(), m, root(d), all.Select)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func TestReadManifest(t *testing.T) {
	m := storetest.NewMemory()
	a, b := m.Layer(storetest.Gzip, storetest.File{Name: "a"}), m.Layer(storetest.Gzip, storetest.File{Name: "b"})
	d := m.Manifest(storetest.Config{Platform: storetest.Host}, a, b, a)
	g := readAll(t, m, d)
	only := g.Manifests[0]
	if len(g.Manifests) != 1 || !only.Image || !slices.Equal(only.DiffIDs, []image.Digest{a.DiffID, b.DiffID, a.DiffID}) || len(g.History(only)) != 3 {
		t.Errorf("manifests %+v", g.Manifests)
	}
	if !equalDigests(g.Documents(), []image.Descriptor{d, only.Config}) || !equalDigests(g.Layers(), []image.Descriptor{a.Desc, b.Desc}) {
		t.Errorf("documents %v, layers %v", g.Documents(), g.Layers())
	}
	if !bytes.Equal(g.Document(d.Digest), m.Bytes(d.Digest)) || g.Document(a.Desc.Digest) != nil {
		t.Error("documents are not what they should be")
	}
	if _, ok := g.For(storetest.Host); !ok {
		t.Error("the host's platform is not found")
	}
	if _, ok := g.For(storetest.Other); ok {
		t.Error("another platform is found")
	}
}

func TestReadIndex(t *testing.T) {
	m := storetest.NewMemory()
	host := m.Manifest(storetest.Config{Platform: storetest.Host}, m.Layer(storetest.Gzip, storetest.File{Name: "host"}))
	other := m.Manifest(storetest.Config{Platform: storetest.Other}, m.Layer(storetest.Gzip, storetest.File{Name: "other"}))
	attestation := m.Attestation(host)
	d := m.Index(m.Index(host, attestation), other)
	g := readAll(t, m, d)
	if len(g.Manifests) != 3 || g.Manifests[1].Image || !slices.EqualFunc(g.Platforms(), []image.Platform{storetest.Host, storetest.Other}, image.MatchPlatform) {
		t.Errorf("manifests %+v", g.Manifests)
	}

	hosts := image.Platforms{List: []image.Platform{storetest.Host}}
	g, err := image.Read(t.Context(), m, root(d), hosts.Select)
	if err != nil {
		t.Fatal(err)
	}
	if len(g.Manifests) != 2 || len(g.Left) != 1 || g.Left[0].Desc.Digest != other.Digest || len(g.Offered()) != 2 {
		t.Errorf("manifests %+v, left %+v, offered %v", g.Manifests, g.Left, g.Offered())
	}
	if slices.ContainsFunc(g.Documents(), func(x image.Descriptor) bool { return x.Digest == other.Digest }) {
		t.Error("a document of what is left out is carried")
	}
}

// TestIncompleteAttestation loses a part of an attestation: all of it is left
// out. Of an image, no part may be missing.
func TestIncompleteAttestation(t *testing.T) {
	build := func() (*storetest.Memory, image.Descriptor, image.Descriptor) {
		m := storetest.NewMemory()
		host := m.Manifest(storetest.Config{Platform: storetest.Host})
		attestation := m.Attestation(host)
		return m, m.Index(host, attestation), attestation
	}
	m, d, attestation := build()
	g := readAll(t, m, d)
	for _, lost := range []image.Digest{attestation.Digest, g.Manifests[1].Config.Digest} {
		m, d, _ := build()
		m.Lose(lost)
		g := readAll(t, m, d)
		if len(g.Manifests) != 1 || len(g.Documents()) != 3 || len(g.Layers()) != 0 || len(g.Left) != 1 || g.Left[0].Desc.Digest != attestation.Digest {
			t.Errorf("lost %s: documents %v, layers %v, left %v", lost, g.Documents(), g.Layers(), g.Left)
		}
	}
	for _, lost := range []image.Digest{g.Manifests[0].Desc.Digest, g.Manifests[0].Config.Digest} {
		m, d, _ := build()
		m.Lose(lost)
		if _, err := image.Read(t.Context(), m, root(d), all.Select); !errors.Is(err, image.ErrNotFound) || !strings.Contains(err.Error(), `"x:1"`) {
			t.Errorf("lost %s: error %v", lost, err)
		}
	}
}

func TestDropIncomplete(t *testing.T) {
	m := storetest.NewMemory()
	layer := m.Layer(storetest.Gzip, storetest.File{Name: "a"})
	host := m.Manifest(storetest.Config{Platform: storetest.Host}, layer)
	d := m.Index(host, m.Attestation(host))
	g := readAll(t, m, d)
	before := len(g.Documents()) + len(g.Layers())
	g.DropIncomplete(func(image.Descriptor) bool { return true })
	if len(g.Documents())+len(g.Layers()) != before || len(g.Left) > 0 {
		t.Error("something complete was dropped")
	}
	g.DropIncomplete(func(image.Descriptor) bool { return false })
	if len(g.Manifests) != 1 || len(g.Documents()) != 3 || !equalDigests(g.Layers(), []image.Descriptor{layer.Desc}) || len(g.Left) != 1 {
		t.Errorf("documents %v, layers %v, left %v", g.Documents(), g.Layers(), g.Left)
	}
}

// document is a JSON object to break.
type document = map[string]any

var (
	layer = image.Descriptor{MediaType: types.OCILayer, Digest: image.SHA256([]byte("layer")), Size: 5}
	id    = image.SHA256([]byte("tar")).String()
)

func manifest(config image.Descriptor) document {
	return document{"schemaVersion": 2, "mediaType": types.OCIManifestSchema1, "config": config, "layers": []image.Descriptor{layer}}
}

func config(diffIDs ...any) document {
	return document{"os": "linux", "architecture": "amd64", "rootfs": document{"diff_ids": diffIDs}}
}

// refused are images of which one thing is broken, with a part of the error.
var refused = map[string]struct {
	build func(m *storetest.Memory) image.Descriptor
	want  string
}{
	"schema 1 by its type": {func(m *storetest.Memory) image.Descriptor {
		return m.PutJSON(types.DockerManifestSchema1Signed, document{})
	}, "schema 1"},
	"schema 1 by its version": {func(m *storetest.Memory) image.Descriptor {
		return m.PutJSON(types.DockerManifestSchema2, document{"schemaVersion": 1})
	}, "schema 1"},
	"schema 1 by its layers": {func(m *storetest.Memory) image.Descriptor {
		return m.PutJSON("", document{"fsLayers": []string{}})
	}, "schema 1"},
	"index and manifest at once": {func(m *storetest.Memory) image.Descriptor {
		d := manifest(m.PutJSON(types.OCIConfigJSON, config(id)))
		d["manifests"] = []string{}
		return m.PutJSON(types.OCIManifestSchema1, d)
	}, "not either"},
	"nothing at all": {func(m *storetest.Memory) image.Descriptor { return m.PutJSON(types.OCIManifestSchema1, document{}) }, "not either"},
	"no config": {func(m *storetest.Memory) image.Descriptor {
		return m.PutJSON(types.OCIManifestSchema1, document{"layers": []string{}})
	}, "no config"},
	"other media type inside": {func(m *storetest.Memory) image.Descriptor {
		return m.PutJSON(types.DockerManifestSchema2, manifest(m.PutJSON(types.OCIConfigJSON, config(id))))
	}, "its descriptor says"},
	"manifest called an index": {func(m *storetest.Memory) image.Descriptor {
		d := manifest(m.PutJSON(types.OCIConfigJSON, config(id)))
		delete(d, "mediaType")
		return m.PutJSON(types.OCIImageIndex, d)
	}, "is not the"},
	"index called a manifest": {func(m *storetest.Memory) image.Descriptor {
		return m.PutJSON(types.OCIManifestSchema1, document{"manifests": []string{}})
	}, "is not the"},
	"key twice": {func(m *storetest.Memory) image.Descriptor {
		return m.Put(types.OCIManifestSchema1, []byte(`{"config":{},"Config":{},"layers":[]}`))
	}, "given twice"},
	"no JSON": {func(m *storetest.Memory) image.Descriptor { return m.Put(types.OCIManifestSchema1, []byte("<html>")) }, "document sha256:"},
	"key twice in the config": {func(m *storetest.Memory) image.Descriptor {
		return m.PutJSON(types.OCIManifestSchema1, manifest(m.Put(types.OCIConfigJSON, []byte(`{"rootfs":{},"rootfs":{}}`))))
	}, "given twice"},
	"fewer diffIDs than layers": {func(m *storetest.Memory) image.Descriptor {
		return m.PutJSON(types.OCIManifestSchema1, manifest(m.PutJSON(types.OCIConfigJSON, config())))
	}, "0 diffIDs for 1 layers"},
	"diffID that is none": {func(m *storetest.Memory) image.Descriptor {
		return m.PutJSON(types.OCIManifestSchema1, manifest(m.PutJSON(types.OCIConfigJSON, config("sha512:"+id[7:]+id[7:]))))
	}, "sha512"},
	"digest that is a path": {func(m *storetest.Memory) image.Descriptor {
		return m.PutJSON(types.OCIManifestSchema1, manifest(image.Descriptor{MediaType: "x/y", Digest: image.Digest{Algorithm: "sha256", Hex: strings.Repeat("../", 21) + "x"}}))
	}, "non-hex"},
	"negative size": {func(m *storetest.Memory) image.Descriptor {
		c := m.PutJSON("x/y", config())
		c.Size = -1
		return m.PutJSON(types.OCIManifestSchema1, manifest(c))
	}, "negative size"},
	"two sizes of one blob": {func(m *storetest.Memory) image.Descriptor {
		other := layer
		other.Size++
		d := manifest(m.PutJSON(types.OCIConfigJSON, config(id, id)))
		d["layers"] = []image.Descriptor{layer, other}
		return m.PutJSON(types.OCIManifestSchema1, d)
	}, "elsewhere"},
	"document that is too large": {func(m *storetest.Memory) image.Descriptor {
		return m.Put(types.OCIManifestSchema1, bytes.Repeat([]byte(" "), image.MaxDocument+1))
	}, "too large"},
	"indexes without end": {func(m *storetest.Memory) image.Descriptor {
		d := m.Index()
		for range 10 {
			d = m.Index(d)
		}
		return d
	}, "too deep"},
}

func TestRefused(t *testing.T) {
	for what, c := range refused {
		m := storetest.NewMemory()
		_, err := image.Read(t.Context(), m, root(c.build(m)), all.Select)
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), `image "x:1"`) {
			t.Errorf("%s: error %v, want %q in it", what, err, c.want)
		}
	}
}

// TestRepeatedChildren has indexes that name each other many times over: each
// document is read once, however many ways lead to it.
func TestRepeatedChildren(t *testing.T) {
	m := storetest.NewMemory()
	d := m.Manifest(storetest.Config{Platform: storetest.Host})
	for range 7 {
		d.Platform = nil
		d = m.Index(slices.Repeat([]image.Descriptor{d}, 1000)...)
	}
	g := readAll(t, m, d)
	if len(g.Manifests) != 1 || len(g.Documents()) != 9 {
		t.Errorf("%d manifests, %d documents", len(g.Manifests), len(g.Documents()))
	}
}

// TestTooManyDocuments has an index of large manifests.
func TestTooManyDocuments(t *testing.T) {
	m := storetest.NewMemory()
	var children []image.Descriptor
	for i := range 17 {
		children = append(children, m.PutJSON(types.OCIManifestSchema1, document{
			"config": describe([]byte{byte(i)}), "layers": []string{}, "annotations": document{"x": strings.Repeat("x", image.MaxDocument-1000)},
		}))
	}
	if _, err := image.Read(t.Context(), m, root(m.Index(children...)), all.Select); err == nil || !strings.Contains(err.Error(), "too large") {
		t.Errorf("error %v", err)
	}
}

// TestArtifact is carried without being taken for an image.
func TestArtifact(t *testing.T) {
	m := storetest.NewMemory()
	config, blob := m.Put("application/vnd.example.config", []byte("{}")), m.Put("application/vnd.example", []byte("blob"))
	d := m.PutJSON(types.OCIManifestSchema1, document{"schemaVersion": 2, "config": config, "layers": []image.Descriptor{blob}})
	g := readAll(t, m, d)
	if len(g.Manifests) != 1 || g.Manifests[0].Image || len(g.Platforms()) != 0 || len(g.Documents()) != 1 || len(g.Layers()) != 2 {
		t.Errorf("%+v", g.Manifests)
	}
}

// TestReadFaults passes on what goes wrong at the source.
func TestReadFaults(t *testing.T) {
	for _, kind := range storetest.AllBlobFaults {
		f := storetest.NewFixture(t, "index with attestations", "faults")
		d, _ := f.Images.Find(f.Names[0])
		ctx, cancel := context.WithCancelCause(t.Context())
		faults := storetest.NewFaults(t, storetest.Fault{Kind: kind, Nth: 2, Cancel: cancel})
		if _, err := image.Read(ctx, faults.Fetcher(f.Images), root(d), all.Select); err == nil {
			t.Errorf("%s: no error", kind)
		}
		cancel(nil)
	}
}

func TestClassicManifest(t *testing.T) {
	config, layer := describe([]byte("config")), describe([]byte("layer"))
	layer.MediaType = types.OCIUncompressedLayer
	raw := image.ClassicManifest(config, []image.Descriptor{layer})
	want := fmt.Sprintf(`{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":%q,"size":6},`+
		`"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":%q,"size":5}]}`, config.Digest, layer.Digest)
	if string(raw) != want {
		t.Errorf("got  %s\nwant %s", raw, want)
	}
	var empty struct{ Layers []any }
	if err := json.Unmarshal(image.ClassicManifest(config, nil), &empty); err != nil || empty.Layers == nil {
		t.Errorf("no layers: %v, error %v", empty.Layers, err)
	}
}

func TestMoved(t *testing.T) {
	a, b := image.SHA256([]byte("a")), image.SHA256([]byte("b"))
	for tag, want := range map[image.Tag]bool{{Old: a, New: b}: true, {Old: a, New: a}: false, {New: b}: false} {
		if tag.Moved() != want {
			t.Errorf("%+v: moved %t", tag, tag.Moved())
		}
	}
}

func TestPlatformErrorText(t *testing.T) {
	err := &image.PlatformError{Image: "x:1", Want: []image.Platform{storetest.Host}}
	if got := err.Error(); !strings.Contains(got, `"x:1"`) || !strings.Contains(got, "no platform") {
		t.Error(got)
	}
	err.Have = []image.Platform{storetest.Other, storetest.Other}
	if got := err.Error(); strings.Count(got, storetest.Other.String()) != 1 {
		t.Error(got)
	}
}

// TestLibrary holds each document once, and no more than it may.
func TestLibrary(t *testing.T) {
	m := storetest.NewMemory()
	config := m.PutJSON(types.OCIConfigJSON, map[string]any{"os": strings.Repeat("x", 3<<20), "rootfs": map[string]any{"diff_ids": []string{}}})
	manifest := func(config image.Descriptor, note int) image.Descriptor {
		return m.PutJSON(types.OCIManifestSchema1, map[string]any{
			"schemaVersion": 2, "config": config, "layers": []any{}, "annotations": map[string]string{"note": fmt.Sprint(note)},
		})
	}
	fetched := map[image.Digest]int{}
	from := fetcher(func(ctx context.Context, d image.Descriptor) (io.ReadCloser, error) {
		fetched[d.Digest]++
		return m.Fetch(ctx, d)
	})
	library := image.NewLibrary()
	for i := range 100 {
		g, err := library.Read(t.Context(), from, image.Root{Desc: manifest(config, i)}, all.Select)
		if err != nil || g.Document(config.Digest) == nil || !g.Manifests[0].Image {
			t.Fatalf("image %d: %v", i, err)
		}
	}
	if n := fetched[config.Digest]; n != 1 {
		t.Errorf("the config that all have was fetched %d times", n)
	}
	var err error
	for i := 0; i < 30 && err == nil; i++ { // 90 MiB
		other := m.PutJSON(types.OCIConfigJSON, map[string]any{"os": strings.Repeat(string(rune('a'+i)), 3<<20), "rootfs": map[string]any{"diff_ids": []string{}}})
		_, err = library.Read(t.Context(), from, image.Root{Desc: manifest(other, i)}, all.Select)
	}
	if err == nil || !strings.Contains(err.Error(), "more than 67108864 bytes") {
		t.Errorf("documents without end: %v", err)
	}
}

// TestUses bounds the blobs that images consist of, whatever documents they
// share.
func TestUses(t *testing.T) {
	m := storetest.NewMemory()
	layers := make([]image.Descriptor, 5000)
	for i := range layers {
		layers[i] = image.Descriptor{MediaType: "a/b", Digest: image.SHA256([]byte(fmt.Sprint(i))), Size: 1}
	}
	child := m.PutJSON(types.OCIManifestSchema1, map[string]any{"schemaVersion": 2, "config": m.Put("a/b", []byte("{}")), "layers": layers})
	library, n := image.NewLibrary(), 0
	var err error
	for ; err == nil && n < 100; n++ {
		root := m.PutJSON(types.OCIImageIndex, map[string]any{"schemaVersion": 2, "manifests": []any{child}, "annotations": map[string]string{"n": fmt.Sprint(n)}})
		_, err = library.Read(t.Context(), m, image.Root{Desc: root}, all.Select)
	}
	if err == nil || n < 20 {
		t.Errorf("%d images of 5000 blobs: %v", n, err)
	}
}

type fetcher func(ctx context.Context, d image.Descriptor) (io.ReadCloser, error)

func (f fetcher) Fetch(ctx context.Context, d image.Descriptor) (io.ReadCloser, error) {
	return f(ctx, d)
}
