package bundle_test

import (
	"os"
	"path/filepath"
	"testing"

	"airgap/bundle"
	"airgap/bundle/image"
)

// TestWrittenAgain: a layer that is not compressed as it says makes all offsets
// wrong, and everything is written once more: also what had been packed already.
func TestWrittenAgain(t *testing.T) {
	p := newPlace()
	kinds["layer that is not as packed as it says"](p)
	dir := t.TempDir()
	along := filepath.Join(dir, "along")
	if err := os.WriteFile(along, tarFile(7, 12<<20), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, jobs := range []int{1, 4} {
		plan, err := bundle.NewPlan(t.Context(), []image.Set{p}, all)
		if err == nil {
			err = plan.Include([]string{along}, func(string) bool { return false })
		}
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, "b.tar.zst")
		if _, err := plan.WriteFile(t.Context(), path, bundle.WriteOptions{Jobs: jobs}); err != nil {
			t.Fatal(err)
		}
		file, err := os.ReadFile(path)
		if err == nil {
			err = checked(t.Context(), file)
		}
		if err != nil {
			t.Errorf("with %d jobs: %v", jobs, err)
		}
	}
}
