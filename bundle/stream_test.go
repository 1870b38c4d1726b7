package bundle_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/types"
	"golang.org/x/sync/errgroup"

	"airgap/bundle"
	"airgap/bundle/image"
)

// engine is a place that knows digests only from its streams, one per image,
// side by side, with shared layers in each.
type engine struct {
	*place
	lie bool // two layers under one key
}

func (e *engine) Estimate() []image.Estimate {
	var list []image.Estimate
	for _, root := range e.roots {
		list = append(list, image.Estimate{Name: root.Name, Platform: amd64, Size: 1 << 20})
	}
	return list
}

func (e *engine) Stream(ctx context.Context, put image.Put) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, root := range e.roots {
		g, err := image.Read(ctx, e.place, root, all.Select)
		if err != nil {
			return err
		}
		group.Go(func() error {
			for i, d := range g.Layers() {
				key := d.Digest.Hex
				if e.lie {
					key = fmt.Sprint(i)
				}
				got, err := put(ctx, key, d.Size, bytes.NewReader(e.blobs[d.Digest]))
				if err == nil && got != d.Digest {
					err = fmt.Errorf("put answers %s for %s", got, d.Digest)
				}
				if err != nil {
					return err
				}
			}
			return nil
		})
	}
	return group.Wait()
}

// TestStreamed gives the bundle that the same images give at random access.
func TestStreamed(t *testing.T) {
	for name, fill := range kinds {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPlace()
			fill(p)
			want := packed(t, p, all, bundle.WriteOptions{})
			for _, jobs := range []int{1, 3} {
				if got := packed(t, &engine{place: p}, all, bundle.WriteOptions{Jobs: jobs, TempDir: t.TempDir()}); !bytes.Equal(got, want) {
					t.Errorf("streamed with %d jobs: other bytes", jobs)
				}
			}
			if got := writtenFile(t, p, bundle.WriteOptions{}); !bytes.Equal(got, want) {
				t.Error("file from a stream: other bytes")
			}
		})
	}
}

// TestStreamedPlan is an estimate that becomes facts.
func TestStreamedPlan(t *testing.T) {
	p := newPlace()
	kinds["shared base"](p)
	plan, err := bundle.NewPlan(t.Context(), []image.Set{&engine{place: p}}, image.Platforms{})
	if err != nil {
		t.Fatal(err)
	}
	if !plan.Estimate || plan.Size != 2<<20 || len(plan.Images) != 2 {
		t.Errorf("plan %+v", plan.Totals)
	}
	s, err := plan.WriteFile(t.Context(), filepath.Join(t.TempDir(), "b"), bundle.WriteOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if s.Images[0].Digest == (image.Digest{}) || s.Size > 1<<20 || len(s.Images) != 2 {
		t.Errorf("summary %+v", s)
	}
}

// part is an engine that does not have everything of its images.
type part struct{ *engine }

func (e part) Stream(ctx context.Context, put image.Put) error {
	for _, b := range e.blobs {
		if _, err := put(ctx, "", int64(len(b)), bytes.NewReader(b)); err != nil {
			return err
		}
	}
	return nil
}

// TestStreamedPart takes the platforms that an engine has whole, and leaves out
// the others by name; what is asked for has to be there.
func TestStreamedPart(t *testing.T) {
	layerOf := func(p *place, m image.Descriptor) image.Digest {
		g, err := image.Read(t.Context(), p, image.Root{Desc: m}, all.Select)
		if err != nil {
			t.Fatal(err)
		}
		return g.Layers()[0].Digest
	}
	for name, c := range map[string]struct {
		lose func(p *place, a, b image.Descriptor) []image.Digest
		want image.Platforms
		left int
		err  string
	}{
		"manifest":            {func(_ *place, _, b image.Descriptor) []image.Digest { return []image.Digest{b.Digest} }, image.Platforms{}, 2, ""},
		"layer":               {func(p *place, _, b image.Descriptor) []image.Digest { return []image.Digest{layerOf(p, b)} }, image.Platforms{}, 2, ""},
		"one that is wanted":  {func(p *place, _, b image.Descriptor) []image.Digest { return []image.Digest{b.Digest} }, image.Platforms{List: []image.Platform{arm64}}, 0, "is not there for linux/arm64: it holds linux/amd64"},
		"one that is not":     {func(p *place, _, b image.Descriptor) []image.Digest { return []image.Digest{b.Digest} }, image.Platforms{List: []image.Platform{amd64}}, 2, ""},
		"one of all":          {func(p *place, _, b image.Descriptor) []image.Digest { return []image.Digest{b.Digest} }, all, 0, "is not there for linux/arm64: it holds linux/amd64"},
		"all but the index":   {func(p *place, a, b image.Descriptor) []image.Digest { return []image.Digest{a.Digest, b.Digest} }, image.Platforms{}, 0, "none of its platforms whole"},
		"all that are wanted": {func(p *place, a, b image.Descriptor) []image.Digest { return []image.Digest{a.Digest, layerOf(p, b)} }, all, 0, "is not there for linux/amd64, linux/arm64: it holds no platform"},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlace()
			a, b := p.manifest(amd64, "", p.gzip(1, 1000)), p.manifest(arm64, "", p.gzip(2, 100_000))
			a.Platform, b.Platform = &amd64, &arm64
			p.name("docker.io/library/a:1", p.index(a, b, p.attestation(a), p.attestation(b)))
			for _, d := range c.lose(p, a, b) {
				delete(p.blobs, d)
			}
			plan, err := bundle.NewPlan(t.Context(), []image.Set{part{&engine{place: p}}}, c.want)
			if err != nil {
				t.Fatal(err)
			}
			var buf bytes.Buffer
			s, err := plan.WriteTo(t.Context(), &buf, bundle.WriteOptions{TempDir: t.TempDir()})
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Errorf("error %v, expected one of %q", err, c.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if err := checked(t.Context(), buf.Bytes()); err != nil {
				t.Error(err)
			}
			if img := s.Images[0]; len(img.Left) != c.left || fmt.Sprint(img.Platforms) != "[linux/amd64]" {
				t.Errorf("packed %v, left out %+v", img.Platforms, img.Left)
			}
		})
	}
}

// TestStreamLies refuses an engine that gives two layers under one name.
func TestStreamLies(t *testing.T) {
	p := newPlace()
	p.name("docker.io/library/a:1", p.manifest(amd64, "", p.gzip(1, 70_000)))
	p.name("docker.io/library/b:1", p.manifest(amd64, "", p.gzip(2, 70_000)))
	plan, err := bundle.NewPlan(t.Context(), []image.Set{&engine{place: p, lie: true}}, image.Platforms{})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	_, err = plan.WriteFile(t.Context(), filepath.Join(dir, "b"), bundle.WriteOptions{})
	if err == nil || !strings.Contains(err.Error(), "under one name") {
		t.Errorf("error %v", err)
	}
	onlyFiles(t, dir)
}

// vast is a place with one layer of zeros, of 8 GiB and a little.
type vast struct {
	*place
	layer image.Descriptor
}

const vastSize = 8<<30 + 1000

func (v *vast) Fetch(ctx context.Context, d image.Descriptor) (io.ReadCloser, error) {
	if d.Digest != v.layer.Digest {
		return v.place.Fetch(ctx, d)
	}
	return image.NewReader(io.NopCloser(io.LimitReader(&zeros{}, vastSize)), d), nil
}

// TestVast carries an entry of 8 GiB, which a USTAR header cannot hold.
func TestVast(t *testing.T) {
	if testing.Short() {
		t.Skip("reads 8 GiB four times")
	}
	h := sha256.New()
	if _, err := io.CopyN(h, &zeros{}, vastSize); err != nil {
		t.Fatal(err)
	}
	layer := image.Descriptor{MediaType: types.OCIUncompressedLayer, Digest: image.HashDigest(h), Size: vastSize}
	v := &vast{newPlace(), layer}
	v.name("docker.io/library/vast:1", v.manifest(amd64, "", testLayer{layer, layer.Digest}))
	file := packed(t, v, all, bundle.WriteOptions{Level: bundle.Fast})
	if len(file) > 8<<20 {
		t.Errorf("zeros take %d bytes", len(file))
	}
	if err := checked(t.Context(), file); err != nil {
		t.Error(err)
	}
	file[len(file)/2] ^= 1
	var damage *bundle.DamagedError
	if err := checked(t.Context(), file); !errors.As(err, &damage) {
		t.Errorf("one bit flipped: %v", err)
	}
}
