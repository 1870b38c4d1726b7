package dockertar_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"

	"airgap/bundle/image"
	"airgap/bundle/image/dockertar"
	"airgap/bundle/store/storetest"
)

var both = map[string]dockertar.Dialect{"docker": dockertar.Docker, "oci": dockertar.OCI}

// written is the stream that Write makes of a fixture's first image.
func written(t testing.TB, f storetest.Fixture, dialect dockertar.Dialect, omit map[image.Digest]bool) []byte {
	t.Helper()
	g := f.Graph(t, f.Names[0])
	m, _ := storetest.Chosen(g, storetest.Host)
	content := dockertar.Content{Dialect: dialect, Graph: g, Manifest: m, Omit: omit}
	for _, c := range g.Choices(storetest.Host) {
		if dialect == dockertar.OCI {
			content.Others = append(content.Others, c.Manifest)
		}
	}
	var buf bytes.Buffer
	err := dockertar.Write(context.Background(), &buf, content, f.Images)
	if err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func hashed(_ context.Context, _ string, _ int64, r io.Reader) (image.Digest, error) {
	return image.HashReader(r)
}

// TestRoundTrip reads what was written: the same config and the same layers,
// and in the OCI dialect the same root.
func TestRoundTrip(t *testing.T) {
	fixtures := storetest.Fixtures("roundtrip")
	if len(fixtures) == 0 {
		t.Fatal("no fixtures")
	}
	for _, f := range fixtures {
		for name, dialect := range both {
			t.Run(f.Label+" "+name, func(t *testing.T) {
				want := f.Graph(t, f.Names[0])
				a, err := dockertar.Read(t.Context(), bytes.NewReader(written(t, f, dialect, nil)), dialect, hashed)
				if err != nil {
					t.Fatal(err)
				}
				if len(a.Images) != 1 || len(a.Images[0].Names) != 0 {
					t.Fatalf("images %+v", a.Images)
				}
				root := image.Root{Desc: a.Images[0].Desc}
				if dialect == dockertar.OCI && root.Desc.Digest != want.Root.Desc.Digest {
					t.Errorf("root %s, expected %s", root.Desc.Digest, want.Root.Desc.Digest)
				}
				host := image.Platforms{List: []image.Platform{storetest.Host}}
				got, err := image.Read(t.Context(), a, root, host.Select)
				if err != nil {
					t.Fatal(err)
				}
				m, _ := storetest.Chosen(got, storetest.Host)
				w, _ := storetest.Chosen(want, storetest.Host)
				if m.Config.Digest != w.Config.Digest || len(m.Layers) != len(w.Layers) {
					t.Fatalf("manifest %+v, expected %+v", m, w)
				}
				for i := range m.Layers {
					if m.Layers[i].Digest != w.Layers[i].Digest {
						t.Errorf("layer %d is %s, expected %s", i, m.Layers[i].Digest, w.Layers[i].Digest)
					}
				}
			})
		}
	}
}

// TestOmit leaves a layer out of the stream, and it is missed by a reader that
// does not have it.
func TestOmit(t *testing.T) {
	f := storetest.NewFixture(t, "raw layers", "omit")
	m, _ := storetest.Chosen(f.Graph(t, f.Names[0]), storetest.Host)
	less := written(t, f, dockertar.Docker, map[image.Digest]bool{m.Layers[0].Digest: true})
	if whole := written(t, f, dockertar.Docker, nil); len(whole)-len(less) < int(m.Layers[0].Size) {
		t.Errorf("%d bytes with, %d without", len(whole), len(less))
	}
	if _, err := dockertar.Read(t.Context(), bytes.NewReader(less), dockertar.Docker, hashed); !errors.Is(err, image.ErrNotFound) {
		t.Errorf("error %v", err)
	}
}

// TestCut streams are refused at every block.
func TestCut(t *testing.T) {
	f := storetest.NewFixture(t, "single manifest", "cut")
	for name, dialect := range both {
		whole := written(t, f, dialect, nil)
		for cut := 0; cut < len(whole)-1024-512; cut += 512 {
			if _, err := dockertar.Read(t.Context(), bytes.NewReader(whole[:cut]), dialect, hashed); err == nil {
				t.Errorf("%s of %d bytes accepted when cut to %d", name, len(whole), cut)
			}
		}
	}
}

// TestFaults: a blob that lies or fails never ends the stream cleanly.
func TestFaults(t *testing.T) {
	f := storetest.NewFixture(t, "single manifest", "faults")
	g := f.Graph(t, f.Names[0])
	m, _ := storetest.Chosen(g, storetest.Host)
	for _, kind := range storetest.AllBlobFaults {
		if kind == storetest.Cancelled {
			continue
		}
		from := storetest.NewFaults(t, storetest.Fault{Kind: kind, Nth: 2}).Fetcher(f.Images)
		content := dockertar.Content{Graph: g, Manifest: m, Open: func(ctx context.Context, d image.Descriptor) (io.ReadCloser, int64, error) {
			r, err := from.Fetch(ctx, d)
			if err != nil {
				return nil, 0, err
			}
			return image.NewReader(r, d), d.Size, nil
		}}
		if err := dockertar.Write(t.Context(), io.Discard, content, from); err == nil {
			t.Errorf("%s: the stream ended cleanly", kind)
		}
	}
}

// FuzzRead neither panics nor takes more blobs than there are bytes for.
func FuzzRead(f *testing.F) {
	for _, dialect := range both {
		f.Add(written(f, storetest.NewFixture(f, "no layers", "fuzz"), dialect, nil))
		f.Add(written(f, storetest.NewFixture(f, "empty layer", "fuzz"), dialect, nil))
	}
	f.Fuzz(func(t *testing.T, stream []byte) {
		for _, dialect := range both {
			total := int64(0)
			put := func(ctx context.Context, key string, size int64, r io.Reader) (image.Digest, error) {
				n, err := io.Copy(io.Discard, r)
				if total += n; n > size {
					t.Errorf("blob %q of %d bytes gives %d", key, size, n)
				}
				return image.SHA256([]byte(key)), err
			}
			a, err := dockertar.Read(t.Context(), bytes.NewReader(stream), dialect, put)
			if err == nil && a == nil || total > int64(len(stream)) {
				t.Errorf("%d bytes out of %d, %v", total, len(stream), err)
			}
		}
	})
}
