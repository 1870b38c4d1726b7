package storetest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"airgap/bundle/image"
)

// Sinks is the suite for destinations.
type Sinks struct {
	// New makes a place and opens it. It need not be empty, but holds none of
	// the images with the salts that the suite uses.
	New func(t *testing.T) SinkPlace
	// Skip answers why a place cannot take a fixture at all, or "".
	Skip func(f Fixture) string
	// Salt begins the salts of all images; see [Fixtures]. A place that
	// outlives the test needs one that no other run has.
	Salt string
}

// SinkPlace is a place under test, with means to look into it that do not use
// the Sink.
type SinkPlace struct {
	Sink image.Sink
	// Platform is the one that the place runs; zero: any.
	Platform image.Platform
	// Named says that the place holds no image without a name, and TagsOnly
	// that it holds no name by digest.
	Named, TagsOnly bool
	// Find tells what a name points to, in the terms of State.ID; the zero
	// Digest for nothing.
	Find func(t *testing.T, name string) image.Digest
	// Check fails the test unless the place holds the image whole.
	Check func(t *testing.T, f Fixture, g *image.Graph)
	// Left lists what the place holds of an image that it should not know.
	Left func(t *testing.T, g *image.Graph) []string
	// Remove removes an image, or a part of it, as others do.
	Remove func(t *testing.T, g *image.Graph)
	// Point makes a name point to an image that is there, as others do.
	Point func(t *testing.T, name string, g *image.Graph)
}

// Run runs the suite.
func (s Sinks) Run(t *testing.T) {
	for i, f := range Fixtures(s.Salt) {
		t.Run(f.Label, func(t *testing.T) {
			f := kinds[i].make(fmt.Sprintf("%simport%d", s.Salt, i))
			if s.Skip != nil && s.Skip(f) != "" {
				t.Skip(s.Skip(f))
			}
			s.imports(t, f)
		})
	}
	t.Run("untagged", s.untagged)
	t.Run("abort", s.abort)
	t.Run("commit without write", s.commitWithoutWrite)
	t.Run("moved name", s.movedName)
	t.Run("name by digest", s.pinned)
	t.Run("removed before Commit", s.removed)
	t.Run("name moved before Commit", s.movedBefore)
	t.Run("name taken before Commit", s.takenBefore)
	t.Run("foreign platform", s.foreignPlatform)
	t.Run("cancelled", s.cancelled)
	t.Run("side by side", s.sideBySide)
	t.Run("all at once", s.allAtOnce)
	t.Run("flush", s.flush)
	for _, kind := range AllBlobFaults {
		t.Run(kind.String(), func(t *testing.T) { s.fault(t, kind) })
	}
}

func (s Sinks) open(t *testing.T) SinkPlace {
	p := s.New(t)
	t.Cleanup(func() {
		if err := p.Sink.Close(); err != nil {
			t.Errorf("closing the sink: %v", err)
		}
	})
	return p
}

// single is the simplest image, with a salt of its own.
func (s Sinks) single(t *testing.T, salt string) (Fixture, *image.Graph) {
	f := NewFixture(t, "single manifest", s.Salt+salt)
	return f, f.Graph(t, f.Names[0])
}

func (p SinkPlace) begin(t *testing.T, g *image.Graph, names ...string) image.Txn {
	t.Helper()
	txn, err := p.Sink.Begin(t.Context(), image.Import{Graph: g, Names: names})
	if err != nil {
		t.Fatal(err)
	}
	return txn
}

func (p SinkPlace) write(t *testing.T, txn image.Txn, f Fixture) {
	t.Helper()
	if err := txn.Write(t.Context(), f.Images, func(int64) {}); err != nil {
		t.Fatal(err)
	}
}

func (p SinkPlace) commit(t *testing.T, txn image.Txn) []image.Tag {
	t.Helper()
	tags, err := txn.Commit(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return tags
}

// pointsTo fails the test unless each name points to id.
func (p SinkPlace) pointsTo(t *testing.T, id image.Digest, names ...string) {
	t.Helper()
	for _, name := range names {
		if got := p.Find(t, name); got != id {
			t.Errorf("name %q points to %s, want %s", name, got, id)
		}
	}
}

// nothing fails the test if the place knows anything of an image.
func (p SinkPlace) nothing(t *testing.T, when string, g *image.Graph, names ...string) {
	t.Helper()
	p.pointsTo(t, image.Digest{}, names...)
	if left := p.Left(t, g); len(left) > 0 {
		t.Errorf("%s, the place holds %v", when, left)
	}
}

// imports brings the images of a fixture, one after the other, and then again.
func (s Sinks) imports(t *testing.T, f Fixture) {
	p := s.open(t)
	seen := map[image.Digest]bool{}
	for _, img := range grouped(t, f) {
		txn := p.begin(t, img.Graph, img.Names...)
		state := txn.State()
		p.pointsTo(t, image.Digest{}, img.Names...)
		if len(seen) == 0 {
			p.nothing(t, "after Begin", img.Graph)
		}
		if !seen[state.ID] { // two images may have one ID in an engine
			checkState(t, state, img, image.Digest{})
		}
		seen[state.ID] = true
		s.writes(t, p, f, txn)
		p.pointsTo(t, image.Digest{}, img.Names...)
		checkTags(t, p.commit(t, txn), img.Names, image.Digest{}, state.ID)
		p.pointsTo(t, state.ID, img.Names...)
		p.Check(t, f, img.Graph)
		s.afterwards(t, p, f, img, txn)
		s.again(t, p, f, img)
	}
}

// afterwards commits a second time and then aborts, which both change nothing.
func (s Sinks) afterwards(t *testing.T, p SinkPlace, f Fixture, img image.Import, txn image.Txn) {
	t.Helper()
	p.commit(t, txn)
	if err := txn.Abort(t.Context()); err != nil {
		t.Errorf("Abort after Commit: %v", err)
	}
	p.pointsTo(t, txn.State().ID, img.Names...)
	p.Check(t, f, img.Graph)
}

// grouped is one import per image of a fixture, with all its names.
func grouped(t *testing.T, f Fixture) []image.Import {
	var list []image.Import
	for _, name := range f.Names {
		g := f.Graph(t, name)
		i := slices.IndexFunc(list, func(img image.Import) bool { return img.Graph.Root.Desc.Digest == g.Root.Desc.Digest })
		if i < 0 {
			i, list = len(list), append(list, image.Import{Graph: g})
		}
		list[i].Names = append(list[i].Names, name)
	}
	return list
}

// writes writes and holds the transaction to what its state announced.
func (s Sinks) writes(t *testing.T, p SinkPlace, f Fixture, txn image.Txn) {
	t.Helper()
	var settled atomic.Int64
	asked := &recorder{from: f.Images}
	if err := txn.Write(t.Context(), asked, func(n int64) { settled.Add(n) }); err != nil {
		t.Fatal(err)
	}
	if settled.Load() != txn.State().Size {
		t.Errorf("Write settled %d bytes, State announced %d", settled.Load(), txn.State().Size)
	}
	for _, d := range asked.blobs {
		if !slices.ContainsFunc(txn.State().Need, func(n image.Descriptor) bool { return n.Digest == d.Digest }) {
			t.Errorf("Write asked for %s, which State did not announce", d.Digest)
		}
	}
}

// again imports an image that is there.
func (s Sinks) again(t *testing.T, p SinkPlace, f Fixture, img image.Import) {
	t.Helper()
	txn := p.begin(t, img.Graph, img.Names...)
	state := txn.State()
	if !state.Present || state.Size != 0 || len(state.Need) != 0 {
		t.Errorf("an image that is there: present %t, %d bytes needed", state.Present, state.Size)
	}
	checkTags(t, state.Tags, img.Names, state.ID, state.ID)
	asked := &recorder{from: f.Images}
	if err := txn.Write(t.Context(), asked, func(int64) {}); err != nil {
		t.Fatal(err)
	}
	if len(asked.blobs) > 0 {
		t.Errorf("an image that is there: Write asked for %v", asked.blobs)
	}
	checkTags(t, p.commit(t, txn), img.Names, state.ID, state.ID)
	p.pointsTo(t, state.ID, img.Names...)
}

func checkState(t *testing.T, state image.State, img image.Import, old image.Digest) {
	t.Helper()
	var sum int64
	known := append(img.Graph.Documents(), img.Graph.Layers()...)
	for _, d := range state.Need {
		sum += d.Size
		if !slices.ContainsFunc(known, func(k image.Descriptor) bool { return k.Digest == d.Digest }) {
			t.Errorf("State needs %s, which is not the image's", d.Digest)
		}
	}
	if sum != state.Size {
		t.Errorf("State.Size is %d, the blobs needed have %d bytes", state.Size, sum)
	}
	if state.Present || image.CheckDigest(state.ID) != nil {
		t.Errorf("State of an image that is not there: present %t, ID %s", state.Present, state.ID)
	}
	checkTags(t, state.Tags, img.Names, old, state.ID)
}

func checkTags(t *testing.T, tags []image.Tag, names []string, old, id image.Digest) {
	t.Helper()
	var want []image.Tag
	for _, name := range names {
		want = append(want, image.Tag{Name: name, Old: old, New: id})
	}
	if !slices.Equal(tags, want) {
		t.Errorf("tags %v, want %v", tags, want)
	}
}

// recorder notes what is fetched.
type recorder struct {
	from  image.Fetcher
	mu    sync.Mutex
	blobs []image.Descriptor
}

func (r *recorder) Fetch(ctx context.Context, d image.Descriptor) (io.ReadCloser, error) {
	r.mu.Lock()
	r.blobs = append(r.blobs, d)
	r.mu.Unlock()
	return r.from.Fetch(ctx, d)
}

func (s Sinks) untagged(t *testing.T) {
	p := s.open(t)
	f, g := s.single(t, "untagged")
	if p.Named {
		if _, err := p.Sink.Begin(t.Context(), image.Import{Graph: g}); !errors.Is(err, image.ErrUnnamed) {
			t.Errorf("error %v, want ErrUnnamed", err)
		}
		return
	}
	txn := p.begin(t, g)
	p.write(t, txn, f)
	if tags := p.commit(t, txn); len(tags) > 0 {
		t.Errorf("tags %v of an image without a name", tags)
	}
	p.Check(t, f, g)
	s.again(t, p, f, image.Import{Graph: g})
}

func (s Sinks) abort(t *testing.T) {
	p := s.open(t)
	f, g := s.single(t, "abort")
	txn := p.begin(t, g, f.Names...)
	if err := txn.Abort(t.Context()); err != nil {
		t.Errorf("Abort before Write: %v", err)
	}
	txn = p.begin(t, g, f.Names...)
	p.write(t, txn, f)
	for range 2 {
		if err := txn.Abort(t.Context()); err != nil {
			t.Errorf("Abort: %v", err)
		}
		p.nothing(t, "after Abort", g, f.Names...)
	}
}

func (s Sinks) commitWithoutWrite(t *testing.T) {
	p := s.open(t)
	f, g := s.single(t, "unwritten")
	txn := p.begin(t, g, f.Names...)
	if _, err := txn.Commit(t.Context()); err == nil {
		t.Error("Commit named an image that was not written")
	}
	if err := txn.Abort(t.Context()); err != nil {
		t.Error(err)
	}
	p.nothing(t, "after a refused Commit", g, f.Names...)
}

func (s Sinks) movedName(t *testing.T) {
	p := s.open(t)
	f1, g1 := s.single(t, "moved1")
	f2, g2 := s.single(t, "moved2")
	name := f1.Names[0]
	first := p.begin(t, g1, name)
	p.write(t, first, f1)
	p.commit(t, first)

	second := p.begin(t, g2, name)
	old, id := first.State().ID, second.State().ID
	checkTags(t, second.State().Tags, []string{name}, old, id)
	if tags := second.State().Tags; len(tags) != 1 || !tags[0].Moved() {
		t.Errorf("tags %v: not reported as moved", tags)
	}
	p.write(t, second, f2)
	p.pointsTo(t, old, name)
	checkTags(t, p.commit(t, second), []string{name}, old, id)
	p.pointsTo(t, id, name)
	p.Check(t, f2, g2)
}

// pinned brings images by digest, with a tag and without. What the place cannot
// hold it says.
func (s Sinks) pinned(t *testing.T) {
	for _, kind := range []string{"single manifest", "index with attestations"} {
		for _, withTag := range []bool{true, false} {
			p := s.open(t)
			f := NewFixture(t, kind, fmt.Sprintf("%spinned%t", s.Salt, withTag))
			g := f.Graph(t, f.Names[0])
			names := image.Names(f.Names[0] + "@" + g.Root.Desc.Digest.String())
			if !withTag {
				names = names[1:]
			}
			txn := p.begin(t, g, names...)
			held, lost := names, []string(nil)
			if p.TagsOnly {
				held, lost = names[:len(names)-1], names[len(names)-1:]
			}
			if got := txn.State().Lost; !slices.Equal(got, lost) {
				t.Errorf("%s: names lost %q, expected %q", kind, got, lost)
			}
			checkTags(t, txn.State().Tags, held, image.Digest{}, txn.State().ID)
			p.write(t, txn, f)
			checkTags(t, p.commit(t, txn), held, image.Digest{}, txn.State().ID)
			p.pointsTo(t, txn.State().ID, held...)
			p.Check(t, f, g)
			again := p.begin(t, g, names...)
			if !again.State().Present {
				t.Errorf("%s: it is not there", kind)
			}
			checkTags(t, again.State().Tags, held, again.State().ID, again.State().ID)
			s.unpin(t, p, held)
		}
	}
}

// unpin takes names away again, where the place can.
func (s Sinks) unpin(t *testing.T, p SinkPlace, names []string) {
	t.Helper()
	place, ok := p.Sink.(image.Tidier)
	if !ok {
		return
	}
	for _, name := range names { // a digest after the tag beside it
		if err := place.Retag(t.Context(), name, image.Digest{}); err != nil {
			t.Errorf("taking %q away: %v", name, err)
		}
	}
	for _, name := range names {
		if d, err := place.Tagged(t.Context(), name); d != (image.Digest{}) || err != nil {
			t.Errorf("%q is still %s, %v", name, d, err)
		}
	}
}

// there brings the simplest image with a salt of its own, and names it.
func (s Sinks) there(t *testing.T, p SinkPlace, salt string, more ...string) (Fixture, *image.Graph) {
	t.Helper()
	f, g := s.single(t, salt)
	txn := p.begin(t, g, append(more, f.Names...)...)
	p.write(t, txn, f)
	p.commit(t, txn)
	return f, g
}

// removed has others remove the image that Begin has found, or Write brought.
func (s Sinks) removed(t *testing.T) {
	for _, when := range []string{"found", "written"} {
		t.Run(when, func(t *testing.T) {
			p := s.open(t)
			f, g := s.single(t, "removed"+when)
			if when == "found" {
				s.there(t, p, "removed"+when)
			}
			txn := p.begin(t, g, f.Names...)
			p.write(t, txn, f)
			p.look(t, txn)
			if !txn.State().Present {
				t.Error("what is there is not present")
			}
			p.Remove(t, g)
			if tags, err := txn.Commit(t.Context()); !errors.Is(err, image.ErrGone) || len(tags) > 0 {
				t.Errorf("Commit: tags %v, error %v, want ErrGone", tags, err)
			}
			p.look(t, txn)
			if state := txn.State(); state.Present || len(state.Need) == 0 {
				t.Errorf("present %t, %d blobs needed", state.Present, len(state.Need))
			}
			s.writes(t, p, f, txn)
			p.commit(t, txn)
			p.pointsTo(t, txn.State().ID, f.Names...)
			p.Check(t, f, g)
		})
	}
}

func (p SinkPlace) look(t *testing.T, txn image.Txn) {
	t.Helper()
	if err := txn.Look(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// movedBefore has others move a name of an image that is there.
func (s Sinks) movedBefore(t *testing.T) {
	p := s.open(t)
	f1, g1 := s.there(t, p, "before1", "docker.io/airgap-test/single:"+s.Salt+"kept")
	f2, g2 := s.there(t, p, "before2")
	txn := p.begin(t, g1, f1.Names...)
	id := txn.State().ID
	checkTags(t, txn.State().Tags, f1.Names, id, id)
	p.Point(t, f1.Names[0], g2)
	other := p.Find(t, f1.Names[0])
	checkTags(t, p.commit(t, txn), f1.Names, other, id)
	p.pointsTo(t, id, f1.Names...)
	p.pointsTo(t, other, f2.Names...)
}

// takenBefore has others take a name that must not be moved.
func (s Sinks) takenBefore(t *testing.T) {
	p := s.open(t)
	f1, g1 := s.single(t, "taken1")
	f2, g2 := s.there(t, p, "taken2")
	txn, err := p.Sink.Begin(t.Context(), image.Import{Graph: g1, Names: f1.Names, NoReplace: true})
	if err != nil {
		t.Fatal(err)
	}
	p.write(t, txn, f1)
	p.Point(t, f1.Names[0], g2)
	other := p.Find(t, f1.Names[0])
	var taken *image.TakenError
	if tags, err := txn.Commit(t.Context()); !errors.As(err, &taken) || taken.Tag.Old != other || len(tags) > 0 {
		t.Errorf("Commit: tags %v, error %v, want a TakenError", tags, err)
	}
	if err := txn.Abort(t.Context()); err != nil {
		t.Error(err)
	}
	p.pointsTo(t, other, append(f1.Names, f2.Names...)...)
}

func (s Sinks) foreignPlatform(t *testing.T) {
	p := s.open(t)
	images := NewMemory()
	name := "docker.io/airgap-test/foreign:" + s.Salt
	images.Name(name, images.Manifest(Config{Platform: image.Platform{OS: "plan9", Architecture: "mips"}}))
	f := Fixture{Images: images, Names: []string{name}}
	_, err := p.Sink.Begin(t.Context(), image.Import{Graph: f.Graph(t, name), Names: f.Names})
	var platformErr *image.PlatformError
	switch any := p.Platform.OS == ""; {
	case any && err != nil:
		t.Error(err)
	case !any && !errors.As(err, &platformErr):
		t.Errorf("error %v, want a PlatformError", err)
	case !any && (!slices.ContainsFunc(platformErr.Want, p.Platform.Equals) || len(platformErr.Have) != 1):
		t.Errorf("error %v does not tell what the place runs and what the image has", err)
	}
}

func (s Sinks) cancelled(t *testing.T) {
	p := s.open(t)
	f, g := s.single(t, "cancelled")
	ctx, cancel := context.WithCancel(t.Context())
	txn, err := p.Sink.Begin(ctx, image.Import{Graph: g, Names: f.Names})
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if _, err := p.Sink.Begin(ctx, image.Import{Graph: g, Names: f.Names}); !errors.Is(err, context.Canceled) {
		t.Errorf("Begin: error %v, want context.Canceled", err)
	}
	if err := txn.Write(ctx, f.Images, func(int64) {}); !errors.Is(err, context.Canceled) {
		t.Errorf("Write: error %v, want context.Canceled", err)
	}
	if err := txn.Abort(t.Context()); err != nil {
		t.Error(err)
	}
	p.nothing(t, "after a cancelled Write", g, f.Names...)
}

// sideBySide brings two images that share a layer at once and takes one back.
func (s Sinks) sideBySide(t *testing.T) {
	p := s.open(t)
	f := NewFixture(t, "shared layers", s.Salt+"sidebyside")
	var txns []image.Txn
	for _, name := range f.Names {
		txns = append(txns, p.begin(t, f.Graph(t, name), name))
	}
	errs := make([]error, len(txns))
	var wait sync.WaitGroup
	for i, txn := range txns {
		wait.Go(func() { errs[i] = txn.Write(t.Context(), f.Images, func(int64) {}) })
	}
	wait.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	if err := txns[0].Abort(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.commit(t, txns[1])
	p.pointsTo(t, image.Digest{}, f.Names[0])
	p.pointsTo(t, txns[1].State().ID, f.Names[1])
	p.Check(t, f, f.Graph(t, f.Names[1]))
}

// allAtOnce sets the names of several images together, where the place can.
func (s Sinks) allAtOnce(t *testing.T) {
	for _, c := range []struct {
		what     string
		meddle   func(t *testing.T, p SinkPlace, second *image.Graph, name string)
		expected error
	}{
		{"nobody meddles", nil, nil},
		{"removed", func(t *testing.T, p SinkPlace, second *image.Graph, _ string) { p.Remove(t, second) }, image.ErrGone},
		{"taken", func(t *testing.T, p SinkPlace, _ *image.Graph, name string) {
			_, other := s.there(t, p, "atonceother")
			p.Point(t, name, other)
		}, &image.TakenError{}},
	} {
		t.Run(c.what, func(t *testing.T) {
			p := s.open(t)
			var all []image.Txn
			var graphs []*image.Graph
			var names []string
			for i := range 3 {
				f, g := s.single(t, fmt.Sprintf("atonce%d", i))
				txn, err := p.Sink.Begin(t.Context(), image.Import{Graph: g, Names: f.Names, NoReplace: true})
				if err != nil {
					t.Fatal(err)
				}
				if _, ok := txn.(image.Joint); !ok {
					t.Skip("the place sets the names of one image after the other")
				}
				p.write(t, txn, f)
				all, graphs, names = append(all, txn), append(graphs, g), append(names, f.Names...)
			}
			joint := all[0].(image.Joint)
			if err := joint.LookAll(t.Context(), all); err != nil || !all[2].State().Present {
				t.Errorf("present %t, error %v", all[2].State().Present, err)
			}
			if c.meddle != nil {
				c.meddle(t, p, graphs[1], names[1])
			}
			tags, err := joint.CommitAll(t.Context(), all)
			if taken := (*image.TakenError)(nil); c.expected == nil && err != nil || !errors.Is(err, c.expected) && !errors.As(err, &taken) {
				t.Fatalf("error %v, want %v", err, c.expected)
			}
			for i, txn := range all {
				id := txn.State().ID
				switch {
				case err == nil:
					checkTags(t, tags[i], names[i:i+1], image.Digest{}, id)
					p.pointsTo(t, id, names[i])
				case p.Find(t, names[i]) == id:
					t.Errorf("name %q was set", names[i])
				}
				if err := txn.Abort(t.Context()); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

func (s Sinks) flush(t *testing.T) {
	p := s.open(t)
	durable, why, err := p.Sink.Flush(t.Context())
	if err != nil || durable != (why == "") {
		t.Errorf("Flush: durable %t, why %q, error %v", durable, why, err)
	}
}

// fault brings an image whose last layer goes wrong, which must leave nothing,
// and then brings it as it should be.
func (s Sinks) fault(t *testing.T, kind FaultKind) {
	p := s.open(t)
	f, g := s.single(t, fmt.Sprintf("fault%d", kind))
	layers := g.Layers()
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	faults := NewFaults(t, Fault{Kind: kind, Digest: layers[len(layers)-1].Digest, Cancel: cancel})
	txn := p.begin(t, g, f.Names...)
	err := txn.Write(ctx, faults.Fetcher(f.Images), func(int64) {})
	if err == nil {
		t.Error("Write took it")
	}
	if want := kind.cause(); want != nil && !errors.Is(err, want) {
		t.Errorf("Write: error %v, want %v", err, want)
	}
	if err := txn.Abort(t.Context()); err != nil {
		t.Errorf("Abort: %v", err)
	}
	p.nothing(t, "after a failed Write", g, f.Names...)
	s.imports(t, f)
}

// cause is what an error that comes from the fault wraps; nil for no error in
// particular.
func (k FaultKind) cause() error {
	switch k {
	case Absent:
		return image.ErrNotFound
	case Refused, Broken, Cancelled:
		return ErrInjected
	}
	return nil
}
