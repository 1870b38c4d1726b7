//go:build linux

package world

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"

	"pgregory.net/rapid"
)

// calls are the system calls at which a command is killed, those that change
// files and that say that it is about to, and at which of them, at most: all
// commands make many of some and few of others.
var calls = map[string]int{
	"openat": 40, "write": 12, "pwrite64": 8, "fsync": 6, "renameat": 6, "renameat2": 3, "unlinkat": 4, "linkat": 3, "mkdirat": 3, "ftruncate": 3, "fchmod": 3,
}

// killed runs airgap and kills it, as kill -9 does, when it makes a system call
// for the nth time. It says whether it came so far.
func (w *world) killed(t *rapid.T, args ...string) bool {
	w.t.Helper()
	call := rapid.SampledFrom(slices.Sorted(maps.Keys(calls))).Draw(t, "call")
	n := rapid.IntRange(1, calls[call]).Draw(t, "nth")
	line := []string{"-f", "-qq", "-o", "/dev/null", "-e", "trace=" + call, "-e", fmt.Sprintf("inject=%s:signal=KILL:when=%d", call, n), "airgap"}
	w.note("strace %s %s", strings.Join(line, " "), w.host.short(strings.Join(args, " ")))
	cmd := exec.Command("strace", append(line, args...)...)
	cmd.Env = append(os.Environ(), "GOMAXPROCS=1") // so that the same call is the nth again
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		w.must(err)
	}
	w.letTimePass()
	status := cmd.ProcessState.Sys().(syscall.WaitStatus)
	hit := status.Signaled() || status.ExitStatus() == 128+int(syscall.SIGKILL)
	w.script[len(w.script)-1] += fmt.Sprintf("   # killed: %t", hit)
	w.ends[fmt.Sprintf("kill %s %t", args[0], hit)]++
	return hit
}

// letTimePass makes the locks of those who were killed as old as they have to be to
// be taken over without a word: a minute, which nobody waits for in the model.
func (w *world) letTimePass() {
	old := time.Now().Add(-time.Hour)
	for _, dir := range folders {
		locks, err := filepath.Glob(filepath.Join(dir, ".*.lock"))
		for _, lock := range locks {
			err = errors.Join(err, os.Chtimes(lock, old, old))
		}
		w.must(err)
	}
}

// KillPack kills a pack.
func (w *world) KillPack(t *rapid.T) {
	day := rapid.SampledFrom(days).Draw(t, "day")
	path := filepath.Join(drawFolder(t), rapid.SampledFrom(bundleNames).Draw(t, "name"))
	cut := drawCutting(t)
	w.killed(t, append([]string{"pack", "-o", path, "oci:src/" + day + ":" + app}, cut.args()...)...)
	w.settle(w.halfWritten(path, w.bundle(day, []string{app}, nil), cut))
}

// KillSend kills a send.
func (w *world) KillSend(t *rapid.T) {
	name := w.drawFile(t, "bundle", func(_ string, c *Content) bool { return c.sound(Whole) })
	dir := drawFolder(t)
	to := dir
	if dir == "srv" {
		to = w.host.dest(dir)
	}
	cut := cutting{parity: rapid.SampledFrom([]int{0, 0, 10}).Draw(t, "parity")} // half a set of volumes is none that is known
	w.killed(t, append([]string{"send", name, to}, cut.args()...)...)
	path := filepath.Join(dir, filepath.Base(name))
	w.settle(along(w.beside(name), w.halfWritten(path, w.content(name).Bundle, cut)))
}

// halfWritten is the rule of writing a bundle that somebody has killed: each file
// is the old one or the new one, whole; and what was being written has a name by
// which it is known.
func (w *world) halfWritten(path string, b *Bundle, cut cutting) func(c change) (*Content, error) {
	whole := w.written(path, b, cut)
	return func(c change) (*Content, error) {
		if c.gone && c.old.is(Debris) {
			return nil, nil
		}
		if isDebris(c.path, filepath.Dir(path)) && (c.old == nil || c.old.is(Debris)) {
			return &Content{Kind: Debris, Name: owner(w.script[len(w.script)-1], path, cut)}, nil
		}
		return whole(c)
	}
}

// owner is who has to clear up what a killed command has left: the next pack that
// writes the same, or the next send of that name, in whatever shape.
func owner(line, path string, cut cutting) string {
	if strings.Contains(line, "airgap send ") {
		return sender + path
	}
	return fmt.Sprint("pack ", path, cut.volumes)
}

// sender begins the owner of what a send has left.
const sender = "send "

// fresh is the name of a volume of a new set that is about to replace one of an old.
var fresh = regexp.MustCompile(`^.+\.[A-Z0-9]{8}\.new$`)

// begun is the name of a file, or of a folder of such, that has not got its own
// yet; or of a lock, which may have been put aside.
var begun = regexp.MustCompile(`^\..+\.(partial|lock(\.[A-Z0-9]{8})?)$`)

// isDebris says that a name in a folder is one under which something is being
// written.
func isDebris(path, dir string) bool {
	rest, ok := strings.CutPrefix(path, dir+"/")
	top, _, _ := strings.Cut(rest, "/")
	return ok && (fresh.MatchString(top) || begun.MatchString(top))
}

// KillUnpack kills an import: each name points to what it did or to what it was to,
// what it points to is whole, and what is left goes with the next that succeeds.
func (w *world) KillUnpack(t *rapid.T) {
	name := w.drawFile(t, "bundle", func(_ string, c *Content) bool { return c.sound(Whole) })
	b, place := w.content(name).Bundle, w.drawPlace(t)
	others := place.now()
	w.killed(t, "unpack", "--to", place.to, name)
	place.waitForOthers(others)
	w.settle(untouched)
	now, err := place.look()
	if err != nil {
		w.fail("%s: %v", place.to, err)
	}
	for _, image := range slices.Concat(keys(now), keys(place.had)) {
		if now[image] != place.had[image] && !isOwn(image) && (b.Images[image] == "" || now[image] != place.id(b, image)) {
			w.fail("%s has %s as %q, which was %q and was to be %q", place.to, image, now[image], place.had[image], b.Images[image])
		}
	}
	place.keep(now)
	*place.killed = true
	if place.to == "docker" { // what it was about to do may have been done, for all that rollback can tell
		for image := range b.Images {
			w.engine.undo[image] = append(w.engine.undo[image], [2]string{place.id(b, image), place.had[image]})
		}
	}
}

// KillRepair damages a file that has parity, and kills its repair: nothing else is
// written, and the next repair does what this one would have done.
func (w *world) KillRepair(t *rapid.T) {
	name := w.drawFile(t, "file", func(path string, c *Content) bool {
		return c.is(Whole, Volume, Parity) && !c.Damaged && w.isProtected(path)
	})
	if rapid.Bool().Draw(t, "cut") {
		w.truncate(t, name)
	} else {
		w.flip(t, name)
	}
	want, dir := w.named(name), filepath.Dir(name)
	w.copyTwin(dir)
	foreseen := w.run([]string{"repair", filepath.Join(twin, filepath.Base(name)), "--json"})
	w.must(os.RemoveAll(twin))
	w.killed(t, "repair", name)
	mended := w.repaired(name, want)
	w.settle(func(c change) (*Content, error) {
		switch {
		case c.old.is(Debris) && c.gone:
			return nil, nil
		case isDebris(c.path, dir) && (c.old == nil || c.old.is(Debris)):
			return &Content{Kind: Debris, Name: "repair"}, nil
		case !c.gone && c.now == nil && (c.old.is(Whole, Volume, Parity) && c.old.Damaged || w.empty(c)):
			return c.old, nil // some of it is mended
		case c.gone && strings.HasSuffix(c.path, ".sha256") && (c.old.is(Sums) || w.empty(c)) && w.content(strings.TrimSuffix(c.path, ".sha256")).needsRepair():
			return nil, nil // they are written anew
		}
		return mended(c)
	})
	again := w.airgap("repair", name)
	if again.Status != 0 {
		mended = untouched
	}
	w.settle(func(c change) (*Content, error) {
		if c.old.is(Debris) && c.gone {
			return nil, nil
		}
		return mended(c)
	})
	if foreseen.Status == 0 && again.Status != 0 {
		w.fail("%s could have been repaired, and after one was killed it cannot: %s", name, again.Err)
	}
}

// needsRepair says that a file is lost, or is not as it was.
func (c *Content) needsRepair() bool { return !c.is(Whole, Volume, Parity) || c.Damaged }

// twin is a folder for a copy of another.
const twin = "twin"

// copyTwin makes it.
func (w *world) copyTwin(dir string) {
	w.must(os.Mkdir(twin, 0o755))
	for base, c := range w.in(dir) {
		if c.is(Debris) {
			continue
		}
		raw, err := os.ReadFile(filepath.Join(dir, base))
		w.must(err)
		w.must(os.WriteFile(filepath.Join(twin, base), raw, 0o644))
	}
}

// isProtected says that there is sound parity beside a file that is of the same cut.
func (w *world) isProtected(path string) bool {
	c := w.content(path)
	for base, other := range w.in(filepath.Dir(path)) {
		if other.sound(Parity) && base != filepath.Base(path) && other.Bundle == c.Bundle && other.Cut == c.Cut {
			return true
		}
	}
	return false
}

func keys(m map[string]string) (list []string) {
	for k := range m {
		list = append(list, k)
	}
	slices.Sort(list)
	return list
}
