package volume

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"airgap/internal/forge"
	"airgap/internal/vectors"
	"airgap/transfer"
	"airgap/transfer/media"
	"airgap/transfer/transfertest"
)

// slice is what a volume of the least size takes.
const slice = (MinSize - FooterSize) / Shard * Shard

// split cuts into a folder through the same course as the command does.
func split(t testing.TB, dir string, f transfer.File, l Layout) *Parts {
	t.Helper()
	l.TempDir = t.TempDir()
	parts, err := Split(t.Context(), f, l)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { parts.Close() })
	send(t, dir, parts.Files)
	return parts
}

func send(t testing.TB, dir string, files []transfer.File) {
	t.Helper()
	for _, part := range files {
		if _, err := transfer.Send(t.Context(), folder(t, dir), part, transfer.SendOptions{}); err != nil {
			t.Fatal(err)
		}
	}
}

func folder(t testing.TB, dir string) transfer.Place {
	t.Helper()
	p, err := media.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func open(t testing.TB, dir, name string, o OpenOptions) (*Set, error) {
	t.Helper()
	o.TempDir = t.TempDir()
	s, err := Open(t.Context(), dir, name, o)
	if err == nil {
		t.Cleanup(func() { s.Close() })
	}
	return s, err
}

func readAll(s *Set) ([]byte, error) { return io.ReadAll(io.NewSectionReader(s, 0, s.Size())) }

// reads fails the test unless the folder's set is these bytes.
func reads(t testing.TB, dir string, raw []byte) {
	t.Helper()
	s, err := open(t, dir, "", OpenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := readAll(s); err != nil || !bytes.Equal(got, raw) {
		t.Fatalf("%d of %d bytes, the same: %t, %v", len(got), len(raw), bytes.Equal(got, raw), err)
	}
}

func TestSplitSizes(t *testing.T) {
	for _, size := range []int{1, slice - 1, slice, slice + 1, MinSize - 1, MinSize, MinSize + 1, 2*slice - 1, 2 * slice, 2*slice + 1, 5*slice + Shard} {
		dir := t.TempDir()
		f, raw := transfertest.Content("b.tar", size)
		parts := split(t, dir, f, Layout{ID: "sha256:1", Size: MinSize})
		if size <= MinSize {
			transfertest.Arrived(t, dir, f, raw)
			continue
		}
		if want := (size-1)/slice + 1; len(parts.Files) != want || parts.Files[want-1].Name != volumeName("b.tar", want) {
			t.Errorf("%d bytes: %d parts", size, len(parts.Files))
		}
		for _, part := range parts.Files {
			if part.Size > MinSize {
				t.Errorf("%d bytes: a volume of %d", size, part.Size)
			}
			// Around where the slice ends and the footer begins.
			end := io.NewSectionReader(part.Data, part.Size-FooterSize-min(1000, part.Size-FooterSize), FooterSize+min(1000, part.Size-FooterSize))
			if err := iotest.TestReader(end, must(io.ReadAll(io.NewSectionReader(end, 0, end.Size())))); err != nil {
				t.Error(err)
			}
		}
		reads(t, dir, raw)
		s, err := open(t, dir, "b.tar", OpenOptions{})
		if err != nil || s.SHA256() != f.SHA256 || s.ID() != "sha256:1" || s.Name() != "b.tar" {
			t.Errorf("%+v, %v", s, err)
		}
		from, to := slice-500, min(slice+500, len(raw))
		if err := iotest.TestReader(io.NewSectionReader(s, int64(from), int64(to-from)), raw[from:to]); err != nil {
			t.Error(err)
		}
		if r, err := s.Check(t.Context(), nil); err != nil || r.Err() != nil {
			t.Error(err, r.Err())
		}
		again := split(t, dir, f, Layout{ID: "sha256:1", Size: MinSize})
		if again.Files[0].SHA256 != parts.Files[0].SHA256 {
			t.Error("the same cut again is another")
		}
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func TestSplitRefuses(t *testing.T) {
	f, _ := transfertest.Content("b.tar", 3<<20)
	if _, err := Split(t.Context(), f, Layout{Size: MinSize - 1}); err == nil {
		t.Error("volumes that are too small")
	}
	f.SHA256 = strings.Repeat("0", 64)
	var changed *transfer.ChangedError
	if _, err := Split(t.Context(), f, Layout{Size: MinSize}); !errors.As(err, &changed) {
		t.Error(err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(io.ErrNoProgress)
	if _, err := Split(ctx, f, Layout{Size: MinSize}); !errors.Is(err, io.ErrNoProgress) {
		t.Error(err)
	}
}

// TestShuffles renames, copies and mixes the volumes of two files: what is read
// is the file that is asked for, or nothing.
func TestShuffles(t *testing.T) {
	dir := t.TempDir()
	a, rawA := transfertest.Content("a.tar", 4*slice+7)
	b, rawB := transfertest.Content("b.tar", 3*slice+9)
	split(t, dir, a, Layout{Size: MinSize})
	split(t, dir, b, Layout{Size: MinSize})
	old := split(t, t.TempDir(), a, Layout{Size: MinSize + Shard}) // another cut of a
	var names []string
	for n := 1; n <= 5; n++ {
		names = append(names, volumeName("a.tar", n))
	}
	for n := 1; n <= 4; n++ {
		names = append(names, volumeName("b.tar", n))
	}
	contents := map[string][]byte{}
	for _, name := range names {
		contents[name] = must(os.ReadFile(filepath.Join(dir, name)))
	}
	stale := must(io.ReadAll(io.NewSectionReader(old.Files[1].Data, 0, old.Files[1].Size)))
	right, refused, wrong := 0, 0, 0
	for seed := range uint64(500) {
		random := rand.New(rand.NewPCG(seed, 1))
		dir := filepath.Join(t.TempDir(), "shuffled")
		os.Mkdir(dir, 0o755)
		to := slices.Clone(names)
		random.Shuffle(len(to), func(i, j int) { to[i], to[j] = to[j], to[i] })
		drop := random.IntN(3 * len(names))
		for i, name := range names {
			if i != drop {
				os.WriteFile(filepath.Join(dir, to[i]), contents[name], 0o644)
			}
			if random.IntN(4) == 0 {
				os.WriteFile(filepath.Join(dir, to[i]+" copy"), contents[name], 0o644)
			}
		}
		os.WriteFile(filepath.Join(dir, "old"), stale, 0o644)
		for name, raw := range map[string][]byte{"a.tar": rawA, "b.tar": rawB} {
			s, err := Open(t.Context(), dir, name, OpenOptions{})
			if err != nil {
				refused++
				continue
			}
			if got, err := readAll(s); err == nil && bytes.Equal(got, raw) {
				right++
			} else {
				wrong++
			}
			s.Close()
		}
		os.RemoveAll(dir)
	}
	t.Logf("500 shuffles: %d read, %d refused, %d wrong", right, refused, wrong)
	if wrong != 0 || right == 0 || refused == 0 {
		t.Error("wrong joins, or not all cases were met")
	}
}

func TestFooterFlips(t *testing.T) {
	for _, f := range seeds() {
		block := must(f.Marshal())
		for bit := range len(block) * 8 {
			flipped := bytes.Clone(block)
			flipped[bit/8] ^= 1 << (bit % 8)
			if got, err := ParseFooter(flipped); err == nil {
				t.Fatalf("bit %d: taken for %+v", bit, got)
			}
		}
	}
}

func seeds() []Footer {
	sum := strings.Repeat("ab", 32)
	f := Footer{Name: "b \"ü\".tar.zst", Set: sum[:32], File: "sha256:0", Number: 2, Offset: slice, Length: slice, SHA256: sum}
	last := f
	last.Length, last.Whole = 5, &Whole{Volumes: 2, Total: slice + 5, SHA256: sum}
	whole := last
	whole.Number, whole.Offset, whole.Length = 1, 0, 2*Shard
	whole.Whole = &Whole{Volumes: 1, Total: 20 * Shard, SHA256: sum}
	whole.Parity = &Parity{Shard: Shard, Data: 20, Check: 2, Files: 1}
	return []Footer{f, last, whole}
}

func FuzzFooter(f *testing.F) {
	for _, seed := range seeds() {
		f.Add(must(seed.Marshal()))
	}
	files, err := vectors.Seeds(".001", ".002", ".par")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		f.Add(file[max(0, len(file)-FooterSize):])
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		footer, err := ParseFooter(b)
		if err != nil {
			// With a sum that is right, the lines are looked at as well.
			lines, _, _ := strings.Cut(string(b), "\nsum ")
			if b = forge.Footer(lines + "\n"); len(b) > FooterSize {
				return
			}
			if footer, err = ParseFooter(b); err != nil {
				return
			}
		}
		if again, err := footer.Marshal(); err != nil || !bytes.Equal(again, b) {
			t.Errorf("%q became %q, %v", b, again, err)
		}
	})
}

func TestNewerFooter(t *testing.T) {
	block := must(seeds()[0].Marshal())
	newer := bytes.Replace(block, []byte("volume 1"), []byte("volume 2"), 1)
	if _, err := ParseFooter(newer); !errors.Is(err, ErrNewer) {
		t.Error(err)
	}
	dir := t.TempDir()
	os.WriteFile(filepath.Join(dir, "b.tar.001"), newer, 0o644)
	if _, err := Open(t.Context(), dir, "", OpenOptions{}); !errors.Is(err, ErrNewer) {
		t.Error(err)
	}
}

// TestIncomplete loses and damages what there is no parity for.
func TestIncomplete(t *testing.T) {
	f, _ := transfertest.Content("b.tar", 4*slice+1)
	other, _ := transfertest.Content("b.tar", 4*slice+1)
	other.Name = "c.tar"
	for name, c := range map[string]struct {
		do   func(dir string)
		want string
	}{
		"lost":    {func(dir string) { os.Remove(filepath.Join(dir, "b.tar.002")) }, "missing: 2; there are 1, 3-5 of 5"},
		"last":    {func(dir string) { os.Remove(filepath.Join(dir, "b.tar.005")) }, "the last volume is missing, so that nobody knows how many there are; there are 1-4"},
		"cut off": {func(dir string) { os.Truncate(filepath.Join(dir, "b.tar.003"), 1<<19) }, "damaged: 3; there are 1-2, 4-5 of 5"},
	} {
		dir := t.TempDir()
		split(t, dir, f, Layout{Size: MinSize})
		c.do(dir)
		_, err := open(t, dir, "", OpenOptions{})
		var incomplete *IncompleteError
		if !errors.As(err, &incomplete) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
		s, err := open(t, dir, "", OpenOptions{Partly: true})
		if err != nil {
			t.Fatal(err)
		}
		if r, err := s.Check(t.Context(), nil); err != nil || !errors.As(r.Err(), &incomplete) || !strings.Contains(r.Err().Error(), c.want) {
			t.Errorf("%s: %v, %v", name, err, r.Err())
		}
	}
}

func TestCheckNames(t *testing.T) {
	dir := t.TempDir()
	f, _ := transfertest.Content("b.tar", 3*slice)
	split(t, dir, f, Layout{ID: "a", Size: MinSize})
	split(t, dir, f, Layout{ID: "a", Size: MinSize + Shard}) // of which 1 to 3 replaced those
	split(t, dir, f, Layout{ID: "a", Size: MinSize})
	at := func(n string) string { return filepath.Join(dir, "b.tar."+n) }
	os.Rename(at("001"), at("x"))
	os.Rename(at("002"), at("001"))
	os.Rename(at("x"), at("002"))
	flip(t, at("003"), 77)
	another, _ := transfertest.Content("c.tar", 3*slice)
	split(t, dir, another, Layout{Size: MinSize})
	os.Rename(filepath.Join(dir, "c.tar.001"), at("004"))
	s, err := open(t, dir, "b.tar", OpenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	r, err := s.Check(t.Context(), nil)
	if err != nil || r.Err() == nil || len(r.Renamed) != 2 || !slices.Equal(r.Damaged, []int{3}) || !slices.Equal(r.Foreign, []string{"b.tar.004"}) {
		t.Errorf("%+v, %v", r, err)
	}
	var choice *ChoiceError
	if _, err := open(t, dir, "", OpenOptions{}); !errors.As(err, &choice) || len(choice.Sets) != 2 {
		t.Error(err)
	}
	if _, err := open(t, t.TempDir(), "", OpenOptions{}); !errors.As(err, &choice) || len(choice.Sets) != 0 {
		t.Error(err)
	}
}

// flip changes one bit of a file.
func flip(t testing.TB, path string, at int64) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b := make([]byte, 1)
	if _, err := f.ReadAt(b, at); err != nil {
		t.Fatal(err)
	}
	b[0] ^= 1
	f.WriteAt(b, at)
}

// TestDocument reads the example of VOLUMES.md, and its limits.
func TestDocument(t *testing.T) {
	text := string(must(os.ReadFile("VOLUMES.md")))
	_, example, _ := strings.Cut(text, "\n    airgap volume 1\n")
	example, _, _ = strings.Cut("    airgap volume 1\n"+example, "\n\n")
	block := strings.ReplaceAll(strings.TrimPrefix(example, "    "), "\n    ", "\n")
	block += strings.Repeat("\n", FooterSize-len(block))
	if f, err := ParseFooter([]byte(block)); err != nil || f.Number != 3 || f.Whole == nil {
		t.Errorf("%q: %+v, %v", block, f, err)
	}
	for _, n := range []int{FooterSize, Shard, MinSize, maxFiles} {
		if !strings.Contains(text, fmt.Sprint(n)) {
			t.Errorf("%d is not in it", n)
		}
	}
}
