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
