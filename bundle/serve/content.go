package serve

import (
	"io"
)

// content reads a blob for http.ServeContent, which seeks first. What it yields
// has been compared with what was proven: see Content.
type content struct {
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
		if c.r, c.err = c.image.From.Section(c.Descriptor, c.off); c.err != nil {
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

func (c *content) Close() error {
	if c.r == nil {
		return nil
	}
	r := c.r
	c.r = nil
	return r.Close()
}
