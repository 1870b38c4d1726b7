package bundle

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"

	"github.com/klauspost/compress/zstd"

	"airgap/bundle/image"
)

const (
	maxSignature = 1 << 20  // bytes of airgap.json.sig
	maxSniff     = 16 << 30 // bytes that are looked through to tell what a foreign file is
)

// Bundle is an open bundle. Its methods may be used from several goroutines.
type Bundle struct {
	r         io.ReaderAt
	size      int64 // of the file
	raw       []byte
	manifest  *Manifest
	signature []byte

	slots    []slot
	geometry geometry
	frames   []int64 // where each frame starts in the file, and where they end; nil for a plain tar
	index    map[image.Digest]int
	proven   *pieces // what the file held when it was proven; nil before

	*decoders
}

// decoders are shared by a bundle's readers.
type decoders struct {
	pool sync.Pool // of *zstd.Decoder

	mu     sync.Mutex
	shared []sharedFrame // those used last, the last one first
}

// sharedFrame is the content of a frame that several entries share.
type sharedFrame struct {
	frame   int
	content []byte
}

// maxShared is how many of these are kept. Who reads image by image needs one
// with documents and one with layers at once; two who do so side by side, or are
// at the end of a frame, need another.
const maxShared = 3

// Open reads the manifest and the frame table of a bundle, or of the plain tar
// from inside one, and checks that they agree with each other and with size.
// No blob is read: whether they are whole is package verify's to find out.
func Open(r io.ReaderAt, size int64) (*Bundle, error) {
	b := newBundle(r, size)
	packed, err := b.readStart()
	if err != nil {
		return nil, err
	}
	// Every frame has its row in the file's table: what a manifest claims is no
	// more than that before memory is taken for it.
	if b.manifest.Size/MaxFrame > size/8 {
		return nil, damaged("size", "a file of %d bytes does not hold %d", size, b.manifest.Size)
	}
	b.layout()
	if packed {
		err = b.readTable()
	} else if b.size != b.geometry.size {
		err = damaged("size", "the tar has %d bytes, expected %d", b.size, b.geometry.size)
	}
	if err != nil {
		return nil, err
	}
	return b, nil
}

func newBundle(r io.ReaderAt, size int64) *Bundle {
	b := &Bundle{r: medium{r}, size: size, decoders: &decoders{}}
	b.pool.New = func() any { return newDecoder() }
	return b
}

// medium tells its own errors from those of the bundle. It reads all of p or
// fails; what is not there because the file ends is io.ErrUnexpectedEOF.
type medium struct{ r io.ReaderAt }

func (m medium) ReadAt(p []byte, off int64) (int, error) {
	switch n, err := m.r.ReadAt(p, off); {
	case n == len(p):
		return n, nil
	case err == io.EOF:
		return n, io.ErrUnexpectedEOF
	default:
		return n, &ReadError{off + int64(n), err}
	}
}

// layout computes where everything has to be.
func (b *Bundle) layout() {
	signature := int64(-1)
	if b.signature != nil {
		signature = int64(len(b.signature))
	}
	b.slots = slots(int64(len(b.raw)), signature, b.manifest.Entries)
	b.geometry = newGeometry(b.slots)
	b.index = map[image.Digest]int{}
	first := len(b.slots) - len(b.manifest.Blobs)
	for i, blob := range b.manifest.Blobs {
		b.index[blob.Digest] = first + i
	}
}

// Manifest is what the bundle says it holds.
func (b *Bundle) Manifest() *Manifest { return b.manifest }

// RawManifest is the bytes of airgap.json.
func (b *Bundle) RawManifest() []byte { return b.raw }

// Signature is the bytes of airgap.json.sig, or nil.
func (b *Bundle) Signature() []byte { return b.signature }

// ID is the bundle's id: the sha256 of its manifest.
func (b *Bundle) ID() image.Digest { return image.SHA256(b.raw) }

// Size is that of the file in bytes.
func (b *Bundle) Size() int64 { return b.size }

// Plain says that the file is the tar from inside a bundle.
func (b *Bundle) Plain() bool { return b.frames == nil }

// Has says whether the bundle lists a blob.
func (b *Bundle) Has(d image.Digest) bool {
	_, ok := b.index[d]
	return ok
}

// Fetch opens a blob. The reader verifies it; what is wrong with it is a
// *DamagedError.
func (b *Bundle) Fetch(_ context.Context, d image.Descriptor) (io.ReadCloser, error) {
	i, ok := b.index[d.Digest]
	if !ok {
		return nil, fmt.Errorf("blob %s: %w in the bundle", d.Digest, image.ErrNotFound)
	}
	if at := b.geometry.entries[i]; at.size != d.Size {
		return nil, damaged(b.slots[i].name, "it has %d bytes, its descriptor says %d", at.size, d.Size)
	}
	r := image.NewReader(b.section(b.geometry.entries[i]), d)
	return &blobReader{r, b.slots[i].name}, nil
}

// Section opens a blob from byte off on, without reading what is before it.
// Only [Bundle.Fetch] proves the digest. Once the bundle is proven (see
// [Bundle.Prove]) the reader yields nothing but what was there then; before, it
// proves each frame by the frame's own checksum.
func (b *Bundle) Section(d image.Descriptor, off int64) (io.ReadCloser, error) {
	i, ok := b.index[d.Digest]
	if !ok {
		return nil, fmt.Errorf("blob %s: %w in the bundle", d.Digest, image.ErrNotFound)
	}
	at := b.geometry.entries[i]
	if off < 0 || off > at.size {
		return nil, fmt.Errorf("blob %s has %d bytes: there is no byte %d", d.Digest, at.size, off)
	}
	return b.section(span{at.off + off, at.size - off}), nil
}

// blobReader names the entry in errors of verification.
type blobReader struct {
	io.ReadCloser
	name string
}

func (r *blobReader) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p)
	var wrong *image.DigestError
	if errors.As(err, &wrong) {
		err = &DamagedError{r.name, err}
	}
	return n, err
}

// section reads a stretch of the tar.
func (b *Bundle) section(s span) io.ReadCloser {
	switch {
	case b.Plain() && b.proven != nil:
		return &stretch{at: s.off, end: s.end(), load: (&pieceLoader{b: b}).load}
	case b.Plain():
		return io.NopCloser(io.NewSectionReader(b.r, s.off, s.size))
	}
	return &stretch{at: s.off, end: s.end(), load: (&frameLoader{b: b}).load}
}

// readTable reads the end of the file: the seek table, which must list exactly
// the frames that the manifest calls for, and the trailer before it.
func (b *Bundle) readTable() error {
	want := b.geometry.frames
	length := 8 + 8*len(want) + seekFooterSize // a row per frame, and one for the trailer
	start := b.size - int64(length)
	if start < int64(trailerSize) {
		return damaged("seek table", "%w", io.ErrUnexpectedEOF)
	}
	table := make([]byte, length)
	if _, err := b.r.ReadAt(table, start); err != nil {
		return err
	}
	rows, err := parseSeekTable(table)
	if err != nil {
		return damaged("seek table", "the file ends without it or is cut short: %w", err)
	}
	b.frames = make([]int64, 1, len(want))
	for i, row := range rows[:len(rows)-1] {
		if int64(row.content) != want[i+1]-want[i] {
			return damaged("seek table", "frame %d holds %d bytes, expected %d", i, row.content, want[i+1]-want[i])
		}
		if int64(row.packed) > rawFrameSize(MaxFrame) {
			return damaged("seek table", "frame %d has %d bytes", i, row.packed)
		}
		b.frames = append(b.frames, b.frames[i]+int64(row.packed))
	}
	end := b.frames[len(b.frames)-1]
	if last := rows[len(rows)-1]; last != (frameSizes{packed: uint32(trailerSize)}) || end+int64(trailerSize) != start {
		return damaged("seek table", "frames end at %d, the table starts at %d", end, start)
	}
	return nil
}

// stretch reads a stretch of the tar, as much at a time as load gives.
type stretch struct {
	at, end int64
	load    func(at, end int64) ([]byte, error) // what begins at at and does not go beyond end
	rest    []byte
}

func (r *stretch) Close() error { return nil }

func (r *stretch) Read(p []byte) (n int, err error) {
	if r.at == r.end {
		return 0, io.EOF
	}
	if len(r.rest) == 0 {
		if r.rest, err = r.load(r.at, r.end); err != nil {
			return 0, err
		}
	}
	n = copy(p, r.rest)
	r.rest = r.rest[n:]
	r.at += int64(n)
	return n, nil
}

// frameLoader gives the content of frames, one after the other.
type frameLoader struct {
	b           *Bundle
	next        int // frame; 0 before the first is sought
	packed, buf []byte
}

func (f *frameLoader) load(at, end int64) (_ []byte, err error) {
	starts := f.b.geometry.frames
	if f.next == 0 {
		f.next = frameAt(starts, at)
	}
	from, to := starts[f.next], starts[f.next+1]
	f.next++
	if from == at && to <= end {
		f.buf, err = f.b.decode(f.next-1, &f.packed, f.buf)
		return f.buf, err
	}
	content, err := f.b.decodeShared(f.next - 1)
	if err != nil {
		return nil, err
	}
	return content[at-from : min(end, to)-from], nil
}

// decode decompresses one frame into buf, with packed as scratch.
func (b *Bundle) decode(i int, packed *[]byte, buf []byte) ([]byte, error) {
	*packed = room(*packed, b.frames[i+1]-b.frames[i])
	if _, err := b.r.ReadAt(*packed, b.frames[i]); err != nil {
		return nil, err
	}
	if b.proven != nil && !b.proven.same(i, *packed) {
		return nil, damaged("file", "%w", errChanged)
	}
	dec := b.pool.Get().(*zstd.Decoder)
	defer b.pool.Put(dec)
	out, err := decodeFrame(dec, *packed, buf, b.geometry.frames[i+1]-b.geometry.frames[i])
	if err != nil {
		return nil, damaged(fmt.Sprintf("frame %d", i), "%w", err)
	}
	return out, nil
}

// decodeShared decompresses a frame that several entries share, and keeps those
// used last. The result must not be changed.
func (b *Bundle) decodeShared(i int) ([]byte, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	at := slices.IndexFunc(b.shared, func(s sharedFrame) bool { return s.frame == i })
	if at < 0 {
		var packed []byte
		content, err := b.decode(i, &packed, nil)
		if err != nil {
			return nil, err
		}
		at = min(len(b.shared), maxShared-1)
		b.shared = append(b.shared[:at], sharedFrame{i, content})
	}
	used := b.shared[at]
	copy(b.shared[1:], b.shared[:at])
	b.shared[0] = used
	return used.content, nil
}

// frameAt is the index of the frame that holds tar offset at.
func frameAt(starts []int64, at int64) int {
	lo, hi := 0, len(starts)-1
	for hi-lo > 1 {
		if mid := (lo + hi) / 2; starts[mid] <= at {
			lo = mid
		} else {
			hi = mid
		}
	}
	return lo
}
