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
	w.ends[fmt.Sprintf("%s & %s %d %d", first[0], second[0], a.Status, b.Status)]++
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
	dir := drawFolder(t)
	to := rapid.SampledFrom([]string{dir, w.host.dest(dir)}).Draw(t, "to")
	cut := rapid.SampledFrom([]cutting{{}, {}, {parity: 10}, {volumes: true}, drawCutting(t)}).Draw(t, "cut")
	sends := []*sentBeside{{name: first, cut: cut}, {name: second, cut: cut}}
	if rapid.IntRange(0, 3).Draw(t, "alike") == 0 {
		sends[1].cut = drawCutting(t)
	}
	inTheWay, beside := false, []string(nil)
	for _, s := range sends {
		s.Bundle = w.content(s.name).Bundle
		s.args = append([]string{"send", s.name, to}, s.cut.args()...)
		inTheWay = inTheWay || w.mayNotArrive(s.name, dir, s.cut)
		beside = append(beside, w.beside(s.name)...)
	}
	sends[0].Result, sends[1].Result = w.both(sends[0].args, sends[1].args)
	path := filepath.Join(dir, filepath.Base(first))
	w.settle(func(c change) (is *Content, err error) {
		for _, s := range sends {
			if s == sends[1] && err == nil && !s.isIn(c) {
				break
			}
			if is, err = along(beside, w.written(path, s.Bundle, s.cut))(c); err == nil && s.isIn(c) {
				break
			}
		}
		return is, err
	})
	var lacks []error
	for _, s := range sends {
		if s.Status != 0 {
			continue
		}
		err := w.holds(path, s.Bundle, s.cut)
		if err == nil {
			return
		}
		lacks = append(lacks, err)
	}
	if len(lacks) > 0 || !inTheWay {
		w.fail("two were sent at once, and neither is there: %v\n%s\n%s", lacks, sends[0].Err, sends[1].Err)
	}
}

// PackAndSend sends a bundle while another is packed under its name: one of them
// arrives, whole, and it is that which send names.
func (w *world) PackAndSend(t *rapid.T) {
	name := w.drawFile(t, "bundle", func(_ string, c *Content) bool { return c.sound(Whole) && c.Bundle.ID != "" })
	dir, day := drawFolder(t), rapid.SampledFrom(days).Draw(t, "day")
	path := filepath.Join(dir, filepath.Base(name))
	if path == name {
		t.Skip("the same file")
	}
	old, fresh := w.content(name).Bundle, w.bundle(day, []string{app}, nil)
	inTheWay := w.mayNotArrive(name, dir, cutting{})
	a, b := w.both([]string{"pack", "-o", name, "oci:src/" + day + ":" + app}, []string{"send", name, rapid.SampledFrom([]string{dir, w.host.dest(dir)}).Draw(t, "to")})
	if a.Status == 0 {
		fresh.ID = a.answer("bundle")
	}
	arrives := old
	if b.Status == 0 && b.answer("bundle") == fresh.ID {
		arrives = fresh
	}
	beside := w.beside(name)
	w.settle(func(c change) (*Content, error) {
		if kind, _ := role(name, c.path); kind != Foreign {
			return w.written(name, fresh, cutting{})(c)
		}
		return along(beside, w.written(path, arrives, cutting{}))(c)
	})
	if c := w.content(name); a.Status == 0 && !(c.sound(Whole) && c.Bundle == fresh) {
		w.fail("%s is %s, expected %s", name, c, fresh)
	}
	if c := w.content(path); b.Status == 0 && !(c.sound(Whole) && c.Bundle == arrives) {
		w.fail("%s is %s, expected %s", path, c, arrives)
	}
	if a.Status != 0 && !w.mayRefuse(name, cutting{}) || b.Status != 0 && b.Status != damagedStatus && !inTheWay {
		w.fail("nothing is in the way: %s\n%s", a.Err, b.Err)
	}
}

// damagedStatus is the exit status for a bundle that is not as it should be.
const damagedStatus = 3

// sentBeside is a send beside another.
type sentBeside struct {
	Result
	*Bundle
	name string
	cut  cutting
	args []string
}

// isIn says that a file that has changed is of the bundle that was sent, and is cut
// as that was, as far as that shows.
func (s *sentBeside) isIn(c change) bool {
	if c.gone || c.now != nil && c.now.Bundle == s.Bundle {
		return true
	}
	footer := c.raw[max(0, len(c.raw)-1024):]
	whole := bytes.Contains(footer, []byte("\nslice 0\n"))
	return bytes.HasPrefix(footer, []byte("airgap ")) && bytes.Contains(footer, []byte(s.hex())) && whole != s.cut.volumes
}

// target is a place that images are imported into.
type target struct {
	visitors
	to     string            // its spec
	had    map[string]string // what names stood for
	look   func() (map[string]string, error)
	id     func(b *Bundle, name string) string // what a name of a bundle stands for there
	keep   func(now map[string]string)
	killed *bool // somebody has killed an import there
}

func (w *world) drawPlace(t *rapid.T) target {
	digest := func(b *Bundle, name string) string { return b.Images[name] }
	switch rapid.SampledFrom([]string{"layout", "engine", "registry"}).Draw(t, "into") {
	case "engine":
		e := w.engine
		return target{e.visitors, "docker", maps.Clone(e.names), e.look, func(b *Bundle, name string) string { return w.ids[b.Day][name].id }, func(map[string]string) {}, &e.killed}
	case "registry":
		p := w.registry
		return target{p.visitors, "docker://" + p.address + "/" + mirror, p.names, p.look, digest, func(now map[string]string) { p.names = now }, new(bool)}
	}
	p := w.place
	return target{newVisitors(), "oci:" + dest, p.names, p.look, digest, func(now map[string]string) { p.names = now }, &p.killed}
}

// UnpackTwice imports two bundles into a place at once: both are there, and one of
// them has each name.
func (w *world) UnpackTwice(t *rapid.T) {
	sound := func(_ string, c *Content) bool { return c.sound(Whole) }
	names := []string{w.drawFile(t, "bundle", sound), w.drawFile(t, "another", sound)}
	place := w.drawPlace(t)
	a, b := w.both([]string{"unpack", "--to", place.to, names[0]}, []string{"unpack", "--to", place.to, names[1]})
	w.settle(untouched)
	now, err := place.look()
	if err != nil {
		w.fail("%s: %v", place.to, err)
	}
	may := map[string][]string{}
	for name, id := range place.had {
		if !isOwn(name) {
			may[name] = []string{id}
		}
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
		for name := range w.content(path).Bundle.Images {
			may[name] = append(may[name], place.id(w.content(path).Bundle, name))
		}
	}
	for name, ids := range may {
		if !slices.Contains(ids, now[name]) {
			w.fail("%s has %s as %q, expected one of %q", place.to, name, now[name], ids)
		}
	}
	if len(now) != len(may) {
		w.fail("%s holds %v", place.to, now)
	}
	place.keep(now)
	if place.to == "docker" {
		w.noOrphans(a)
	}
}

// Rollback undoes an import into the engine: a name is put back to what it was
// before one, and no other changes.
func (w *world) Rollback(t *rapid.T) {
	before := maps.Clone(w.engine.names)
	r := w.airgap("rollback")
	if r.Status == 9 {
		w.fail("the engine does what it is told: %s", r.Err)
	}
	w.settle(untouched)
	if !w.engine.killed { // what is left then may go now, or with the next import
		w.noOrphans(r)
	}
	w.undone(before)
}

// KillRollback kills one: also then each name is what it was, or what it is put back to.
func (w *world) KillRollback(t *rapid.T) {
	before, others := maps.Clone(w.engine.names), w.engine.now()
	w.killed(t, "rollback")
	w.engine.waitForOthers(others)
	w.settle(untouched)
	w.undone(before)
	w.engine.killed = true
}

// undone demands that names of others' are as before, or what an import took from them.
func (w *world) undone(before map[string]string) {
	w.t.Helper()
	for _, name := range slices.Concat(keys(before), keys(w.engine.names)) {
		if was, is := before[name], w.engine.names[name]; was != is && !isOwn(name) && !slices.Contains(w.engine.undo[name], [2]string{was, is}) {
			w.fail("rollback has moved %s from %q to %q, which no import has done", name, was, is)
		}
	}
}
