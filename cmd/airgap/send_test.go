package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"

	"airgap/bundle"
	"airgap/cmd/airgap/internal/ui"
	"airgap/transfer"
	"airgap/transfer/media"
)

// TestInterruptedBetween fails destinations that have not had their turn: they
// are not among those at which the bundle is.
func TestInterruptedBetween(t *testing.T) {
	env, out, _ := newEnv()
	env.JSON = true
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errInterrupted)
	s := &sender{env: env, o: sendOptions{parallel: 1}, dests: []string{"a", "b:"}}
	failed := s.all(ctx, 0)
	if len(failed) != 2 {
		t.Fatalf("%d of 2 failed: %v", len(failed), failed)
	}
	if err := s.allFailed(ctx, failed); err == nil || !strings.Contains(err.Error(), "2 of 2 destinations failed") {
		t.Errorf("error %v", err)
	}
	if n := strings.Count(out.String(), `{"type":"failed","command":"send","dest":"`); n != 2 {
		t.Errorf("%d objects: %s", n, out)
	}
	s.dests = s.dests[:1]
	if err := s.allFailed(ctx, failed[:1]); !errors.Is(err, errInterrupted) {
		t.Errorf("error %v", err)
	}
	if err := s.allFailed(ctx, nil); err != nil {
		t.Errorf("error %v without a failure", err)
	}
}

// TestSendsOfSeveralFiles has another send of several files of that name begin when
// one has sent the first of its own: it must not take the place of that.
func TestSendsOfSeveralFiles(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, dir := range []string{"usb", "alone"} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	packInto(t, "mine")
	packInto(t, "theirs")
	folder, err := media.Open("usb")
	if err != nil {
		t.Fatal(err)
	}
	defer folder.Close()
	env, _, _ := newEnv()
	s := newSender(t, env, filepath.Join("mine", defaultBundle), cutOptions{parity: 10})
	began := false
	w := &way{sender: s, dest: "usb", place: &meanwhile{folder, func(next transfer.File) {
		if next.Name == defaultBundle && !began {
			began = true
			mustEnd(t, ui.Transfer, "send", filepath.Join("theirs", defaultBundle), "usb", "--parity", "10%")
		}
	}}}
	if _, err := w.carry(t.Context(), func(string, int64) *ui.Progress { return env.Progress("sending", 0) }); err != nil || !began {
		t.Fatalf("%v; the other has begun: %t", err, began)
	}
	mustEnd(t, ui.OK, "send", filepath.Join("mine", defaultBundle), "alone", "--parity", "10%")
	for _, name := range []string{defaultBundle, defaultBundle + ".par"} {
		alone, err1 := os.ReadFile(filepath.Join("alone", name))
		there, err2 := os.ReadFile(filepath.Join("usb", name))
		if err := errors.Join(err1, err2); err != nil || !bytes.Equal(alone, there) {
			t.Errorf("%s is not what was sent (%v)", name, err)
		}
	}
}

// sendVolumes sends volumes of a bundle to usb, where somebody does something
// before each file, and once before the last.
func sendVolumes(t *testing.T, name string, meantime func(next transfer.File)) error {
	t.Helper()
	return sendTo(t, name, cutOptions{size: 1 << 20}, func(f *media.Folder) transfer.Place { return &meanwhile{f, meantime} })
}

// TestSendsOfVolumes: while volumes are sent nobody else sends that name to the
// folder, be it cut otherwise or whole. What takes no lock is noticed at the end.
func TestSendsOfVolumes(t *testing.T) {
	t.Chdir(t.TempDir())
	packLarge(t, "mine", 2_500_000)
	packLarge(t, "theirs", 2_500_000)
	mine, theirs, last := filepath.Join("mine", defaultBundle), filepath.Join("theirs", defaultBundle), defaultBundle+".003"
	for _, cut := range [][]string{nil, {"--volume-size", "2MiB"}, {"--volume-size", "1MiB"}} {
		began := false
		os.Mkdir("usb", 0o755)
		err := sendVolumes(t, mine, func(next transfer.File) {
			if next.Name == last && !began {
				began = true
				mustEnd(t, ui.Transfer, append([]string{"send", theirs, "usb"}, cut...)...)
			}
		})
		if err != nil || !began {
			t.Fatalf("%v; the other has begun: %t", err, began)
		}
		mustEnd(t, ui.OK, "verify", "usb")
		mustEnd(t, ui.OK, append([]string{"send", theirs, "usb"}, cut...)...)
		mustEnd(t, ui.OK, "verify", "usb")
		os.RemoveAll("usb")
	}

	mustMkdir(t, "usb", "other")
	mustEnd(t, ui.OK, "send", theirs, "other", "--volume-size", "1MiB")
	first := defaultBundle + ".001"
	for what, do := range map[string]func() error{
		"removed": func() error { return os.Remove(filepath.Join("usb", first)) },
		"cut off": func() error { return os.Truncate(filepath.Join("usb", first), 1000) },
		"replaced": func() error {
			raw, err := os.ReadFile(filepath.Join("other", first))
			return errors.Join(err, os.WriteFile(filepath.Join("usb", first), raw, 0o644))
		},
	} {
		err := sendVolumes(t, mine, func(next transfer.File) {
			if next.Name == last {
				if err := do(); err != nil {
					t.Error(err)
				}
			}
		})
		var state *stateError
		if !errors.As(err, &state) || state.state != "the bundle is not whole there" {
			t.Errorf("%s: %v", what, err)
		}
		var replaced *transfer.ReplacedError
		if is := what != "removed"; errors.As(err, &replaced) != is {
			t.Errorf("%s: %v", what, err)
		}
		os.Remove(filepath.Join("usb", first))
	}
	mustEnd(t, ui.OK, "send", mine, "usb", "--volume-size", "1MiB")
	mustEnd(t, ui.OK, "verify", "usb")
}

// TestCannotSync is a folder that cannot be synced, which is said once of all volumes.
func TestCannotSync(t *testing.T) {
	t.Chdir(t.TempDir())
	packLarge(t, "mine", 2_500_000)
	mustMkdir(t, "usb")
	var said buffer
	err := sendSaying(t, &said, filepath.Join("mine", defaultBundle), cutOptions{size: 1 << 20}, func(f *media.Folder) transfer.Place { return unsynced{f} })
	if n := strings.Count(said.String(), "it is not confirmed that the bundle is on the disk: no way to sync"); err != nil || n != 1 {
		t.Errorf("said %d times, %v: %s", n, err, &said)
	}
}

// unsynced is a folder that its system cannot sync.
type unsynced struct{ *media.Folder }

func (unsynced) Sync(context.Context) (bool, string, error) { return false, "no way to sync", nil }

// packLarge packs so many bytes into a folder that it makes.
func packLarge(t *testing.T, dir string, size int) {
	t.Helper()
	content := make([]byte, size)
	rand.NewChaCha8(sha256.Sum256([]byte(dir))).Read(content)
	if err := os.WriteFile(dir+".bin", content, 0o644); err != nil {
		t.Fatal(err)
	}
	packInto(t, dir, "--include-files", dir+".bin")
}

// heard is written to, and says when a word has come.
type heard struct {
	word string
	said chan struct{}
	once sync.Once
}

func (h *heard) Write(p []byte) (int, error) {
	if strings.Contains(string(p), h.word) {
		h.once.Do(func() { close(h.said) })
	}
	return len(p), nil
}

// TestParityMeanwhile: what has come to have the name of parity while the bundle was
// packed stays.
func TestParityMeanwhile(t *testing.T) {
	t.Chdir(t.TempDir())
	packInto(t, "one")
	path := filepath.Join("one", defaultBundle)
	folder, err := media.Open("one")
	if err != nil {
		t.Fatal(err)
	}
	defer folder.Close()
	if err := os.WriteFile(path+".par", []byte("notes"), 0o644); err != nil {
		t.Fatal(err)
	}
	env, _, _ := newEnv()
	var foreign *transfer.ForeignError
	o := packOptions{cut: cutOptions{parity: 10}}
	if _, err := o.addParity(t.Context(), env, folder, "one", bundle.Summary{Path: path, Size: 1}); !errors.As(err, &foreign) {
		t.Errorf("error %v", err)
	}
	if got, err := os.ReadFile(path + ".par"); err != nil || string(got) != "notes" {
		t.Errorf("what has come is %d bytes, %v", len(got), err)
	}
}

// TestPackWaits has a pack into volumes come to its end while another brings volumes
// of that name: it waits for that one before the first of its own gets its name.
func TestPackWaits(t *testing.T) {
	t.Chdir(t.TempDir())
	packLarge(t, "one", 2_500_000)
	mustMkdir(t, "usb")
	folder, err := media.Open("usb")
	if err != nil {
		t.Fatal(err)
	}
	defer folder.Close()
	_, unlock, err := folder.Lock(t.Context(), transfer.File{Name: defaultBundle, Temporary: ".x.partial"}, transfer.LockOptions{Owner: "another"})
	if err != nil {
		t.Fatal(err)
	}
	env, _, _ := newEnv()
	waits := &heard{word: "waiting", said: make(chan struct{})}
	env.Err = waits
	ended := make(chan int, 1)
	go func() {
		ended <- Main([]string{"pack", "-o", filepath.Join("usb", defaultBundle), "--volume-size", "1MiB", "--include-files", "one.bin", "oci:one.images"}, env)
	}()
	select {
	case <-waits.said:
	case status := <-ended:
		t.Fatalf("it does not wait, and ends with %d", status)
	}
	if names, _ := filepath.Glob("usb/bundle*"); len(names) > 0 {
		t.Errorf("there are %v", names)
	}
	unlock()
	if status := <-ended; status != 0 {
		t.Errorf("status %d", status)
	}
	mustEnd(t, ui.OK, "verify", "usb")
	if names, _ := filepath.Glob("usb/.*"); len(names) > 0 {
		t.Errorf("left: %v", names)
	}
}

// unplugged is a folder that fails at a step, and from then on.
type unplugged struct {
	*media.Folder
	left *int
	free int64 // if not 0
}

var errUnplugged = errors.New("unplugged")

func (u unplugged) step() error {
	if *u.left--; *u.left < 0 {
		return errUnplugged
	}
	return nil
}

func (u unplugged) Find(ctx context.Context, f transfer.File) (transfer.Found, error) {
	found, err := u.Folder.Find(ctx, f)
	if u.free != 0 {
		found.Free = u.free
	}
	return found, err
}

func (u unplugged) Write(ctx context.Context, off int64, data io.Reader) error {
	if err := u.step(); err != nil {
		return err
	}
	return u.Folder.Write(ctx, off, data)
}

func (u unplugged) Commit(ctx context.Context, which transfer.Which, sidecar []byte) error {
	if err := u.step(); err != nil {
		return err
	}
	return errors.Join(u.Folder.Commit(ctx, which, sidecar), u.step())
}

func (u unplugged) Visit(ctx context.Context, do func(transfer.Dir) error) error {
	return u.Folder.Visit(ctx, func(dir transfer.Dir) error { return do(unpluggedDir{dir, u}) })
}

type unpluggedDir struct {
	transfer.Dir
	u unplugged
}

func (d unpluggedDir) Remove(name string) error {
	if err := d.u.step(); err != nil {
		return err
	}
	return d.Dir.Remove(name)
}

// TestSendOverSet breaks a send of volumes over an earlier set off at each step: one
// of the two sets can be read then, and the next send brings the new one, of which
// nothing is written again that was there.
func TestSendOverSet(t *testing.T) {
	t.Chdir(t.TempDir())
	packLarge(t, "old", 2_500_000)
	packLarge(t, "new", 3_500_000)
	older, newer := filepath.Join("old", defaultBundle), filepath.Join("new", defaultBundle)
	for _, cuts := range [][2][]string{{{"--volume-size", "1MiB", "--parity", "60%"}, {"--volume-size", "1MiB"}}, {{"--volume-size", "1MiB"}, {"--volume-size", "1MiB", "--parity", "20%"}}} {
		mustMkdir(t, "was")
		mustEnd(t, ui.OK, append([]string{"send", older, "was"}, cuts[0]...)...)
		parity := 0
		if len(cuts[1]) > 2 {
			parity = 20
		}
		for k := 0; ; k++ {
			if err := os.CopyFS("usb", os.DirFS("was")); err != nil {
				t.Fatal(err)
			}
			err := sendTo(t, newer, cutOptions{size: 1 << 20, parity: parity}, func(f *media.Folder) transfer.Place { left := k; return unplugged{f, &left, 0} })
			if err == nil {
				if k < 10 {
					t.Errorf("only %d steps", k)
				}
				break
			}
			if !errors.Is(err, errUnplugged) {
				t.Fatalf("step %d: %v", k, err)
			}
			mustEnd(t, ui.OK, "unpack", "--to", "oci:there", filepath.Join("usb", defaultBundle))
			mustEnd(t, ui.OK, append([]string{"send", newer, "usb"}, cuts[1]...)...)
			mustEnd(t, ui.OK, "verify", "usb")
			left, _ := filepath.Glob("usb/*.new*")
			hidden, _ := filepath.Glob("usb/.*")
			if left = append(left, hidden...); len(left) > 0 {
				t.Errorf("step %d: left %v", k, left)
			}
			os.RemoveAll("usb")
		}
		mustEnd(t, ui.OK, "verify", "usb")
		os.RemoveAll("usb")
		os.RemoveAll("was")
	}
	// Where there is no room for both that is told.
	mustMkdir(t, "usb")
	mustEnd(t, ui.OK, "send", older, "usb", "--volume-size", "1MiB")
	never := 1 << 20
	stderr := new(bytes.Buffer)
	if err := sendSaying(t, stderr, newer, cutOptions{size: 1 << 20}, func(f *media.Folder) transfer.Place { return unplugged{f, &never, 2 << 20} }); err != nil {
		t.Error(err)
	}
	if !strings.Contains(stderr.String(), "those are given up") {
		t.Errorf("it says %s", stderr)
	}
	mustEnd(t, ui.OK, "verify", "usb")
}

// TestSendOverItself: volumes that are sent into the very folder that they are read
// from are not given up for want of room, by whatever path they are named. Nor are
// those of a folder that may be the same, as over the network.
func TestSendOverItself(t *testing.T) {
	t.Chdir(t.TempDir())
	packLarge(t, "mine", 2_500_000)
	mustMkdir(t, "usb")
	mustEnd(t, ui.OK, "send", filepath.Join("mine", defaultBundle), "usb", "--volume-size", "1MiB", "--parity", "60%")
	if err := os.CopyFS("same", os.DirFS("usb")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("usb", "link"); err != nil {
		t.Skip(err)
	}
	full := func(f *media.Folder) transfer.Place { never := 1 << 20; return unplugged{f, &never, 1 << 20} }
	was := contentOf(t, "usb")
	for dir, known := range map[string]bool{"usb": true, "./usb/../usb": true, "link": true, "same": false} {
		for _, name := range []string{defaultBundle, defaultBundle + ".002"} {
			for _, cut := range []cutOptions{{size: 1 << 20}, {size: 1 << 20, parity: 20}} {
				err := sendTo(t, filepath.FromSlash(dir+"/"+name), cut, full)
				var own *ownVolumesError
				var told *ui.Error
				errors.As(explain(t.Context(), "airgap send", err), &told)
				if !errors.As(err, &own) || own.known != known || told.Code != ui.NoSpace || told.State != unsent || strings.Contains(told.Hints[0], "a copy") == known {
					t.Errorf("%s/%s: %v, %+v", dir, name, err, told)
				}
				if now := contentOf(t, "usb"); !maps.Equal(now, was) {
					t.Fatalf("%s/%s: there is something else now: %v", dir, name, slices.Sorted(maps.Keys(now)))
				}
			}
		}
	}
	// What is there already needs no room.
	packLarge(t, "other", 3_500_000)
	mustMkdir(t, "more")
	mustEnd(t, ui.OK, "send", filepath.Join("other", defaultBundle), "more", "--volume-size", "1MiB")
	stray := defaultBundle + ".004"
	if err := os.Rename(filepath.Join("more", stray), filepath.Join("usb", stray)); err != nil {
		t.Fatal(err)
	}
	if err := sendTo(t, filepath.Join("usb", defaultBundle+".001"), cutOptions{size: 1 << 20, parity: 60}, full); err != nil {
		t.Error(err)
	}
	if now := contentOf(t, "usb"); !maps.Equal(now, was) {
		t.Errorf("there is something else now: %v", slices.Sorted(maps.Keys(now)))
	}
}

// TestSendBesideItself breaks sends off at each step that replace parity, in the
// folder that a damaged bundle is read from with it: it can be read all the time.
func TestSendBesideItself(t *testing.T) {
	t.Chdir(t.TempDir())
	packLarge(t, "mine", 2_500_000)
	for what, c := range map[string]struct {
		was, to cutOptions
	}{
		"other parity for volumes":  {cutOptions{size: 1 << 20, parity: 30}, cutOptions{size: 1 << 20, parity: 1}},
		"volumes into one file":     {cutOptions{size: 1 << 20, parity: 30}, cutOptions{parity: 1}},
		"other parity for one file": {cutOptions{parity: 30}, cutOptions{parity: 1}},
		"one file into volumes":     {cutOptions{parity: 30}, cutOptions{size: 1 << 20, parity: 1}},
	} {
		mustMkdir(t, "usb")
		if err := sendTo(t, filepath.Join("mine", defaultBundle), c.was, func(f *media.Folder) transfer.Place { return f }); err != nil {
			t.Fatal(err)
		}
		damaged := filepath.Join("usb", defaultBundle)
		if c.was.size > 0 {
			damaged += ".003"
		}
		damage(t, damaged, 300_000)
		if err := os.CopyFS("was", os.DirFS("usb")); err != nil {
			t.Fatal(err)
		}
		steps := 0
		for err := errUnplugged; err != nil; steps++ {
			os.RemoveAll("usb")
			if err := os.CopyFS("usb", os.DirFS("was")); err != nil {
				t.Fatal(err)
			}
			left := steps
			if err = sendTo(t, damaged, c.to, func(f *media.Folder) transfer.Place { return unplugged{f, &left, 0} }); err != nil && !errors.Is(err, errUnplugged) {
				t.Fatalf("%s, step %d: %v", what, steps, err)
			}
			if !readable(t, "usb") {
				t.Errorf("%s: after step %d nothing in the folder can be read", what, steps)
			}
		}
		if steps < 4 {
			t.Errorf("%s: only %d steps", what, steps)
		}
		os.RemoveAll("usb")
		os.RemoveAll("was")
	}
}

// damage changes so many bytes at the end of a file, before what a volume ends with.
func damage(t *testing.T, path string, n int) {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err == nil {
		for i := range n {
			raw[len(raw)-8<<10-i] ^= 0x55
		}
		err = os.WriteFile(path, raw, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// readable says whether the bundle can be read in a folder, by any of its names.
func readable(t *testing.T, dir string) bool {
	t.Helper()
	for _, name := range []string{defaultBundle, defaultBundle + ".001", defaultBundle + ".002"} {
		if proveWritten(t.Context(), quiet(), filepath.Join(dir, name)) == nil {
			return true
		}
	}
	return false
}

func quiet() *ui.Env {
	env, _, _ := newEnv()
	return env
}

// contentOf is what is in a folder.
func contentOf(t *testing.T, dir string) map[string]string {
	t.Helper()
	content := map[string]string{}
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		raw, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		content[e.Name()] = string(raw)
	}
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// sendTo sends volumes to usb.
func sendTo(t *testing.T, name string, cut cutOptions, at func(*media.Folder) transfer.Place) error {
	t.Helper()
	return sendSaying(t, io.Discard, name, cut, at)
}

func sendSaying(t *testing.T, said io.Writer, name string, cut cutOptions, at func(*media.Folder) transfer.Place) error {
	t.Helper()
	folder, err := media.Open("usb")
	if err != nil {
		t.Fatal(err)
	}
	defer folder.Close()
	env, _, _ := newEnv()
	env.Err = said
	w := &way{sender: newSender(t, env, name, cut), dest: "usb", place: at(folder)}
	_, err = w.carry(t.Context(), func(string, int64) *ui.Progress { return env.Progress("sending", 0) })
	return err
}

func mustMkdir(t *testing.T, dirs ...string) {
	t.Helper()
	for _, dir := range dirs {
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

// TestParityIsNeeded: parity that is asked for may not stay here because there is
// some beside the bundle, which has the same name.
func TestParityIsNeeded(t *testing.T) {
	t.Chdir(t.TempDir())
	packInto(t, "mine", "--parity", "10%")
	for _, percent := range []int{0, 100} {
		env, _, _ := newEnv()
		c := newSender(t, env, filepath.Join("mine", defaultBundle), cutOptions{parity: percent}).shipment
		files, err := c.of(0)
		if err != nil {
			t.Fatal(err)
		}
		want := 1
		if percent > 0 {
			want = len(files)
		}
		if needed := c.needed(files); len(files) != 2 || len(needed) != want {
			t.Errorf("%d%%: %d of %d files are needed", percent, len(needed), len(files))
		}
	}
}

// TestParityGoes: parity that somebody removes after it was looked at is not sent,
// and that is no reason not to send the bundle.
func TestParityGoes(t *testing.T) {
	t.Chdir(t.TempDir())
	packInto(t, "mine", "--parity", "10%")
	env, _, stderr := newEnv()
	c := newSender(t, env, filepath.Join("mine", defaultBundle), cutOptions{}).shipment
	if err := os.Remove(filepath.Join("mine", defaultBundle+".par")); err != nil {
		t.Fatal(err)
	}
	if files, err := c.of(0); err != nil || len(files) != 1 || !strings.Contains(stderr.String(), "has gone meanwhile") {
		t.Errorf("%d files, %v; it says %s", len(files), err, stderr)
	}
}

// packInto packs something into a folder that it makes.
func packInto(t *testing.T, dir string, flags ...string) {
	t.Helper()
	images, err := layout.Write(dir+".images", empty.Index)
	if err == nil {
		err = images.AppendImage(emptyImage(t), layout.WithAnnotations(map[string]string{refName: "app:v1"}))
	}
	if err == nil {
		err = os.WriteFile(dir+".txt", []byte(dir), 0o644) // so that each is another
	}
	if err == nil {
		err = os.Mkdir(dir, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	mustEnd(t, ui.OK, append([]string{"pack", "-o", filepath.Join(dir, defaultBundle), "--include-files", dir + ".txt", "oci:" + dir + ".images"}, flags...)...)
}

// newSender is a send of a bundle, until the test ends.
func newSender(t *testing.T, env *ui.Env, name string, cut cutOptions) *sender {
	t.Helper()
	b, err := openBundle(t.Context(), env, name)
	if err != nil {
		t.Fatal(err)
	}
	s := &sender{
		env: env, o: sendOptions{parallel: 1, cut: cut}, bundle: b,
		file: sync.OnceValues(func() (transfer.File, error) { return fileToSend(t.Context(), env, b) }),
	}
	s.shipment = newShipment(t.Context(), s)
	t.Cleanup(func() {
		s.shipment.close()
		b.Close()
	})
	return s
}

// emptyImage is one of no layers for this platform.
func emptyImage(t *testing.T) v1.Image {
	t.Helper()
	p, err := v1.ParsePlatform(hostPlatform)
	if err != nil {
		t.Fatal(err)
	}
	img, err := mutate.ConfigFile(empty.Image, &v1.ConfigFile{OS: p.OS, Architecture: p.Architecture, Variant: p.Variant, RootFS: v1.RootFS{Type: "layers"}})
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// meanwhile is a folder in which somebody does something before a file is sent.
type meanwhile struct {
	*media.Folder
	do func(next transfer.File)
}

func (m *meanwhile) Lock(ctx context.Context, f transfer.File, o transfer.LockOptions) (context.Context, func(), error) {
	m.do(f)
	return m.Folder.Lock(ctx, f, o)
}

// mustEnd runs the command and demands how it ends.
func mustEnd(t *testing.T, want ui.Status, args ...string) {
	t.Helper()
	env, _, stderr := newEnv()
	if status := Main(args, env); status != int(want) {
		t.Fatalf("airgap %q ends with %d, expected %d: %s", args, status, want, stderr)
	}
}
