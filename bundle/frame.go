package bundle

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/cespare/xxhash/v2"
	"github.com/klauspost/compress/zstd"
)

// Magic numbers of zstd frames, little-endian on disk.
const (
	magicFrame   = 0xFD2FB528
	magicTrailer = 0x184D2A5A // skippable: the sha256 of all bytes before it
	magicSeek    = 0x184D2A5E // skippable: the table of zstd's seekable format
	magicFooter  = 0x8F92EAB1

	trailerSize    = 8 + len(trailerTag) + 32
	seekFooterSize = 9

	rawBlock = 128 << 10 // content of a raw block
)

// trailerTag begins the content of the trailer frame.
const trailerTag = "airgap/1"

// isPacked says whether content is compressed already, by its first bytes:
// gzip or zstd. Such blobs are stored in raw blocks. This is the format's only
// rule for it, so equal blobs are framed equally on every machine.
func isPacked(head []byte) bool {
	return len(head) >= 4 &&
		(head[0] == 0x1f && head[1] == 0x8b || binary.LittleEndian.Uint32(head) == magicFrame)
}

// rawFrameSize is the length of the frame that holds n bytes in raw blocks.
func rawFrameSize(n int64) int64 {
	blocks := max(1, (n+rawBlock-1)/rawBlock)
	return rawHeaderSize(n) + 3*blocks + n + 4
}

// rawHeaderSize is the length of a frame header: magic number, descriptor, and
// the content size in 1, 2 or 4 bytes.
func rawHeaderSize(n int64) int64 {
	switch {
	case n < 256:
		return 6
	case n < 65536+256:
		return 7
	}
	return 9
}

// rawFrame is a frame under construction: content is read straight into the
// gaps between its block headers.
type rawFrame struct {
	b    []byte
	gaps [][]byte // where the content goes, block by block
}

// newRawFrame lays out a frame for n bytes of content in buf, which must have
// room for rawFrameSize(n).
func newRawFrame(buf []byte, n int64) rawFrame {
	b := binary.LittleEndian.AppendUint32(buf[:0], magicFrame)
	const singleSegment, checksum = 0x20, 0x04
	switch rawHeaderSize(n) {
	case 6:
		b = append(b, singleSegment|checksum, byte(n))
	case 7:
		b = binary.LittleEndian.AppendUint16(append(b, 0x40|singleSegment|checksum), uint16(n-256))
	default:
		b = binary.LittleEndian.AppendUint32(append(b, 0x80|singleSegment|checksum), uint32(n))
	}
	f := rawFrame{}
	for rest := n; ; {
		size := min(rest, rawBlock)
		rest -= size
		head := uint32(size) << 3 // type 0: raw
		if rest == 0 {
			head |= 1 // last
		}
		b = append(b, byte(head), byte(head>>8), byte(head>>16))
		f.gaps = append(f.gaps, b[len(b):len(b)+int(size)])
		b = b[:len(b)+int(size)]
		if rest == 0 {
			break
		}
	}
	f.b = b
	return f
}

// finish adds the checksum and gives the whole frame.
func (f rawFrame) finish() []byte {
	h := xxhash.New()
	for _, gap := range f.gaps {
		h.Write(gap)
	}
	return binary.LittleEndian.AppendUint32(f.b, uint32(h.Sum64()))
}

// trailer is the skippable frame that holds the sha256 of what is before it.
func trailer(sum []byte) []byte {
	b := binary.LittleEndian.AppendUint32(nil, magicTrailer)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(trailerTag)+len(sum)))
	return append(append(b, trailerTag...), sum...)
}

// frameSizes are the lengths of a frame on disk and of its content.
type frameSizes struct{ packed, content uint32 }

// seekTable is the last frame: one row per frame, the trailer included.
func seekTable(frames []frameSizes) []byte {
	n := 8*len(frames) + seekFooterSize
	b := binary.LittleEndian.AppendUint32(make([]byte, 0, 8+n), magicSeek)
	b = binary.LittleEndian.AppendUint32(b, uint32(n))
	for _, f := range frames {
		b = binary.LittleEndian.AppendUint32(b, f.packed)
		b = binary.LittleEndian.AppendUint32(b, f.content)
	}
	b = binary.LittleEndian.AppendUint32(b, uint32(len(frames)))
	b = append(b, 0) // no checksums in the table: the frames have their own
	return binary.LittleEndian.AppendUint32(b, magicFooter)
}

// newEncoder makes the encoder for frames at a level. Its output for equal
// content is equal whatever else runs.
func newEncoder(level Level) *zstd.Encoder {
	speed := map[Level]zstd.EncoderLevel{Fast: zstd.SpeedFastest, Default: zstd.SpeedDefault, Better: zstd.SpeedBetterCompression}[level]
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(speed), zstd.WithEncoderConcurrency(1),
		zstd.WithWindowSize(MaxFrame), zstd.WithSingleSegment(true), zstd.WithEncoderCRC(true), zstd.WithLowerEncoderMem(true),
		zstd.WithAllLitEntropyCompression(level != Fast))
	if err != nil {
		panic(err) // the options are constants
	}
	return enc
}

func newDecoder() *zstd.Decoder {
	dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(MaxFrame),
		zstd.WithDecoderMaxMemory(MaxFrame), zstd.WithDecoderLowmem(true))
	if err != nil {
		panic(err) // the options are constants
	}
	return dec
}

// decodeFrame decompresses packed, which must be exactly one frame of size
// bytes of content with its checksum, into buf.
func decodeFrame(dec *zstd.Decoder, packed, buf []byte, size int64) ([]byte, error) {
	length, content, err := measureFrame(packed)
	if err != nil {
		return nil, err
	}
	if length != len(packed) || content != size {
		return nil, fmt.Errorf("%w: %d bytes hold %d, expected %d and %d", errFrame, length, content, len(packed), size)
	}
	return dec.DecodeAll(packed, buf[:0])
}

var errFrame = errors.New("not a frame of this format")

// measureFrame gives the length of the frame at the start of b and of its
// content. It refuses what the format does not allow before anything is
// decompressed: an unknown content size, dictionaries, missing checksums,
// larger windows. A frame that b cuts off is io.ErrUnexpectedEOF.
func measureFrame(b []byte) (length int, content int64, err error) {
	var h zstd.Header
	if err := h.Decode(b); err != nil {
		return 0, 0, err
	}
	if h.Skippable || !h.HasFCS || !h.HasCheckSum || h.DictionaryID != 0 || h.WindowSize > MaxFrame || h.FrameContentSize > MaxFrame {
		return 0, 0, errFrame
	}
	length = h.HeaderSize
	for last := false; !last; {
		if len(b) < length+3 {
			return 0, 0, io.ErrUnexpectedEOF
		}
		head := uint32(b[length]) | uint32(b[length+1])<<8 | uint32(b[length+2])<<16
		last = head&1 == 1
		const rle = 1 // a block of one byte that stands for many
		if head>>1&3 == rle {
			length += 3 + 1
		} else {
			length += 3 + int(head>>3)
		}
	}
	length += 4
	if len(b) < length {
		return 0, 0, io.ErrUnexpectedEOF
	}
	return length, int64(h.FrameContentSize), nil
}

// parseSeekTable is the inverse of seekTable for b, the end of a file. It
// accepts only the exact bytes that seekTable makes.
func parseSeekTable(b []byte) ([]frameSizes, error) {
	n := (len(b) - 8 - seekFooterSize) / 8
	if n < 0 {
		return nil, io.ErrUnexpectedEOF
	}
	frames := make([]frameSizes, n)
	for i := range frames {
		row := b[8+8*i:]
		frames[i] = frameSizes{binary.LittleEndian.Uint32(row), binary.LittleEndian.Uint32(row[4:])}
	}
	if !bytes.Equal(seekTable(frames), b) {
		return nil, errors.New("not a seek table of this format")
	}
	return frames, nil
}
