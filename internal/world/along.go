//go:build linux

package world

import (
	"cmp"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// papers is a folder of what is needed beside images: odd modes, a folder in it,
// an empty one, and a file of nothing.
const papers = "src/papers"

// umask is that of this user.
const umask = 0o022

// makePapers writes them.
func makePapers(t testing.TB, dir string) {
	t.Helper()
	for _, name := range []string{"config/deep", "empty"} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for name, mode := range map[string]fs.FileMode{
		"compose.yaml": 0o644, "secret": 0o600, "run.sh": 0o755, "config/read-only": 0o444, "config/deep/odd": 0o705, "nothing": 0o640,
	} {
		content := []byte("this is " + name + "\n")
		if name == "nothing" {
			content = nil
		}
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, content, mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
}

// mostAlong is how much travels along at most: bundles in bundles grow.
const mostAlong = 4 << 20

// PackAlong packs an image with files that travel along: papers, or all that is
// in a folder, which may be the one that the bundle comes into.
func (w *world) PackAlong(t *rapid.T) {
	day := rapid.SampledFrom(days).Draw(t, "day")
	path := filepath.Join(drawFolder(t), rapid.SampledFrom(bundleNames).Draw(t, "name"))
	dir := rapid.SampledFrom([]string{papers, filepath.Dir(path), drawFolder(t)}).Draw(t, "along")
	files, size := w.filesIn(dir, path)
	if size > mostAlong {
		dir = papers
		files, _ = w.filesIn(dir, path)
	}
	cut := drawCutting(t)
	args := append([]string{"pack", "-o", path, "--include-files", dir}, cut.args()...)
	r := w.airgap(append(args, "oci:src/"+day+":"+app)...)
	w.packed(r, path, w.bundle(day, []string{app}, files), cut)
}

// filesIn are the files of a folder as they travel along, and their size: all but
// those that a pack to that output writes, or has written before.
func (w *world) filesIn(dir, output string) (files map[string]string, size int64) {
	files = map[string]string{}
	w.must(filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || isOutput(path, output) {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		size += info.Size()
		h, err := w.sumOf(path)
		files[filepath.Base(dir)+strings.TrimPrefix(path, dir)] = fmt.Sprintf("%04o %s", info.Mode().Perm(), h)
		return err
	}))
	return files, size
}

// isOutput says that a pack to an output writes a file, or that one which was
// killed has been writing it.
func isOutput(path, output string) bool {
	kind, _ := role(output, path)
	base := filepath.Base(output)
	rest := strings.TrimPrefix(path, filepath.Dir(output)+"/")
	return kind != Foreign || isDebris(path, filepath.Dir(output)) && (strings.HasPrefix(rest, "."+base+".") || strings.HasPrefix(rest, base+"."))
}

// UnpackFiles writes out the files that have travelled along, into a folder that
// may have some of these names. If there are none yet, some are packed first.
func (w *world) UnpackFiles(t *rapid.T) {
	hasFiles := func(_ string, c *Content) bool { return c.is(Whole, Volume) && len(c.Bundle.Files) > 0 }
	if len(w.paths(hasFiles)) == 0 {
		w.PackAlong(t)
	}
	name := w.drawFile(t, "bundle", hasFiles)
	dir := drawFolder(t)
	want := w.named(name)
	r := w.airgap("unpack", "--to", "oci:"+dest, "--files", dir, name)
	b := w.judge(r, name, want)
	if b == nil {
		w.settle(untouched)
	} else {
		w.writtenOut(dir, b)
	}
	w.inLayout(r, b)
}

// backup is what the name of a file ends in that another has taken the place of.
var backup = regexp.MustCompile(`\.bak(\.[0-9]+)?$`)

// isBegun says that a file that has travelled along is what a killed airgap was
// writing where it comes from.
func isBegun(path string) bool {
	return slices.ContainsFunc(strings.Split(path, "/"), func(name string) bool { return begun.MatchString(name) || fresh.MatchString(name) })
}

// writtenOut demands that the files of a bundle are in a folder, with their modes,
// that what was there of such a name is kept, and that nothing else has changed.
func (w *world) writtenOut(dir string, b *Bundle) {
	w.t.Helper()
	before := map[string]string{}
	for name := range b.Files {
		path := filepath.Join(dir, name)
		before[path] = w.files[path]
	}
	w.settle(func(c change) (*Content, error) {
		rel, _ := filepath.Rel(dir, c.path)
		_, want, ok := strings.Cut(b.Files[rel], " ")
		of := backup.ReplaceAllString(c.path, "")
		switch {
		case ok && !c.gone && c.sum == want && isBegun(c.path):
			return &Content{Kind: Debris, Name: "along"}, nil // and is cleared up by whoever would have written it here
		case ok && !c.gone && c.sum == want && c.now == nil:
			return &Content{Kind: Foreign}, nil
		case ok && !c.gone && c.sum == want:
			return c.now, nil
		case of != c.path && c.old == nil && c.sum == before[of]:
			return cmp.Or(c.now, &Content{Kind: Foreign}), nil
		}
		return untouched(c)
	})
	for name, text := range b.Files {
		mode, want, _ := strings.Cut(text, " ")
		path := filepath.Join(dir, name)
		old := before[path]
		if w.files[path] != want {
			w.fail("%s is %s, expected %s", path, w.content(path), name)
		}
		if old == want {
			continue // it is as it was, and so is its mode
		}
		info, err := os.Stat(path)
		w.must(err)
		var bits fs.FileMode
		_, err = fmt.Sscanf(mode, "%o", &bits)
		w.must(err)
		if info.Mode().Perm() != bits&^umask {
			w.fail("%s has the mode %v, expected %v", path, info.Mode().Perm(), bits&^umask)
		}
		w.must(os.Chmod(path, 0o644)) // so that other steps can write it
		kept := w.paths(func(other string, _ *Content) bool {
			return other != path && backup.ReplaceAllString(other, "") == path && w.files[other] == old
		})
		if old != "" && len(kept) == 0 {
			w.fail("%s was replaced, and what it was is not kept", path)
		}
	}
}
