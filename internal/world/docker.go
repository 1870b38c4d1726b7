//go:build linux

package world

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"pgregory.net/rapid"
)

// UnpackIntoEngine imports something into the engine, while somebody else may do
// something there.
func (w *world) UnpackIntoEngine(t *rapid.T) {
	name := w.drawName(t)
	want := w.named(name)
	before := maps.Clone(w.engine.names)
	what := w.drawMeanwhile(t, 14)
	r := w.airgap("unpack", name)
	met := w.endMeanwhile(r, what)
	w.settle(untouched)
	if r.Status != 0 && met {
		w.noOrphans(r)
		return // that is a reason; names may be half set
	}
	b := w.judge(r, name, want)
	w.inEngine(r, before, b, met)
}

// endMeanwhile says whether it came to what was armed.
func (w *world) endMeanwhile(r Result, what string) bool {
	w.engine.disarm()
	met := slices.Contains(w.engine.asked, "meanwhile")
	if met {
		w.ends[fmt.Sprintf("meanwhile %d", r.Status)]++
		w.script[len(w.script)-1] += "   # meanwhile: " + what
	}
	return met
}

// drawMeanwhile arms something that somebody else does before one of the first
// requests, and says what.
func (w *world) drawMeanwhile(t *rapid.T, first int) (what string) {
	w.engine.mu.Lock()
	defer w.engine.mu.Unlock()
	w.engine.asked, w.engine.before = nil, nil
	if rapid.IntRange(0, 2).Draw(t, "meanwhile") > 0 {
		return ""
	}
	w.engine.at = rapid.IntRange(0, first).Draw(t, "request")
	what, w.engine.meanwhile = w.drawOther(t)
	return what
}

// drawOther is something that somebody else does at the engine.
func (w *world) drawOther(t *rapid.T) (what string, do func()) {
	e := w.engine
	name := rapid.SampledFrom([]string{app, db}).Draw(t, "image")
	other := rapid.SampledFrom([]string{app, db}).Draw(t, "other")
	switch rapid.SampledFrom([]string{"rmi", "tag", "prune", "rmi all", "pull", "pull"}).Draw(t, "how") {
	case "rmi":
		return "docker rmi " + name, func() { e.remove(name, false) }
	case "tag":
		return fmt.Sprintf("docker tag %s %s", other, name), func() {
			if id := e.find(other); id != "" {
				e.names[name] = id
			}
		}
	case "pull":
		day := rapid.SampledFrom(days).Draw(t, "day")
		return fmt.Sprintf("docker pull %s of %s", name, day), func() { e.pull(w.ids[day][name], name) }
	case "rmi all":
		return "docker rmi $(docker images -q)", func() {
			for _, id := range slices.Sorted(maps.Keys(e.images)) {
				e.remove(id, true)
			}
		}
	}
	return "docker image prune -f", e.prune
}

// Others does something at the engine that is not airgap's.
func (w *world) Others(t *rapid.T) {
	what, do := w.drawOther(t)
	w.note("%s", what)
	w.engine.mu.Lock()
	defer w.engine.mu.Unlock()
	do()
}

// inEngine compares what the engine holds with what it has to hold: all images of
// a bundle that was imported, and nothing else that is new.
func (w *world) inEngine(r Result, before map[string]string, b *Bundle, met bool) {
	w.t.Helper()
	w.noOrphans(r)
	if b == nil {
		if !met && !maps.Equal(w.engine.names, before) {
			w.fail("it was refused, and the engine's names are %v; they were %v", w.engine.names, before)
		}
		return
	}
	want := maps.Clone(before)
	imported := map[string]string{}
	for name := range b.Images {
		imported[name] = w.ids[b.Day][name].id
	}
	maps.Copy(want, imported)
	maps.DeleteFunc(want, func(name, _ string) bool { return isOwn(name) })
	for name, id := range want {
		if met && (imported[name] == "" || w.afterwards(name)) {
			continue // somebody else did that
		}
		if w.engine.names[name] != id || w.engine.images[id] == nil {
			w.fail("the engine has %q as %q, expected %s (asked for %q)", name, w.engine.names[name], id, w.engine.asked)
		}
	}
	for name := range w.engine.names {
		if want[name] == "" && !met && !isOwn(name) { // noOrphans judges those
			w.fail("the engine has a new name %q", name)
		}
	}
}

// afterwards says that what happened meanwhile happened when airgap was done with
// a name: it had set it, or, where it had not to, was setting others.
func (w *world) afterwards(name string) bool {
	met := slices.Index(w.engine.asked, "meanwhile")
	own := slices.IndexFunc(w.engine.asked, func(what string) bool {
		of, ok := strings.CutPrefix(what, "tag ")
		return ok && full(of) == name
	})
	if own < 0 {
		own = slices.IndexFunc(w.engine.asked, func(what string) bool { return strings.HasPrefix(what, "tag ") })
	}
	return own < met
}

// noOrphans demands that nothing of airgap's own is left in the engine: what a
// killed import has left goes with the next one that succeeds.
func (w *world) noOrphans(r Result) {
	w.t.Helper()
	unasked := strings.Contains(r.Out, `"sent":false`) // all was there already
	if w.engine.killed = w.engine.killed && (r.Status != 0 || unasked); w.engine.killed {
		return
	}
	if len(w.engine.containers) > 0 {
		w.fail("containers are left: %v", w.engine.containers)
	}
	for name := range w.engine.names {
		if isOwn(name) {
			w.fail("a name of airgap's own is left: %s", name)
		}
	}
}

// isOwn knows names that airgap gives to images while it imports them.
func isOwn(name string) bool { return strings.Contains(name, "airgap") }
