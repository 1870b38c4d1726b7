//go:build linux

package world

import (
	"path/filepath"
	"slices"
	"strings"

	"pgregory.net/rapid"
)

// reading is what a name stands for.
type reading struct {
	must *Bundle   // it is sound and alone: it has to be read
	may  []*Bundle // only these may be read
}

// named says what has to be read where a name is given:
//
//   - a file is what it is; volumes and parity help it only if they are of the
//     same bundle;
//   - a volume or parity stands for its set;
//   - a name that is not there stands for the volumes that have it;
//   - a folder stands for what is in it.
func (w *world) named(name string) reading {
	files := w.in(filepath.Dir(name))
	switch c := w.content(name); {
	case slices.Contains(folders, name):
		if holdsSeveral(w.in(name)) {
			return reading{}
		}
		return w.folder(w.in(name))
	case c.sound(Whole):
		return reading{must: c.Bundle, may: []*Bundle{c.Bundle}}
	case c.is(Whole):
		return reading{may: []*Bundle{c.Bundle}}
	case c.is(Volume, Parity) && c.Damaged: // it may have lost its footer
		return reading{may: []*Bundle{c.Bundle}}
	case c.is(Volume, Parity):
		return reading{must: c.whole(files), may: []*Bundle{c.Bundle}}
	case c != nil:
		// It may once have been a volume, of which nothing can be read any more.
		var r reading
		whole := strings.TrimSuffix(name, filepath.Ext(name))
		if kind, _ := role(whole, name); kind == Volume || kind == Parity {
			r.may = w.folder(beside(files, whole)).may
		}
		if w.files[filepath.Clean(name)] == sum(nil) { // it has lost everything, which parity may make again
			r.may = append(r.may, w.folder(beside(files, name)).may...)
		}
		return r
	}
	return w.folder(beside(files, name))
}

// holdsSeveral says whether a folder with volumes holds bundles of which none may be
// chosen: but for volumes that lie under one name.
func holdsSeveral(files map[string]*Content) bool {
	cut, whole, names := map[string]bool{}, map[string]bool{}, map[string]bool{}
	for base, c := range files {
		switch {
		case c == nil || c.Bundle == nil || c.Bundle.ID == "" || c.Damaged:
		case c.is(Volume) && !strings.HasSuffix(base, ".new"):
			cut[c.Bundle.ID], names[strings.TrimSuffix(base, filepath.Ext(base))] = true, true
		case c.is(Whole) && strings.HasSuffix(base, ".tar.zst"):
			whole[c.Bundle.ID] = true
		}
	}
	if len(cut) == 0 {
		return false
	}
	for id := range whole {
		if len(cut) > 1 || !cut[id] {
			return true
		}
	}
	return len(cut) > 1 && len(names) > 1
}

// beside are the files with names as those of volumes and parity of another.
func beside(files map[string]*Content, name string) map[string]*Content {
	found := map[string]*Content{}
	for base, c := range files {
		kind, _ := role(filepath.Base(name), base)
		if kind == Volume || kind == Parity || c.is(Volume, Parity) && c.Name == filepath.Base(name) {
			found[base] = c
		}
	}
	return found
}

// whole is the bundle of a volume or of parity if all volumes of that cut are
// there, sound, and have the names that they were given.
func (c *Content) whole(files map[string]*Content) *Bundle {
	found := 0
	for base, other := range files {
		kind, n := role(c.Name, base)
		if kind == Volume && other.sound(Volume) && other.Cut == c.Cut && other.Bundle == c.Bundle && other.Number == n {
			found++
		}
	}
	if c.Of == 0 || found < c.Of {
		return nil
	}
	return c.Bundle
}

// folder is what some files stand for: what is the only one has to be read.
func (w *world) folder(files map[string]*Content) (r reading) {
	var others bool
	for base, c := range files {
		switch {
		case c.is(Sums) && strings.HasSuffix(base, ".tar.zst"): // it may have been a bundle
			others = true
		case c.is(Whole, Volume, Parity):
			if !slices.Contains(r.may, c.Bundle) {
				r.may = append(r.may, c.Bundle)
			}
			if c.Damaged {
				others = true
			}
		case c.is(Foreign):
			others = true
		}
	}
	if len(r.may) != 1 || others {
		return r
	}
	cuts := map[int]bool{}
	for _, c := range files {
		if c.is(Volume, Parity) {
			cuts[c.Cut] = true
			r.must = c.whole(files)
			others = others || files[c.Name] != nil
		}
	}
	if len(cuts) != 1 || others {
		r.must = nil
	}
	return r
}

// drawName is what somebody names: a file, a name that volumes have, a folder.
func (w *world) drawName(t *rapid.T) string {
	names := []string{"home", "usb", "srv"}
	for path := range w.files {
		if w.content(path).is(Debris) || strings.HasPrefix(filepath.Base(path), ".") { // debris may have travelled along
			continue
		}
		names = append(names, path)
		if kind, _ := role(path[:len(path)-len(filepath.Ext(path))], path); kind == Volume || kind == Parity {
			names = append(names, path[:len(path)-len(filepath.Ext(path))])
		}
	}
	if sound := w.paths(func(_ string, c *Content) bool { return c.sound(Whole) || c.sound(Volume) }); len(sound) > 0 && rapid.IntRange(0, 2).Draw(t, "sound") > 0 {
		names = sound
	}
	slices.Sort(names)
	return rapid.SampledFrom(slices.Compact(names)).Draw(t, "bundle")
}

// judge compares what was read with what was named. It gives the bundle that was
// read, or nil if it was refused.
func (w *world) judge(r Result, name string, want reading) *Bundle {
	w.t.Helper()
	if r.Status != 0 {
		if want.must != nil {
			w.fail("%s is sound and holds %s, and is refused: %s", name, want.must, r.Err)
		}
		return nil
	}
	id := r.answer("bundle")
	for _, b := range want.may {
		if b.ID == "" && w.byID(id) == nil {
			b.ID = id // whoever packed it was killed before he could say so
		}
		if b.ID == id {
			return b
		}
	}
	w.fail("%s was named, which is %s and may be read as %v, and %s was read", name, w.content(name), want.may, w.byID(id))
	return nil
}

func (w *world) byID(id string) *Bundle {
	for _, b := range w.bundles {
		if b.ID == id {
			return b
		}
	}
	return nil
}

// Verify verifies something.
func (w *world) Verify(t *rapid.T) {
	name := w.drawName(t)
	want := w.named(name)
	r := w.airgap("verify", name)
	w.settle(untouched)
	if strings.Contains(r.Err, "the parity is enough") {
		want.must = nil // damage of parity is told, and that parity is missing
	}
	w.judge(r, name, want)
}

// Inspect inspects something, which reads no layer: damage may stay hidden.
func (w *world) Inspect(t *rapid.T) {
	name := w.drawName(t)
	want := w.named(name)
	r := w.airgap("inspect", name)
	w.settle(untouched)
	w.judge(r, name, want)
}
