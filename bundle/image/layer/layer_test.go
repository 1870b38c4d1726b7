package layer

import (
	"bytes"
	"errors"
	"io"
	"math"
	"testing"
	"testing/iotest"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"airgap/bundle/image"
)

func gzipped(b []byte) []byte {
	var buf bytes.Buffer
	w := gzip.NewWriter(&buf)
	w.Write(b)
	w.Close()
	return buf.Bytes()
}

func zstded(t testing.TB, b []byte, o ...zstd.EOption) []byte {
	w, err := zstd.NewWriter(nil, o...)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	return w.EncodeAll(b, nil)
}

// forms are what a layer may look like, all with the same content.
func forms(t testing.TB, content []byte) map[string][]byte {
	a, b := content[:len(content)/3], content[len(content)/3:]
	skippable := []byte{0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 'x', 'y', 'z'}
	return map[string][]byte{
		"plain":                  content,
		"gzip":                   gzipped(content),
		"gzip of two members":    append(gzipped(a), gzipped(b)...),
		"zstd":                   zstded(t, content),
		"zstd of two frames":     append(zstded(t, a), zstded(t, b)...),
		"zstd, skippable inside": append(append(zstded(t, a), skippable...), zstded(t, b)...),
		"zstd, skippable first":  append(bytes.Clone(skippable), zstded(t, content)...),
	}
}

func TestForms(t *testing.T) {
	for _, size := range []int{0, 3, 1000, 3 << 20} {
		content := bytes.Repeat([]byte("a layer "), size/8+1)[:size]
		for name, packed := range forms(t, content) {
			if size == 0 && name == "zstd, skippable first" {
				continue
			}
			z, err := Open(bytes.NewReader(packed))
			if err != nil {
				t.Fatal(name, err)
			}
			if size < 10_000 {
				err = iotest.TestReader(z, content)
			} else {
				var got []byte
				if got, err = io.ReadAll(z); err == nil && !bytes.Equal(got, content) {
					err = errors.New("other bytes")
				}
			}
			if err != nil {
				t.Errorf("%s of %d bytes: %v", name, size, err)
			}
			z.Close()
			for _, r := range []io.Reader{bytes.NewReader(packed), iotest.OneByteReader(bytes.NewReader(packed)), iotest.DataErrReader(bytes.NewReader(packed))} {
				if size > 10_000 {
					r = bytes.NewReader(packed)
				}
				if id, err := DiffID(t.Context(), r, NewAllowance(0)); err != nil || id != image.SHA256(content) {
					t.Errorf("diffID of %s of %d bytes: %s, %v", name, size, id, err)
				}
			}
		}
	}
}

// TestDamaged layers have no diffID.
func TestDamaged(t *testing.T) {
	content := bytes.Repeat([]byte("a layer "), 100_000)
	boom := errors.New("boom")
	for name, packed := range forms(t, content) {
		if name == "plain" {
			continue
		}
		if _, err := DiffID(t.Context(), bytes.NewReader(packed[:len(packed)-1]), NewAllowance(0)); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%s cut by a byte: %v", name, err)
		}
		if _, err := DiffID(t.Context(), bytes.NewReader(append(bytes.Clone(packed), "garbage"...)), NewAllowance(0)); err == nil {
			t.Errorf("%s with garbage behind it has a diffID", name)
		}
	}
	for name, packed := range forms(t, content) {
		if _, err := DiffID(t.Context(), io.MultiReader(bytes.NewReader(packed), iotest.ErrReader(boom)), NewAllowance(0)); !errors.Is(err, boom) {
			t.Errorf("%s with an error at its end: %v", name, err)
		}
	}
}

// TestSparse reads layers of zeros, as sparse files leave them: every compressor
// makes more than a thousandth of them.
func TestSparse(t *testing.T) {
	zeros := make([]byte, 160<<20)
	want := image.SHA256(zeros)
	for name, packed := range forms(t, zeros) {
		if got, err := DiffID(t.Context(), bytes.NewReader(packed), NewAllowance(0)); err != nil || got != want {
			t.Errorf("%s, %d bytes: %v", name, len(packed), err)
		}
	}
}

// endless is what costs nothing to make.
type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

// TestBombs are stopped by ratio, size and window.
func TestBombs(t *testing.T) {
	const small = 1 << 20
	a := NewAllowance(small)
	for _, c := range []struct {
		a        *Allowance
		in, want int64
	}{{nil, small, small*MaxRatio + MaxBeyond}, {a, small, small*MaxRatio + MaxBeyond}, {a, MaxSize, 0}, {nil, MaxSize, MaxSize}, {NewAllowance(math.MaxInt64), 0, MaxSize}} {
		b := &bounded{r: endless{}, in: &counter{n: c.in}, allowance: c.a}
		n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, b, make([]byte, 64<<20))
		if !errors.Is(err, ErrLimit) || n < c.want || n > c.want+128<<20 {
			t.Errorf("out of %d bytes came %d, expected %d: %v", c.in, n, c.want, err)
		}
	}
	zeros := make([]byte, 1<<20)
	wide := zstded(t, zeros, zstd.WithWindowSize(256<<20), zstd.WithSingleSegment(false))
	wide[5] = 0xa0 // a window of 1 GiB
	if _, err := DiffID(t.Context(), bytes.NewReader(wide), NewAllowance(0)); err == nil {
		t.Error("a window of 1 GiB was accepted")
	}
}

// FuzzDiffID neither panics nor hangs, and leaves no goroutine behind.
func FuzzDiffID(f *testing.F) {
	for _, packed := range forms(f, []byte("a small layer, not even a tar")) {
		f.Add(packed)
	}
	f.Fuzz(func(t *testing.T, packed []byte) {
		id, err := DiffID(t.Context(), bytes.NewReader(packed), NewAllowance(0))
		if err != nil {
			return
		}
		again, err := DiffID(t.Context(), iotest.HalfReader(bytes.NewReader(packed)), NewAllowance(0))
		if err != nil || again != id {
			t.Errorf("%s, then %s, %v", id, again, err)
		}
	})
}
