package bundle_test

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"airgap/bundle"
	"airgap/bundle/image"
	"airgap/verify"
)

type mem struct {
	blobs map[image.Digest][]byte
	roots []image.Root
}

func (m *mem) add(b []byte) image.Descriptor {
	d := image.SHA256(b)
	m.blobs[d] = b
	return image.Descriptor{Digest: d, Size: int64(len(b))}
}
func (m *mem) Roots() []image.Root { return m.roots }
func (m *mem) Close() error        { return nil }
func (m *mem) Fetch(_ context.Context, d image.Descriptor) (io.ReadCloser, error) {
	b, ok := m.blobs[d.Digest]
	if !ok {
		return nil, image.ErrNotFound
	}
	return image.NewReader(io.NopCloser(bytes.NewReader(b)), d), nil
}

func tarOf(size int) []byte {
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	c := make([]byte, size)
	rand.Read(c[:size/2])
	w.WriteHeader(&tar.Header{Name: "f", Size: int64(size), Mode: 0o644})
	w.Write(c)
	w.Close()
	return buf.Bytes()
}

func gz(b []byte) []byte {
	var buf bytes.Buffer
	w := gzip.NewWriter(&buf)
	w.Write(b)
	w.Close()
	return buf.Bytes()
}

func TestSmoke(t *testing.T) {
	m := &mem{blobs: map[image.Digest][]byte{}}
	var layers []image.Descriptor
	var ids []string
	for i, size := range []int{100, 70000, 9 << 20, 4 << 20} {
		raw := tarOf(size)
		ids = append(ids, image.SHA256(raw).String())
		mt := "application/vnd.oci.image.layer.v1.tar"
		if i%2 == 0 {
			raw = gz(raw)
			mt += "+gzip"
		}
		d := m.add(raw)
		d.MediaType = "application/vnd.oci.image.layer.v1.tar"
		if i%2 == 0 {
			d.MediaType += "+gzip"
		}
		layers = append(layers, d)
	}
	cfg, _ := json.Marshal(map[string]any{"os": "linux", "architecture": "amd64", "rootfs": map[string]any{"type": "layers", "diff_ids": ids}})
	cd := m.add(cfg)
	cd.MediaType = "application/vnd.oci.image.config.v1+json"
	root := m.add(image.ClassicManifest(cd, layers))
	root.MediaType = "application/vnd.oci.image.manifest.v1+json"
	m.roots = []image.Root{{Name: "docker.io/library/a:1", Desc: root}, {Name: "docker.io/library/b:1", Desc: root}}
	ctx := context.Background()
	dir := t.TempDir()
	for _, jobs := range []int{1, 2, 5} {
		p, err := bundle.NewPlan(ctx, []image.Set{m}, image.Platforms{})
		if err != nil {
			t.Fatal(err)
		}
		s, err := p.WriteFile(ctx, filepath.Join(dir, "b.tar.zst"), bundle.WriteOptions{Jobs: jobs})
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%+v", s)
		var buf bytes.Buffer
		s2, err := p.WriteTo(ctx, &buf, bundle.WriteOptions{Jobs: jobs})
		if err != nil || s2.SHA256 != s.SHA256 {
			t.Fatal(err, s2.SHA256)
		}
	}
	raw, _ := os.ReadFile(filepath.Join(dir, "b.tar.zst"))
	check := func(raw []byte) error {
		b, err := bundle.Open(bytes.NewReader(raw), int64(len(raw)))
		if err != nil {
			return err
		}
		d, err := verify.Read(ctx, b)
		if err != nil {
			return err
		}
		_, _, err = verify.Check(ctx, d, verify.Policy{})
		return err
	}
	if err := check(raw); err != nil {
		t.Fatal(err)
	}
	dec, _ := zstd.NewReader(nil)
	plain, err := dec.DecodeAll(raw, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := check(plain); err != nil {
		t.Fatal(err)
	}
	os.WriteFile("/tmp/w/b.tar.zst", raw, 0o644)
}
