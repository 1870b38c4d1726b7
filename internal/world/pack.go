//go:build linux

package world

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"pgregory.net/rapid"
)

// bundleNames are the names that people give to bundles.
var bundleNames = []string{"a.tar.zst", "b.tar.zst"}

// cutting is how a bundle is written: whole, or in volumes, with parity or not.
type cutting struct {
	volumes bool
	parity  int // percent
}

func (c cutting) args() (args []string) {
	if c.volumes {
		args = append(args, "--volume-size", "1MiB")
	}
	if c.parity > 0 {
		args = append(args, "--parity", strconv.Itoa(c.parity)+"%")
	}
	return args
}

func drawCutting(t *rapid.T) cutting {
	return cutting{rapid.Bool().Draw(t, "volumes"), rapid.SampledFrom([]int{0, 0, 10, 100}).Draw(t, "parity")}
}

// Pack packs some images under some name, which may be taken.
func (w *world) Pack(t *rapid.T) {
	day := rapid.SampledFrom(days).Draw(t, "day")
	names := rapid.SampledFrom([][]string{{app}, {db}, {app, db}}).Draw(t, "images")
	path := filepath.Join(drawFolder(t), rapid.SampledFrom(bundleNames).Draw(t, "name"))
	cut := drawCutting(t)
	args := append([]string{"pack", "-o", path}, cut.args()...)
	for _, name := range names {
		args = append(args, "oci:src/"+day+":"+name)
	}
	r := w.airgap(args...)
	w.packed(r, path, w.bundle(day, names, nil), cut)
}

func drawFolder(t *rapid.T) string { return rapid.SampledFrom(folders).Draw(t, "folder") }

// bundle is the one that is made of these images and files.
func (w *world) bundle(day string, names []string, files map[string]string) *Bundle {
	key := fmt.Sprint(day, names, files)
	if w.bundles[key] == nil {
		b := &Bundle{Day: day, Images: map[string]string{}, Files: files}
		for _, name := range names {
			b.Images[name] = w.images[day][name]
		}
		for _, other := range w.bundles {
			if maps.Equal(other.Images, b.Images) && maps.Equal(other.Files, b.Files) {
				b = other
			}
		}
		w.bundles[key] = b
	}
	return w.bundles[key]
}

// packed judges what a pack has done.
func (w *world) packed(r Result, path string, b *Bundle, cut cutting) {
	w.t.Helper()
	if r.Status != 0 {
		w.settle(w.refusedWriting(path))
		if !w.mayRefuse(path, cut) {
			w.fail("packing failed, and nothing is in the way: %s", r.Err)
		}
		return
	}
	if id := r.answer("bundle"); b.ID == "" {
		b.ID = id
	} else if b.ID != id {
		w.fail("its id is %s; when it was packed before it was %s", id, b.ID)
	}
	w.settle(w.written(path, b, cut))
	w.complete(path, b, cut)
}

// mayRefuse says that something in the way of a bundle is a reason not to write
// it: what is not of an earlier set of that name, where a volume or parity would
// be, or no sums where sums would be.
func (w *world) mayRefuse(path string, cut cutting) bool {
	return slices.ContainsFunc(w.outputs(path, cut), func(other string) bool {
		kind, _ := role(path, other)
		return kind == Sums && !w.isSums(other) || kind != Sums && kind != Whole && !(w.content(other).called(path, other) && !w.content(other).Damaged)
	})
}

// isSums says that a file is the sums of the name that it has, or empty.
func (w *world) isSums(path string) bool {
	raw, err := os.ReadFile(path)
	w.must(err)
	of := sumsForm.FindSubmatch(raw)
	return w.isEmpty(path) || of != nil && string(of[1]) == strings.TrimSuffix(filepath.Base(path), ".sha256")
}

// sumsForm is the line that sha256sum writes.
var sumsForm = regexp.MustCompile(`^[0-9a-fA-F]{64}  (.+)\n?$`)

// outputs are the files beside path that have a name that a set would use.
func (w *world) outputs(path string, cut cutting) []string {
	return w.paths(func(other string, _ *Content) bool {
		kind, _ := role(path, other)
		return kind != Foreign && (cut.volumes || kind != Volume) && (cut.parity > 0 || kind != Parity)
	})
}

// suffixes of the files that a bundle is in, without .sha256.
var suffix = regexp.MustCompile(`^(?:\.([0-9]{3,})|\.(par(?:[0-9]{3,})?))?(\.sha256)?$`)

// role is what a file beside path is by its name, and the number of a volume or of parity.
func role(path, other string) (Kind, int) {
	rest, ok := strings.CutPrefix(other, path)
	m := suffix.FindStringSubmatch(rest)
	switch {
	case !ok || m == nil:
		return Foreign, 0
	case m[3] != "":
		return Sums, 0
	case m[1] != "":
		n, _ := strconv.Atoi(m[1])
		return Volume, n
	case m[2] != "":
		n, _ := strconv.Atoi(strings.TrimPrefix(m[2], "par"))
		return Parity, n
	}
	return Whole, 0
}

// called says whether a file beside path has the name that it was given.
func (c *Content) called(path, other string) bool {
	kind, n := role(path, other)
	return kind == c.Kind && n == c.Number && c.Name == filepath.Base(path)
}

// written is the rule of writing a bundle: it has its files, and what an earlier
// one of that name has left is gone or is as it was.
func (w *world) written(path string, b *Bundle, cut cutting) func(c change) (*Content, error) {
	return func(c change) (*Content, error) {
		kind, n := role(path, c.path)
		step := 0
		if cut.volumes {
			step = w.step
		}
		switch {
		case c.gone && c.old.is(Debris):
			return nil, nil
		case kind == Foreign:
			return untouched(c)
		case c.gone:
			return nil, w.mayGo(path, c)
		case kind == Sums:
			return &Content{Kind: Sums}, w.checkSums(c)
		case c.old.is(Foreign) && c.path != path && !w.empty(c):
			return nil, fmt.Errorf("a file of the user was replaced")
		case c.old.is(Volume, Parity) && c.old.Name != filepath.Base(path) && c.path != path:
			return nil, fmt.Errorf("a renamed volume of the user was replaced")
		case kind == Whole && !cut.volumes:
			return &Content{Kind: Whole, Bundle: b}, w.prove(c, b)
		case kind == Volume && cut.volumes:
			return &Content{Kind: Volume, Bundle: b, Cut: w.step, Name: filepath.Base(path), Number: n}, nil
		case kind == Parity && c.now.sound(Parity) && c.now.Cut == 0 && c.now.Bundle == b && !cut.volumes:
			return c.now, nil // it has been sent along
		case kind == Parity && cut.parity > 0:
			return &Content{Kind: Parity, Bundle: b, Cut: step, Name: filepath.Base(path), Number: n}, nil
		}
		return untouched(c)
	}
}

// mayGo says whether writing a bundle may remove a file: it is of an earlier set
// of that very name.
func (w *world) mayGo(path string, c change) error {
	if kind, _ := role(path, c.path); kind == Sums || w.empty(c) || c.old.is(Volume, Parity) && c.old.Name == filepath.Base(path) {
		return nil
	}
	return fmt.Errorf("a file that no earlier run has left went")
}

// empty says that there was nothing in a file, so that nothing is lost with it.
func (w *world) empty(c change) bool { return w.isEmpty(c.path) }

// refusedWriting is the rule of a command that failed to write a bundle: nothing
// is there that was not, and nothing has gone but sums.
func (w *world) refusedWriting(path string) func(c change) (*Content, error) {
	return func(c change) (*Content, error) {
		if kind, _ := role(path, c.path); c.gone && (kind == Sums && c.old.is(Sums) || c.old.is(Debris)) {
			return nil, nil
		}
		return untouched(c)
	}
}

func (w *world) checkSums(c change) error {
	of := strings.TrimSuffix(c.path, ".sha256")
	h, err := w.sumOf(of)
	if err != nil {
		return err
	}
	raw, err := os.ReadFile(c.path)
	if err == nil && !isText(raw, h, filepath.Base(of)) {
		err = fmt.Errorf("it says %q, and the sum of the file is %s", raw, h)
	}
	return err
}

// prove reads a bundle whose bytes are new.
func (w *world) prove(c change, b *Bundle) error {
	if c.now != nil && !c.now.is(Foreign) {
		return nil
	}
	h := sum(c.raw)
	if id, ok := w.proven[h]; ok && id == b.ID {
		return nil
	}
	err := proveBundle(c.raw, b)
	if err == nil {
		w.proven[h] = b.ID
	}
	return err
}

// complete demands that all files of a bundle are there, of one cut, that nothing
// of an earlier one is, and that what a killed run has left is gone.
func (w *world) complete(path string, b *Bundle, cut cutting) {
	w.t.Helper()
	if err := w.holds(path, b, cut); err != nil {
		w.fail("%v", err)
	}
	if left := w.paths(func(other string, c *Content) bool {
		return c.is(Debris) && c.Name == owner(w.script[len(w.script)-1], path, cut) && (cut.parity > 0 || strings.HasPrefix(c.Name, sender) || !ofParity.MatchString(other)) && !aside.MatchString(other)
	}); len(left) > 0 {
		w.fail("what a killed run has left is still there: %q", left)
	}
	parity := w.parityAt(path, b, cut)
	for _, other := range w.outputs(path, cutting{true, 1}) {
		// What somebody has given the name of another is not the earlier one's.
		if c := w.content(other); c.is(Volume, Parity) && !slices.Contains(parity, c) && c.called(path, other) && !c.Damaged && c.Bundle != b {
			w.fail("%s of an earlier bundle is still there: %s", other, c)
		}
	}
}

// What no run clears up: parity, or its sums, that a pack was writing, where it
// writes none; and a lock that somebody had put aside.
var (
	ofParity = regexp.MustCompile(`/\..+\.par([0-9]{3,})?\.`)
	aside    = regexp.MustCompile(`/\..+\.lock\.[A-Z0-9]{8}$`)
)

// holds says what of a bundle is lacking where it is to be, and counts its volumes.
func (w *world) holds(path string, b *Bundle, cut cutting) error {
	if c := w.content(path); !cut.volumes && (!c.sound(Whole) || c.Bundle != b) {
		return fmt.Errorf("%s is %s, expected %s", path, c, b)
	}
	var volumes []*Content
	if cut.volumes {
		var err error
		if volumes, err = w.volumesAt(path, b); err != nil {
			return err
		}
	}
	parity := w.parityAt(path, b, cut)
	if cut.parity > 0 && len(parity) == 0 {
		return fmt.Errorf("%s has no parity", path)
	}
	for _, c := range append(volumes, parity...) {
		if c.Cut == w.step {
			c.Of = len(volumes)
		}
	}
	return nil
}

// volumesAt are the volumes of a bundle, if all are there.
func (w *world) volumesAt(path string, b *Bundle) (volumes []*Content, err error) {
	var joined []byte
	for n := 1; ; n++ {
		name := fmt.Sprintf("%s.%03d", path, n)
		c := w.content(name)
		if !c.sound(Volume) || c.Bundle != b || n > 1 && c.Cut != volumes[0].Cut {
			if n == 1 {
				return nil, fmt.Errorf("%s is %s, expected volumes of %s", name, c, b)
			}
			break
		}
		raw, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		joined = append(joined, raw[:len(raw)-1024]...)
		volumes = append(volumes, c)
	}
	if err := w.prove(change{raw: joined}, b); err != nil {
		return nil, fmt.Errorf("the volumes of %s: %w", path, err)
	}
	return volumes, nil
}

// parityAt is the parity of a bundle, and that of a file which stays beside volumes.
func (w *world) parityAt(path string, b *Bundle, cut cutting) (list []*Content) {
	first := w.content(path + ".001")
	for _, other := range w.outputs(path, cutting{true, 1}) {
		switch c := w.content(other); {
		case !c.is(Parity):
		case c.Cut == 0 && cut.volumes && w.content(path) != nil,
			cut.volumes && c.Cut == first.Cut && c.Bundle == b,
			c.Cut == 0 && c.Bundle == b && !cut.volumes && !c.Damaged:
			list = append(list, c)
		}
	}
	return list
}
