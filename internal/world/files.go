//go:build linux

package world

import (
	"fmt"
	"os"
	"path/filepath"

	"pgregory.net/rapid"
)

// drawFile is some file that is there; the step is skipped if there is none.
func (w *world) drawFile(t *rapid.T, label string, fits func(path string, c *Content) bool) string {
	list := w.paths(fits)
	if len(list) == 0 {
		t.Skip("no such file")
	}
	return rapid.SampledFrom(list).Draw(t, label)
}

func anyFile(_ string, c *Content) bool { return !c.is(Debris) }

// drawTarget is where somebody copies a file to: its own name in another folder,
// or a name that a bundle, a volume or parity of one could have.
func drawTarget(t *rapid.T, from string) string {
	names := []string{filepath.Base(from), "a.tar.zst", "b.tar.zst", "a.tar.zst.001", "a.tar.zst.002", "a.tar.zst.par", "old.001", "jan.tar.zst.par", "notes.txt"}
	return filepath.Join(drawFolder(t), rapid.SampledFrom(names).Draw(t, "target"))
}

// moved is the rule of a step of the user's own: one file has this content, and
// perhaps another has gone.
func moved(to string, content *Content, from string) func(c change) (*Content, error) {
	return func(c change) (*Content, error) {
		switch {
		case c.now != nil && c.path == to:
			return c.now, nil // such as an empty file, whatever it was cut from
		case c.path == to && !c.gone, c.path == from && c.gone:
			return content, nil
		}
		return untouched(c)
	}
}

// Copy is cp.
func (w *world) Copy(t *rapid.T) {
	from := w.drawFile(t, "file", anyFile)
	to := drawTarget(t, from)
	if from == to {
		t.Skip("the same file")
	}
	w.note("cp %s %s", from, to)
	raw, err := os.ReadFile(from)
	w.must(err)
	w.must(os.WriteFile(to, raw, 0o644))
	w.settle(moved(to, w.content(from), ""))
}

// Move is mv.
func (w *world) Move(t *rapid.T) {
	from := w.drawFile(t, "file", anyFile)
	to := drawTarget(t, from)
	if from == to {
		t.Skip("the same file")
	}
	w.note("mv %s %s", from, to)
	w.must(os.Rename(from, to))
	w.settle(moved(to, w.content(from), from))
}

// Remove is rm.
func (w *world) Remove(t *rapid.T) {
	path := w.drawFile(t, "file", anyFile)
	w.note("rm %s", path)
	w.must(os.Remove(path))
	w.settle(moved("", nil, path))
}

// Write makes a file of the user's own, with a name of its own or one that
// airgap would use.
func (w *world) Write(t *rapid.T) {
	path := drawTarget(t, "notes.txt")
	if c := w.content(path); c != nil {
		t.Skip("it is there")
	}
	text := rapid.SampledFrom([]string{"", "a shopping list\n"}).Draw(t, "text")
	w.note("printf %q > %s", text, path)
	w.must(os.WriteFile(path, []byte(text), 0o644))
	w.settle(moved(path, &Content{Kind: Foreign}, ""))
}

// damaged is what a content is once somebody has damaged it.
func damaged(c *Content) *Content {
	if c.is(Foreign) {
		return &Content{Kind: Foreign}
	}
	d := *c
	d.Damaged = true
	return &d
}

// Truncate cuts a file.
func (w *world) Truncate(t *rapid.T) {
	w.truncate(t, w.drawFile(t, "file", func(path string, c *Content) bool { return !w.isEmpty(path) && anyFile(path, c) }))
}

func (w *world) truncate(t *rapid.T, path string) {
	info, err := os.Stat(path)
	w.must(err)
	size := info.Size() * rapid.SampledFrom([]int64{0, 1, 50, 99}).Draw(t, "percent") / 100
	w.note("truncate -s %d %s", size, path)
	w.must(os.Truncate(path, size))
	w.settle(moved(path, damaged(w.content(path)), ""))
}

// Flip changes a bit of a file.
func (w *world) Flip(t *rapid.T) {
	w.flip(t, w.drawFile(t, "file", func(path string, c *Content) bool { return !w.isEmpty(path) && anyFile(path, c) }))
}

func (w *world) flip(t *rapid.T, path string) {
	raw, err := os.ReadFile(path)
	w.must(err)
	at := rapid.SampledFrom([]int{0, 10, 50, 90, 100}).Draw(t, "percent") * (len(raw) - 1) / 100
	raw[at] ^= 1
	w.note(`printf '\x%02x' | dd of=%s bs=1 seek=%d conv=notrunc`, raw[at], path, at)
	w.must(os.WriteFile(path, raw, 0o644))
	w.settle(moved(path, damaged(w.content(path)), ""))
}

// isEmpty says that there is nothing in a file.
func (w *world) isEmpty(path string) bool { return w.files[path] == sum(nil) }

// Collect copies all files of a bundle, as one would with cp a.tar.zst* DIR.
func (w *world) Collect(t *rapid.T) {
	from := drawFolder(t)
	base := rapid.SampledFrom(bundleNames).Draw(t, "name")
	to := drawFolder(t)
	list := w.paths(func(path string, _ *Content) bool {
		kind, _ := role(filepath.Join(from, base), path)
		return kind != Foreign
	})
	if len(list) == 0 || from == to {
		t.Skip("nothing to copy")
	}
	w.note("cp %s* %s", filepath.Join(from, base), to)
	became := map[string]*Content{}
	for _, path := range list {
		raw, err := os.ReadFile(path)
		w.must(err)
		target := filepath.Join(to, filepath.Base(path))
		became[target] = w.content(path)
		w.must(os.WriteFile(target, raw, 0o644))
	}
	w.settle(func(c change) (*Content, error) {
		if content, ok := became[c.path]; ok && !c.gone {
			return content, nil
		}
		return nil, fmt.Errorf("cp has changed another file")
	})
}
