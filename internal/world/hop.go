//go:build linux

package world

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"pgregory.net/rapid"
)

// SendAndUnpack sends something to the host and has it unpacked there: into the
// layout, or into the engine, where somebody else may do something meanwhile.
func (w *world) SendAndUnpack(t *rapid.T) {
	name := w.drawName(t)
	want := w.named(name)
	if slices.Contains(folders, name) || len(want.may) != 1 {
		t.Skip("send takes no folder, and Send knows what may be any of several")
	}
	dir := drawFolder(t)
	var cut cutting
	if rapid.IntRange(0, 2).Draw(t, "cutting") == 0 {
		cut = drawCutting(t)
	}
	args := append([]string{"send", "--unpack", name, w.host.dest(dir)}, cut.args()...)
	into := rapid.SampledFrom([]string{"docker", "oci:" + dest}).Draw(t, "to")
	before, what := maps.Clone(w.engine.names), ""
	if into == "docker" {
		what = w.drawMeanwhile(t, 28)
	}
	r := w.airgap(append(args, "--to", into)...)
	met := w.endMeanwhile(r, what)
	b := w.sentAndUnpacked(r, name, dir, want, cut, met)
	switch {
	case into != "docker":
		w.inLayout(r, b)
	case r.Status != 0 && met:
		w.noOrphans(r)
	default:
		w.inEngine(r, before, b, met)
	}
}

// sentAndUnpacked judges what has become of the files. It gives the bundle that
// was unpacked, or nil.
func (w *world) sentAndUnpacked(r Result, name, dir string, want reading, cut cutting, met bool) *Bundle {
	w.t.Helper()
	there := strings.Contains(r.Err, "the bundle is there whole, as ")
	switch {
	case r.Status == 0 && !wasSent(r):
		w.settle(untouched)
		return w.judge(r, name, want)
	case there && !met:
		w.fail("%s was sent, and then not unpacked: %s", name, r.Err)
	case there:
		w.arrived(r, name, dir, want.may[0], cut)
		return nil
	case r.Status != 0 && met:
		want.must = nil // that is a reason
	}
	return w.sent(r, name, dir, want, cut)
}

// wasSent says that something was, according to what is printed.
func wasSent(r Result) bool {
	for line := range strings.Lines(r.Out) {
		var said struct {
			Type string
			Sent bool
		}
		if json.Unmarshal([]byte(line), &said) == nil && (said.Type == "sent" || said.Sent) {
			return true
		}
	}
	return false
}
