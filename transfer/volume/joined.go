package volume

import (
	"bytes"
	"io"

	"airgap/internal/scratch"
)

// joined is some stretches one after the other, without a copy.
type joined []*io.SectionReader

func stretch(r io.ReaderAt, off, n int64) *io.SectionReader { return io.NewSectionReader(r, off, n) }

func memory(b []byte) *io.SectionReader { return stretch(bytes.NewReader(b), 0, int64(len(b))) }

func (j joined) size() (n int64) {
	for _, r := range j {
		n += r.Size()
	}
	return n
}

// ReadAt implements io.ReaderAt.
func (j joined) ReadAt(p []byte, off int64) (n int, err error) {
	for _, r := range j {
		if n == len(p) {
			return n, nil
		}
		if off < r.Size() {
			part := p[n:min(int64(len(p)), int64(n)+r.Size()-off)]
			k, err := r.ReadAt(part, off)
			if n += k; k < len(part) {
				return n, short(err)
			}
			off = r.Size()
		}
		off -= r.Size()
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// short is the error of a stretch that ends before it should.
func short(err error) error {
	if err == nil || err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// newScratch makes a file for shards that are made here.
func newScratch(dir string) (*scratch.File, error) { return scratch.New(dir, "airgap-parity-*") }
