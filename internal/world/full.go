//go:build linux

package world

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
	"pgregory.net/rapid"
)

// small is the folder of a disk with little room, which only the long form has, and
// only root can mount.
const small = "full"

// mountFull mounts it, or says why not.
func mountFull(t *testing.T) error {
	t.Helper()
	if err := unix.Mount("tmpfs", small, "tmpfs", 0, "size=64m"); err != nil {
		return fmt.Errorf("mounting a small disk: %w", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(small, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return nil
}

// leave has the disk have so much room.
func leave(room uint64) error {
	var s unix.Statfs_t
	if err := unix.Statfs(small, &s); err != nil {
		return err
	}
	used := (s.Blocks - s.Bfree) * uint64(s.Bsize)
	return unix.Mount("", small, "", unix.MS_REMOUNT, fmt.Sprintf("size=%d", used+room))
}

// FillDisk packs or sends to the disk with little room, on which an older bundle
// may be: the new one is there, or everything is as it was.
func (w *world) FillDisk(t *rapid.T) {
	if w.noDisk != nil {
		t.Skip(w.noDisk)
	}
	older := w.drawFile(t, "bundle", func(_ string, c *Content) bool { return c.sound(Whole) })
	path := filepath.Join(small, filepath.Base(older))
	if rapid.Bool().Draw(t, "an older one") {
		w.note("cp %s %s", older, path)
		raw, err := os.ReadFile(older)
		w.must(err)
		w.must(os.WriteFile(path, raw, 0o644))
		w.settle(moved(path, w.content(older), ""))
	}
	room := rapid.SampledFrom([]uint64{4 << 10, 64 << 10, 1 << 20, 1300 << 10, 2 << 20, 3 << 20, 6 << 20}).Draw(t, "room")
	w.must(leave(room))
	w.note("# %d bytes of room", room)
	cut := drawCutting(t)
	if rapid.Bool().Draw(t, "pack") {
		day := rapid.SampledFrom(days).Draw(t, "day")
		r := w.airgap(append([]string{"pack", "-o", path, "oci:src/" + day + ":" + app}, cut.args()...)...)
		b := w.bundle(day, []string{app}, nil)
		switch {
		case strings.Contains(r.Err, "the bundle is there whole, its parity is not"):
			cut.parity = 0
			w.settle(w.written(path, b, cut))
			w.complete(path, b, cut)
		case !w.isFull(r):
			w.packed(r, path, b, cut)
		}
	} else {
		name := w.drawFile(t, "sent", func(_ string, c *Content) bool { return c.sound(Whole) })
		want := w.named(name)
		r := w.airgap(append([]string{"send", name, small}, cut.args()...)...)
		if !w.isFull(r) {
			w.sent(r, name, small, want, cut)
		}
	}
	w.must(w.clearDisk())
	w.settle(func(c change) (*Content, error) {
		if c.gone && filepath.Dir(c.path) == small {
			return nil, nil
		}
		return untouched(c)
	})
}

// clearDisk makes room on the disk, and removes all that is on it.
func (w *world) clearDisk() error {
	if !w.long || w.noDisk != nil {
		return nil
	}
	entries, err := os.ReadDir(small)
	for _, e := range entries {
		err = errors.Join(err, os.RemoveAll(filepath.Join(small, e.Name())))
	}
	return errors.Join(err, leave(64<<20))
}

// noSpace is the exit status of what has no room.
const noSpace = 7

// isFull says that a command found no room. Nothing has changed then.
func (w *world) isFull(r Result) bool {
	w.t.Helper()
	if r.Status != noSpace {
		return false
	}
	w.ends["full"]++
	w.settle(w.refusedWriting(small))
	return true
}
