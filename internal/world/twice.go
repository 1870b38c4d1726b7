//go:build linux

package world

import (
	"bytes"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"pgregory.net/rapid"
)

// both runs two commands at once.
func (w *world) both(first, second []string) (a, b Result) {
	w.note("airgap %s & airgap %s", w.host.short(strings.Join(first, " ")), w.host.short(strings.Join(second, " ")))
	var wg sync.WaitGroup
	wg.Go(func() { a = w.run(append(slices.Clone(first), "--json")) })
	wg.Go(func() { b = w.run(append(slices.Clone(second), "--json")) })
	wg.Wait()
	w.script[len(w.script)-1] += fmt.Sprintf("   # %d, %d", a.Status, b.Status)
	w.ends[fmt.Sprintf("both %s %d %d", first[0], a.Status, b.Status)]++
	return a, b
}

// PackTwice packs two bundles under one name at once: one of them is there
// afterwards, whole.
func (w *world) PackTwice(t *rapid.T) {
	path := filepath.Join(drawFolder(t), rapid.SampledFrom(bundleNames).Draw(t, "name"))
	one, other := w.bundle("mon", []string{app}, nil), w.bundle("tue", []string{app, db}, nil)
	a, b := w.both([]string{"pack", "-o", path, "oci:src/mon:" + app}, []string{"pack", "-o", path, "oci:src/tue:" + app, "oci:src/tue:" + db})
	var whole []*Bundle
	if a.Status == 0 {
		one.ID, whole = a.answer("bundle"), append(whole, one)
	}
	if b.Status == 0 {
		other.ID, whole = b.answer("bundle"), append(whole, other)
	}
	if len(whole) == 0 {
		w.settle(w.refusedWriting(path))
		return
	}
	w.settle(func(c change) (is *Content, err error) {
		for _, b := range whole {
			if is, err = w.written(path, b, cutting{})(c); err == nil && (c.now == nil || is == nil || *is == *c.now) {
				return is, nil
			}
		}
		return is, err
	})
	if c := w.content(path); !c.sound(Whole) || !slices.Contains(whole, c.Bundle) {
		w.fail("%s is %s, expected one of %v", path, c, whole)
	}
}

// SendTwice sends two bundles of one name to one folder at once, or the same one
// twice: what succeeded last is there, whole.
func (w *world) SendTwice(t *rapid.T) {
	first := w.drawFile(t, "bundle", func(_ string, c *Content) bool { return c.sound(Whole) && c.Bundle.ID != "" })
	second := w.drawFile(t, "another", func(path string, c *Content) bool {
		return c.sound(Whole) && c.Bundle.ID != "" && filepath.Base(path) == filepath.Base(first)
	})
	dir, cut := drawFolder(t), cutting{}
	to := rapid.SampledFrom([]string{dir, w.host.dest(dir)}).Draw(t, "to")
	if rapid.Bool().Draw(t, "cutting") {
		cut = drawCutting(t)
	}
	one, other := w.content(first).Bundle, w.content(second).Bundle
	inTheWay := w.mayNotArrive(first, dir, cut) || w.mayNotArrive(second, dir, cut)
	beside := append(w.beside(first), w.beside(second)...)
	a, b := w.both(append([]string{"send", first, to}, cut.args()...), append([]string{"send", second, to}, cut.args()...))
	path := filepath.Join(dir, filepath.Base(first))
	w.settle(func(c change) (*Content, error) {
		whose := one
		if c.now != nil && c.now.Bundle == other || bytes.Contains(c.raw, []byte(other.hex())) || c.raw != nil && w.prove(c, other) == nil {
			whose = other
		}
		return along(beside, w.written(path, whose, cut))(c)
	})
	var lacks []error
	for _, sent := range []struct {
		Result
		*Bundle
	}{{a, one}, {b, other}} {
		if sent.Status != 0 {
			continue
		}
		err := w.holds(path, sent.Bundle, cut)
		if err == nil {
			return
		}
		lacks = append(lacks, err)
	}
	if len(lacks) > 0 || !inTheWay {
		w.fail("two were sent at once, and neither is there: %v\n%s\n%s", lacks, a.Err, b.Err)
	}
}

// UnpackTwice imports two bundles into the layout at once: what succeeded is
// there.
func (w *world) UnpackTwice(t *rapid.T) {
	sound := func(_ string, c *Content) bool { return c.sound(Whole) }
	names := []string{w.drawFile(t, "bundle", sound), w.drawFile(t, "another", sound)}
	a, b := w.both([]string{"unpack", "--to", "oci:" + dest, names[0]}, []string{"unpack", "--to", "oci:" + dest, names[1]})
	w.settle(untouched)
	now, err := w.place.look()
	if err != nil {
		w.fail("the layout: %v", err)
	}
	may := map[string][]string{}
	for name, digest := range w.place.names {
		may[name] = []string{digest}
	}
	for i, r := range []Result{a, b} {
		if r.Status != 0 {
			w.fail("%s is sound, and is refused: %s", names[i], r.Err)
		}
		for name := range w.content(names[i]).Bundle.Images {
			may[name] = nil // it is that of a bundle
		}
	}
	for _, path := range names {
		for name, digest := range w.content(path).Bundle.Images {
			may[name] = append(may[name], digest)
		}
	}
	for name, digests := range may {
		if !slices.Contains(digests, now[name]) {
			w.fail("the layout has %s as %q, expected one of %q", name, now[name], digests)
		}
	}
	if len(now) != len(may) {
		w.fail("the layout holds %v", now)
	}
	w.place.names = maps.Clone(now)
}

// Rollback undoes an import into the engine: a name is put back to what it was
// before one, and no other changes.
func (w *world) Rollback(t *rapid.T) {
	before := maps.Clone(w.engine.names)
	r := w.airgap("rollback")
	w.settle(untouched)
	if !w.engine.killed { // rollback clears up nothing
		w.noOrphans(r)
	}
	for _, name := range slices.Concat(keys(before), keys(w.engine.names)) {
		if was, is := before[name], w.engine.names[name]; was != is && !slices.Contains(w.engine.undo[name], [2]string{was, is}) {
			w.fail("rollback has moved %s from %q to %q, which no import has done (%d)", name, was, is, r.Status)
		}
	}
}
