package forge

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"sync"

	"github.com/cespare/xxhash/v2"
	"github.com/klauspost/compress/zstd"
)

// Kinds of zstd blocks that need no encoder.
const (
	blockRaw = 0
	blockRLE = 1

	maxBlock = 131072 // bytes of content
)

// Frame is a zstd frame of a single segment with content size and checksum, made
// without an encoder, so that no library's next version makes other bytes: raw
// blocks, and blocks of one byte where that is repeated.
func Frame(content []byte) []byte { return frame(content, runs(content)) }

// RawFrame is one of raw blocks only, as the format has them for what is
// compressed already.
func RawFrame(content []byte) []byte {
	var blocks []stretch
	for at := 0; at == 0 || at < len(content); at += maxBlock {
		blocks = append(blocks, stretch{blockRaw, at, min(at+maxBlock, len(content))})
	}
	return frame(content, blocks)
}

// stretch is a part of a content that becomes a block.
type stretch struct{ kind, from, to int }

// runs cuts content where a byte is repeated for long enough to be worth a block.
func runs(content []byte) (list []stretch) {
	const worth = 32
	from := 0
	add := func(kind, to int) {
		for from < to {
			next := min(from+maxBlock, to)
			list = append(list, stretch{kind, from, next})
			from = next
		}
	}
	for at := 0; at < len(content); {
		end := at + 1
		for end < len(content) && content[end] == content[at] {
			end++
		}
		if end-at >= worth {
			add(blockRaw, at)
			add(blockRLE, end)
		}
		at = end
	}
	if add(blockRaw, len(content)); len(list) == 0 {
		list = []stretch{{blockRaw, 0, 0}}
	}
	return list
}

func frame(content []byte, blocks []stretch) []byte {
	b := FrameHeader(len(content))
	for i, s := range blocks {
		head := uint32(s.to-s.from)<<3 | uint32(s.kind)<<1
		if i == len(blocks)-1 {
			head |= 1
		}
		b = append(b, byte(head), byte(head>>8), byte(head>>16))
		if s.kind == blockRLE {
			s.to = s.from + 1
		}
		b = append(b, content[s.from:s.to]...)
	}
	return binary.LittleEndian.AppendUint32(b, uint32(xxhash.Sum64(content)))
}

// FrameHeader is the header of a frame of n bytes of content.
func FrameHeader(n int) []byte {
	const single, checksum = 0x20, 0x04
	b := []byte{0x28, 0xb5, 0x2f, 0xfd}
	switch {
	case n < 256:
		return append(b, single|checksum, byte(n))
	case n < 65792:
		return binary.LittleEndian.AppendUint16(append(b, single|checksum|0x40), uint16(n-256))
	}
	return binary.LittleEndian.AppendUint32(append(b, single|checksum|0x80), uint32(n))
}

// Gzip is content in one member of stored blocks, made without an encoder.
func Gzip(content []byte) []byte {
	b := []byte{0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255}
	for rest := content; ; {
		n := min(len(rest), 65535)
		final := byte(0)
		if n == len(rest) {
			final = 1
		}
		b = binary.LittleEndian.AppendUint16(append(b, final), uint16(n))
		b = append(binary.LittleEndian.AppendUint16(b, ^uint16(n)), rest[:n]...)
		if rest = rest[n:]; final == 1 {
			break
		}
	}
	b = binary.LittleEndian.AppendUint32(b, crc32.ChecksumIEEE(content))
	return binary.LittleEndian.AppendUint32(b, uint32(len(content)))
}

var encoder = sync.OnceValues(func() (*zstd.Encoder, error) {
	return zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(maxFrame), zstd.WithSingleSegment(true))
})

// Compressed is a frame as an encoder makes it: for what is large.
func Compressed(content []byte) []byte {
	enc, err := encoder()
	if err != nil {
		panic(err) // the options are constants
	}
	return enc.EncodeAll(content, nil)
}

// Skippable is a frame that decoders pass over.
func Skippable(kind byte, content string) []byte {
	b := binary.LittleEndian.AppendUint32([]byte{0x50 | kind, 0x2a, 0x4d, 0x18}, uint32(len(content)))
	return bytes.Join([][]byte{b, []byte(content)}, nil)
}
