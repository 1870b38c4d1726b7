package layer

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"

	"github.com/klauspost/compress/zstd"
	"golang.org/x/sync/semaphore"
)

// The windows of all layers that are open in the process share room for one of
// the largest: how many cores there are does not multiply what a few bytes of
// zstd can claim. Of the windows that compressors use, up to 8 MiB, so many fit
// side by side that nobody waits.
var windows = semaphore.NewWeighted(MaxWindow)

// largeWindow is a window whose memory is given back before the room is.
const largeWindow = 32 << 20

// windowed passes a zstd stream on, and lets the header of a frame pass only
// when there is room for its window.
type windowed struct {
	r    *bufio.Reader
	pass int64 // bytes of the current header or block that are still to come
	next func() error
	held int64 // of windows
}

func newWindowed(r *bufio.Reader) *windowed {
	w := &windowed{r: r}
	w.next = w.frame
	return w
}

func (w *windowed) Read(p []byte) (int, error) {
	for w.pass == 0 {
		if err := w.next(); err != nil {
			return 0, err
		}
	}
	n, err := w.r.Read(p[:min(int64(len(p)), w.pass)])
	w.pass -= int64(n)
	return n, err
}

// frame looks at the header of the next frame.
func (w *windowed) frame() error {
	head, err := w.r.Peek(zstd.HeaderMaxSize)
	if len(head) == 0 {
		return err
	}
	var h zstd.Header
	switch short := h.Decode(head); {
	case errors.Is(short, io.ErrUnexpectedEOF):
		return w.rest(err)
	case short != nil:
		return short
	}
	if h.Skippable {
		w.pass = int64(h.HeaderSize) + int64(h.SkippableSize)
		return nil
	}
	window := h.WindowSize
	if h.SingleSegment {
		window = max(window, h.FrameContentSize)
	}
	if window > MaxWindow {
		return fmt.Errorf("%w: zstd window of %d bytes", ErrLimit, window)
	}
	w.hold(int64(window))
	w.pass, w.next = int64(h.HeaderSize), func() error { return w.block(h.HasCheckSum) }
	return nil
}

// block looks at the header of the next block of a frame.
func (w *windowed) block(checksum bool) error {
	head, err := w.r.Peek(3)
	if len(head) < 3 {
		return w.rest(err)
	}
	bits := uint32(head[0]) | uint32(head[1])<<8 | uint32(head[2])<<16
	const rle = 1 // a block of one byte that stands for many
	if w.pass = 3 + int64(bits>>3); bits>>1&3 == rle {
		w.pass = 3 + 1
	}
	if last := bits&1 == 1; last {
		w.next = w.frame
		if checksum {
			w.pass += 4
		}
	}
	return nil
}

// rest lets pass what is left of a stream that ends within a header, and then
// the error that it ends with: the decoder has the words for that.
func (w *windowed) rest(err error) error {
	w.pass = int64(w.r.Buffered())
	w.next = func() error { return err }
	return nil
}

// hold waits for room for a window instead of the one held: whoever waits for
// it holds none.
func (w *windowed) hold(window int64) {
	if window <= w.held {
		return
	}
	windows.Release(w.held)
	_ = windows.Acquire(context.Background(), window) // never fails: those who hold it read on, or fail and close
	w.held = window
}

// release gives the room back once nothing uses the window.
func (w *windowed) release() {
	if w.held >= largeWindow {
		runtime.GC() // or the next one would be beside it in memory
	}
	windows.Release(w.held)
	w.held = 0
}
