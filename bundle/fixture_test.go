package bundle_test

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"airgap/bundle"
	"airgap/bundle/image"
	"airgap/verify"
)

// place is a Set of images made in a test.
type place struct {
	blobs map[image.Digest][]byte
	roots []image.Root
	// read wraps every blob's reader, to lie or to fail.
	read func(d image.Descriptor, r io.Reader) io.Reader
}

func newPlace() *place { return &place{blobs: map[image.Digest][]byte{}} }

func (p *place) Roots() []image.Root { return p.roots }
func (p *place) Close() error        { return nil }

func (p *place) Fetch(ctx context.Context, d image.Descriptor) (io.ReadCloser, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	b, ok := p.blobs[d.Digest]
	if !ok {
		return nil, fmt.Errorf("blob %s: %w", d.Digest, image.ErrNotFound)
	}
	var r io.Reader = bytes.NewReader(b)
	if p.read != nil {
		r = p.read(d, r)
	}
	return image.NewReader(io.NopCloser(r), d), nil
}

func (p *place) add(mediaType types.MediaType, b []byte) image.Descriptor {
	d := image.SHA256(b)
	p.blobs[d] = b
	return image.Descriptor{MediaType: mediaType, Digest: d, Size: int64(len(b))}
}

func (p *place) addJSON(mediaType types.MediaType, v any) image.Descriptor {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return p.add(mediaType, b)
}

// testLayer is a layer's blob and its diffID.
type testLayer struct {
	desc image.Descriptor
	id   image.Digest
}

// layer adds a layer of one file of size bytes, half of which compress,
// wrapped by pack.
func (p *place) layer(seed uint64, size int, mediaType types.MediaType, pack func([]byte) []byte) testLayer {
	raw := tarFile(seed, size)
	return testLayer{p.add(mediaType, pack(raw)), image.SHA256(raw)}
}

func (p *place) raw(seed uint64, size int) testLayer {
	return p.layer(seed, size, types.OCIUncompressedLayer, func(b []byte) []byte { return b })
}

func (p *place) gzip(seed uint64, size int) testLayer {
	return p.layer(seed, size, types.OCILayer, gzipped)
}

// manifest adds an image's manifest and config.
func (p *place) manifest(platform image.Platform, note string, layers ...testLayer) image.Descriptor {
	ids, descs := []string{}, []image.Descriptor{}
	for _, l := range layers {
		ids, descs = append(ids, l.id.String()), append(descs, l.desc)
	}
	config := p.addJSON(types.OCIConfigJSON, map[string]any{
		"os": platform.OS, "architecture": platform.Architecture, "config": map[string]any{"Labels": map[string]string{"note": note}},
		"rootfs": map[string]any{"type": "layers", "diff_ids": ids},
	})
	return p.addJSON(types.OCIManifestSchema1, map[string]any{
		"schemaVersion": 2, "mediaType": types.OCIManifestSchema1, "config": config, "layers": descs,
	})
}

func (p *place) index(children ...image.Descriptor) image.Descriptor {
	return p.addJSON(types.OCIImageIndex, map[string]any{"schemaVersion": 2, "mediaType": types.OCIImageIndex, "manifests": children})
}

// attestation adds what BuildKit puts beside an image.
func (p *place) attestation(subject image.Descriptor) image.Descriptor {
	statement := p.add("application/vnd.in-toto+json", []byte(`{"statement":"`+subject.Digest.Hex+`"}`))
	config := p.addJSON(types.OCIConfigJSON, map[string]any{
		"os": "unknown", "architecture": "unknown", "rootfs": map[string]any{"type": "layers", "diff_ids": []string{statement.Digest.String()}},
	})
	d := p.addJSON(types.OCIManifestSchema1, map[string]any{
		"schemaVersion": 2, "mediaType": types.OCIManifestSchema1, "config": config, "layers": []image.Descriptor{statement},
	})
	d.Platform = &image.Platform{OS: "unknown", Architecture: "unknown"}
	d.Annotations = map[string]string{
		"vnd.docker.reference.type": "attestation-manifest", "vnd.docker.reference.digest": subject.Digest.String(),
	}
	return d
}

func (p *place) name(name string, root image.Descriptor) {
	p.roots = append(p.roots, image.Root{Name: name, Desc: root, Origin: "test"})
}

// reversed is the same images asked for in another order.
func (p *place) reversed() *place {
	other := *p
	other.roots = slices.Clone(p.roots)
	slices.Reverse(other.roots)
	return &other
}

var (
	amd64 = image.Platform{OS: "linux", Architecture: "amd64"}
	arm64 = image.Platform{OS: "linux", Architecture: "arm64"}
	all   = image.Platforms{All: true}
)

// kinds are the images that the format has to hold.
var kinds = map[string]func(p *place){
	"one layer": func(p *place) { p.name("docker.io/library/a:1", p.manifest(amd64, "", p.gzip(1, 1000))) },
	"raw and gzip": func(p *place) {
		p.name("docker.io/library/a:1", p.manifest(amd64, "", p.raw(1, 5<<20), p.gzip(2, 9<<20)))
	},
	"same layer twice": func(p *place) {
		l := p.gzip(1, 100_000)
		p.name("docker.io/library/a:1", p.manifest(amd64, "", l, p.gzip(2, 10), l))
	},
	"no layers": func(p *place) { p.name("docker.io/library/a:1", p.manifest(amd64, "")) },
	"empty layers": func(p *place) {
		nothing := testLayer{p.add(types.OCIUncompressedLayer, nil), image.SHA256(nil)}
		end := make([]byte, 1024)
		p.name("docker.io/library/a:1", p.manifest(amd64, "", testLayer{p.add(types.OCILayer, gzipped(end)), image.SHA256(end)}, nothing))
	},
	"two images with one config": func(p *place) {
		packed, plain := p.gzip(1, 70_000), p.raw(1, 70_000)
		p.name("docker.io/library/a:1", p.manifest(amd64, "", packed))
		p.name("docker.io/library/b:1", p.manifest(amd64, "", plain))
	},
	"one image under two names": func(p *place) {
		m := p.manifest(amd64, "", p.gzip(1, 1000))
		p.name("docker.io/library/b:1", m)
		p.name("registry.internal:5000/a:1", m)
	},
	"untagged": func(p *place) { p.name("", p.manifest(amd64, "", p.gzip(1, 1000))) },
	"shared base": func(p *place) {
		base := p.gzip(1, 300_000)
		p.name("docker.io/library/z:1", p.manifest(amd64, "z", base, p.gzip(2, 1000)))
		p.name("docker.io/library/a:1", p.manifest(amd64, "a", base, p.gzip(3, 200_000)))
	},
	"index with attestations": func(p *place) {
		a, b := p.manifest(amd64, "", p.gzip(1, 1000)), p.manifest(arm64, "", p.gzip(2, 100_000))
		a.Platform, b.Platform = &amd64, &arm64
		p.name("docker.io/library/a:1", p.index(a, b, p.attestation(a), p.attestation(b)))
	},
	"zstd, zstd of several frames, gzip of several members": func(p *place) {
		p.name("docker.io/library/a:1", p.manifest(amd64, "",
			p.layer(1, 200_000, types.OCILayerZStd, zstded),
			p.layer(2, 200_000, types.OCILayerZStd, halves(zstded)),
			p.layer(3, 200_000, types.OCILayer, halves(gzipped))))
	},
	"layer that is not as packed as it says": func(p *place) {
		p.name("docker.io/library/a:1", p.manifest(amd64, "", p.layer(1, 9<<20, types.OCILayer, func(b []byte) []byte { return b })))
	},
	"many small layers": func(p *place) {
		var layers []testLayer
		for i := range uint64(200) {
			layers = append(layers, p.raw(i, 40_000))
		}
		p.name("docker.io/library/a:1", p.manifest(amd64, "", layers...))
	},
	"large config": func(p *place) {
		p.name("docker.io/library/a:1", p.manifest(amd64, string(bytes.Repeat([]byte("large "), 20_000)), p.gzip(1, 10)))
	},
}

func tarFile(seed uint64, size int) []byte {
	content := make([]byte, size)
	random := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)})
	random.Read(content[:size/2])
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	if err := w.WriteHeader(&tar.Header{Name: fmt.Sprintf("file-%d", seed), Size: int64(size), Mode: 0o644}); err != nil {
		panic(err)
	}
	w.Write(content)
	w.Close()
	return buf.Bytes()
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

func halves(pack func([]byte) []byte) func([]byte) []byte {
	return func(b []byte) []byte { return append(pack(b[:len(b)/2]), pack(b[len(b)/2:])...) }
}

// packed is the bytes of the bundle of a place's images.
func packed(t testing.TB, set image.Set, want image.Platforms, o bundle.WriteOptions) []byte {
	t.Helper()
	plan, err := bundle.NewPlan(t.Context(), []image.Set{set}, want)
	if err != nil {
		t.Fatal(err)
	}
	var buf bytes.Buffer
	if _, err := plan.WriteTo(t.Context(), &buf, o); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// unpacked is the tar inside a bundle.
func unpacked(t testing.TB, file []byte) []byte {
	t.Helper()
	dec, err := zstd.NewReader(bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	defer dec.Close()
	content, err := io.ReadAll(dec)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// checked says what airgap verify would say of a file.
func checked(ctx context.Context, file []byte) error {
	b, err := bundle.Open(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		return err
	}
	docs, err := verify.Read(ctx, b)
	if err != nil {
		return err
	}
	_, _, err = verify.Check(ctx, docs, verify.Policy{})
	return err
}
