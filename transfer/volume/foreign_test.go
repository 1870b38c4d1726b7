package volume

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"airgap/transfer"
	"airgap/transfer/transfertest"
)

// fileOf is a file of random bytes, another for each seed.
func fileOf(name string, size int, seed uint64) (transfer.File, []byte) {
	raw := make([]byte, size)
	var key [32]byte
	key[0], key[1] = byte(seed), byte(seed>>8)
	rand.NewChaCha8(key).Read(raw)
	f, _ := transfertest.Content(name, 1)
	f.Size, f.Data, f.SHA256 = int64(size), bytes.NewReader(raw), hexOf(raw)
	return f, raw
}

func hexOf(raw []byte) string {
	return must(hashOf(context.Background(), joined{memory(raw)}, nil))
}

// TestRepairKnowsFirst: where one group is beyond repair nothing of the others is
// written.
func TestRepairKnowsFirst(t *testing.T) {
	for _, size := range []int64{0, 4 << 20} {
		dir := t.TempDir()
		f, _ := fileOf("b.tar", 220*Shard, 1) // two groups of 110
		split(t, dir, f, Layout{ID: "1", Size: size, Parity: 10})
		at := func(shard int64) (string, int64) {
			if size == 0 {
				return filepath.Join(dir, "b.tar"), shard * Shard
			}
			per := (size - FooterSize) / Shard
			return filepath.Join(dir, volumeName("b.tar", int(shard/per)+1)), shard % per * Shard
		}
		hurt := func(shard int64) { path, off := at(shard); flip(t, path, off+5) }
		hurt(1)
		for x := range int64(12) { // of which 11 can be rebuilt
			hurt(20 + 2*x)
		}
		damaged := snapshot(t, dir)
		s, err := open(t, dir, "b.tar", OpenOptions{Partly: true})
		if err != nil {
			t.Fatal(err)
		}
		var incomplete *IncompleteError
		if _, err := s.Repair(t.Context(), folder(t, dir), nil); !errors.As(err, &incomplete) || incomplete.Parity.Short != 1 {
			t.Errorf("size %d: error %v", size, err)
		}
		same(t, dir, damaged)
	}
}

// TestRepairForesees: parity that would make another file of the one that is
// there, as that one's footers have it, writes nothing.
func TestRepairForesees(t *testing.T) {
	dir := t.TempDir()
	f, raw := fileOf("b.tar", 3*slice, 1)
	split(t, dir, f, Layout{ID: "1", Size: MinSize})
	other := bytes.Clone(raw)
	other[slice+7] ^= 1 // what the parity is of
	lie := t.TempDir()
	g, _ := fileOf("b.tar", 3*slice, 1)
	g.Data, g.SHA256 = bytes.NewReader(other), hexOf(other)
	parts, err := Split(t.Context(), g, Layout{ID: "1", Size: MinSize, Parity: 50, TempDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer parts.Close()
	send(t, lie, parts.Files)
	// The parity says that it is of the set that is there.
	s := must(open(t, dir, "", OpenOptions{}))
	for _, e := range must(readFolder(t.Context(), lie)) {
		if e.footer.Parity != nil {
			content := must(os.ReadFile(filepath.Join(lie, e.name)))
			e.footer.Set, e.footer.Whole = s.id, s.whole
			block := must(e.footer.Marshal())
			copy(content, block)
			copy(content[len(content)-FooterSize:], block)
			os.WriteFile(filepath.Join(dir, e.name), content, 0o644)
		}
	}
	before := snapshot(t, dir)
	s = must(open(t, dir, "", OpenOptions{Partly: true}))
	if r, err := s.Repair(t.Context(), folder(t, dir), nil); err == nil || len(r.Damaged) != 1 {
		t.Errorf("%+v, %v", r, err)
	}
	same(t, dir, before)
}

// TestClaims are footers of a few bytes that claim a great many files: neither
// time nor room is made for those.
func TestClaims(t *testing.T) {
	sum := strings.Repeat("ab", 32)
	parityOf := Footer{Name: "b.tar", Set: sum[:32], File: "1", Number: 1, Length: Shard, SHA256: sum,
		Whole: &Whole{Volumes: 1, Total: 1_000_000 * Shard, SHA256: sum}, Parity: &Parity{Shard: Shard, Data: 100, Check: 100, Files: 1_000_000}}
	one := parityOf // all in one file, of which there is the beginning
	one.Length, one.Parity = 1_000_000*Shard, &Parity{Shard: Shard, Data: 100, Check: 100, Files: 1}
	cut := one
	cut.Whole, cut.Parity = &Whole{Volumes: 1_000_000, Total: 1_000_000 * Shard, SHA256: sum}, &Parity{Slice: Shard, Shard: Shard, Data: 1, Check: 1, Files: 1}
	last := Footer{Name: "b.tar", Set: sum[:32], File: "1", Number: 1_000_000, Offset: 999_999 * Shard, Length: Shard, SHA256: sum,
		Whole: &Whole{Volumes: 1_000_000, Total: 1_000_000 * Shard, SHA256: sum}}
	middle := last
	middle.Number, middle.Offset, middle.Whole = 999_999, 999_998*Shard, nil
	for name, f := range map[string]Footer{"parity files": parityOf, "one": one, "cut": cut, "last volume": last, "middle volume": middle} {
		dir := t.TempDir()
		os.WriteFile(filepath.Join(dir, "b.tar.par"), must(f.Marshal()), 0o644)
		allocated := testing.AllocsPerRun(1, func() {
			s, err := Open(t.Context(), dir, "", OpenOptions{TempDir: dir, Partly: true})
			if err != nil {
				return
			}
			defer s.Close()
			r, err := s.Check(t.Context(), nil)
			if err != nil || r.Readable() || len(r.Missing) > 10_000 {
				t.Errorf("%s: %d missing, %v", name, len(r.Missing), err)
			}
			if _, err := s.Repair(t.Context(), folder(t, dir), nil); err == nil {
				t.Errorf("%s: repaired", name)
			}
		})
		if allocated > 10_000 {
			t.Errorf("%s: %v allocations", name, allocated)
		}
	}
}

// TestStrangerAmong: a volume of another file is named, and the set that can be
// made whole is read.
func TestStrangerAmong(t *testing.T) {
	dir, raw, _ := protected(t, true)
	f, _ := fileOf("b.tar", 4*slice, 7)
	other := split(t, t.TempDir(), f, Layout{ID: "2", Size: MinSize})
	send(t, dir, other.Files[1:2]) // in the place of b.tar.002
	for _, name := range []string{"", "b.tar"} {
		s, err := open(t, dir, name, OpenOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if got, err := readAll(s); err != nil || !bytes.Equal(got, raw) || !slices.Equal(s.Strangers(), []string{"b.tar.002"}) {
			t.Errorf("%d bytes, %v; strangers %v", len(got), err, s.Strangers())
		}
	}
	// Two of them that are whole are two.
	send(t, dir, other.Files)
	os.Rename(filepath.Join(dir, "b.tar.001"), filepath.Join(dir, "x.001"))
	protectedInto(t, dir)
	var choice *ChoiceError
	if _, err := open(t, dir, "", OpenOptions{}); !errors.As(err, &choice) || len(choice.Sets) != 2 {
		t.Error(err)
	}
}

// TestBeyond: a file of somebody's with the name of a volume that the set does not
// have is not one that is damaged.
func TestBeyond(t *testing.T) {
	dir := t.TempDir()
	f, raw := fileOf("b.tar", 3*slice, 5)
	split(t, dir, f, Layout{ID: "1", Size: MinSize})
	path := filepath.Join(dir, "b.tar.007")
	os.WriteFile(path, []byte("notes"), 0o644)
	reads(t, dir, raw)
	s := must(open(t, dir, "b.tar", OpenOptions{}))
	r := must(s.Check(t.Context(), nil))
	if !r.Whole() || !slices.Equal(r.Foreign, []string{"b.tar.007"}) {
		t.Errorf("%+v", r)
	}
}

// protectedInto puts the volumes of protected's set under other names.
func protectedInto(t testing.TB, dir string) {
	t.Helper()
	f, _ := transfertest.Content("b.tar", 4*slice+12345)
	from := t.TempDir()
	split(t, from, f, Layout{ID: "sha256:1", Parity: 40, Size: MinSize})
	for name, content := range snapshot(t, from) {
		if !strings.HasSuffix(name, ".sha256") {
			os.WriteFile(filepath.Join(dir, "first-"+name), []byte(content), 0o644)
		}
	}
}

// TestTwoCuts of one file are as good as one.
func TestTwoCuts(t *testing.T) {
	dir := t.TempDir()
	f, raw := fileOf("b.tar", 5*slice, 1)
	split(t, dir, f, Layout{ID: "1", Size: MinSize})
	for name, content := range snapshot(t, dir) {
		os.WriteFile(filepath.Join(dir, "small-"+name), []byte(content), 0o644)
	}
	split(t, dir, f, Layout{ID: "1", Size: 2 * MinSize})
	reads(t, dir, raw)
}

// TestBareStranger is a file of somebody's that only has the name of a volume
// that is lost: it is not that volume, and not written to.
func TestBareStranger(t *testing.T) {
	for _, name := range []string{"b.tar.002", "b.tar.par001"} {
		dir, raw, _ := protected(t, true)
		path := filepath.Join(dir, name)
		_, notes := fileOf("notes", 2*MinSize, 9)
		os.WriteFile(path, notes, 0o644)
		before := snapshot(t, dir)
		reads(t, dir, raw)
		s := must(open(t, dir, "", OpenOptions{}))
		if !slices.Equal(s.Strangers(), []string{name}) {
			t.Errorf("%s: strangers %v", name, s.Strangers())
		}
		if _, err := s.Repair(t.Context(), folder(t, dir), nil); err == nil || !strings.Contains(err.Error(), "is in the way") {
			t.Errorf("%s: error %v", name, err)
		}
		same(t, dir, before)
	}
}

// TestWholeAmongVolumes is a copy of all under the name of a volume, which its
// beginning stands in for: no repair makes that volume of it.
func TestWholeAmongVolumes(t *testing.T) {
	dir, raw, _ := protected(t, true)
	if err := os.WriteFile(filepath.Join(dir, "b.tar.001"), raw, 0o644); err != nil {
		t.Fatal(err)
	}
	before := snapshot(t, dir)
	reads(t, dir, raw)
	s := must(open(t, dir, "", OpenOptions{}))
	if _, err := s.Repair(t.Context(), folder(t, dir), nil); err == nil || !strings.Contains(err.Error(), "rename it first") {
		t.Errorf("error %v", err)
	}
	same(t, dir, before)
}

// TestChosenByID opens the set that is meant whatever it is called, and parity
// for the file that it is told.
func TestChosenByID(t *testing.T) {
	dir, raw, _ := protected(t, false)
	f, _ := fileOf("b.tar", 4*slice+12345, 2)
	os.Rename(filepath.Join(dir, "b.tar"), filepath.Join(dir, "mine.tar"))
	send(t, dir, []transfer.File{f})
	set := must(Find(t.Context(), dir))[0]
	if set.Cut || !slices.Equal(set.Files, []string{"b.tar.par"}) {
		t.Errorf("%+v", set)
	}
	flip(t, filepath.Join(dir, "mine.tar"), 70_000)
	s := must(open(t, dir, "", OpenOptions{Of: &set, Data: "mine.tar"}))
	like, err := s.Likeness()
	if err != nil || !like.Most() || !like.End || like.Alike == like.Looked && s.Name() == "b.tar" {
		t.Errorf("%+v, %v", like, err)
	}
	if got, err := readAll(s); err != nil || !bytes.Equal(got, raw) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	s = must(open(t, dir, "", OpenOptions{Of: &set, Data: "b.tar"}))
	if like, err := s.Likeness(); err != nil || like.Alike != 0 || like.Looked < 30 || like.Most() || like.End {
		t.Errorf("of another: %+v, %v", like, err)
	}
	os.Truncate(filepath.Join(dir, "b.tar"), 0)
	s = must(open(t, dir, "", OpenOptions{Of: &set, Data: "b.tar"}))
	if like, err := s.Likeness(); err != nil || like.Looked != 0 || !like.Most() {
		t.Errorf("of nothing: %+v, %v", like, err)
	}
}

// TestEarlier is what the set itself would be called, and is.
func TestEarlier(t *testing.T) {
	dir, _, _ := protected(t, true)
	at := func(name string) string { return filepath.Join(dir, name) }
	for from, to := range map[string]string{"b.tar.001": "backup-2025.001", "b.tar.002": "b.tar.007", "b.tar.par001": "jan.par"} {
		os.Rename(at(from), at(to))
	}
	os.WriteFile(at("b.tar.009"), []byte("notes"), 0o644)
	got, err := FindEarlier(t.Context(), transfer.LocalDir(dir), "b.tar", "")
	want := Earlier{Volumes: []string{"b.tar.003", "b.tar.004", "b.tar.005"}, Parity: []string{"b.tar.par002"}, Others: []string{"b.tar.007", "b.tar.009"}}
	if got.files = nil; err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v", got, err)
	}
	if got := got.Outdated(true, []string{"b.tar.004"}); !slices.Equal(got, []string{"b.tar.003", "b.tar.005", "b.tar.par002"}) {
		t.Errorf("outdated: %v", got)
	}
}

// careless is a folder that does not care for case, as those of FAT do.
type careless struct{ transfer.LocalDir }

func (d careless) listed(name string) string {
	entries, _ := d.ReadDir()
	for _, e := range entries {
		if strings.EqualFold(e.Name(), name) {
			return e.Name()
		}
	}
	return name
}

func (d careless) Open(name string) (transfer.Regular, error) {
	return d.LocalDir.Open(d.listed(name))
}

// TestEarlierCase: where a folder does not care for case, volumes in upper-case
// letters are those of an earlier set, and files of others with such names are in
// the way; elsewhere they have nothing to do with it.
func TestEarlierCase(t *testing.T) {
	dir, _, _ := protected(t, true)
	for name := range snapshot(t, dir) {
		os.Rename(filepath.Join(dir, name), filepath.Join(dir, strings.ToUpper(name)))
	}
	os.WriteFile(filepath.Join(dir, "B.Tar.009"), []byte("notes"), 0o644)
	want := Earlier{Volumes: []string{"b.tar.001", "b.tar.002", "b.tar.003", "b.tar.004", "b.tar.005"}, Parity: []string{"b.tar.par001", "b.tar.par002"}, Others: []string{"b.tar.009"}}
	got, err := FindEarlier(t.Context(), careless{transfer.LocalDir(dir)}, "b.tar", "")
	slices.Sort(got.Volumes)
	if got.files = nil; err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v", got, err)
	}
	got, err = FindEarlier(t.Context(), transfer.LocalDir(dir), "b.tar", "")
	if got.files = nil; err != nil || !reflect.DeepEqual(got, Earlier{}) {
		t.Errorf("%+v, %v", got, err)
	}
}

// TestMayReplace: what is renamed is somebody's, but for the very same; what is
// damaged is known by its footer.
func TestMayReplace(t *testing.T) {
	f, _ := fileOf("b.tar", 3*slice, 5)
	other, _ := fileOf("b.tar", 3*slice, 6)
	files := func(f transfer.File, name string) []transfer.File {
		f.Name = name
		parts := must(Split(t.Context(), f, Layout{ID: "1", Size: MinSize, Parity: 20}))
		t.Cleanup(func() { parts.Close() })
		return parts.Files
	}
	mine, earlier, renamed := files(f, "b.tar"), files(other, "b.tar"), files(other, "c.tar")
	for i, f := range mine {
		damaged := must(io.ReadAll(io.NewSectionReader(earlier[i].Data, 0, earlier[i].Size)))
		damaged[5000] ^= 1
		for _, c := range []struct {
			what string
			old  io.ReaderAt
			size int64
			as   transfer.File
			may  bool
		}{
			{"of an earlier set", earlier[i].Data, earlier[i].Size, f, true},
			{"damaged", bytes.NewReader(damaged), int64(len(damaged)), f, true},
			{"renamed", renamed[i].Data, renamed[i].Size, f, false},
			{"renamed, and the same", renamed[i].Data, renamed[i].Size, renamed[i], true},
			{"of another number", earlier[(i+1)%len(mine)].Data, earlier[(i+1)%len(mine)].Size, f, false},
			{"no volume", strings.NewReader("notes"), 5, f, false},
		} {
			c.as.Name = f.Name
			if may, err := MayReplace(c.old, c.size, c.as, "b.tar"); err != nil || may != c.may {
				t.Errorf("%s, %s: %t, %v", f.Name, c.what, may, err)
			}
		}
	}
}

// TestSumParity: a parity file of which any part is damaged is told by itself.
func TestSumParity(t *testing.T) {
	dir, _, _ := protected(t, false)
	raw := must(os.ReadFile(filepath.Join(dir, "b.tar.par")))
	sumOf := func(raw []byte) (string, error) {
		return SumParity(t.Context(), bytes.NewReader(raw), int64(len(raw)), func(int64) {})
	}
	if sum, err := sumOf(raw); err != nil || sum != hexOf(raw) {
		t.Fatalf("%s, %v", sum, err)
	}
	var damaged *DamagedError
	for _, at := range []int{0, 20, FooterSize - 1, FooterSize, 5000, len(raw) / 2, len(raw) - FooterSize - 1, len(raw) - FooterSize, len(raw) - 1} {
		bad := slices.Clone(raw)
		bad[at] ^= 1
		if _, err := sumOf(bad); !errors.As(err, &damaged) {
			t.Errorf("damaged at %d: %v", at, err)
		}
	}
	for _, n := range []int{0, 1, FooterSize, 2 * FooterSize, len(raw) - FooterSize, len(raw) - 1} {
		if _, err := sumOf(raw[:n]); !errors.As(err, &damaged) {
			t.Errorf("cut to %d: %v", n, err)
		}
	}
	if _, err := sumOf(slices.Concat(raw[:FooterSize], raw[len(raw)-FooterSize:])); !errors.As(err, &damaged) {
		t.Errorf("nothing between its blocks: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := SumParity(ctx, bytes.NewReader(raw), int64(len(raw)), func(int64) {}); !errors.Is(err, context.Canceled) || errors.As(err, &damaged) {
		t.Errorf("after the end: %v", err)
	}
}

// TestParityOfTheFile is no earlier one's.
func TestParityOfTheFile(t *testing.T) {
	dir, raw, _ := protected(t, false)
	for sum, want := range map[string]int{fmt.Sprintf("%x", sha256.Sum256(raw)): 0, "": 1} {
		got, err := FindEarlier(t.Context(), transfer.LocalDir(dir), "b.tar", sum)
		if old := got.Outdated(false, nil); err != nil || len(old) != want || len(got.Others) > 0 {
			t.Errorf("%v of %+v, %v; expected %d", old, got, err, want)
		}
	}
}

// TestReplaced: what a set is read from, or a copy of it, is told from what else has
// those names, if something else is to have them.
func TestReplaced(t *testing.T) {
	for cut, want := range map[bool]struct {
		replaced []string
		parity   int
	}{true: {[]string{"b.tar.001", "b.tar.002", "b.tar.003", "b.tar.004", "b.tar.005"}, 2}, false: {[]string{"b.tar.par"}, 1}} {
		dir, raw, parts := protected(t, cut)
		s, err := open(t, dir, "b.tar", OpenOptions{})
		if err != nil {
			t.Fatal(err)
		}
		f, _ := transfertest.Content("b.tar", len(raw))
		other, another := t.TempDir(), t.TempDir()
		anew := split(t, other, f, Layout{ID: "sha256:1", Size: MinSize * int64(min(len(parts.Files)-2, 1)), Parity: 3})
		strange, _ := fileOf("b.tar", len(raw), 9)
		split(t, another, strange, Layout{ID: "sha256:2", Size: MinSize, Parity: 40})
		for _, c := range []struct {
			dir      string
			files    []transfer.File
			replaced []string
			parity   int
			others   bool
		}{
			{dir, parts.Files, nil, want.parity, false},
			{dir, anew.Files, want.replaced, want.parity, true},
			{other, anew.Files, nil, 0, false},
			{another, anew.Files, nil, 0, true},
		} {
			got, err := FindEarlier(t.Context(), transfer.LocalDir(c.dir), "b.tar", "")
			if err != nil {
				t.Fatal(err)
			}
			replaced := got.Replaced(s, c.files)
			slices.Sort(replaced)
			if of := got.ParityOf(s); !slices.Equal(replaced, c.replaced) || len(of) != c.parity || got.HasOthers(c.files) != c.others {
				t.Errorf("cut %t: replaced %v, parity %v, others %t; expected %+v", cut, replaced, of, got.HasOthers(c.files), c)
			}
			if got.Replaced(nil, c.files) != nil || len(got.ParityOf(nil)) > 0 {
				t.Error("of no set there is something")
			}
		}
	}
}
