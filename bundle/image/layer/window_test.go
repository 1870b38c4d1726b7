package layer

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"testing/iotest"

	"github.com/klauspost/compress/zstd"
)

// wide is a frame of no content with a window of that many powers of two.
func wide(power byte) []byte {
	return []byte{0x28, 0xb5, 0x2f, 0xfd, 0, (power - 10) << 3, 1, 0, 0}
}

// room says whether so much of the windows is free.
func room(n int64) bool {
	if !windows.TryAcquire(n) {
		return false
	}
	windows.Release(n)
	return true
}

// TestWindowsAreCounted: a layer holds room for its largest window, in whatever
// frame that is, and gives it back when it is closed.
func TestWindowsAreCounted(t *testing.T) {
	skippable := []byte{0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 'x', 'y', 'z'}
	small := zstded(t, []byte("small"))
	for name, packed := range map[string][]byte{
		"one frame":        wide(26),
		"small first":      append(bytes.Clone(small), wide(26)...),
		"large first":      append(wide(26), small...),
		"growing":          append(append(wide(20), wide(23)...), wide(26)...),
		"behind skippable": append(append(bytes.Clone(small), skippable...), wide(26)...),
		"cut":              append(wide(26), 0x28, 0xb5),
	} {
		for _, r := range []io.Reader{bytes.NewReader(packed), iotest.OneByteReader(bytes.NewReader(packed))} {
			z, err := Open(r)
			if err != nil {
				t.Fatal(name, err)
			}
			io.Copy(io.Discard, z)
			if half := int64(MaxWindow / 2); room(half+1) || !room(half) {
				t.Errorf("%s: a window of half of all does not take half of all", name)
			}
			z.Close()
			if !room(MaxWindow) {
				t.Fatalf("%s: room is lost", name)
			}
		}
	}
}

// TestManyWindows does not stop where none has room beside another.
func TestManyWindows(t *testing.T) {
	errs := make(chan error)
	for i := range 20 {
		go func() {
			_, err := DiffID(t.Context(), bytes.NewReader(append(wide(byte(20+i%8)), wide(27)...)), NewAllowance(0))
			errs <- err
		}()
	}
	for range 20 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	if !room(MaxWindow) {
		t.Error("room is lost")
	}
}

// TestWindowTooLarge is a limit, in single segments too.
func TestWindowTooLarge(t *testing.T) {
	content := make([]byte, 1<<10)
	single := zstded(t, content, zstd.WithSingleSegment(true))
	single[4] = 0xe4 // the content's size in eight bytes, a gigabyte
	single = append(append(append([]byte{}, single[:5]...), 0, 0, 0, 0x40, 0, 0, 0, 0), single[7:]...)
	for name, packed := range map[string][]byte{"window": wide(30), "second window": append(wide(20), wide(28)...), "single segment": single} {
		if _, err := DiffID(t.Context(), bytes.NewReader(packed), NewAllowance(0)); !errors.Is(err, ErrLimit) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestWindowedPasses everything on, and the stream's own errors.
func TestWindowedPasses(t *testing.T) {
	boom := errors.New("boom")
	for name, packed := range forms(t, bytes.Repeat([]byte("a layer "), 1000)) {
		if IsPlain(packed) || name == "gzip" || name == "gzip of two members" {
			continue
		}
		for cut := range len(packed) {
			z, err := Open(io.MultiReader(bytes.NewReader(packed[:cut]), iotest.ErrReader(boom)))
			if err == nil {
				_, err = io.Copy(io.Discard, z)
				z.Close()
			}
			if !errors.Is(err, boom) && !errors.Is(err, io.ErrUnexpectedEOF) { // which is what the decoder makes of it in skippable frames
				t.Errorf("%s of %d bytes fails at %d: %v", name, len(packed), cut, err)
			}
		}
	}
	if !room(MaxWindow) {
		t.Error("room is lost")
	}
}
