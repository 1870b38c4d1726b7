package load

import (
	"context"
	"io"

	"airgap/bundle/image"
)

// fed counts what is read from a Fetcher.
type fed struct {
	from  image.Fetcher
	count func(n int64)
}

func (f fed) Fetch(ctx context.Context, d image.Descriptor) (io.ReadCloser, error) {
	r, err := f.from.Fetch(ctx, d)
	if err != nil {
		return nil, err
	}
	return &fedReader{r, f.count}, nil
}

type fedReader struct {
	io.ReadCloser
	count func(n int64)
}

func (r *fedReader) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p)
	r.count(int64(n))
	return n, err
}
