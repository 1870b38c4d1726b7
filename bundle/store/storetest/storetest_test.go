package storetest_test

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"testing"

	"airgap/bundle/image"
	"airgap/bundle/image/layer"
	"airgap/bundle/store/storetest"
)

func TestMemorySource(t *testing.T) {
	storetest.Sources{New: func(t *testing.T, f storetest.Fixture) storetest.SourcePlace {
		return storetest.SourcePlace{
			Source: f.Images, Origin: "memory",
			Spoil: func(_ *testing.T, d image.Digest) { f.Images.Spoil(d) },
			Lose:  func(_ *testing.T, d image.Digest) { f.Images.Lose(d) },
		}
	}}.Run(t)
}

func TestMemorySink(t *testing.T) {
	for _, platform := range []image.Platform{{}, storetest.Host} {
		t.Run("for "+platform.String(), func(t *testing.T) {
			storetest.Sinks{Salt: "mem", New: func(*testing.T) storetest.SinkPlace { return memorySink(platform) }}.Run(t)
		})
	}
}

func memorySink(platform image.Platform) storetest.SinkPlace {
	m := storetest.NewMemory()
	m.Platform = platform
	return storetest.SinkPlace{
		Sink: m, Platform: platform,
		Find: func(_ *testing.T, name string) image.Digest {
			d, _ := m.Find(name)
			return d.Digest
		},
		Check: func(t *testing.T, f storetest.Fixture, g *image.Graph) {
			for _, d := range append(g.Documents(), g.Layers()...) {
				if !bytes.Equal(m.Bytes(d.Digest), f.Images.Bytes(d.Digest)) {
					t.Errorf("blob %s is not there", d.Digest)
				}
			}
		},
		Left: func(*testing.T, *image.Graph) (left []string) {
			for _, d := range m.Digests() {
				left = append(left, d.String())
			}
			return left
		},
		Remove: func(_ *testing.T, g *image.Graph) { m.Lose(g.Layers()[0].Digest) },
		Point:  func(_ *testing.T, name string, g *image.Graph) { m.Name(name, g.Root.Desc) },
	}
}

// streams makes a Source of Streamers of a Memory.
type streams struct{ *storetest.Memory }

func (s streams) Open(ctx context.Context, names []string, want image.Platforms) (image.Set, error) {
	set, err := s.Memory.Open(ctx, names, want)
	return stream{set, s.Memory}, err
}

type stream struct {
	image.Set
	m *storetest.Memory
}

func (s stream) Estimate() (list []image.Estimate) {
	for _, root := range s.Roots() {
		list = append(list, image.Estimate{Name: root.Name, Platform: storetest.Host})
	}
	return list
}

func (s stream) Stream(ctx context.Context, put image.Put) error {
	for _, d := range s.m.Digests() {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		b := s.m.Bytes(d)
		if _, err := put(ctx, d.Hex, int64(len(b)), bytes.NewReader(b)); err != nil {
			return err
		}
	}
	return context.Cause(ctx)
}

func TestMemoryStream(t *testing.T) {
	storetest.Streamers{Salt: "mem", New: func(t *testing.T, f storetest.Fixture) storetest.StreamPlace {
		return storetest.StreamPlace{Source: streams{f.Images}, Origin: "memory"}
	}}.Run(t)
}

// TestFixtures proves that the images are what their labels say: every layer
// opens and has its diffID.
func TestFixtures(t *testing.T) {
	all := storetest.Fixtures("fix")
	if len(all) < 10 {
		t.Fatalf("only %d fixtures", len(all))
	}
	for _, f := range all {
		if len(f.Names) == 0 {
			t.Errorf("fixture %q has no images", f.Label)
		}
		for _, name := range f.Names {
			for _, m := range f.Graph(t, name).Manifests {
				for i, l := range m.Layers {
					if !m.Image {
						continue
					}
					if id, err := layer.DiffID(t.Context(), bytes.NewReader(f.Images.Bytes(l.Digest)), layer.NewAllowance(0)); err != nil || id != m.DiffIDs[i] {
						t.Errorf("%s: layer %d has diffID %s, error %v", name, i, id, err)
					}
				}
			}
		}
	}
}

// TestSaltsDiffer proves that two salts share no digest but those of content
// that cannot bear a salt.
func TestSaltsDiffer(t *testing.T) {
	a, b := storetest.Fixtures("a"), storetest.Fixtures("b")
	for i := range a {
		for _, d := range a[i].Images.Digests() {
			if len(a[i].Images.Bytes(d)) > 100 && slices.Contains(b[i].Images.Digests(), d) {
				t.Errorf("%s: both have %s", a[i].Label, d)
			}
		}
	}
}

func TestFaultsOfSinks(t *testing.T) {
	f := storetest.NewFixture(t, "single manifest", "faults")
	img := image.Import{Graph: f.Graph(t, f.Names[0]), Names: f.Names}
	faults := storetest.NewFaults(t,
		storetest.Fault{Kind: storetest.Refused, Call: "begin"}, storetest.Fault{Kind: storetest.Refused, Call: "write"},
		storetest.Fault{Kind: storetest.Refused, Call: "commit", Nth: 2}, storetest.Fault{Kind: storetest.Refused, Call: "abort"},
		storetest.Fault{Kind: storetest.Refused, Call: "flush"})
	sink := faults.Sink(storetest.NewMemory())
	injected := func(err error) {
		t.Helper()
		if !errors.Is(err, storetest.ErrInjected) {
			t.Errorf("error %v, want the injected one", err)
		}
	}
	fine := func(err error) {
		t.Helper()
		if err != nil {
			t.Error(err)
		}
	}
	_, err := sink.Begin(t.Context(), img)
	injected(err)
	txn, err := sink.Begin(t.Context(), img)
	fine(err)
	injected(txn.Write(t.Context(), f.Images, func(int64) {}))
	fine(txn.Write(t.Context(), f.Images, func(int64) {}))
	_, err = txn.Commit(t.Context())
	fine(err)
	_, err = txn.Commit(t.Context())
	injected(err)
	injected(txn.Abort(t.Context()))
	fine(txn.Abort(t.Context()))
	_, _, err = sink.Flush(t.Context())
	injected(err)
}
