//go:build linux

package world

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"

	"pgregory.net/rapid"
)

// layoutPlace is an OCI layout that images are imported into.
type layoutPlace struct {
	names map[string]string // digests by name, as the model has them
}

func newLayoutPlace() *layoutPlace { return &layoutPlace{map[string]string{}} }

// dest is the layout's folder.
const dest = "place"

// look reads what the layout holds, and proves it.
func (p *layoutPlace) look() (map[string]string, error) {
	if _, err := os.Stat(dest); errors.Is(err, fs.ErrNotExist) {
		return map[string]string{}, nil
	}
	return readLayout(func(name string) ([]byte, error) { return os.ReadFile(filepath.Join(dest, name)) })
}

// Unpack imports something into a layout.
func (w *world) Unpack(t *rapid.T) {
	name := w.drawName(t)
	want := w.named(name)
	r := w.airgap("unpack", "--to", "oci:"+dest, name)
	w.settle(untouched)
	if b := w.judge(r, name, want); b != nil {
		maps.Copy(w.place.names, b.Images)
	}
	now, err := w.place.look()
	if err != nil {
		w.fail("the layout: %v", err)
	}
	if !maps.Equal(now, w.place.names) {
		w.fail("the layout holds %v, expected %v", now, w.place.names)
	}
}
