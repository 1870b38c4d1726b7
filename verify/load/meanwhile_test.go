package load_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"airgap/bundle/image"
	"airgap/bundle/store/storetest"
	"airgap/verify/load"
)

// shared is a place that others use too: before the calls that a test names,
// such as "commit 2", they do something.
type shared struct {
	*storetest.Memory
	others map[string]func()
	calls  map[string]int
}

func (s *shared) called(call string) {
	s.calls[call]++
	for _, when := range []string{fmt.Sprintf("%s %d", call, s.calls[call]), "every " + call} {
		if do := s.others[when]; do != nil {
			do()
		}
	}
}

func (s *shared) Begin(ctx context.Context, img image.Import) (image.Txn, error) {
	txn, err := s.Memory.Begin(ctx, img)
	return sharedTxn{txn, s}, err
}

func (s *shared) Flush(ctx context.Context) (bool, string, error) {
	s.called("flush")
	return s.Memory.Flush(ctx)
}

type sharedTxn struct {
	image.Txn
	s *shared
}

func (t sharedTxn) Write(ctx context.Context, from image.Fetcher, done func(n int64)) error {
	t.s.called("write")
	return t.Txn.Write(ctx, from, done)
}

func (t sharedTxn) Commit(ctx context.Context) ([]image.Tag, error) {
	t.s.called("commit")
	return t.Txn.Commit(ctx)
}

// TestMeanwhile imports two images, of which the place has the first at the
// beginning, while others use it.
func TestMeanwhile(t *testing.T) {
	f := storetest.NewFixture(t, "shared layers", "meanwhile")
	slices.Sort(f.Names) // as the bundle has them
	docs := documents(t, f)
	v := verified(t, docs)
	other, _ := storetest.NewFixture(t, "no layers", "meanwhile").Images.Find("docker.io/airgap-test/nothing:meanwhile")
	first, second := f.Graph(t, f.Names[0]), f.Graph(t, f.Names[1])
	own := first.Root.Desc.Digest
	var gone, taken, changed, moved, ok bool
	for name, c := range map[string]struct {
		others    func(m *storetest.Memory) map[string]func()
		noReplace bool
		want      *bool // how it ends
	}{
		"nothing happens": {func(*storetest.Memory) map[string]func() { return nil }, true, &ok},
		"what is there goes before the names are set": {func(m *storetest.Memory) map[string]func() {
			return map[string]func(){"flush 1": func() { m.Lose(own) }}
		}, true, &ok},
		"what was brought goes before the names are set": {func(m *storetest.Memory) map[string]func() {
			return map[string]func(){"flush 1": func() { m.Lose(second.Root.Desc.Digest) }}
		}, true, &ok},
		"it goes while the names are set": {func(m *storetest.Memory) map[string]func() {
			return map[string]func(){"commit 2": func() { m.Lose(second.Root.Desc.Digest) }}
		}, true, &ok},
		"it goes again and again": {func(m *storetest.Memory) map[string]func() {
			return map[string]func(){"every flush": func() { m.Lose(own) }}
		}, true, &gone},
		"it goes after the names are set": {func(m *storetest.Memory) map[string]func() {
			return map[string]func(){"flush 2": func() { m.Lose(own) }}
		}, true, &changed},
		"a name moves": {func(m *storetest.Memory) map[string]func() {
			return map[string]func(){"write 1": func() { m.Name(f.Names[0], other) }}
		}, false, &moved},
		"a name moves just before": {func(m *storetest.Memory) map[string]func() {
			return map[string]func(){"commit 1": func() { m.Name(f.Names[0], other) }}
		}, false, &moved},
		"a name that must not be moved": {func(m *storetest.Memory) map[string]func() {
			return map[string]func(){"write 1": func() { m.Name(f.Names[1], other) }}
		}, true, &taken},
		"a name that must not be moved, just before": {func(m *storetest.Memory) map[string]func() {
			return map[string]func(){"commit 1": func() { m.Name(f.Names[0], other) }}
		}, true, &taken},
		"a name moves afterwards": {func(m *storetest.Memory) map[string]func() {
			return map[string]func(){"flush 2": func() { m.Name(f.Names[1], other) }}
		}, true, &changed},
	} {
		t.Run(name, func(t *testing.T) {
			m := storetest.NewMemory()
			s := &shared{Memory: m, calls: map[string]int{}}
			plan, err := load.NewPlan(t.Context(), s, docs, load.Options{Only: f.Names[:1]})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := plan.Run(t.Context(), v, load.RunOptions{}); err != nil {
				t.Fatal(err)
			}

			s.others, s.calls = c.others(m), map[string]int{}
			if plan, err = load.NewPlan(t.Context(), s, docs, load.Options{NoReplace: c.noReplace}); err != nil {
				t.Fatal(err)
			}
			var said []image.Tag
			summary, err := plan.Run(t.Context(), v, load.RunOptions{Naming: func(tags []image.Tag) error {
				said = slices.Clone(tags)
				return nil
			}})
			var replace *load.ReplaceError
			var change *load.ChangedError
			isWhole := err == nil && errors.Join(whole(m, f, f.Names[0]), whole(m, f, f.Names[1])) == nil
			switch c.want {
			case &ok:
				if !isWhole {
					t.Errorf("error %v, names %q", err, m.Names())
				}
			case &moved:
				want := image.Tag{Name: f.Names[0], Old: other.Digest, New: first.Root.Desc.Digest}
				if !isWhole || !slices.Contains(summary.Tags, want) || !slices.Contains(said, want) {
					t.Errorf("error %v, tags %v, said before %v", err, summary.Tags, said)
				}
			case &taken:
				if d, _ := m.Find(f.Names[1]); !errors.As(err, &replace) || replace.Tags[0].Old != other.Digest || d.Digest == second.Root.Desc.Digest {
					t.Errorf("error %v, names %q", err, m.Names())
				}
			case &gone:
				if _, named := m.Find(f.Names[1]); !errors.Is(err, image.ErrGone) || named {
					t.Errorf("error %v, names %q", err, m.Names())
				}
			case &changed:
				if !errors.As(err, &change) || len(change.Gone)+len(change.Moved) != 1 {
					t.Errorf("error %v", err)
				}
			}
		})
	}
}

// whole says what is missing of an image in a place.
func whole(m *storetest.Memory, f storetest.Fixture, name string) error {
	want, _ := f.Images.Find(name)
	if got, _ := m.Find(name); got.Digest != want.Digest {
		return fmt.Errorf("%s is %s", name, got.Digest)
	}
	g, err := image.Read(context.Background(), m, image.Root{Name: name, Desc: want}, all.Select)
	if err != nil {
		return err
	}
	for _, l := range g.Layers() {
		if m.Bytes(l.Digest) == nil {
			return fmt.Errorf("layer %s is gone", l.Digest)
		}
	}
	return nil
}
