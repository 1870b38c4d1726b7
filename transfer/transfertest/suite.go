// Package transfertest is the suite that every transfer.Place passes, with a
// server in the process, a real sshd, and a line that can be cut.
//
// It is for tests only.
package transfertest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"airgap/transfer"
)

// Target is a place under test: Open connects to it anew, and Dir is where its
// folder is on this machine.
type Target struct {
	Open func(t *testing.T) (transfer.Place, error)
	Dir  string
	// Resumes says that the place continues a partial.
	Resumes bool
}

// Suite runs the cases on places that New makes.
type Suite struct {
	New func(t *testing.T) Target
}

// Content is size random bytes as a file of that name.
func Content(name string, size int) (transfer.File, []byte) {
	raw := make([]byte, size)
	random := rand.NewChaCha8(sha256.Sum256([]byte(name)))
	random.Read(raw)
	return FileOf(name, raw), raw
}

// FileOf is a file of these bytes.
func FileOf(name string, raw []byte) transfer.File {
	sum := sha256.Sum256(raw)
	return transfer.File{Name: name, Size: int64(len(raw)), SHA256: hex.EncodeToString(sum[:]), Data: bytes.NewReader(raw)}
}

// Run runs the suite, several cases at once.
func (s Suite) Run(t *testing.T) {
	for name, test := range map[string]func(*testing.T, Target){
		"sends": sends, "sends nothing": sendsNothing, "already there": alreadyThere, "sum of another file": otherSum, "replaces": replaces, "not what is another's": notReplaced, "visits": visits,
		"appears meanwhile": appearsMeanwhile, "ours meanwhile": oursMeanwhile, "both meanwhile": bothMeanwhile, "nothing at first": nothingAtFirst,
		"resumes": resumes, "wrong beginning": wrongBeginning, "longer partial": longerPartial,
		"partial that is a link": partialLink, "final that is a folder": finalFolder,
		"removed meanwhile": removedMeanwhile,
		"two at once":       twoAtOnce, "two streams at once": twoStreams, "others at once": othersAtOnce, "one waits for the other": waitsForOther,
		"lock of the dead": lockOfTheDead, "lock of the silent": lockOfTheSilent, "lock of the living": lockOfTheLiving,
		"lock of an attempt before": lockOfBefore, "lock that is lost": lockLost, "lock that is removed": lockRemoved, "lock that is something else": lockElse,
		"older partials": olderPartials, "older partials of others": olderOfOthers,
		"left in other shapes": leftInShapes, "left, and being written": leftBusy, "left in other shapes by others": leftByOthers,
		"local file changes": localChanges, "local file fails": localFails,
		"streams": streams, "stream is named at its end": streamNamed, "stream fails": streamFails,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // most of it waits for the other side
			test(t, s.New(t))
		})
	}
}

func send(t *testing.T, target Target, f transfer.File) (transfer.Receipt, error) {
	t.Helper()
	p, err := target.Open(t)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	var progress int64
	r, err := transfer.Send(t.Context(), p, f, transfer.SendOptions{Progress: func(n int64) { progress += n }})
	if err == nil && progress != f.Size {
		t.Errorf("progress of %d out of %d bytes", progress, f.Size)
	}
	return r, err
}

// Arrived fails the test unless the file and its sums are there, and nothing else.
func Arrived(t *testing.T, dir string, f transfer.File, raw []byte) {
	t.Helper()
	got, err := os.ReadFile(filepath.Join(dir, f.Name))
	if err != nil || !bytes.Equal(got, raw) {
		t.Errorf("%d bytes arrived of %d, %v", len(got), len(raw), err)
	}
	sums, err := os.ReadFile(filepath.Join(dir, f.Name+".sha256"))
	if want := f.SHA256 + "  " + f.Name + "\n"; err != nil || string(sums) != want {
		t.Errorf("sums %q, expected %q, %v", sums, want, err)
	}
	Only(t, dir, f.Name, f.Name+".sha256")
}

// Only fails the test if the folder holds other names.
func Only(t *testing.T, dir string, names ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	for _, name := range names {
		known[name] = true
	}
	for _, e := range entries {
		if !known[e.Name()] {
			t.Errorf("%s is left in the folder", e.Name())
		}
	}
}

func sends(t *testing.T, target Target) {
	f, raw := Content("bundle.tar.zst", 9<<20+123)
	r, err := send(t, target, f)
	if err != nil {
		t.Fatal(err)
	}
	Arrived(t, target.Dir, f, raw)
	if r.Sent != f.Size || r.Resumed != 0 || r.Replaced || r.AlreadyThere || r.Proven == "" || r.Path == "" {
		t.Errorf("receipt %+v", r)
	}
}

func sendsNothing(t *testing.T, target Target) {
	f, raw := Content("empty", 0)
	if _, err := send(t, target, f); err != nil {
		t.Fatal(err)
	}
	Arrived(t, target.Dir, f, raw)
}

func alreadyThere(t *testing.T, target Target) {
	f, raw := Content("bundle", 1<<20)
	if _, err := send(t, target, f); err != nil {
		t.Fatal(err)
	}
	// A cut between the name and the sums leaves the file without them.
	if err := os.Remove(filepath.Join(target.Dir, f.Name+".sha256")); err != nil {
		t.Fatal(err)
	}
	r, err := send(t, target, f)
	if err != nil || !r.AlreadyThere || r.Sent != 0 {
		t.Errorf("receipt %+v, %v", r, err)
	}
	Arrived(t, target.Dir, f, raw)
}

// otherSum: the sum is that of what is there, and the file here is another one.
func otherSum(t *testing.T, target Target) {
	old, oldRaw := Content("bundle", 1<<20)
	if _, err := send(t, target, old); err != nil {
		t.Fatal(err)
	}
	f, _ := Content("another", 1<<20)
	f.Name, f.SHA256 = old.Name, old.SHA256
	_, err := send(t, target, f)
	var changed *transfer.ChangedError
	if !errors.As(err, &changed) {
		t.Errorf("error %v", err)
	}
	Arrived(t, target.Dir, old, oldRaw)
}

func replaces(t *testing.T, target Target) {
	for _, old := range [][]byte{[]byte("short"), bytes.Repeat([]byte("x"), 1<<20)} {
		f, raw := Content("bundle", 1<<20)
		if err := os.WriteFile(filepath.Join(target.Dir, f.Name), old, 0o644); err != nil {
			t.Fatal(err)
		}
		r, err := send(t, target, f)
		if err != nil || !r.Replaced {
			t.Errorf("receipt %+v, %v", r, err)
		}
		Arrived(t, target.Dir, f, raw)
	}
}

// notReplaced: what has the name stays where its bytes say that it is not ours.
func notReplaced(t *testing.T, target Target) {
	f, raw := Content("bundle", 1<<20)
	o := transfer.SendOptions{MayReplace: func(old io.ReaderAt, size int64) (bool, error) {
		b := make([]byte, 4)
		_, err := old.ReadAt(b, size-4)
		return string(b) == "ours", err
	}}
	send := func() (transfer.Receipt, error) {
		p, err := target.Open(t)
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		return transfer.Send(t.Context(), p, f, o)
	}
	path := filepath.Join(target.Dir, f.Name)
	if err := os.WriteFile(path, []byte("not theirs"), 0o644); err != nil {
		t.Fatal(err)
	}
	var foreign *transfer.ForeignError
	if _, err := send(); !errors.As(err, &foreign) || foreign.Path == "" || foreign.Place == "" {
		t.Errorf("error %v", err)
	}
	if got, err := os.ReadFile(path); err != nil || string(got) != "not theirs" {
		t.Errorf("what was there is now %q, %v", got, err)
	}
	Only(t, target.Dir, f.Name)
	for _, old := range []string{"it is ours", ""} {
		if err := os.WriteFile(path, []byte(old), 0o644); err != nil {
			t.Fatal(err)
		}
		if r, err := send(); err != nil || !r.Replaced {
			t.Errorf("receipt %+v, %v", r, err)
		}
		Arrived(t, target.Dir, f, raw)
	}
	// What is the very file is not asked about.
	o.MayReplace = func(io.ReaderAt, int64) (bool, error) { return false, nil }
	if r, err := send(); err != nil || !r.AlreadyThere {
		t.Errorf("receipt %+v, %v", r, err)
	}
}

// visits looks around in the folder, opens regular files only, and removes.
func visits(t *testing.T, target Target) {
	f, raw := Content("bundle", 1000)
	for name, content := range map[string]string{"a": "first", "b c": "second"} {
		if err := os.WriteFile(filepath.Join(target.Dir, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("a", filepath.Join(target.Dir, "link")); err != nil {
		t.Skip(err)
	}
	p, err := target.Open(t)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if _, err := transfer.Send(t.Context(), p, f, transfer.SendOptions{}); err != nil {
		t.Fatal(err)
	}
	err = p.Visit(t.Context(), func(dir transfer.Dir) error {
		entries, err := dir.ReadDir()
		regular := 0
		for _, e := range entries {
			if e.Type().IsRegular() {
				regular++
			}
		}
		if regular != 4 || len(entries) != 5 || err != nil {
			t.Errorf("%d regular files of %d, %v", regular, len(entries), err)
		}
		for _, name := range []string{"link", "none", "."} {
			if _, err := dir.Open(name); err == nil || name == "none" && !errors.Is(err, os.ErrNotExist) {
				t.Errorf("%s: %v", name, err)
			}
		}
		b, err := dir.Open("b c")
		if err != nil {
			return err
		}
		defer b.Close()
		got := make([]byte, 10)
		if n, err := b.ReadAt(got, 3); b.Size() != 6 || string(got[:n]) != "ond" || err != io.EOF {
			t.Errorf("%q of %d bytes, %v", got[:n], b.Size(), err)
		}
		if err := dir.Remove("none"); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("removing nothing: %v", err)
		}
		return errors.Join(dir.Remove("a"), dir.Remove("b c"), dir.Remove("link"))
	})
	if err != nil {
		t.Error(err)
	}
	Arrived(t, target.Dir, f, raw)
}

func partial(t *testing.T, target Target, f transfer.File, raw []byte) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(target.Dir, f.Partial(f.Name)), raw, 0o600); err != nil {
		t.Fatal(err)
	}
}

func resumes(t *testing.T, target Target) {
	f, raw := Content("bundle", 12<<20)
	begun := bytes.Clone(raw[:10<<20])
	clear(begun[9<<20:]) // holes where packets were in flight
	partial(t, target, f, begun)
	r, err := send(t, target, f)
	if err != nil {
		t.Fatal(err)
	}
	Arrived(t, target.Dir, f, raw)
	if want := int64(9 << 20); target.Resumes && (r.Resumed != want || r.Sent != f.Size-want) {
		t.Errorf("receipt %+v, expected to resume at %d", r, want)
	}
}

func wrongBeginning(t *testing.T, target Target) {
	f, raw := Content("bundle", 9<<20)
	_, other := Content("other", 8<<20)
	partial(t, target, f, other)
	r, err := send(t, target, f)
	if err != nil || r.Resumed != 0 {
		t.Errorf("receipt %+v, %v", r, err)
	}
	Arrived(t, target.Dir, f, raw)
}

func longerPartial(t *testing.T, target Target) {
	f, raw := Content("bundle", 5<<20)
	partial(t, target, f, append(bytes.Clone(raw), "more"...))
	if _, err := send(t, target, f); err != nil {
		t.Fatal(err)
	}
	Arrived(t, target.Dir, f, raw)
}

func partialLink(t *testing.T, target Target) {
	f, _ := Content("bundle", 1<<20)
	victim := filepath.Join(t.TempDir(), "victim")
	if err := os.WriteFile(victim, []byte("precious"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(victim, filepath.Join(target.Dir, f.Partial(f.Name))); err != nil {
		t.Skip(err)
	}
	_, err := send(t, target, f)
	var medium *transfer.MediumError
	if err != nil && !errors.As(err, &medium) {
		t.Errorf("error %v", err)
	}
	if got, err := os.ReadFile(victim); err != nil || string(got) != "precious" {
		t.Errorf("the link's target became %q, %v", got, err)
	}
}

func finalFolder(t *testing.T, target Target) {
	f, _ := Content("bundle", 100)
	if err := os.Mkdir(filepath.Join(target.Dir, f.Name), 0o755); err != nil {
		t.Fatal(err)
	}
	_, err := send(t, target, f)
	var medium *transfer.MediumError
	if !errors.As(err, &medium) {
		t.Errorf("error %v", err)
	}
	Only(t, target.Dir, f.Name)
}

// meddling does something to the partial before it is proven.
type meddling struct {
	transfer.Place
	do func()
}

func (m meddling) Hash(ctx context.Context, which transfer.Which, n int64) (string, string, error) {
	m.do()
	return m.Place.Hash(ctx, which, n)
}

func removedMeanwhile(t *testing.T, target Target) {
	f, raw := Content("bundle", 1<<20)
	p, err := target.Open(t)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	meddled := meddling{p, func() {
		if err := os.Remove(filepath.Join(target.Dir, f.Partial(f.Name))); err != nil {
			t.Error(err)
		}
	}}
	var gone *transfer.GoneError
	if _, err = transfer.Send(t.Context(), meddled, f, transfer.SendOptions{}); !errors.As(err, &gone) {
		t.Errorf("error %v", err)
	}
	Only(t, target.Dir)
	if _, err := send(t, target, f); err != nil {
		t.Fatal(err)
	}
	Arrived(t, target.Dir, f, raw)
}

func localChanges(t *testing.T, target Target) {
	f, raw := Content("bundle", 3<<20)
	changed := bytes.Clone(raw)
	changed[2<<20] ^= 1
	for what, now := range map[string][]byte{"has a bit changed": changed, "is shorter": raw[:2<<20]} {
		f.Data = bytes.NewReader(now)
		_, err := send(t, target, f)
		var wrong *transfer.ChangedError
		if !errors.As(err, &wrong) {
			t.Errorf("it %s: error %v", what, err)
		}
		Only(t, target.Dir)
	}
}

type failing struct {
	io.ReaderAt
	at  int64
	err error
}

func (f failing) ReadAt(p []byte, off int64) (int, error) {
	if off >= f.at {
		return 0, f.err
	}
	return f.ReaderAt.ReadAt(p[:min(int64(len(p)), f.at-off)], off)
}

func localFails(t *testing.T, target Target) {
	f, _ := Content("bundle", 3<<20)
	boom := errors.New("input/output error")
	f.Data = failing{f.Data, 2 << 20, boom}
	if _, err := send(t, target, f); !errors.Is(err, boom) {
		t.Errorf("error %v", err)
	}
	if _, err := os.Stat(filepath.Join(target.Dir, f.Name)); err == nil {
		t.Error("the file got its final name")
	}
}

func stream(t *testing.T, target Target, name string, data io.Reader, o transfer.SendOptions) (transfer.Receipt, error) {
	t.Helper()
	p, err := target.Open(t)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	return transfer.SendStream(t.Context(), p, name, data, o)
}

func streams(t *testing.T, target Target) {
	for _, size := range []int{0, 1, 3<<20 + 7} {
		f, raw := Content("bundle", size)
		progress := int64(0)
		o := transfer.SendOptions{Progress: func(n int64) { progress += n }}
		r, err := stream(t, target, f.Name, io.MultiReader(bytes.NewReader(raw)), o)
		if err != nil || r.SHA256 != f.SHA256 || r.Size != f.Size || progress != f.Size || r.Proven == "" || r.Replaced != (size > 0) {
			t.Errorf("receipt %+v after %d bytes, %v", r, progress, err)
		}
		Arrived(t, target.Dir, f, raw)
	}
}

func streamNamed(t *testing.T, target Target) {
	f, raw := Content("bundle", 1<<20)
	r, err := stream(t, target, "another", bytes.NewReader(raw), transfer.SendOptions{Name: func() string { return f.Name }})
	if err != nil || filepath.Base(r.Path) != f.Name {
		t.Errorf("receipt %+v, %v", r, err)
	}
	Arrived(t, target.Dir, f, raw)
}

func streamFails(t *testing.T, target Target) {
	f, raw := Content("bundle", 3<<20)
	boom := errors.New("input/output error")
	data := io.NewSectionReader(failing{f.Data, 2 << 20, boom}, 0, f.Size)
	old := filepath.Join(target.Dir, f.Name)
	if err := os.WriteFile(old, []byte("old"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := stream(t, target, f.Name, data, transfer.SendOptions{}); !errors.Is(err, boom) {
		t.Errorf("error %v for %d bytes", err, len(raw))
	}
	if got, err := os.ReadFile(old); err != nil || string(got) != "old" {
		t.Errorf("what was there is now %q, %v", got, err)
	}
	Only(t, target.Dir, f.Name)
}
