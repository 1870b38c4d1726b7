package bundle

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"
)

// framer turns blobs into frames. Several blobs may pass through it at once;
// together they have a fixed number of frames in flight, which bounds memory
// whatever the number of cores and images.
type framer struct {
	encoders chan *zstd.Encoder // of the level that was asked for
	thorough chan *zstd.Encoder // one of the better level, for frames that are worth it; else nil
	buffers  chan *frameBuffer
}

// frameBuffer holds a frame's content and its packed form.
type frameBuffer struct{ content, packed []byte }

// maxWorkers bounds the encoders: each holds some 16 MB with its buffers, and
// three are faster than an engine gives its layers.
const maxWorkers = 3

func newFramer(level Level, jobs int) *framer {
	workers := min(jobs, maxWorkers)
	f := &framer{
		encoders: make(chan *zstd.Encoder, workers),
		buffers:  make(chan *frameBuffer, workers+2),
	}
	for range workers {
		f.encoders <- newEncoder(level)
	}
	if level == Default {
		f.thorough = make(chan *zstd.Encoder, 1)
		f.thorough <- newEncoder(Better)
	}
	for range cap(f.buffers) {
		f.buffers <- new(frameBuffer)
	}
	return f
}

// errPacked is what frames answers where content is not packed as expected.
var errPacked = errors.New("blob is not compressed as its media type says")

// packedOnly is for frames to accept what is compressed, or else to answer
// errPacked.
func packedOnly(head []byte) error {
	if !isPacked(head) {
		return errPacked
	}
	return nil
}

// frames reads size bytes of a blob from r, to io.EOF, and emits its frames in
// order, unless accept says, of the blob's first bytes, that it shall not. The
// emitted bytes are valid until emit returns.
func (f *framer) frames(ctx context.Context, r io.Reader, size int64, accept func(head []byte) error, emit func(packed []byte) error) error {
	first, err := f.take(ctx)
	if err != nil {
		return err
	}
	head := make([]byte, min(4, size))
	if _, err := io.ReadFull(r, head); err != nil {
		f.give(first)
		return short(err)
	}
	if err := accept(head); err != nil {
		f.give(first)
		return err
	}
	r = io.MultiReader(bytes.NewReader(head), r)
	if isPacked(head) {
		defer f.give(first)
		return rawFrames(r, size, first, emit)
	}
	return f.compress(ctx, r, size, first, emit)
}

// rawFrames stores content in raw blocks; buf is its only memory.
func rawFrames(r io.Reader, size int64, buf *frameBuffer, emit func([]byte) error) error {
	for rest := size; rest > 0; {
		n := min(rest, MaxFrame)
		buf.packed = room(buf.packed, rawFrameSize(MaxFrame))
		frame := newRawFrame(buf.packed, n)
		for _, gap := range frame.gaps {
			if _, err := io.ReadFull(r, gap); err != nil {
				return short(err)
			}
		}
		rest -= n
		if rest == 0 {
			if err := expectEOF(r); err != nil {
				return err
			}
		}
		if err := emit(frame.finish()); err != nil {
			return err
		}
	}
	return nil
}

// compress packs frames side by side and emits them in order.
func (f *framer) compress(ctx context.Context, r io.Reader, size int64, first *frameBuffer, emit func([]byte) error) (err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	queue := make(chan chan *frameBuffer, cap(f.buffers))
	readErr := make(chan error, 1)
	go func() {
		defer close(queue)
		readErr <- f.readContent(ctx, r, size, first, queue)
	}()
	for result := range queue {
		buf := <-result
		if err == nil {
			err = emit(buf.packed)
		}
		if err != nil {
			cancel()
		}
		f.give(buf)
	}
	return errors.Join(err, notCanceled(<-readErr, err))
}

// notCanceled drops a reader's error that only echoes the emitter's.
func notCanceled(err, cause error) error {
	if cause != nil && errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// readContent reads frame by frame, starts packing each, and queues the results.
func (f *framer) readContent(ctx context.Context, r io.Reader, size int64, buf *frameBuffer, queue chan<- chan *frameBuffer) error {
	for rest := size; ; {
		n := min(rest, MaxFrame)
		buf.content = room(buf.content, MaxFrame)[:n]
		if _, err := io.ReadFull(r, buf.content); err != nil {
			f.give(buf)
			return short(err)
		}
		rest -= n
		if rest == 0 {
			if err := expectEOF(r); err != nil {
				f.give(buf)
				return err
			}
		}
		result := make(chan *frameBuffer, 1)
		go f.pack(buf, result)
		queue <- result
		if rest == 0 {
			return nil
		}
		var err error
		if buf, err = f.take(ctx); err != nil {
			return err
		}
	}
}

func (f *framer) pack(buf *frameBuffer, result chan<- *frameBuffer) {
	buf.packed = f.encode(buf.content, room(buf.packed, rawFrameSize(MaxFrame)))
	result <- buf
}

// encode packs content, at most MaxFrame bytes, into the memory of packed. How follows from the level
// and the content alone.
func (f *framer) encode(content, packed []byte) []byte {
	pool := f.encoders
	if f.thorough != nil && isText(content) {
		pool = f.thorough
	}
	enc := <-pool
	defer func() { pool <- enc }()
	return enc.EncodeAll(content, packed[:0])
}

// A frame is worth the better level if it is mostly text: source code, scripts,
// tables. There that level gains twice as much as in machine code and takes half
// as long: on layers of Debian, PostgreSQL, Python and Node.js a quarter of what
// it gains in all, for a tenth of the time.
const (
	samples   = 64
	sampleLen = 1 << 10
	worth     = 75 // percent
)

// isText judges content by stretches of it.
func isText(content []byte) bool {
	if len(content) < samples*sampleLen {
		return false
	}
	n := 0
	for i := range samples {
		at := len(content) / samples * i
		for _, c := range content[at : at+sampleLen] {
			if c >= ' ' && c < 0x7f || c >= '\t' && c <= '\r' {
				n++
			}
		}
	}
	return n*100 > worth*samples*sampleLen
}

func (f *framer) take(ctx context.Context) (*frameBuffer, error) {
	select {
	case buf := <-f.buffers:
		return buf, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

func (f *framer) give(buf *frameBuffer) { f.buffers <- buf }

// room gives a slice of n bytes, b's own memory where it suffices.
func room(b []byte, n int64) []byte {
	if int64(cap(b)) < n {
		return make([]byte, n)
	}
	return b[:n]
}

// short names the error of a blob that ends before its size.
func short(err error) error {
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return fmt.Errorf("blob ends early: %w", io.ErrUnexpectedEOF)
	}
	return err
}

// expectEOF reads on to the end, where a verifying reader gives its verdict.
func expectEOF(r io.Reader) error {
	var one [1]byte
	switch n, err := io.ReadFull(r, one[:]); {
	case n > 0:
		return errors.New("blob is longer than its size")
	case err != io.EOF:
		return err
	}
	return nil
}
