//go:build linux

package world

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"pgregory.net/rapid"
)

// Send sends something to a folder, which may be that of a host.
func (w *world) Send(t *rapid.T) {
	name := w.drawName(t)
	if slices.Contains(folders, name) {
		t.Skip("send takes no folder")
	}
	dir := drawFolder(t)
	to := dir
	if dir == "srv" {
		to = w.host.dest(dir)
	}
	var cut cutting
	if rapid.IntRange(0, 2).Draw(t, "cutting") == 0 {
		cut = drawCutting(t)
	}
	want := w.named(name)
	w.sent(w.airgap(append([]string{"send", name, to}, cut.args()...)...), name, dir, want, cut)
}

// sent judges what a send has done. It gives the bundle that is there now, or nil.
func (w *world) sent(r Result, name, dir string, want reading, cut cutting) *Bundle {
	w.t.Helper()
	if r.Status != 0 {
		whole := w.refusedWriting("")
		w.settle(func(c change) (*Content, error) {
			if r.Status == damagedStatus && (c.old == nil || c.old.is(Debris)) && !c.gone && isDebris(c.path, dir) {
				// What turns out to be damaged on the way is gone on with when it is repaired.
				return &Content{Kind: Debris, Name: "send"}, nil
			}
			return whole(c)
		})
		if want.must != nil && !w.mayNotArrive(name, dir, cut) {
			w.fail("%s is sound and holds %s, and is refused: %s", name, want.must, r.Err)
		}
		return nil
	}
	b := w.judge(r, name, want)
	w.arrived(r, name, dir, b, cut)
	return b
}

// arrived demands that a bundle is where it was sent to, and that nothing else has
// changed there.
func (w *world) arrived(r Result, name, dir string, b *Bundle, cut cutting) {
	w.t.Helper()
	base := filepath.Base(name)
	if !w.content(name).is(Whole) {
		base = w.arrivedAs(r, cut)
	}
	path := filepath.Join(dir, base)
	w.settle(along(w.beside(name), w.written(path, b, cut)))
	w.complete(path, b, cut)
}

// mayNotArrive says that there is a reason not to send something that is sound:
// sums beside it that are about other bytes, or something in the way.
func (w *world) mayNotArrive(name, dir string, cut cutting) bool {
	base := filepath.Base(name)
	if c := w.content(name); c.is(Volume, Parity) {
		base = c.Name
	}
	path := filepath.Join(dir, base)
	c := w.content(path)
	if slices.ContainsFunc(w.beside(name), func(base string) bool { return w.content(filepath.Join(dir, base)) != nil }) {
		return true
	}
	return w.content(name+".sha256") != nil || c != nil && !c.sound(Whole) || w.mayRefuse(path, cut)
}

// arrivedAs is the base name of the bundle at its destination.
func (w *world) arrivedAs(r Result, cut cutting) (base string) {
	w.t.Helper()
	for line := range strings.Lines(r.Out) {
		var sent struct{ Type, Path string }
		if json.Unmarshal([]byte(line), &sent) != nil || sent.Type != "sent" {
			continue
		}
		if name := filepath.Base(sent.Path); base == "" || len(name) < len(base) {
			base = name
		}
	}
	if base == "" {
		w.fail("it was sent, and nothing says where to:\n%s", r.Out)
	}
	if cut.volumes {
		base = strings.TrimSuffix(base, filepath.Ext(base))
	}
	return base
}

// Repair repairs something, or changes nothing.
func (w *world) Repair(t *rapid.T) {
	name := w.drawName(t)
	want := w.named(name)
	r := w.airgap("repair", name)
	if r.Status != 0 {
		w.settle(untouched)
		return
	}
	w.settle(w.repaired(name, want))
	if c := w.content(name); c.is(Whole, Volume, Parity) && c.Damaged {
		w.fail("%s is still %s", name, c)
	}
}

// repaired is the rule of a repair: what was damaged or missing is what it was.
func (w *world) repaired(name string, want reading) func(c change) (*Content, error) {
	return func(c change) (*Content, error) {
		switch {
		case c.gone:
			return nil, fmt.Errorf("it went")
		case c.old.is(Foreign) && !w.empty(c):
			return nil, fmt.Errorf("a file of the user was replaced")
		case c.old != nil && !c.old.Damaged && !c.old.is(Sums, Foreign):
			return nil, fmt.Errorf("what was sound was changed")
		case strings.HasSuffix(c.path, ".sha256"):
			return &Content{Kind: Sums}, w.checkSums(c)
		case !c.now.is(Whole, Volume, Parity) || c.now.Damaged:
			return nil, fmt.Errorf("it is none of the bundle's files as they were")
		case !slices.Contains(want.may, c.now.Bundle):
			return nil, fmt.Errorf("%s was named, which may be %v, and this is %s", name, want.may, c.now)
		}
		return c.now, nil
	}
}

// beside are the names of the sound parity files in the folder of a bundle.
func (w *world) beside(name string) (list []string) {
	for base, c := range w.in(filepath.Dir(name)) {
		if c.sound(Parity) {
			list = append(list, base)
		}
	}
	return list
}

// along is a rule with what comes along with a bundle: parity by the name that it
// has, and its sums.
func along(parity []string, rule func(c change) (*Content, error)) func(c change) (*Content, error) {
	return func(c change) (*Content, error) {
		base, isSums := strings.CutSuffix(filepath.Base(c.path), ".sha256")
		switch {
		case c.old != nil && !c.mended() || !slices.Contains(parity, base):
		case isSums:
			return &Content{Kind: Sums}, nil
		case c.now.sound(Parity):
			return c.now, nil
		}
		return rule(c)
	}
}

// mended says that a file is what it was before somebody damaged it.
func (c change) mended() bool {
	return c.old != nil && c.now != nil && c.old.Damaged && *c.old == *damaged(c.now)
}
