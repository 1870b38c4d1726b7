package bundle

import (
	"context"
	"errors"
	"io"
	"os"

	"airgap/bundle/image"
)

// stagePeek is how much of a stream is waited for before its manifest is
// looked at, in bytes.
const stagePeek = 8 << 20

// Stage copies a bundle that comes as a stream into f, from where Open can
// read it, and gives its size. As soon as the manifest is there it is checked,
// so that a file that is no bundle, or needs a newer airgap, is refused before
// the whole of it has come. That it is whole is for Open and verify to say.
func Stage(ctx context.Context, r io.Reader, f *os.File) (size int64, err error) {
	size, err = io.Copy(f, io.LimitReader(image.ContextReader(ctx, r), stagePeek))
	if err != nil {
		return size, err
	}
	if err := peek(f, size); err != nil {
		return size, err
	}
	n, err := io.Copy(f, image.ContextReader(ctx, r))
	return size + n, err
}

// peek fails on what can be known to be wrong from the start of a bundle.
func peek(f *os.File, size int64) error {
	_, err := newBundle(f, size).readStart()
	if errors.Is(err, io.ErrUnexpectedEOF) && size == stagePeek {
		return nil // a manifest larger than that
	}
	return err
}
