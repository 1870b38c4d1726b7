package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"airgap/bundle/image"
	"airgap/bundle/store/storetest"
)

// fake is a place in memory that notes what it is asked for.
type fake struct {
	*storetest.Memory
	fail   error
	as     func(image.Set) image.Set // what Open gives; may be nil
	asked  [][]string
	closed int
}

func (f *fake) Open(ctx context.Context, names []string, want image.Platforms) (image.Set, error) {
	f.asked = append(f.asked, names)
	if f.fail != nil {
		return nil, f.fail
	}
	set, err := f.Memory.Open(ctx, names, want)
	if err == nil && f.as != nil {
		set = f.as(set)
	}
	return set, err
}

func (f *fake) Close() error {
	f.closed++
	return nil
}

// world is all places, each with some images.
type world struct {
	engine, registry, layout, archive *fake
	engineErr                         error
	paths                             []string
	notes                             []string
}

func newWorld() *world {
	holding := func(names ...string) *fake {
		f := &fake{Memory: storetest.NewMemory()}
		for _, name := range names {
			f.Name(name, f.Manifest(storetest.Config{Platform: storetest.Host, Note: name}))
		}
		return f
	}
	return &world{
		engine:   holding("docker.io/library/local:1", "docker.io/library/both:1"),
		registry: holding("docker.io/library/both:1", "docker.io/library/remote:1"),
		layout:   holding("docker.io/library/a:1", "docker.io/library/b:1"),
		archive:  holding("docker.io/library/a:1"),
	}
}

func (w *world) open(t *testing.T, o Options, specs ...string) (Opened, error) {
	t.Helper()
	o.Note = func(format string, args ...any) { w.notes = append(w.notes, fmt.Sprintf(format, args...)) }
	p := &picker{Options: o, at: map[place]image.Source{}, openers: openers{
		engine:   func(context.Context, string, Options) (both, error) { return w.engine, w.engineErr },
		registry: func(Options, bool) (both, error) { return w.registry, nil },
		layout: func(dir string) (image.Source, error) {
			w.paths = append(w.paths, dir)
			return w.layout, nil
		},
		archive: func(path string, how transport) (image.Source, error) {
			w.paths = append(w.paths, string(how)+path)
			return w.archive, nil
		},
	}}
	err := p.pickAll(t.Context(), specs)
	if err == nil {
		err = p.openSets(t.Context())
	}
	return p.opened, err
}

func (w *world) mustOpen(t *testing.T, o Options, specs ...string) Opened {
	t.Helper()
	opened, err := w.open(t, o, specs...)
	if err != nil {
		t.Fatal(err)
	}
	return opened
}

func wantAsked(t *testing.T, f *fake, want ...[]string) {
	t.Helper()
	if !slices.EqualFunc(f.asked, want, slices.Equal) {
		t.Errorf("asked for %v, want %v", f.asked, want)
	}
}

func TestNoPrefix(t *testing.T) {
	w := newWorld()
	opened := w.mustOpen(t, Options{}, "local:1", "remote:1", "both:1", "local:1")
	wantAsked(t, w.engine, []string{"local:1"}, []string{"remote:1"}, []string{"both:1"}, []string{"local:1"}, []string{"local:1", "both:1"})
	wantAsked(t, w.registry, []string{"remote:1"})
	if len(opened.Sets) != 2 || len(w.notes) != 4 || !strings.Contains(w.notes[0], "engine") || !strings.Contains(w.notes[1], "registry") {
		t.Errorf("%d sets, notes %q", len(opened.Sets), w.notes)
	}
	if err := opened.Close(); err != nil || w.engine.closed != 1 || w.registry.closed != 1 {
		t.Errorf("closing: error %v, %d and %d times", err, w.engine.closed, w.registry.closed)
	}
}

func TestFrom(t *testing.T) {
	w := newWorld()
	w.mustOpen(t, Options{From: "engine"}, "both:1")
	wantAsked(t, w.engine, []string{"both:1"})
	wantAsked(t, w.registry)
	if _, err := w.open(t, Options{From: "engine"}, "remote:1"); !errors.Is(err, image.ErrNotFound) {
		t.Errorf("error %v, want ErrNotFound", err)
	}
	w = newWorld()
	w.mustOpen(t, Options{From: "registry"}, "both:1")
	wantAsked(t, w.engine)
	wantAsked(t, w.registry, []string{"both:1"})
}

// TestForeignPlatform takes from the registry what the engine has for another
// platform only.
func TestForeignPlatform(t *testing.T) {
	w := newWorld()
	w.engine.fail = &image.PlatformError{Image: "both:1"}
	w.mustOpen(t, Options{}, "both:1")
	wantAsked(t, w.registry, []string{"both:1"})
}

// losing is an engine that does not keep the digests in names.
type losing struct{ image.Set }

func (losing) Stream(context.Context, image.Put) error { return nil }
func (l losing) Estimate() (list []image.Estimate) {
	for _, root := range l.Roots() {
		tagged, _, _, pinned := image.Pin(root.Name)
		e := image.Estimate{Name: tagged}
		if pinned {
			e.Asked = root.Name
		}
		list = append(list, e)
	}
	return list
}

// TestDigestLost takes what an engine has lost the digest of from the registry.
func TestDigestLost(t *testing.T) {
	w := newWorld()
	w.engine.as = func(set image.Set) image.Set { return losing{set} }
	d, _ := w.registry.Find("docker.io/library/both:1")
	pinned := "both:1@" + d.Digest.String()
	opened := w.mustOpen(t, Options{}, "both:1", pinned)
	wantAsked(t, w.registry, []string{pinned})
	if len(opened.Sets) != 2 || !strings.Contains(w.notes[1], "does not keep its digest") {
		t.Errorf("%d sets, notes %q", len(opened.Sets), w.notes)
	}
	w.registry.asked = nil
	w.mustOpen(t, Options{From: "engine"}, pinned)
	wantAsked(t, w.registry)
}

func TestNoEngine(t *testing.T) {
	w := newWorld()
	w.engineErr = errors.New("no such socket")
	w.mustOpen(t, Options{}, "remote:1", "both:1")
	wantAsked(t, w.engine)
	wantAsked(t, w.registry, []string{"remote:1", "both:1"})
	if !strings.Contains(strings.Join(w.notes, "\n"), "no such socket") {
		t.Errorf("notes %q do not say why", w.notes)
	}

	// Who looked for a local image learns of the engine too.
	_, err := w.open(t, Options{}, "local:1")
	if !errors.Is(err, image.ErrNotFound) || !errors.Is(err, w.engineErr) {
		t.Errorf("error %v", err)
	}
	// An explicit name says nothing of it.
	if _, err := w.open(t, Options{}, "docker://local:1"); errors.Is(err, w.engineErr) {
		t.Errorf("error %v", err)
	}
}

// TestID never asks a registry for an ID.
func TestID(t *testing.T) {
	for _, id := range []string{strings.Repeat("ab", 32), "sha256:" + strings.Repeat("ab", 32)} {
		w := newWorld()
		w.engine.fail = fmt.Errorf("image %q: %w", id, image.ErrNotFound)
		if _, err := w.open(t, Options{}, id); !errors.Is(err, image.ErrNotFound) {
			t.Errorf("error %v, want ErrNotFound", err)
		}
		wantAsked(t, w.registry)
	}
}

func TestPrefixes(t *testing.T) {
	w := newWorld()
	w.mustOpen(t, Options{},
		"docker-daemon:local:1", "docker://remote:1", "oci:some/dir:a:1", "docker-archive:x.tar:a:1", "oci:some/dir/:b:1", "oci-archive:x.tar:a:1", "docker://both:1")
	wantAsked(t, w.engine, []string{"local:1"})
	wantAsked(t, w.registry, []string{"remote:1", "both:1"})
	wantAsked(t, w.layout, []string{"a:1", "b:1"})
	wantAsked(t, w.archive, []string{"a:1"}, []string{"a:1"})
	if want := []string{filepath.Clean("some/dir"), "docker-archive:x.tar", "oci-archive:x.tar"}; !slices.Equal(w.paths, want) {
		t.Errorf("opened %v, want %v", w.paths, want)
	}
}

func TestBadSpecs(t *testing.T) {
	for _, spec := range []string{"", "docker://", "oci:", "docker-daemon:", "oci-archive:", "docker-archive:"} {
		var specErr *SpecError
		if _, err := newWorld().open(t, Options{}, spec); !errors.As(err, &specErr) || specErr.Spec != spec {
			t.Errorf("%q: error %v, want a SpecError", spec, err)
		}
	}
	var specErr *SpecError
	for _, spec := range []string{"skopeo", "oci:", "docker://host/prefix"} {
		if _, err := OpenSink(t.Context(), spec, Options{}); !errors.As(err, &specErr) {
			t.Errorf("sink %q: error %v, want a SpecError", spec, err)
		}
	}
}

func TestCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	w := newWorld()
	p := &picker{at: map[place]image.Source{}, openers: openers{engine: func(context.Context, string, Options) (both, error) { return w.engine, nil }}}
	if err := p.pickAll(ctx, []string{"local:1"}); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want context.Canceled", err)
	}
}

func TestSplitPath(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, name := range []string{"dir", "with:colon", "a:b:c"} {
		if err := os.Mkdir(name, 0o755); err != nil {
			t.Skip(err) // no colons in names here
		}
	}
	for _, c := range []struct{ in, path, name string }{
		{"dir", "dir", ""},
		{"dir:v1", "dir", "v1"},
		{"dir:postgres:15-alpine", "dir", "postgres:15-alpine"},
		{"dir:host:5000/app:v1", "dir", "host:5000/app:v1"},
		{"with:colon", "with:colon", ""},
		{"with:colon:v1", "with:colon", "v1"},
		{"a:b:c:d:e", "a:b:c", "d:e"},
		{"absent:v1", "absent", "v1"},
		{"absent", "absent", ""},
		{`C:\images\app.tar`, `C:\images\app.tar`, ""},
		{`C:\images\app.tar:app:v1`, `C:\images\app.tar`, "app:v1"},
		{"C:/images:v1", "C:/images", "v1"},
		{"x:v1", "x", "v1"},
	} {
		if path, name := splitPath(c.in); path != c.path || name != c.name {
			t.Errorf("%q is %q and %q, want %q and %q", c.in, path, name, c.path, c.name)
		}
	}
}

// TestRealPlaces goes through the real openers, where no engine is needed.
func TestRealPlaces(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "layout")
	sink, err := OpenSink(t.Context(), "oci:"+dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	f := storetest.NewFixture(t, "shared layers", "real")
	for _, name := range f.Names {
		txn, err := sink.Begin(t.Context(), image.Import{Graph: f.Graph(t, name), Names: []string{name}})
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
	opened, err := OpenAll(t.Context(), []string{"oci:" + dir}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer opened.Close()
	if len(opened.Sets) != 1 || len(opened.Sets[0].Roots()) != len(f.Names) {
		t.Errorf("opened %+v", opened.Sets)
	}
	if _, err := OpenAll(t.Context(), []string{"oci:" + dir + ":unknown"}, Options{}); !errors.Is(err, image.ErrNotFound) {
		t.Errorf("error %v, want ErrNotFound", err)
	}
}
