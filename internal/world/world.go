//go:build linux

package world

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"pgregory.net/rapid"
)

// Run runs airgap in this process, in the current folder.
type Run func(args []string) Result

// Result is how a command ended.
type Result struct {
	Status   int
	Out, Err string
}

// answer finds a value in the lines of JSON that were printed; the last counts.
func (r Result) answer(key string) string {
	var found string
	for line := range strings.Lines(r.Out) {
		var object map[string]any
		if json.Unmarshal([]byte(line), &object) == nil {
			if text, ok := object[key].(string); ok {
				found = text
			}
		}
	}
	return found
}

// folders are those of a world: what somebody works in, a medium, and a folder of
// a host.
var folders = []string{"home", "usb", "srv"}

// world is what a sequence of steps happens in, which begins empty. The current
// folder is its top.
type world struct {
	*setup
	t      *rapid.T
	script []string // what has been done, as one would type it
	step   int

	files   map[string]string // sums by path, after the last step
	known   map[string]*Content
	debris  map[string]string  // who has left a file, by its path
	bundles map[string]*Bundle // by what they are made of
	place   *layoutPlace
}

// newWorld makes an empty one.
func newWorld(t *rapid.T, s *setup) *world {
	w := &world{setup: s, t: t, files: map[string]string{}, known: map[string]*Content{sum(nil): {Kind: Foreign}}, debris: map[string]string{}, bundles: map[string]*Bundle{}}
	entries, err := os.ReadDir(".")
	w.must(err)
	for _, e := range entries {
		if e.Name() != "src" && e.Name() != small {
			w.must(os.RemoveAll(e.Name()))
		}
	}
	w.must(w.clearDisk())
	for _, dir := range folders {
		w.must(os.Mkdir(dir, 0o755))
	}
	w.place = newLayoutPlace()
	w.engine.reset()
	w.registry.reset()
	return w
}

// must ends a sequence that the test itself cannot go on with.
func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.fail("the test: %v", err)
	}
}

// fail ends a sequence that shows something wrong.
func (w *world) fail(format string, args ...any) {
	w.t.Helper()
	w.t.Fatalf("%s\n\nafter:\n  %s\n\nthe files:\n  %s", fmt.Sprintf(format, args...), strings.Join(w.script, "\n  "), strings.Join(w.listing(), "\n  "))
}

func (w *world) listing() (lines []string) {
	for path := range w.files {
		lines = append(lines, fmt.Sprintf("%-28s %s", path, w.content(path)))
	}
	slices.Sort(lines)
	return lines
}

// note adds a line to the script.
func (w *world) note(format string, args ...any) {
	w.step++
	w.script = append(w.script, fmt.Sprintf(format, args...))
}

// airgap runs the command.
func (w *world) airgap(args ...string) Result {
	w.t.Helper()
	w.note("airgap %s", w.host.short(strings.Join(args, " ")))
	r := w.run(append(slices.Clone(args), "--json"))
	w.script[len(w.script)-1] += fmt.Sprintf("   # %d", r.Status)
	what := args[0]
	for _, flag := range []string{"--unpack", "--files", "--include-files"} {
		if slices.Contains(args, flag) {
			what += " " + flag
		}
	}
	w.ends[fmt.Sprintf("%s %d", what, r.Status)]++
	if strings.Contains(r.Err, "internal error") {
		w.fail("%s", r.Err)
	}
	return r
}

// content is what a file is; nil if it is not there.
func (w *world) content(path string) *Content {
	path = filepath.Clean(path)
	s, ok := w.files[path]
	switch owner := w.debris[path]; {
	case !ok:
		return nil
	case owner != "":
		return &Content{Kind: Debris, Name: owner}
	}
	return w.known[s]
}

// in lists the files of a folder by their base names.
func (w *world) in(dir string) map[string]*Content {
	list := map[string]*Content{}
	for path := range w.files {
		if filepath.Dir(path) == filepath.Clean(dir) {
			list[filepath.Base(path)] = w.content(path)
		}
	}
	return list
}

// paths are those of all files that fit.
func (w *world) paths(fits func(path string, c *Content) bool) (list []string) {
	for path := range w.files {
		if fits(path, w.content(path)) {
			list = append(list, path)
		}
	}
	slices.Sort(list)
	return list
}

// change is what a step has made of a file.
type change struct {
	path     string
	old, now *Content // nil: nothing; now is nil too if its bytes are new
	raw      []byte   // its bytes, if they are new or somebody's own
	sum      string   // of its bytes
	gone     bool
}

// settle looks at all files after a step. For every file that is another one,
// rule says what it is now, or what is wrong about it.
func (w *world) settle(rule func(c change) (*Content, error)) {
	w.t.Helper()
	now := w.look()
	var changed []string
	for path, s := range now {
		if w.files[path] != s {
			changed = append(changed, path)
		}
	}
	for path := range w.files {
		if _, ok := now[path]; !ok {
			changed = append(changed, path)
		}
	}
	slices.Sort(changed)
	var problems []string
	for _, path := range changed {
		s, there := now[path]
		c := change{path: path, old: w.content(path), now: w.known[s], sum: s, gone: !there}
		if there && (c.now == nil || c.now.is(Foreign)) {
			var err error
			c.raw, err = os.ReadFile(path)
			w.must(err)
		}
		is, err := rule(c)
		delete(w.debris, path)
		if err != nil {
			problems = append(problems, fmt.Sprintf("%s: %v (it was %s)", path, err, c.old))
		} else if is.is(Debris) {
			w.debris[path] = is.Name
		} else if there && (c.now == nil || is.is(Sums) || c.now.is(Foreign) && is.is(Whole)) { // somebody may have had a copy, as of debris that travelled along
			w.known[s] = is
		} else if there && is != nil && *is != *c.now && (is.Cut == 0 || is.Kind != c.now.Kind) && s != sum(nil) {
			problems = append(problems, fmt.Sprintf("%s is %s, expected %s", path, c.now, is))
		}
	}
	w.files = now
	if len(problems) > 0 {
		w.fail("%s", strings.Join(problems, "\n"))
	}
}

// untouched is the rule of a step that changes no file.
func untouched(c change) (*Content, error) {
	switch {
	case c.gone:
		return nil, fmt.Errorf("it went")
	case c.old == nil:
		return nil, fmt.Errorf("it was left")
	}
	return nil, fmt.Errorf("it was changed")
}

// stamp tells whether a file may have changed.
type stamp struct {
	inode uint64
	size  int64
	ctime syscall.Timespec
	mode  fs.FileMode
}

type stamped struct {
	stamp
	sum string
}

// look hashes all files of the folders.
func (w *world) look() map[string]string {
	found := map[string]string{}
	for _, dir := range append(folders, small) {
		w.must(filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			found[path], err = w.sumOf(path)
			return err
		}))
	}
	return found
}

// sumOf hashes a file, unless it is as it was when it was hashed last.
func (w *world) sumOf(path string) (string, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return "", err
	}
	sys := info.Sys().(*syscall.Stat_t)
	s := stamp{sys.Ino, info.Size(), sys.Ctim, info.Mode()}
	if known, ok := w.sums[path]; ok && known.stamp == s {
		return known.sum, nil
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	h := sum(raw)
	// The clock of the file system is slow: what has just been written may be
	// written again without another time.
	if time.Since(time.Unix(sys.Ctim.Unix())) > 50*time.Millisecond {
		w.sums[path] = stamped{s, h}
	} else {
		delete(w.sums, path)
	}
	return h, nil
}

// isText says that bytes are lines as sha256sum writes them.
func isText(raw []byte, h, base string) bool {
	return bytes.Equal(raw, []byte(h+"  "+base+"\n"))
}
