package volume

import (
	"errors"
	"io"
)

// LooksLike says whether a file is a volume or of parity, by the block that it
// ends or begins with. The rest of it may be damaged.
func LooksLike(r io.ReaderAt, size int64) (bool, error) {
	_, err := footerOf(r, size)
	switch {
	case err == nil, errors.Is(err, ErrNewer):
		return true, nil
	case errors.Is(err, errNoFooter), errors.Is(err, io.ErrUnexpectedEOF):
		return false, nil
	}
	return false, err
}

// FileOf is Layout.ID of the file that a volume or parity is of; empty if that is
// not to be read.
func FileOf(r io.ReaderAt, size int64) string {
	f, err := footerOf(r, size)
	if err != nil {
		return ""
	}
	return f.File
}
