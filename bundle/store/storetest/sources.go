package storetest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"testing"
	"testing/iotest"

	"airgap/bundle/image"
)

// Sources is the suite for places whose blobs can be read in any order.
type Sources struct {
	// New makes a place that holds the fixture's images and opens it. What it
	// needs to clean up it leaves to t.
	New func(t *testing.T, f Fixture) SourcePlace
	// Skip answers why a place cannot hold a fixture at all, or "".
	Skip func(f Fixture) string
}

// SourcePlace is a place under test.
type SourcePlace struct {
	Source image.Source
	Origin string // of every Root
	// Ask spells a fixture's name for Open, and Named the Root's name that
	// comes from it. Nil: the name as it is.
	Ask, Named func(name string) string
	// Spoil flips a bit of a blob where the place keeps it, and Lose removes
	// it, behind the place's back.
	Spoil, Lose func(t *testing.T, d image.Digest)
}

// Run runs the suite.
func (s Sources) Run(t *testing.T) {
	for _, f := range Fixtures("src") {
		t.Run(f.Label, func(t *testing.T) {
			if s.Skip != nil && s.Skip(f) != "" {
				t.Skip(s.Skip(f))
			}
			s.images(t, f)
		})
	}
	t.Run("name by digest", s.pinned)
	t.Run("unknown name", s.unknownName)
	t.Run("unknown blob", s.unknownBlob)
	t.Run("lying descriptor", s.lyingDescriptor)
	t.Run("spoiled blob", s.spoiled)
	t.Run("lost blob", s.lost)
	t.Run("cancelled", s.cancelled)
	t.Run("closed early", s.closedEarly)
}

func (s Sources) open(t *testing.T, f Fixture) SourcePlace {
	p := s.New(t, f)
	p.Ask, p.Named = either(p.Ask), either(p.Named)
	t.Cleanup(func() {
		if err := p.Source.Close(); err != nil {
			t.Errorf("closing the source: %v", err)
		}
	})
	return p
}

// single opens the place with its simplest image.
func (s Sources) single(t *testing.T) (Fixture, SourcePlace, image.Set, *image.Graph) {
	f := NewFixture(t, "single manifest", "src")
	p := s.open(t, f)
	return f, p, mustOpen(t, p.Source, each(f.Names, p.Ask), image.Platforms{}), f.Graph(t, f.Names[0])
}

// images wants roots in the order asked for, documents byte for byte, and all
// blobs through readers that behave.
func (s Sources) images(t *testing.T, f Fixture) {
	p := s.open(t, f)
	names := slices.Clone(f.Names)
	slices.Reverse(names)
	set := mustOpen(t, p.Source, each(names, p.Ask), image.Platforms{All: true})
	if len(set.Roots()) != len(names) {
		t.Fatalf("%d roots for %d names", len(set.Roots()), len(names))
	}
	all := image.Platforms{All: true}
	for i, root := range set.Roots() {
		want := f.Graph(t, names[i])
		if root.Name != p.Named(names[i]) || root.Origin != p.Origin || root.DigestLost {
			t.Errorf("root %d is %+v, want name %q from %q", i, root, p.Named(names[i]), p.Origin)
		}
		if d := want.Root.Desc; root.Desc.Digest != d.Digest || root.Desc.Size != d.Size || root.Desc.MediaType != d.MediaType {
			t.Errorf("root %q is %+v, want %+v", root.Name, root.Desc, d)
		}
		got, err := image.Read(t.Context(), set, root, all.Select)
		if err != nil {
			t.Fatal(err)
		}
		if !sameDescriptors(got.Documents(), want.Documents()) || !sameDescriptors(got.Layers(), want.Layers()) {
			t.Errorf("image %q has another graph: %v and %v", root.Name, got.Documents(), got.Layers())
		}
		sameBlobs(t, set, f, want)
		for _, d := range append(got.Documents(), got.Layers()...) {
			readerBehaves(t, set, d, f.Images.Bytes(d.Digest))
		}
	}
}

// pinned asks by digest, with a tag and without, and by another's digest.
func (s Sources) pinned(t *testing.T) {
	f, p, _, g := s.single(t)
	tag := f.Names[0]
	for _, name := range []string{tag + "@" + g.Root.Desc.Digest.String(), image.Repository(tag) + "@" + g.Root.Desc.Digest.String()} {
		set := mustOpen(t, p.Source, []string{p.Ask(name)}, image.Platforms{})
		if got := set.Roots()[0]; got.Name != p.Named(name) || got.Asked != "" || got.Desc.Digest != g.Root.Desc.Digest {
			t.Errorf("%q gives the root %+v", name, got)
		}
	}
	other := p.Ask(tag + "@" + image.SHA256([]byte("other")).String())
	_, err := p.Source.Open(t.Context(), []string{other}, image.Platforms{})
	wantNotFound(t, err, other)
}

func sameDescriptors(a, b []image.Descriptor) bool {
	return slices.EqualFunc(a, b, func(a, b image.Descriptor) bool {
		return a.Digest == b.Digest && a.Size == b.Size && a.MediaType == b.MediaType
	})
}

func readerBehaves(t *testing.T, set image.Set, d image.Descriptor, content []byte) {
	t.Helper()
	r, err := set.Fetch(t.Context(), d)
	if err != nil {
		t.Fatal(err)
	}
	if err := iotest.TestReader(r, content); err != nil {
		t.Errorf("reader of %s: %v", d.Digest, err)
	}
	if err := r.Close(); err != nil {
		t.Errorf("closing the reader of %s: %v", d.Digest, err)
	}
}

func (s Sources) unknownName(t *testing.T) {
	f := NewFixture(t, "single manifest", "src")
	p := s.open(t, f)
	for _, name := range []string{"docker.io/airgap-test/single:unknown", "docker.io/airgap-test/unknown:src"} {
		_, err := p.Source.Open(t.Context(), []string{p.Ask(f.Names[0]), p.Ask(name)}, image.Platforms{})
		wantNotFound(t, err, p.Ask(name))
	}
}

func (s Sources) unknownBlob(t *testing.T) {
	_, _, set, _ := s.single(t)
	d := image.Descriptor{MediaType: "application/vnd.oci.image.layer.v1.tar+gzip", Digest: image.SHA256([]byte("unknown")), Size: 7}
	if _, err := readAll(t.Context(), set, d); !errors.Is(err, image.ErrNotFound) {
		t.Errorf("error %v, want ErrNotFound", err)
	}
	d.Digest.Hex = "../../../../etc/passwd"
	if _, err := readAll(t.Context(), set, d); err == nil {
		t.Error("a digest that is a path gave a blob")
	}
}

// lyingDescriptor asks for blobs with a size that they do not have.
func (s Sources) lyingDescriptor(t *testing.T) {
	_, _, set, g := s.single(t)
	for _, delta := range []int64{-1, 1, 1 << 40} {
		d := g.Layers()[0]
		d.Size += delta
		wantDigestError(t, set, d, "size wrong by", delta)
	}
}

func wantDigestError(t *testing.T, set image.Set, d image.Descriptor, what ...any) {
	t.Helper()
	var digestErr *image.DigestError
	got, err := readAll(t.Context(), set, d)
	if !errors.As(err, &digestErr) {
		t.Errorf("%v: error %v after %d bytes, want a DigestError", what, err, len(got))
	}
	if int64(len(got)) > d.Size {
		t.Errorf("%v: %d bytes came, %d were asked for", what, len(got), d.Size)
	}
}

func (s Sources) spoiled(t *testing.T) {
	_, p, set, g := s.single(t)
	layer := g.Layers()[0]
	p.Spoil(t, layer.Digest)
	wantDigestError(t, set, layer, "spoiled layer")

	config := g.Manifests[0].Config
	p.Spoil(t, config.Digest)
	wantDigestError(t, set, config, "spoiled config")
	all := image.Platforms{All: true}
	if _, err := image.Read(t.Context(), set, set.Roots()[0], all.Select); err == nil {
		t.Error("a graph with a spoiled config was read")
	}
}

func (s Sources) lost(t *testing.T) {
	_, p, set, g := s.single(t)
	layer := g.Layers()[0]
	p.Lose(t, layer.Digest)
	if _, err := readAll(t.Context(), set, layer); !errors.Is(err, image.ErrNotFound) {
		t.Errorf("error %v, want ErrNotFound", err)
	}
}

func (s Sources) cancelled(t *testing.T) {
	f, p, set, g := s.single(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := p.Source.Open(ctx, each(f.Names, p.Ask), image.Platforms{}); !errors.Is(err, context.Canceled) {
		t.Errorf("Open: error %v, want context.Canceled", err)
	}
	if _, err := readAll(ctx, set, g.Layers()[0]); !errors.Is(err, context.Canceled) {
		t.Errorf("Fetch: error %v, want context.Canceled", err)
	}
}

// closedEarly leaves a blob half read, which must not disturb the next.
func (s Sources) closedEarly(t *testing.T) {
	f, _, set, g := s.single(t)
	d := g.Layers()[0]
	r, err := set.Fetch(t.Context(), d)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(r, make([]byte, 10)); err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	got, err := readAll(t.Context(), set, d)
	if err != nil || !bytes.Equal(got, f.Images.Bytes(d.Digest)) {
		t.Errorf("the next read gave %d bytes, error %v", len(got), err)
	}
}
