// Package layer opens file system layers: gzip of one or more members, zstd of
// one or more frames (estargz and zstd:chunked are such), or plain tar. What a
// layer is follows from its first bytes, as engines see it, not from its media
// type.
//
// Layers may be hostile: windows, ratios and sizes are bounded, and what goes
// beyond is an error that wraps [ErrLimit].
package layer

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math"
	"sync"
	"sync/atomic"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"airgap/bundle/image"
)

// Limits of an opened layer.
const (
	MaxWindow = 128 << 20 // of zstd, in bytes
	MaxSize   = 64 << 30  // uncompressed, in bytes
	MaxRatio  = 1100      // uncompressed to what it came in; deflate's own limit is 1032
	MaxBeyond = 4 << 30   // bytes beyond that: layers hold sparse files, of which zstd makes a thirty-thousandth
)

// Allowance is what the layers in a file may still have together. It is safe for
// concurrent use.
type Allowance struct{ left atomic.Int64 }

// NewAllowance is that of a file of that size in bytes.
func NewAllowance(size int64) *Allowance {
	a := new(Allowance)
	a.left.Store(MaxBeyond + MaxRatio*min(size, math.MaxInt64/MaxRatio/2))
	return a
}

func (a *Allowance) take(n int) bool { return a.left.Add(-int64(n)) >= 0 }

// ErrLimit is wrapped by errors about layers that exceed a limit.
var ErrLimit = errors.New("layer exceeds the limits")

// Open gives the uncompressed bytes of a layer. Closing the result does not
// close r, and is needed for r to be no longer in use, and for others to have
// the room that a zstd window takes: reading may wait for that.
func Open(r io.Reader) (io.ReadCloser, error) { return open(r, newBuffer(), nil) }

// newBuffer is what a layer is read through.
func newBuffer() *bufio.Reader { return bufio.NewReaderSize(nil, 128<<10) }

func open(r io.Reader, buffered *bufio.Reader, a *Allowance) (io.ReadCloser, error) {
	in := &counter{r: r}
	buffered.Reset(in)
	head, err := buffered.Peek(4)
	if err != nil && err != io.EOF {
		return nil, err
	}
	switch {
	case isGzip(head):
		z, err := gzip.NewReader(buffered)
		if err != nil {
			return nil, fmt.Errorf("gzip: %w", err)
		}
		return &bounded{r: z, close: z.Close, in: in, allowance: a}, nil
	case isZstd(head):
		return openZstd(buffered, in, a)
	}
	return io.NopCloser(buffered), nil
}

func openZstd(r *bufio.Reader, in *counter, a *Allowance) (io.ReadCloser, error) {
	frames := newWindowed(r)
	z, err := zstd.NewReader(frames, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(MaxWindow), zstd.WithDecoderLowmem(true))
	if err != nil {
		return nil, fmt.Errorf("zstd: %w", err)
	}
	b := &bounded{r: z, in: in, allowance: a}
	b.close = func() error {
		z.Close()
		z, b.r = nil, nil
		frames.release()
		return nil
	}
	return b, nil
}

// IsPlain says, of a layer's first four bytes or more, that it is not
// compressed: its content is the layer itself.
func IsPlain(head []byte) bool {
	head = head[:min(4, len(head))]
	return !isGzip(head) && !isZstd(head)
}

func isGzip(head []byte) bool { return bytes.HasPrefix(head, []byte{0x1f, 0x8b}) }

func isZstd(head []byte) bool {
	return bytes.HasPrefix(head, []byte{0x28, 0xb5, 0x2f, 0xfd}) || isSkippable(head)
}

// isSkippable recognises a zstd stream that starts with a skippable frame.
func isSkippable(head []byte) bool {
	return len(head) == 4 && head[0]&0xf0 == 0x50 && bytes.Equal(head[1:], []byte{0x2a, 0x4d, 0x18})
}

// buffers are for layers whose end is waited for: small ones are read by the
// thousand.
var buffers = sync.Pool{New: func() any { return newBuffer() }}

// DiffID is the digest of the uncompressed bytes of a layer. Reading,
// decompressing and hashing run side by side. All of r is read, to io.EOF.
func DiffID(ctx context.Context, r io.Reader, a *Allowance) (image.Digest, error) {
	packed := newAhead(r)
	defer packed.Close()
	buffer := buffers.Get().(*bufio.Reader)
	defer buffers.Put(buffer)
	z, err := open(packed, buffer, a)
	if err != nil {
		return image.Digest{}, err
	}
	defer z.Close()
	content := newAhead(image.ContextReader(ctx, z))
	defer content.Close()
	h := sha256.New()
	if _, err := io.Copy(h, content); err != nil {
		return image.Digest{}, err
	}
	// What a verifying reader has to say comes with its end.
	if _, err := io.Copy(io.Discard, packed); err != nil {
		return image.Digest{}, err
	}
	return image.HashDigest(h), nil
}

// counter counts what is read.
type counter struct {
	r io.Reader
	n int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

// bounded is a decompressor under the limits.
type bounded struct {
	r     io.Reader
	close func() error
	in    *counter
	out   int64

	allowance *Allowance // nil: its own
}

func (b *bounded) Read(p []byte) (int, error) {
	n, err := b.r.Read(p)
	b.out += int64(n)
	may := b.out <= MaxBeyond+MaxRatio*b.in.n
	if b.allowance != nil {
		may = b.allowance.take(n)
	}
	if b.out > MaxSize || !may {
		return n, fmt.Errorf("%w: %d bytes out of %d", ErrLimit, b.out, b.in.n)
	}
	return n, err
}

func (b *bounded) Close() error { return b.close() }
