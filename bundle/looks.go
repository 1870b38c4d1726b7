package bundle

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"io"

	"github.com/klauspost/compress/zstd"
)

// LooksLike says whether a file is a bundle, or what is left of one: by its first
// bytes or by its last ones, of which few are read. Nothing of it is proven.
func LooksLike(r io.ReaderAt, size int64) (bool, error) {
	begins, err := beginsLikeOne(medium{r}, size)
	if begins || err != nil {
		return begins, err
	}
	return endsLikeOne(medium{r}, size)
}

// beginsLikeOne looks for the manifest's header, in a frame or in a plain tar.
func beginsLikeOne(r medium, size int64) (bool, error) {
	head := make([]byte, block)
	if ok, err := r.has(head, 0); !ok {
		return false, err
	}
	if binary.LittleEndian.Uint32(head) == magicFrame {
		dec, err := zstd.NewReader(bufio.NewReaderSize(io.NewSectionReader(r, 0, size), 64<<10), zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(MaxFrame))
		if err != nil {
			return false, err
		}
		defer dec.Close()
		if _, err := io.ReadFull(dec, head); err != nil {
			return false, unlessEnd(err)
		}
	}
	_, err := (&tarHeader{head}).size(manifestName)
	return err == nil, nil
}

// endsLikeOne looks for the trailer before the seek table.
func endsLikeOne(r medium, size int64) (bool, error) {
	foot := make([]byte, seekFooterSize)
	if ok, err := r.has(foot, size-int64(len(foot))); !ok || binary.LittleEndian.Uint32(foot[5:]) != magicFooter {
		return false, err
	}
	table := 8 + 8*int64(binary.LittleEndian.Uint32(foot)) + seekFooterSize
	got := make([]byte, trailerSize)
	ok, err := r.has(got, size-table-int64(trailerSize))
	return ok && bytes.Equal(got, trailer(got[trailerSize-32:])), err
}

// has reads all of p, unless the file does not have it.
func (m medium) has(p []byte, off int64) (bool, error) {
	if off < 0 {
		return false, nil
	}
	_, err := m.ReadAt(p, off)
	return err == nil, unlessEnd(err)
}

// unlessEnd is nil but for errors of the medium: what is too short, or cannot be
// decompressed, is only not what was looked for.
func unlessEnd(err error) error {
	var medium *ReadError
	if errors.As(err, &medium) {
		return err
	}
	return nil
}
