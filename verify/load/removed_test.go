package load_test

import (
	"path/filepath"
	"slices"
	"testing"

	"airgap/bundle/image"
	"airgap/verify/load"
)

// TestRemoved keeps names over runs until the image has them again.
func TestRemoved(t *testing.T) {
	path := filepath.Join(t.TempDir(), "removed", "place")
	a, b := digest(1), digest(2)
	for _, c := range []struct {
		id   image.Digest
		keep []string
		want []string
	}{
		{a, nil, nil}, {a, []string{"y", "x"}, []string{"x", "y"}}, {b, []string{"z"}, []string{"z"}}, {a, []string{"y", "v"}, []string{"v", "x", "y"}},
	} {
		r := load.NewRemoved(path, "b.tar.zst")
		if c.keep != nil {
			if err := r.Keep(c.id, c.keep); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := load.NewRemoved(path, "b.tar.zst").Names(c.id); err != nil || !slices.Equal(got, c.want) {
			t.Errorf("names %q, %v, expected %q", got, err, c.want)
		}
	}
	for range 2 {
		for _, id := range []image.Digest{a, b} {
			if err := load.NewRemoved(path, "b.tar.zst").Forget(id); err != nil {
				t.Fatal(err)
			}
			if got, err := load.NewRemoved(path, "b.tar.zst").Names(id); err != nil || got != nil {
				t.Errorf("names %q, %v of what is forgotten", got, err)
			}
		}
	}
	if left, _ := filepath.Glob(path); left != nil {
		t.Errorf("%q is left", left)
	}
}

// TestRemovedBefore: a name that is missing since a reload was broken off is not new
// to whoever gives it to another image.
func TestRemovedBefore(t *testing.T) {
	r := load.NewRemoved(filepath.Join(t.TempDir(), "removed"), "b.tar.zst")
	if err := r.Keep(digest(1), []string{"u/a:1", "docker.io/u/b:1"}); err != nil {
		t.Fatal(err)
	}
	tags := []image.Tag{
		{Name: "docker.io/u/a:1", New: digest(2)}, {Name: "docker.io/u/b:1", Old: digest(3), New: digest(2)}, {Name: "docker.io/u/c:1", New: digest(2)},
	}
	want := slices.Clone(tags)
	want[0].Old = digest(1)
	if got := r.Before(tags); !slices.Equal(got, want) {
		t.Errorf("tags %v, expected %v", got, want)
	}
}
