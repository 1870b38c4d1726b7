package image

import (
	"context"
	"io"
)

// Counting gives the blobs of a Fetcher and tells count how many bytes have
// been read of them. count may be called from several goroutines.
func Counting(from Fetcher, count func(n int64)) Fetcher { return counting{from, count} }

type counting struct {
	from  Fetcher
	count func(n int64)
}

func (c counting) Fetch(ctx context.Context, d Descriptor) (io.ReadCloser, error) {
	r, err := c.from.Fetch(ctx, d)
	if err != nil {
		return nil, err
	}
	return struct {
		io.Reader
		io.Closer
	}{CountingReader(r, c.count), r}, nil
}

// Verifying gives the blobs of a Fetcher and verifies them, whatever that does.
func Verifying(from Fetcher) Fetcher { return verifying{from} }

type verifying struct{ from Fetcher }

func (v verifying) Fetch(ctx context.Context, d Descriptor) (io.ReadCloser, error) {
	r, err := v.from.Fetch(ctx, d)
	if err != nil {
		return nil, err
	}
	return NewReader(r, d), nil
}

// CountingReader tells count how many bytes have been read of r.
func CountingReader(r io.Reader, count func(n int64)) io.Reader { return countingReader{r, count} }

type countingReader struct {
	r     io.Reader
	count func(n int64)
}

func (c countingReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.count(int64(n))
	return n, err
}

// ContextReader reads r until ctx ends, and then fails with its cause.
func ContextReader(ctx context.Context, r io.Reader) io.Reader { return contextReader{ctx, r} }

type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (c contextReader) Read(p []byte) (int, error) {
	if err := context.Cause(c.ctx); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}
