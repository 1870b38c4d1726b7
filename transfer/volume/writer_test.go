package volume

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"airgap/transfer"
	"airgap/transfer/transfertest"
)

func writer(t testing.TB, dir string, size int64) *Writer {
	t.Helper()
	w, err := NewWriter("b.tar", WriterOptions{Size: size,
		Open: To(t.Context(), folder(t, dir), transfer.SendOptions{}, nil),
	})
	if err != nil {
		t.Fatal(err)
	}
	w.Identify("sha256:1")
	return w
}

// pour writes in pieces of all sizes.
func pour(w io.Writer, raw []byte) error {
	random := rand.New(rand.NewPCG(3, 4))
	for len(raw) > 0 {
		n := min(len(raw), random.IntN(200_000))
		if _, err := w.Write(raw[:n]); err != nil {
			return err
		}
		raw = raw[n:]
	}
	return nil
}

func TestWriter(t *testing.T) {
	for _, size := range []int{0, 1, slice, slice + 1, MinSize, MinSize + 1, 2 * slice, 2*slice + 1, 3*slice + Shard} {
		dir := t.TempDir()
		f, raw := transfertest.Content("b.tar", size)
		w := writer(t, dir, MinSize)
		if err := errors.Join(pour(w, raw), w.Close()); err != nil {
			t.Fatal(err)
		}
		if w.Total() != f.Size || w.SHA256() != f.SHA256 {
			t.Errorf("%d bytes: total %d", size, w.Total())
		}
		if size <= MinSize {
			transfertest.Arrived(t, dir, f, raw)
			continue
		}
		if want := (size-1)/slice + 1; len(w.Volumes()) != want {
			t.Errorf("%d bytes: volumes %v", size, w.Volumes())
		}
		reads(t, dir, raw)
		if len(snapshot(t, dir)) != 2*len(w.Volumes()) {
			t.Errorf("%d bytes: other files than volumes and sums", size)
		}
	}
}

// TestWriterFails leaves only what was finished of a set that has come to nothing.
func TestWriterFails(t *testing.T) {
	_, raw := transfertest.Content("b.tar", 3*slice)
	boom := errors.New("registry gone")
	dir := t.TempDir()
	w := writer(t, dir, MinSize)
	if err := pour(w, raw); err != nil {
		t.Fatal(err)
	}
	w.Abort(boom)
	if err := w.Close(); !errors.Is(err, boom) {
		t.Error(err)
	}
	transfertest.Only(t, dir, "b.tar.001", "b.tar.001.sha256", "b.tar.002", "b.tar.002.sha256")

	dir = t.TempDir()
	w = writer(t, dir, MinSize)
	open := w.o.Open
	w.o.Open = func(name string) (Sink, error) {
		if name == "b.tar.003" {
			return nil, boom
		}
		return open(name)
	}
	if err := pour(w, raw); !errors.Is(err, boom) || w.Volumes() != nil {
		t.Error(err)
	}
	transfertest.Only(t, dir, "b.tar.001", "b.tar.001.sha256", "b.tar.002", "b.tar.002.sha256")
}

// TestAddParity protects what has been written.
func TestAddParity(t *testing.T) {
	for _, size := range []int64{0, MinSize} {
		dir := t.TempDir()
		_, raw := transfertest.Content("b.tar", 4*slice+99)
		w := writer(t, dir, size)
		if err := errors.Join(pour(w, raw), w.Close()); err != nil {
			t.Fatal(err)
		}
		parts, err := AddParity(t.Context(), dir, "b.tar", Layout{ID: "sha256:1", Size: size, Parity: 40, TempDir: t.TempDir()})
		if err != nil {
			t.Fatal(err)
		}
		defer parts.Close()
		send(t, dir, parts.Files)
		before := snapshot(t, dir)
		damaged := "b.tar"
		if size > 0 {
			damaged = "b.tar.002"
		}
		burst(t, filepath.Join(dir, damaged), 4000, 700_000)
		reads(t, dir, raw)
		s, err := open(t, dir, "b.tar", OpenOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Repair(t.Context(), folder(t, dir), nil); err != nil {
			t.Fatal(err)
		}
		same(t, dir, before)
	}
}

// TestByHand joins volumes as VOLUMES.md has it.
func TestByHand(t *testing.T) {
	dir := t.TempDir()
	f, raw := transfertest.Content("b.tar", 2*slice+5)
	split(t, dir, f, Layout{Size: MinSize})
	var joined []byte
	for n := 1; n <= 3; n++ {
		b := must(os.ReadFile(filepath.Join(dir, volumeName("b.tar", n))))
		joined = append(joined, b[:len(b)-FooterSize]...)
	}
	if !bytes.Equal(joined, raw) {
		t.Error("volumes without their footers are not the file")
	}
}

func TestParseSize(t *testing.T) {
	for text, want := range map[string]int64{
		"auto": FAT, "cd": CD, "DVD": DVD, "bd": BD25, "4GiB": 4 << 30, "650MB": 650_000_000, "1.5g": 3 << 29, "1048576": MinSize, "2 GiB": 2 << 30,
	} {
		if got, err := ParseSize(text); err != nil || got != want {
			t.Errorf("%s: %d, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "0", "1", "-4GiB", "4XB", "GiB", "NaN", "Inf", "1e9", "0x100000", "1048575", "9999999TiB", "4GiBB"} {
		if got, err := ParseSize(text); err == nil {
			t.Errorf("%q is %d", text, got)
		}
	}
}
