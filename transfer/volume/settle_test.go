package volume

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"airgap/transfer"
)

// workshop is the sets that tests settle, each made once.
type workshop map[string]readyMade

type readyMade struct {
	files map[string]string
	Made
	raw []byte
}

// made puts a set into a folder of its own below dir, as pack does; it is not cut
// if it has one volume.
func (w workshop) made(t testing.TB, dir string, seed uint64, volumes, parity int) (Made, []byte) {
	t.Helper()
	key := fmt.Sprint(seed, volumes, parity)
	if _, known := w[key]; !known {
		w[key] = ready(t, seed, volumes, parity)
	}
	m := w[key].Made
	m.From = must(os.MkdirTemp(dir, ".b.tar.*.partial"))
	for name, content := range w[key].files {
		os.WriteFile(filepath.Join(m.From, name), []byte(content), 0o644)
	}
	return m, w[key].raw
}

func ready(t testing.TB, seed uint64, volumes, parity int) readyMade {
	t.Helper()
	dir, l := t.TempDir(), Layout{ID: "1", Size: MinSize, Parity: parity}
	f, raw := fileOf("b.tar", (volumes-1)*slice+999, seed)
	if volumes == 1 {
		l.Size = 0
	}
	r := readyMade{raw: raw, Made: Made{Name: "b.tar", Sync: func() error { return nil }}}
	for _, p := range split(t, dir, f, l).Files {
		if strings.Contains(p.Name, ".par") {
			r.Parity = append(r.Parity, p.Name)
		} else {
			r.Volumes = append(r.Volumes, p.Name)
		}
	}
	r.files = snapshot(t, dir)
	return r
}

// killed ends a test's step as a kill does: nothing is tidied up.
type killed struct{}

// faulty fails at the k-th step of the file system, or is killed before it.
func (m Made) faulty(k int, kill bool) Made {
	boom := errors.New("unplugged")
	step := func() error {
		if k--; k >= 0 {
			return nil
		}
		if kill {
			panic(killed{})
		}
		return boom
	}
	m.rename = func(from, to string, was fs.FileInfo) error {
		if err := step(); err != nil {
			return err
		}
		return transfer.Rename(from, to, was)
	}
	left := 1 // a medium that fails once does not do all that is undone either
	m.remove = func(path string) error {
		if err := step(); err != nil && left > 0 {
			left--
			return err
		}
		return os.Remove(path)
	}
	m.Sync = step
	return m
}

func (m Made) settle(t testing.TB, dir string) (err error) {
	defer func() {
		if r := recover(); r != nil {
			if _, ok := r.(killed); !ok {
				panic(r)
			}
			err = errors.New("killed")
		}
	}()
	_, err = m.Settle(t.Context(), dir)
	return err
}

// TestSettle fails, and is killed, at each of its steps, with an old set of that
// name there of more, as many or fewer volumes, or an old file: one of the two is
// there whole, and the next set takes its place.
func TestSettle(t *testing.T) {
	for name, c := range map[string]struct {
		old, new       int // volumes; 1: not cut
		oldPar, newPar int
	}{
		"none": {0, 3, 0, 50}, "more": {5, 3, 60, 0}, "fewer": {3, 4, 60, 60}, "to a file": {3, 1, 50, 20}, "from a file": {1, 3, 20, 50}, "file": {1, 1, 20, 20},
	} {
		t.Run(name, func(t *testing.T) {
			w := workshop{}
			for _, kill := range []bool{false, true} {
				ended := 0
				for k := 0; ; k++ {
					if done := settleOnce(t, w, c.old, c.new, c.oldPar, c.newPar, k, kill); done {
						break
					}
					ended++
				}
				if ended < 5 {
					t.Errorf("only %d steps", ended)
				}
			}
		})
	}
}

func settleOnce(t *testing.T, w workshop, old, new, oldPar, newPar, k int, kill bool) (done bool) {
	t.Helper()
	dir := t.TempDir()
	defer os.RemoveAll(dir)
	var oldRaw []byte
	if old > 0 {
		m, raw := w.made(t, dir, 1, old, oldPar)
		if err := m.settle(t, dir); err != nil {
			t.Fatal(err)
		}
		os.RemoveAll(m.From)
		oldRaw = raw
	}
	m, newRaw := w.made(t, dir, 2, new, newPar)
	err := m.faulty(k, kill).settle(t, dir)
	got := whole(t, dir, oldRaw, newRaw, old == 1 || new == 1, k, err)
	if new == 1 { // beside which the old volumes may be
		got, _ = os.ReadFile(filepath.Join(dir, "b.tar"))
	}
	var untidy *UntidyError
	if isNew := bytes.Equal(got, newRaw); err != nil && !kill && isNew != errors.As(err, &untidy) {
		t.Errorf("step %d: the new one is there: %v, and it says %v", k, isNew, err)
	}
	if err != nil {
		again, raw := w.made(t, dir, 3, new, newPar)
		if err := again.settle(t, dir); err != nil {
			t.Fatalf("step %d: the next one: %v", k, err)
		}
		m, newRaw = again, raw
	}
	readsNew(t, dir, newRaw)
	want := map[string]bool{}
	for _, name := range slices.Concat(m.Volumes, m.Parity) {
		want[name], want[name+".sha256"] = true, true
	}
	if old == 1 && new > 1 {
		want["b.tar"], want["b.tar.sha256"] = true, true // that stays, and may have its parity
		if !slices.Contains(m.Parity, "b.tar.par") {
			want["b.tar.par"], want["b.tar.par.sha256"] = true, true
		}
	}
	for _, e := range must(os.ReadDir(dir)) {
		if !want[e.Name()] && !e.IsDir() {
			t.Errorf("step %d: %s is left", k, e.Name())
		}
		delete(want, e.Name())
	}
	delete(want, "b.tar.sha256") // may have gone with a step that was ended
	if len(want) > 0 {
		t.Errorf("step %d: without %v", k, slices.Sorted(maps.Keys(want)))
	}
	return err == nil
}

// whole demands that the set, or the file, that is there is one of the two, which
// it gives.
func whole(t *testing.T, dir string, old, new []byte, file bool, k int, ended error) (got []byte) {
	t.Helper()
	got, err := readOne(t, dir)
	if err != nil && file {
		got, err = os.ReadFile(filepath.Join(dir, "b.tar")) // which can be named
	}
	if err != nil && old == nil {
		return nil // there was none, and the new one is not there yet
	}
	if err != nil || !bytes.Equal(got, old) && !bytes.Equal(got, new) {
		t.Fatalf("step %d (%v): %d bytes, %v: neither is whole", k, ended, len(got), err)
	}
	if ended != nil {
		for _, e := range must(os.ReadDir(dir)) {
			if sum, ok := strings.CutSuffix(e.Name(), ".sha256"); ok {
				line := must(os.ReadFile(filepath.Join(dir, e.Name())))
				content, err := os.ReadFile(filepath.Join(dir, sum))
				if err != nil || !strings.HasPrefix(string(line), hexOf(content)) {
					t.Errorf("step %d: %s is not that of its file", k, e.Name())
				}
			}
		}
	}
	return got
}

func readsNew(t *testing.T, dir string, raw []byte) {
	t.Helper()
	if got, err := readOne(t, dir); err != nil || !bytes.Equal(got, raw) {
		t.Fatalf("%d bytes, which are not the new ones, %v", len(got), err)
	}
}

// readOne reads the set of a folder or, where there are no volumes, the file.
func readOne(t *testing.T, dir string) ([]byte, error) {
	t.Helper()
	sets := must(Find(t.Context(), dir))
	if !slices.ContainsFunc(sets, func(s Summary) bool { return s.Cut }) {
		return os.ReadFile(filepath.Join(dir, "b.tar"))
	}
	s, err := open(t, dir, "", OpenOptions{})
	if err != nil {
		return nil, err
	}
	defer s.Close()
	return readAll(s)
}

// TestSettleInTheWay: what is not of an earlier set is not replaced.
func TestSettleInTheWay(t *testing.T) {
	for _, name := range []string{"b.tar.002", "b.tar.par"} {
		dir := t.TempDir()
		os.WriteFile(filepath.Join(dir, name), []byte("notes"), 0o644)
		before := snapshot(t, dir)
		m, _ := workshop{}.made(t, t.TempDir(), 1, 3, 20)
		var inTheWay *InTheWayError
		if err := m.settle(t, dir); !errors.As(err, &inTheWay) {
			t.Errorf("%s: error %v", name, err)
		}
		same(t, dir, before)
	}
}

// TestSettleMeanwhile: what comes, or changes, while a set gets its names stays, and
// so does what was there before.
func TestSettleMeanwhile(t *testing.T) {
	w := workshop{}
	for name, c := range map[string]struct {
		old, new int // volumes; 1: not cut
		comes    string
	}{
		"file": {0, 1, "b.tar"}, "sums": {0, 1, "b.tar.sha256"}, "file in place of ours": {1, 1, "b.tar"},
		"last volume": {0, 3, "b.tar.003"}, "volume in place of ours": {3, 3, "b.tar.001"}, "sums of a volume": {0, 3, "b.tar.003.sha256"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if c.old > 0 {
				m, _ := w.made(t, t.TempDir(), 1, c.old, 0)
				if err := m.settle(t, dir); err != nil {
					t.Fatal(err)
				}
			}
			before := snapshot(t, dir)
			before[c.comes] = "notes"
			m, _ := w.made(t, t.TempDir(), 2, c.new, 0)
			came := false
			m.Sync = func() error { // which may take long
				if came {
					return nil
				}
				came = true
				return os.WriteFile(filepath.Join(dir, c.comes), []byte("notes"), 0o644)
			}
			var meanwhile *transfer.MeanwhileError
			if err := m.settle(t, dir); !errors.As(err, &meanwhile) || filepath.Base(meanwhile.Path) != c.comes {
				t.Errorf("error %v", err)
			}
			same(t, dir, before)
		})
	}
}
