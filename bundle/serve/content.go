package serve

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"

	"airgap/bundle"
)

// content reads a blob for http.ServeContent, which seeks first: a whole blob is
// verified by its digest, a part of one as Content does.
type content struct {
	ctx context.Context
	blob
	off int64
	r   io.ReadCloser // from off on, once something has been read
	err error         // what http.ServeContent would swallow
}

func (c *content) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += c.off
	case io.SeekEnd:
		offset += c.Size
	}
	if offset != c.off {
		if err := c.Close(); err != nil {
			return c.off, err
		}
	}
	c.off = offset
	return c.off, nil
}

func (c *content) Read(p []byte) (int, error) {
	if c.r == nil {
		if c.r, c.err = c.open(); c.err != nil {
			return 0, c.err
		}
	}
	n, err := c.r.Read(p)
	c.off += int64(n)
	if err != nil && err != io.EOF {
		c.err = err
	}
	return n, err
}

func (c *content) open() (io.ReadCloser, error) {
	if c.off == 0 {
		return c.image.From.Fetch(c.ctx, c.Descriptor)
	}
	return c.image.From.Section(c.Descriptor, c.off)
}

func (c *content) Close() error {
	if c.r == nil {
		return nil
	}
	r := c.r
	c.r = nil
	return r.Close()
}

// kernelWriter lets the kernel send from the file what lies there as it is: no
// byte of it passes through this process, which a registry of plain files does
// not do either. It was proven when the bundle was opened, and whoever pulls it
// compares its digest.
type kernelWriter struct {
	http.ResponseWriter
	content *content
	extents []bundle.Extent
	file    *os.File
}

// ReadFrom implements io.ReaderFrom for what http.ServeContent reads.
func (w kernelWriter) ReadFrom(src io.Reader) (int64, error) {
	to := w.ResponseWriter.(io.ReaderFrom)
	part, ok := src.(*io.LimitedReader)
	if !ok || part.R != io.Reader(w.content) {
		return to.ReadFrom(src)
	}
	var sent, at int64 // at: of the extent in the blob
	for _, e := range w.extents {
		skip := min(max(0, w.content.off-at), e.Size)
		at += e.Size
		n := min(e.Size-skip, part.N-sent)
		if n <= 0 {
			continue
		}
		if _, err := w.file.Seek(e.Off+skip, io.SeekStart); err != nil {
			return sent, err
		}
		done, err := to.ReadFrom(&io.LimitedReader{R: w.file, N: n})
		sent += done
		if err == nil && done < n {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			w.content.err = errors.Join(w.content.err, err)
			return sent, err
		}
	}
	return sent, nil
}

// direct gives the writer that is fastest for a blob; release what it holds
// afterwards.
func (c *content) direct(w http.ResponseWriter) (best http.ResponseWriter, release func()) {
	none := func() {}
	if _, ok := w.(io.ReaderFrom); !ok || c.image.File == nil {
		return w, none
	}
	extents, err := c.image.From.Extents(c.ctx, c.Descriptor)
	if err != nil || extents == nil {
		return w, none
	}
	file := c.image.File()
	if file == nil {
		return w, none
	}
	return kernelWriter{w, c, extents, file}, func() { file.Close() }
}
