package volume

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"testing"

	"airgap/internal/scratch"
	"airgap/transfer"
	"airgap/transfer/transfertest"
	"airgap/transfer/volume/parity"
)

// protected is a folder with a set of 5 volumes, or an uncut file, and parity
// that replaces a volume of them.
func protected(t testing.TB, cut bool) (dir string, raw []byte, parts *Parts) {
	t.Helper()
	dir = t.TempDir()
	f, raw := transfertest.Content("b.tar", 4*slice+12345)
	l := Layout{ID: "sha256:1", Parity: 40}
	if cut {
		l.Size = MinSize
	}
	return dir, raw, split(t, dir, f, l)
}

// snapshot is what is in a folder.
func snapshot(t testing.TB, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	for _, e := range must(os.ReadDir(dir)) {
		files[e.Name()] = string(must(os.ReadFile(filepath.Join(dir, e.Name()))))
	}
	return files
}

func same(t testing.TB, dir string, want map[string]string) {
	t.Helper()
	got := snapshot(t, dir)
	for name := range want {
		if got[name] != want[name] {
			t.Errorf("%s: %d bytes, which are not the %d of before", name, len(got[name]), len(want[name]))
		}
	}
	for name := range got {
		if _, known := want[name]; !known {
			t.Errorf("%s is new", name)
		}
	}
}

// damages are what a set of 5 volumes with parity survives.
var damages = map[string]func(t testing.TB, dir string){
	"nothing":           func(testing.TB, string) {},
	"lost volume":       func(_ testing.TB, dir string) { os.Remove(filepath.Join(dir, "b.tar.002")) },
	"lost last volume":  func(_ testing.TB, dir string) { os.Remove(filepath.Join(dir, "b.tar.005")) },
	"lost parity file":  func(_ testing.TB, dir string) { os.Remove(filepath.Join(dir, "b.tar.par002")) },
	"cut off volume":    func(_ testing.TB, dir string) { os.Truncate(filepath.Join(dir, "b.tar.003"), 100_000) },
	"cut off parity":    func(_ testing.TB, dir string) { os.Truncate(filepath.Join(dir, "b.tar.par001"), 400_000) },
	"empty volume":      func(_ testing.TB, dir string) { os.Truncate(filepath.Join(dir, "b.tar.003"), 0) },
	"bits":              func(t testing.TB, dir string) { bits(t, dir, 12) },
	"burst":             func(t testing.TB, dir string) { burst(t, filepath.Join(dir, "b.tar.004"), 1000, 600_000) },
	"lost footer":       func(t testing.TB, dir string) { flip(t, filepath.Join(dir, "b.tar.001"), slice+30) },
	"lost last footer":  func(t testing.TB, dir string) { flip(t, filepath.Join(dir, "b.tar.005"), 12345+30) },
	"lost parity block": func(t testing.TB, dir string) { flip(t, filepath.Join(dir, "b.tar.par001"), 30) },
	"lost table page":   func(t testing.TB, dir string) { flip(t, filepath.Join(dir, "b.tar.par001"), FooterSize+500) },
	"longer volume": func(_ testing.TB, dir string) {
		path := filepath.Join(dir, "b.tar.001")
		os.WriteFile(path, append(must(os.ReadFile(path)), "more"...), 0o644)
	},
}

func bits(t testing.TB, dir string, count int) {
	random := rand.New(rand.NewPCG(1, 2))
	for i := range count {
		flip(t, filepath.Join(dir, volumeName("b.tar", i%4+1)), random.Int64N(slice/4)+int64(i%4)*slice/4)
	}
}

func burst(t testing.TB, path string, off, n int64) {
	t.Helper()
	f := must(os.OpenFile(path, os.O_RDWR, 0))
	defer f.Close()
	if _, err := f.WriteAt(bytes.Repeat([]byte{0xff}, int(n)), off); err != nil {
		t.Fatal(err)
	}
}

// TestRepair reads what is damaged, tells of it, repairs it, and finds nothing
// to do the second time.
func TestRepair(t *testing.T) {
	for name, damage := range damages {
		t.Run(name, func(t *testing.T) {
			dir, raw, parts := protected(t, true)
			if parts.Losable != 1 || parts.ToLose != 0 {
				t.Fatalf("%d parts, %d of which can be lost, with %d%%", len(parts.Files), parts.Losable, parts.ToLose)
			}
			before := snapshot(t, dir)
			damage(t, dir)
			damaged := snapshot(t, dir)
			reads(t, dir, raw)
			s, err := open(t, dir, "", OpenOptions{})
			if err != nil {
				t.Fatal(err)
			}
			r, err := s.Check(t.Context(), nil)
			if err != nil || (r.Err() == nil) != (name == "nothing") || !r.Readable() {
				t.Errorf("%+v, %v", r, err)
			}
			same(t, dir, damaged)
			for range 2 {
				if r, err = s.Repair(t.Context(), folder(t, dir), nil); err != nil {
					t.Fatal(err)
				}
				same(t, dir, before)
			}
			if len(r.Repaired) != 0 {
				t.Errorf("repaired twice: %v", r.Repaired)
			}
			if r, err := s.Check(t.Context(), nil); err != nil || r.Err() != nil {
				t.Error(err, r.Err())
			}
		})
	}
}

func TestRepairWhole(t *testing.T) {
	for name, damage := range map[string]func(path string){
		"bits":    func(path string) { flip(t, path, 0); flip(t, path, 2<<20) },
		"cut off": func(path string) { os.Truncate(path, 3<<20) },
		"longer":  func(path string) { os.WriteFile(path, append(must(os.ReadFile(path)), "more"...), 0o644) },
	} {
		dir, raw, parts := protected(t, false)
		if len(parts.Files) != 2 || parts.Files[1].Name != "b.tar" || parts.Losable != 0 {
			t.Fatalf("%+v", parts)
		}
		before := snapshot(t, dir)
		damage(filepath.Join(dir, "b.tar"))
		reads(t, dir, raw)
		s, err := open(t, dir, "b.tar", OpenOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if r, err := s.Check(t.Context(), nil); err != nil || r.Err() == nil {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
		if _, err := s.Repair(t.Context(), folder(t, dir), nil); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		same(t, dir, before)
	}
}

// TestTooDamaged loses more than parity can give back, and says so.
func TestTooDamaged(t *testing.T) {
	dir, _, _ := protected(t, true)
	os.Remove(filepath.Join(dir, "b.tar.001"))
	os.Remove(filepath.Join(dir, "b.tar.003"))
	damaged := snapshot(t, dir)
	var incomplete *IncompleteError
	if _, err := open(t, dir, "", OpenOptions{}); !errors.As(err, &incomplete) || incomplete.Parity.Short == 0 {
		t.Errorf("error %v", err)
	}
	s, err := open(t, dir, "", OpenOptions{Partly: true})
	if err != nil {
		t.Fatal(err)
	}
	r, err := s.Check(t.Context(), nil)
	if err != nil || r.Readable() || r.Parity.Short != incomplete.Parity.Short {
		t.Errorf("%+v, %v", r, err)
	}
	if _, err := s.Repair(t.Context(), folder(t, dir), nil); !errors.As(err, &incomplete) || incomplete.Parity.Short != r.Parity.Short {
		t.Errorf("error %v", err)
	}
	same(t, dir, damaged)
}

// TestRepairInterrupted ends repairs at each of their steps: the set can be read
// each time, and the next repair makes it whole.
func TestRepairInterrupted(t *testing.T) {
	dir, raw, _ := protected(t, true)
	before := snapshot(t, dir)
	boom := errors.New("unplugged")
	interrupted := 0
	for k := range 12 {
		os.Remove(filepath.Join(dir, "b.tar.002"))
		flip(t, filepath.Join(dir, "b.tar.003"), 5)
		flip(t, filepath.Join(dir, "b.tar.001"), slice+3)
		s, err := open(t, dir, "", OpenOptions{})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancelCause(t.Context())
		left := k
		p := &unplugged{folder(t, dir), &left, boom}
		_, err = s.Repair(ctx, p, func(int64) {})
		cancel(nil)
		if err != nil {
			interrupted++
			if !errors.Is(err, boom) {
				t.Fatal(err)
			}
		}
		reads(t, dir, raw)
		if _, err := s.Repair(t.Context(), folder(t, dir), nil); err != nil {
			t.Fatal(err)
		}
		same(t, dir, before)
	}
	if interrupted == 0 || interrupted == 12 {
		t.Errorf("%d of 12 were interrupted", interrupted)
	}
}

// unplugged is a place that fails at one of its calls.
type unplugged struct {
	transfer.Place
	left *int
	err  error
}

func (u *unplugged) down() bool { *u.left--; return *u.left < 0 }

func (u *unplugged) Write(ctx context.Context, off int64, data io.Reader) error {
	if u.down() {
		return u.err
	}
	return u.Place.Write(ctx, off, data)
}

func (u *unplugged) Hash(ctx context.Context, which transfer.Which, n int64) (string, string, error) {
	if u.down() {
		return "", "", u.err
	}
	return u.Place.Hash(ctx, which, n)
}

func (u *unplugged) Commit(ctx context.Context, which transfer.Which, line []byte) error {
	if u.down() {
		return u.err
	}
	return u.Place.Commit(ctx, which, line)
}

// TestMendingFails is a set whose files cannot be written any more, at the k-th
// shard.
func TestMendingFails(t *testing.T) {
	for k := range 4 {
		dir, raw, _ := protected(t, true)
		bits(t, dir, 6)
		s, err := open(t, dir, "", OpenOptions{})
		if err != nil {
			t.Fatal(err)
		}
		m := &mender{Set: s, files: map[int]*os.File{}, made: map[int]*scratch.File{}}
		boom := fmt.Errorf("write %d", k)
		damage := must(parity.Scan(t.Context(), s.par.geometry(), s.table, s.source(), nil))
		err = parity.Mend(t.Context(), s.par.geometry(), s.table, s.source(), damage, &failingWriter{m.writer(s.plan(), 1), k, boom}, nil)
		if !errors.Is(err, boom) {
			t.Errorf("error %v", err)
		}
		m.close()
		reads(t, dir, raw)
	}
}

type failingWriter struct {
	io.WriterAt
	left int
	err  error
}

func (w *failingWriter) WriteAt(p []byte, off int64) (int, error) {
	if w.left--; w.left < 0 {
		n, _ := w.WriterAt.WriteAt(p[:len(p)/2], off)
		return n, w.err
	}
	return w.WriterAt.WriteAt(p, off)
}

func TestRepairInTheWay(t *testing.T) {
	dir, raw, _ := protected(t, true)
	os.Rename(filepath.Join(dir, "b.tar.003"), filepath.Join(dir, "b.tar.002"))
	damaged := snapshot(t, dir)
	s, err := open(t, dir, "", OpenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Repair(t.Context(), folder(t, dir), nil); err == nil {
		t.Error("a volume was overwritten")
	}
	same(t, dir, damaged)
	reads(t, dir, raw)
}

// TestRepairMeanwhile: what comes to have the name of a missing volume, or of its sums,
// while that is made stays.
func TestRepairMeanwhile(t *testing.T) {
	const missing = "b.tar.002"
	for _, name := range []string{missing, missing + ".sha256"} {
		for _, when := range []string{"before it is sent", "while it is sent"} {
			t.Run(name+" "+when, func(t *testing.T) {
				dir, _, _ := protected(t, true)
				os.Remove(filepath.Join(dir, missing))
				os.Remove(filepath.Join(dir, missing+".sha256"))
				s := must(open(t, dir, "", OpenOptions{}))
				comes := func() {
					if err := os.WriteFile(filepath.Join(dir, name), []byte("notes"), 0o644); err != nil {
						t.Error(err)
					}
				}
				p := busyPlace{Place: folder(t, dir), proving: func() {}}
				progress := func(int64) {}
				if when == "while it is sent" {
					p.proving = comes
				} else {
					progress = func(int64) { comes() }
				}
				if _, err := s.Repair(t.Context(), p, progress); err == nil {
					t.Error("nothing was in the way")
				}
				if got, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(got) != "notes" {
					t.Errorf("what has come is %d bytes, %v", len(got), err)
				}
			})
		}
	}
}

// busyPlace is one where something goes on before a partial is proven.
type busyPlace struct {
	transfer.Place
	proving func()
}

func (p busyPlace) Hash(ctx context.Context, which transfer.Which, n int64) (string, string, error) {
	p.proving()
	return p.Place.Hash(ctx, which, n)
}

// TestReadOnly reads a set with a lost volume from a file system that is
// mounted read-only.
func TestReadOnly(t *testing.T) {
	if runtime.GOOS != "linux" || os.Getuid() != 0 {
		t.Skip("SKIPPED for want of a read-only file system: needs root on Linux")
	}
	all, raw, _ := protected(t, true)
	dir := t.TempDir()
	if out, err := exec.Command("mount", "-t", "tmpfs", "tmpfs", dir).CombinedOutput(); err != nil {
		t.Skipf("SKIPPED for want of a read-only file system: %s", out)
	}
	t.Cleanup(func() { exec.Command("umount", dir).Run() })
	for name, content := range snapshot(t, all) {
		if name != "b.tar.004" {
			os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644)
		}
	}
	if out, err := exec.Command("mount", "-o", "remount,ro", dir).CombinedOutput(); err != nil {
		t.Fatalf("%s", out)
	}
	s, err := Open(t.Context(), dir, "", OpenOptions{TempDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if got, err := readAll(s); err != nil || !bytes.Equal(got, raw) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	if _, err := s.Repair(t.Context(), folder(t, dir), nil); err == nil {
		t.Error("repaired what is read-only")
	}
}

// TestDiscs has one volume in the folder at a time.
func TestDiscs(t *testing.T) {
	all, raw, _ := protected(t, true)
	dir := t.TempDir()
	var asked []int
	put := func(n int) {
		for name := range snapshot(t, dir) {
			os.Remove(filepath.Join(dir, name))
		}
		os.Link(filepath.Join(all, volumeName("b.tar", n)), filepath.Join(dir, "disc")) // each has the same name
	}
	put(1)
	ask := func(_ context.Context, v Volume) error {
		asked = append(asked, v.Number)
		if v.Number == 0 {
			v.Number = 5
		}
		if len(asked)%3 == 0 {
			v.Number = v.Number%5 + 1 // the wrong one
		}
		put(v.Number)
		return nil
	}
	s, err := open(t, dir, "", OpenOptions{Ask: ask})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if got, err := readAll(s); err != nil || !bytes.Equal(got, raw) {
			t.Fatalf("%d bytes, %v", len(got), err)
		}
	}
	if asked[0] != 0 || !slices.Contains(asked, 3) || len(asked) < 10 {
		t.Errorf("asked for %v", asked)
	}
	if r, err := s.Check(t.Context(), nil); err != nil || r.Err() != nil {
		t.Errorf("%+v, %v", r, err)
	}
	boom := errors.New("gone home")
	s, err = open(t, dir, "", OpenOptions{Ask: func(context.Context, Volume) error { return boom }})
	if err == nil {
		_, err = readAll(s)
	}
	if !errors.Is(err, boom) {
		t.Errorf("error %v", err)
	}
}

// TestDiscLost rebuilds what is lost, and asks for it only where parity is not enough.
func TestDiscLost(t *testing.T) {
	dir, raw, _ := protected(t, true)
	lost, damaged := filepath.Join(dir, "b.tar.002"), filepath.Join(dir, "b.tar.003")
	kept := must(os.ReadFile(lost))
	os.Remove(lost)
	asked := 0
	brings := func(_ context.Context, v Volume) error {
		asked++
		return os.WriteFile(lost, kept, 0o644)
	}
	reads := func(ask func(context.Context, Volume) error) {
		t.Helper()
		s := must(open(t, dir, "", OpenOptions{Ask: ask}))
		if s.Spread() {
			t.Error("its media have to be changed")
		}
		if got, err := readAll(s); err != nil || !bytes.Equal(got, raw) {
			t.Errorf("%d bytes, %v", len(got), err)
		}
	}
	if reads(brings); asked != 0 {
		t.Errorf("asked %d times", asked)
	}

	// Names and sizes do not tell that so much is damaged.
	f := must(os.OpenFile(damaged, os.O_WRONLY, 0))
	must(f.WriteAt(make([]byte, slice), 0))
	f.Close()
	if reads(brings); asked != 1 {
		t.Errorf("asked %d times", asked)
	}
	os.Remove(lost)
	s := must(open(t, dir, "", OpenOptions{Ask: func(context.Context, Volume) error { asked++; return ErrLost }}))
	if got, err := readAll(s); err == nil || asked != 2 {
		t.Errorf("%d bytes of what is lost, asked %d times", len(got), asked)
	}
}
