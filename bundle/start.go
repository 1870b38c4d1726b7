package bundle

import (
	"archive/tar"
	"bytes"
	"encoding/binary"
	"errors"
	"io"

	"github.com/klauspost/compress/zstd"

	"airgap/bundle/image"
)

// readStart reads the manifest, and the signature if there is one; packed tells
// whether they are in frames.
func (b *Bundle) readStart() (packed bool, err error) {
	start, packed, err := b.readManifest()
	if err != nil {
		return packed, err
	}
	b.signature, err = readEntry(start, signatureName, maxSignature)
	if errors.Is(err, errOtherEntry) {
		err = nil
	}
	return packed, err
}

// readManifest reads the manifest from the start of the file, and gives what is
// behind it.
func (b *Bundle) readManifest() (start io.Reader, packed bool, err error) {
	head := make([]byte, 4)
	if _, err := b.r.ReadAt(head, 0); err != nil {
		return nil, false, asForeign(err)
	}
	start = io.NewSectionReader(b.r, 0, b.size)
	if packed = binary.LittleEndian.Uint32(head) == magicFrame; packed {
		start = &prefix{b: b}
	}
	if b.raw, err = readEntry(start, manifestName, MaxManifest); err != nil {
		return start, packed, b.foreign(err, start, packed)
	}
	b.manifest, err = parseManifest(b.raw)
	return start, packed, err
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
	if noHeader := !packed && b.size < block; !noHeader && !errors.Is(err, errOtherEntry) {
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
	packed, size, err := p.frame()
	if err != nil {
		return err
	}
	p.at += int64(len(packed))
	dec := p.b.pool.Get().(*zstd.Decoder)
	defer p.b.pool.Put(dec)
	if p.rest, err = decodeFrame(dec, packed, nil, size); err != nil {
		return damaged(manifestName, "%w", err)
	}
	return nil
}

// frame reads the frame at p.at. Most are far smaller than they may be, so it
// tries with little before it reads more.
func (p *prefix) frame() (packed []byte, size int64, err error) {
	for try := int64(64 << 10); ; try *= 8 {
		n := min(try, rawFrameSize(MaxFrame), p.b.size-p.at)
		packed = make([]byte, n)
		if _, err := p.b.r.ReadAt(packed, p.at); err != nil {
			return nil, 0, err
		}
		length, size, err := measureFrame(packed)
		switch {
		case err == nil:
			return packed[:length], size, nil
		case !errors.Is(err, io.ErrUnexpectedEOF):
			return nil, 0, errOtherEntry // some zstd, but not of this format
		case n < try:
			return nil, 0, err
		}
	}
}

// ReadID reads the id of a bundle from its start. The rest may be damaged, cut
// short or another's: nobody has looked at it.
func ReadID(r io.ReaderAt, size int64) (image.Digest, error) {
	b := newBundle(r, size)
	if _, _, err := b.readManifest(); err != nil {
		return image.Digest{}, err
	}
	return b.ID(), nil
}

// HasEnd says whether a file ends as bundles do, so that it has not been cut
// short.
func HasEnd(r io.ReaderAt, size int64) bool {
	foot := make([]byte, 4)
	_, err := medium{r}.ReadAt(foot, max(0, size-4))
	return err == nil && binary.LittleEndian.Uint32(foot) == magicFooter
}
