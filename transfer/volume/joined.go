package volume

import (
	"bytes"
	"io"
	"os"
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

// scratch is a temporary file without a name, where the system can have one.
type scratch struct{ *os.File }

func newScratch(dir string) (scratch, error) {
	f, err := os.CreateTemp(dir, "airgap-parity-*")
	if err != nil {
		return scratch{}, err
	}
	os.Remove(f.Name()) // Windows has it removed by Close
	return scratch{f}, nil
}

// Close removes it.
func (s scratch) Close() error {
	err := s.File.Close()
	os.Remove(s.Name())
	return err
}
