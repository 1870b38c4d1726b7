package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"testing"

	"airgap/bundle/image"
	"airgap/bundle/image/layer"
)

// Streamers is the suite for places that yield their blobs in an order of
// their own.
type Streamers struct {
	// New makes a place that holds the fixture's images and opens it. What it
	// needs to clean up it leaves to t.
	New func(t *testing.T, f Fixture) StreamPlace
	// Skip answers why a place cannot hold a fixture at all, or "".
	Skip func(f Fixture) string
	// Salt is that of all images; see [Fixtures]. A place that outlives the
	// test needs one that no other run has.
	Salt string
}

// StreamPlace is a place under test.
type StreamPlace struct {
	Source image.Source
	Origin string // of every Root
	// DigestLost says that the place makes up the manifests: only configs and
	// the content of layers are the fixture's.
	DigestLost bool
	// Ask spells a fixture's name for Open, and Named the Root's name that
	// comes from it. Nil: the name as it is.
	Ask, Named func(name string) string
}

// Run runs the suite.
func (s Streamers) Run(t *testing.T) {
	for _, f := range Fixtures(s.Salt) {
		t.Run(f.Label, func(t *testing.T) {
			if s.Skip != nil && s.Skip(f) != "" {
				t.Skip(s.Skip(f))
			}
			s.images(t, f)
		})
	}
	t.Run("name by digest", s.pinned)
	t.Run("unknown name", s.unknownName)
	t.Run("cancelled open", s.cancelledOpen)
	t.Run("cancelled stream", s.cancelledStream)
	t.Run("refusing receiver", s.refusingReceiver)
}

func (s Streamers) open(t *testing.T, f Fixture) StreamPlace {
	p := s.New(t, f)
	p.Ask, p.Named = either(p.Ask), either(p.Named)
	t.Cleanup(func() {
		if err := p.Source.Close(); err != nil {
			t.Errorf("closing the source: %v", err)
		}
	})
	return p
}

// single opens the stream of the simplest image.
func (s Streamers) single(t *testing.T) image.Streamer {
	f := NewFixture(t, "single manifest", s.Salt)
	p := s.open(t, f)
	return mustStream(t, p, each(f.Names, p.Ask))
}

func mustStream(t *testing.T, p StreamPlace, names []string) image.Streamer {
	t.Helper()
	set, ok := mustOpen(t, p.Source, names, image.Platforms{}).(image.Streamer)
	if !ok {
		t.Fatal("the set is not a Streamer")
	}
	return set
}

// images streams the images of a fixture and wants their configs byte for
// byte, and the layers that these speak of.
func (s Streamers) images(t *testing.T, f Fixture) {
	p := s.open(t, f)
	names := slices.Clone(f.Names)
	slices.Reverse(names)
	set := mustStream(t, p, each(names, p.Ask))
	s.estimates(t, p, set.Estimate(), names)

	spool := &spool{keys: map[string]image.Digest{}, blobs: map[image.Digest][]byte{}}
	if err := set.Stream(t.Context(), spool.put); err != nil {
		t.Fatal(err)
	}
	if len(set.Roots()) != len(names) {
		t.Fatalf("%d roots for %d names", len(set.Roots()), len(names))
	}
	for i, root := range set.Roots() {
		want := f.Graph(t, names[i])
		if root.Name != p.Named(names[i]) || root.Origin != p.Origin || root.DigestLost != p.DigestLost {
			t.Errorf("root %d is %+v, want name %q from %q, digest lost: %t", i, root, p.Named(names[i]), p.Origin, p.DigestLost)
		}
		if !p.DigestLost && root.Desc.Digest != want.Root.Desc.Digest {
			t.Errorf("root %q is %s, want %s", root.Name, root.Desc.Digest, want.Root.Desc.Digest)
		}
		spool.holds(t, f, set, root, want)
	}
}

// pinned asks by digest, with a tag and without, where the place keeps digests.
func (s Streamers) pinned(t *testing.T) {
	f := NewFixture(t, "single manifest", s.Salt)
	p := s.open(t, f)
	if p.DigestLost {
		t.Skip("the place makes up the manifests")
	}
	d := f.Graph(t, f.Names[0]).Root.Desc.Digest
	for _, name := range []string{f.Names[0] + "@" + d.String(), image.Repository(f.Names[0]) + "@" + d.String()} {
		if got := mustStream(t, p, []string{p.Ask(name)}).Estimate()[0]; got.Name != p.Named(name) || got.Asked != "" {
			t.Errorf("%q is %+v", name, got)
		}
	}
}

func (s Streamers) estimates(t *testing.T, p StreamPlace, got []image.Estimate, names []string) {
	t.Helper()
	if len(got) != len(names) {
		t.Fatalf("%d estimates for %d names", len(got), len(names))
	}
	for i, e := range got {
		if e.Name != p.Named(names[i]) {
			t.Errorf("estimate %d is of %q, want %q", i, e.Name, p.Named(names[i]))
		}
		if e.Platform.OS != "" && !image.MatchPlatform(Host, e.Platform) {
			t.Errorf("estimate of %q is for %s", e.Name, e.Platform)
		}
		if e.Size < 0 {
			t.Errorf("estimate of %q has size %d", e.Name, e.Size)
		}
	}
}

// spool keeps everything that a stream puts.
type spool struct {
	mu    sync.Mutex
	keys  map[string]image.Digest
	blobs map[image.Digest][]byte
}

func (s *spool) put(ctx context.Context, key string, size int64, r io.Reader) (image.Digest, error) {
	b, err := io.ReadAll(r)
	if err != nil {
		return image.Digest{}, err
	}
	if int64(len(b)) != size {
		return image.Digest{}, fmt.Errorf("%d bytes put where %d were announced", len(b), size)
	}
	d := image.SHA256(b)
	s.mu.Lock()
	defer s.mu.Unlock()
	if first, known := s.keys[key]; known && key != "" && first != d {
		return d, fmt.Errorf("key %q is of %s and of %s", key, first, d)
	}
	s.keys[key], s.blobs[d] = d, b
	return d, nil
}

// holds fails the test unless the spool has the host's image of want.
func (s *spool) holds(t *testing.T, f Fixture, set image.Set, root image.Root, want *image.Graph) {
	t.Helper()
	// Of several variants a place may have kept the one that it runs.
	host := image.Platforms{List: []image.Platform{Host}}
	there := image.Select(host.Select).Whole(func(child image.Descriptor) bool {
		_, err := image.Read(t.Context(), set, image.Root{Desc: child}, host.Select)
		return !errors.Is(err, image.ErrNotFound)
	})
	g, err := image.Read(t.Context(), set, root, there)
	if err != nil {
		t.Fatal(err)
	}
	got, ok := Chosen(g, Host)
	if !ok {
		t.Fatalf("image %q holds only %v", root.Name, g.Platforms())
	}
	wanted, _ := Chosen(want, Host)
	if got.Config.Digest != wanted.Config.Digest || !bytes.Equal(g.Document(got.Config.Digest), f.Images.Bytes(wanted.Config.Digest)) {
		t.Errorf("image %q: config %s, want %s", root.Name, got.Config.Digest, wanted.Config.Digest)
	}
	for i, l := range got.Layers {
		b, ok := s.blobs[l.Digest]
		if !ok || int64(len(b)) != l.Size {
			t.Errorf("image %q: layer %d, %s, was not put", root.Name, i, l.Digest)
		} else if id, err := layer.DiffID(context.Background(), bytes.NewReader(b), layer.NewAllowance(0)); err != nil || id != wanted.DiffIDs[i] {
			t.Errorf("image %q: layer %d has the diffID %s (%v), want %s", root.Name, i, id, err, wanted.DiffIDs[i])
		}
	}
}

func (s Streamers) unknownName(t *testing.T) {
	f := NewFixture(t, "single manifest", s.Salt)
	p := s.open(t, f)
	name := p.Ask("docker.io/airgap-test/single:unknown" + s.Salt)
	_, err := p.Source.Open(t.Context(), []string{p.Ask(f.Names[0]), name}, image.Platforms{})
	wantNotFound(t, err, name)
}

func (s Streamers) cancelledOpen(t *testing.T) {
	f := NewFixture(t, "single manifest", s.Salt)
	p := s.open(t, f)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := p.Source.Open(ctx, each(f.Names, p.Ask), image.Platforms{}); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want context.Canceled", err)
	}
}

func (s Streamers) cancelledStream(t *testing.T) {
	set := s.single(t)
	ctx, cancel := context.WithCancel(t.Context())
	err := set.Stream(ctx, func(ctx context.Context, _ string, _ int64, r io.Reader) (image.Digest, error) {
		cancel()
		_, err := io.Copy(io.Discard, r)
		return image.SHA256(nil), errors.Join(err, context.Cause(ctx))
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want context.Canceled", err)
	}
}

// refusingReceiver is out of space, say, at the first byte.
func (s Streamers) refusingReceiver(t *testing.T) {
	err := s.single(t).Stream(t.Context(), func(context.Context, string, int64, io.Reader) (image.Digest, error) {
		return image.Digest{}, ErrInjected
	})
	if !errors.Is(err, ErrInjected) {
		t.Errorf("error %v, want that of the receiver", err)
	}
}
