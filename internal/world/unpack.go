//go:build linux

package world

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"pgregory.net/rapid"
)

// layoutPlace is an OCI layout that images are imported into.
type layoutPlace struct {
	names  map[string]string // digests by name, as the model has them
	killed bool              // somebody has killed an import, and none has succeeded since
}

func newLayoutPlace() *layoutPlace { return &layoutPlace{names: map[string]string{}} }

// dest is the layout's folder.
const dest = "place"

// look reads what the layout holds, and proves it.
func (p *layoutPlace) look() (map[string]string, error) {
	if _, err := os.Stat(filepath.Join(dest, "index.json")); errors.Is(err, fs.ErrNotExist) {
		return map[string]string{}, nil
	}
	return readLayout(func(name string) ([]byte, error) { return os.ReadFile(filepath.Join(dest, name)) })
}

// noneLeft demands that nothing temporary is in the layout, unless a killed import
// has left it and none has cleared it up.
func (w *world) noneLeft(r Result) {
	w.t.Helper()
	if r.Status == 0 && !strings.Contains(r.Out, `"unchanged":true`) {
		w.place.killed = false
	}
	_ = filepath.WalkDir(dest, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && !ofLayout.MatchString(path) && !w.place.killed {
			w.fail("%s was left", path)
		}
		return nil
	})
}

// ofLayout are the files that belong into a layout.
var ofLayout = regexp.MustCompile(`^place/(oci-layout|index\.json|blobs/sha256/[0-9a-f]{64})$`)

// Unpack imports something into a layout.
func (w *world) Unpack(t *rapid.T) {
	name := w.drawName(t)
	want := w.named(name)
	r := w.airgap("unpack", "--to", "oci:"+dest, name)
	w.settle(untouched)
	w.inLayout(r, w.judge(r, name, want))
}

// inLayout compares what the layout holds with what it has to: all images of a
// bundle that was imported, if one was, and those that it had.
func (w *world) inLayout(r Result, b *Bundle) {
	w.t.Helper()
	if b != nil {
		maps.Copy(w.place.names, b.Images)
	}
	now, err := w.place.look()
	if err != nil {
		w.fail("the layout: %v", err)
	}
	if !maps.Equal(now, w.place.names) {
		w.fail("the layout holds %v, expected %v", now, w.place.names)
	}
	w.noneLeft(r)
}
