package bundle

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
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

	*decoders
}

// decoders are shared by a bundle's readers.
type decoders struct {
	pool sync.Pool // of *zstd.Decoder

	mu     sync.Mutex
	shared int // the frame in cache, which several entries share; -1 for none
	cache  []byte
}

// Open reads the manifest and the frame table of a bundle, or of the plain tar
// from inside one, and checks that they agree with each other and with size.
// No blob is read: whether they are whole is package verify's to find out.
func Open(r io.ReaderAt, size int64) (*Bundle, error) {
	b := newBundle(r, size)
	packed, err := b.readManifest()
	if err != nil {
		return nil, err
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
	b := &Bundle{r: medium{r}, size: size, decoders: &decoders{shared: -1}}
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
	if b.Plain() {
		return io.NopCloser(io.NewSectionReader(b.r, s.off, s.size))
	}
	return &frameReader{b: b, at: s.off, end: s.end()}
}

// readManifest reads the manifest, and the signature if there is one, from the
// start of the file; packed tells whether it is in frames.
func (b *Bundle) readManifest() (packed bool, err error) {
	head := make([]byte, 4)
	if _, err := b.r.ReadAt(head, 0); err != nil {
		return false, asForeign(err)
	}
	var start io.Reader = io.NewSectionReader(b.r, 0, b.size)
	if packed = binary.LittleEndian.Uint32(head) == magicFrame; packed {
		start = &prefix{b: b}
	}
	if b.raw, err = readEntry(start, manifestName, MaxManifest); err != nil {
		return packed, b.foreign(err, start, packed)
	}
	if b.manifest, err = parseManifest(b.raw); err != nil {
		return packed, err
	}
	b.signature, err = readEntry(start, signatureName, maxSignature)
	if errors.Is(err, errOtherEntry) {
		err = nil
	}
	return packed, err
}

// asForeign says that a file too short to hold anything is not a bundle.
func asForeign(err error) error {
	if err == io.ErrUnexpectedEOF {
		return &ForeignError{}
	}
	return err
}

var errOtherEntry = errors.New("another entry")

// readEntry reads a whole entry of that name, or answers errOtherEntry.
func readEntry(r io.Reader, name string, limit int64) ([]byte, error) {
	head := make([]byte, block)
	if _, err := io.ReadFull(r, head); err != nil {
		return nil, cutShort(name, err)
	}
	size, err := (&tarHeader{head}).size(name)
	if err != nil {
		return nil, err
	}
	if size > limit {
		return nil, damaged(name, "%d bytes are over the limit of %d", size, limit)
	}
	content := make([]byte, size+padding(size))
	if _, err := io.ReadFull(r, content); err != nil {
		return nil, cutShort(name, err)
	}
	if !isZero(content[size:]) {
		return nil, damaged(name, "padding is not zero")
	}
	return content[:size], nil
}

// cutShort turns the end of the file into damage.
func cutShort(name string, err error) error {
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return damaged(name, "the file is cut short: %w", io.ErrUnexpectedEOF)
	}
	return err
}

// tarHeader is a header block that has been read.
type tarHeader struct{ b []byte }

// size is that of the entry, if it is of that name and in canonical form.
func (h *tarHeader) size(name string) (int64, error) {
	if string(bytes.TrimRight(h.b[:100], "\x00")) != name {
		return 0, errOtherEntry
	}
	var size int64
	for _, c := range h.b[124:135] {
		if c < '0' || c > '7' {
			return 0, damaged(name, "size in its header")
		}
		size = size<<3 | int64(c-'0')
	}
	if !bytes.Equal(header(name, size), h.b) {
		return 0, damaged(name, "header is not in canonical form")
	}
	return size, nil
}

// foreign turns the error of reading the first entry into one about the kind
// of file, where it is not a bundle at all.
func (b *Bundle) foreign(err error, start io.Reader, packed bool) error {
	var wrong *DamagedError
	if errors.As(err, &wrong) && !packed {
		return &ForeignError{Kind: b.sniff()}
	}
	if !errors.Is(err, errOtherEntry) {
		return err
	}
	if packed {
		dec, decErr := zstd.NewReader(io.NewSectionReader(b.r, 0, b.size), zstd.WithDecoderMaxWindow(128<<20), zstd.WithDecoderConcurrency(1))
		if decErr != nil {
			return &ForeignError{}
		}
		defer dec.Close()
		return &ForeignError{Kind: archiveKind(io.LimitReader(dec, maxSniff))}
	}
	return &ForeignError{Kind: b.sniff()}
}

func (b *Bundle) sniff() string {
	head := make([]byte, 2)
	if _, err := b.r.ReadAt(head, 0); err != nil {
		return ""
	}
	if bytes.Equal(head, []byte{0x1f, 0x8b}) {
		return KindGzip
	}
	return archiveKind(io.NewSectionReader(b.r, 0, b.size))
}

// archiveKind looks through the names of a tar for those that tell its kind.
func archiveKind(r io.Reader) string {
	kind := ""
	for t := tar.NewReader(r); ; {
		h, err := t.Next()
		if err != nil {
			return kind
		}
		switch h.Name {
		case dockerName:
			return KindDockerArchive
		case layoutName:
			kind = KindOCIArchive
		}
	}
}

// prefix reads the tar from its start, frame by frame, without the seek table.
type prefix struct {
	b    *Bundle
	at   int64 // in the file
	rest []byte
}

func (p *prefix) Read(out []byte) (int, error) {
	if len(p.rest) == 0 {
		if err := p.next(); err != nil {
			return 0, err
		}
	}
	n := copy(out, p.rest)
	p.rest = p.rest[n:]
	return n, nil
}

func (p *prefix) next() error {
	packed := make([]byte, min(rawFrameSize(MaxFrame), p.b.size-p.at))
	if _, err := p.b.r.ReadAt(packed, p.at); err != nil {
		return err
	}
	length, size, err := measureFrame(packed)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return err
	}
	if err != nil {
		return errOtherEntry // some zstd, but not of this format
	}
	p.at += int64(length)
	dec := p.b.pool.Get().(*zstd.Decoder)
	defer p.b.pool.Put(dec)
	if p.rest, err = decodeFrame(dec, packed[:length], nil, size); err != nil {
		return damaged(manifestName, "%w", err)
	}
	return nil
}

// readTable reads the end of the file: the seek table, which must list exactly
// the frames that the manifest calls for, and the trailer before it.
func (b *Bundle) readTable() error {
	want := b.geometry.frames
	table := make([]byte, 8+8*len(want)+seekFooterSize) // a row per frame, and one for the trailer
	start := b.size - int64(len(table))
	if start < int64(trailerSize) {
		return damaged("seek table", "%w", io.ErrUnexpectedEOF)
	}
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

// frameReader reads a stretch of the tar from its frames.
type frameReader struct {
	b       *Bundle
	at, end int64 // in the tar
	frame   int   // whose content is in buf
	packed  []byte
	buf     []byte
	rest    []byte
	started bool
}

func (r *frameReader) Close() error { return nil }

func (r *frameReader) Read(p []byte) (int, error) {
	if r.at == r.end {
		return 0, io.EOF
	}
	if len(r.rest) == 0 {
		if err := r.next(); err != nil {
			return 0, err
		}
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	r.at += int64(n)
	return n, nil
}

// next makes rest the content from at on, of one frame.
func (r *frameReader) next() (err error) {
	starts := r.b.geometry.frames
	if !r.started {
		r.started = true
		r.frame = frameAt(starts, r.at)
	} else {
		r.frame++
	}
	from, to := starts[r.frame], starts[r.frame+1]
	if from == r.at && to <= r.end {
		if r.buf, err = r.b.decode(r.frame, &r.packed, r.buf); err != nil {
			return err
		}
		r.rest = r.buf
		return nil
	}
	content, err := r.b.decodeShared(r.frame)
	if err != nil {
		return err
	}
	r.rest = content[r.at-from : min(r.end, to)-from]
	return nil
}

// decode decompresses one frame into buf, with packed as scratch.
func (b *Bundle) decode(i int, packed *[]byte, buf []byte) ([]byte, error) {
	*packed = room(*packed, b.frames[i+1]-b.frames[i])
	if _, err := b.r.ReadAt(*packed, b.frames[i]); err != nil {
		return nil, err
	}
	dec := b.pool.Get().(*zstd.Decoder)
	defer b.pool.Put(dec)
	out, err := decodeFrame(dec, *packed, buf, b.geometry.frames[i+1]-b.geometry.frames[i])
	if err != nil {
		return nil, damaged(fmt.Sprintf("frame %d", i), "%w", err)
	}
	return out, nil
}

// decodeShared decompresses a frame that several entries share, and keeps the
// last one. The result must not be changed.
func (b *Bundle) decodeShared(i int) ([]byte, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.shared == i {
		return b.cache, nil
	}
	var packed []byte
	content, err := b.decode(i, &packed, nil)
	if err != nil {
		return nil, err
	}
	b.shared, b.cache = i, content
	return content, nil
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

// CheckContents proves that the bundle is what would be packed of its images:
// graphs are its own images, as image.Read read them from it. Then every
// document for other tools says what the images say.
func (b *Bundle) CheckContents(graphs []*image.Graph) error {
	c, err := newContents(graphs)
	if err != nil {
		return damaged(manifestName, "%w", err)
	}
	if !bytes.Equal(c.raw, b.raw) {
		return damaged(manifestName, "it does not list what the images consist of")
	}
	return b.checkTar(c)
}

// checkTar compares every byte of the tar that is not of a blob: headers,
// padding, derived documents, the end.
func (b *Bundle) checkTar(c *contents) error {
	first := len(b.slots) - len(b.manifest.Entries)
	for i, s := range b.slots {
		at := b.geometry.entries[i]
		if err := b.compare(s.name, at.off-headerSize(s.size), header(s.name, s.size)); err != nil {
			return err
		}
		if n := i - first; n >= 0 && n < len(c.derived) {
			if err := b.compare(s.name, at.off, c.derived[n]); err != nil {
				return err
			}
		}
		if err := b.compare(s.name, at.end(), make([]byte, padding(s.size))); err != nil {
			return err
		}
	}
	return b.compare("end of the tar", b.geometry.size-tarEnd, make([]byte, tarEnd))
}

func (b *Bundle) compare(what string, off int64, want []byte) error {
	got := make([]byte, len(want))
	if _, err := io.ReadFull(b.section(span{off, int64(len(want))}), got); err != nil {
		return err
	}
	if !bytes.Equal(got, want) {
		return damaged(what, "bytes at %d of the tar are not those of the format", off)
	}
	return nil
}

// Prove gives a second view of the bundle, which reads only what run has
// passed: run reads the file once from start to end and compares the hash in
// its trailer. Together they read a slow medium once, in order. Views wait
// until run is called; progress hears of the bytes of the file.
func (b *Bundle) Prove(progress func(n int64)) (view *Bundle, run func(context.Context) error) {
	f := newFront(1)
	behind := *b
	behind.r = &follower{b.r, f, b.size}
	return &behind, func(ctx context.Context) error {
		defer context.AfterFunc(ctx, f.stop)()
		err := b.prove(ctx, f, progress)
		if err != nil {
			f.stop()
		}
		return err
	}
}

func (b *Bundle) prove(ctx context.Context, f *front, progress func(int64)) error {
	end := b.size
	if !b.Plain() {
		end = b.frames[len(b.frames)-1]
	}
	h := sha256.New()
	buf := make([]byte, 1<<20)
	for at := int64(0); at < end; {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		n, err := b.r.ReadAt(buf[:min(int64(len(buf)), end-at)], at)
		if err != nil {
			return err
		}
		h.Write(buf[:n])
		at += int64(n)
		f.reach(0, at)
		progress(int64(n))
	}
	progress(b.size - end)
	f.reach(0, b.size)
	if b.Plain() {
		return nil // it has no trailer: every byte of it is checked on its own
	}
	got := make([]byte, trailerSize)
	if _, err := b.r.ReadAt(got, end); err != nil {
		return err
	}
	if !bytes.Equal(got, trailer(h.Sum(nil))) {
		return damaged("trailer", "the hash of the file is not the one that it ends with")
	}
	return nil
}

// follower is a ReaderAt that waits for its leader.
type follower struct {
	r    io.ReaderAt
	f    *front
	size int64
}

func (w *follower) ReadAt(p []byte, off int64) (int, error) {
	if _, ok := w.f.wait(0, min(off+int64(len(p)), w.size)-1); !ok {
		return 0, errStopped
	}
	return w.r.ReadAt(p, off)
}

var errStopped = errors.New("reading the bundle was given up")
