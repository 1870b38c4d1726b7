package load_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"airgap/bundle/image"
	"airgap/bundle/store/storetest"
	"airgap/verify/load"
)

// shelf is a Tidier of names and images that hold nothing.
type shelf struct {
	*storetest.Memory
	tags   map[string]image.Digest
	images map[image.Digest]int64 // with their sizes
	used   image.Digest           // by a container
}

func (s *shelf) Address() string { return "shelf" }

func (s *shelf) Tagged(_ context.Context, name string) (image.Digest, error) {
	return s.tags[name], nil
}

func (s *shelf) Retag(_ context.Context, name string, to image.Digest) error {
	if _, ok := s.images[to]; !ok && to != (image.Digest{}) {
		return fmt.Errorf("image %s: %w", to, image.ErrNotFound)
	}
	if s.tags[name] == s.used {
		return image.ErrInUse
	}
	s.tags[name] = to
	return nil
}

func (s *shelf) RemoveUnused(_ context.Context, id image.Digest) error {
	for _, d := range s.tags {
		if d == id || id == s.used {
			return fmt.Errorf("image %s: %w", id, image.ErrInUse)
		}
	}
	delete(s.images, id)
	return nil
}

func (s *shelf) Usage(context.Context) (sum int64, _ error) {
	for _, n := range s.images {
		sum += n
	}
	return sum, nil
}

func digest(n int) image.Digest { return image.SHA256([]byte{byte(n)}) }

// TestJournal comes back as it was written, without names that did not change.
func TestJournal(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state", "journal")
	if _, err := load.ReadJournal(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no journal: %v", err)
	}
	j := load.Journal{To: "docker", Address: "unix:///x", Tags: []image.Tag{
		{Name: "moved", Old: digest(1), New: digest(2)}, {Name: "new", New: digest(3)}, {Name: "same", Old: digest(4), New: digest(4)},
	}}
	if err := j.Save(path); err != nil {
		t.Fatal(err)
	}
	got, err := load.ReadJournal(path)
	if err != nil || got.To != j.To || got.Address != j.Address || !slices.Equal(got.Tags, j.Tags[:2]) {
		t.Errorf("%+v, %v", got, err)
	}
	if entries, err := os.ReadDir(filepath.Dir(path)); err != nil || len(entries) != 1 {
		t.Errorf("%d files are left, %v", len(entries), err)
	}
	for _, text := range []string{"", "{", `{"tags":[{"name":"a","new":"sha256:abc"}]}`, `{"tags":[{"name":"a","new":"` + digest(1).String() + `","old":"x"}]}`} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := load.ReadJournal(path); err == nil {
			t.Errorf("%q was accepted", text)
		}
	}
}

// TestUndo puts back what is still as the import left it.
func TestUndo(t *testing.T) {
	s := &shelf{
		tags:   map[string]image.Digest{"moved": digest(2), "new": digest(3), "moved since": digest(9), "back": digest(1), "gone": digest(2), "used": digest(5)},
		images: map[image.Digest]int64{digest(1): 1, digest(2): 1, digest(3): 1, digest(9): 1, digest(5): 1}, used: digest(5),
	}
	j := load.Journal{Tags: []image.Tag{
		{Name: "moved", Old: digest(1), New: digest(2)},
		{Name: "new", New: digest(3)},
		{Name: "moved since", Old: digest(1), New: digest(2)},
		{Name: "back", Old: digest(1), New: digest(2)},
		{Name: "gone", Old: digest(8), New: digest(2)},
		{Name: "used", New: digest(5)},
	}}
	plan, err := j.PlanUndo(t.Context(), s)
	if err != nil || s.tags["moved"] != digest(2) {
		t.Fatal("planning failed, or changed something:", err)
	}
	if err := load.RunUndo(t.Context(), s, plan); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"moved": "", "new": "", "moved since": "it has been moved since", "back": "it is so already", "gone": "what it pointed to is gone", "used": "a container uses it"}
	for _, u := range plan {
		if u.Why != want[u.Tag.Name] {
			t.Errorf("%s: %q, expected %q", u.Tag.Name, u.Why, want[u.Tag.Name])
		}
	}
	if s.tags["moved"] != digest(1) || s.tags["new"] != (image.Digest{}) || s.tags["moved since"] != digest(9) || s.tags["gone"] != digest(2) {
		t.Errorf("names are %v", s.tags)
	}
}

// TestPruneReplaced removes what nothing uses.
func TestPruneReplaced(t *testing.T) {
	s := &shelf{
		tags:   map[string]image.Digest{"a": digest(2), "b": digest(2), "other": digest(3)},
		images: map[image.Digest]int64{digest(1): 10, digest(2): 20, digest(3): 40, digest(4): 80}, used: digest(4),
	}
	p, err := load.PruneReplaced(t.Context(), s, []image.Tag{
		{Name: "a", Old: digest(1), New: digest(2)}, {Name: "b", Old: digest(1), New: digest(2)},
		{Name: "c", Old: digest(3), New: digest(2)}, {Name: "d", Old: digest(4), New: digest(2)},
		{Name: "new", New: digest(2)}, {Name: "same", Old: digest(2), New: digest(2)},
	})
	if err != nil || !slices.Equal(p.Removed, []image.Digest{digest(1)}) || !slices.Equal(p.Kept, []image.Digest{digest(3), digest(4)}) || p.Freed != 10 {
		t.Errorf("%+v, %v", p, err)
	}
}
