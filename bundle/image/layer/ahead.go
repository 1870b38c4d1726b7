package layer

import (
	"io"
	"sync"
)

const (
	aheadBuffers = 4
	aheadSize    = 256 << 10 // bytes
)

// ahead reads from r in a goroutine of its own, some buffers ahead of its
// reader, so that what r does to make its bytes runs side by side with what is
// done to them.
type ahead struct {
	free chan *[aheadSize]byte
	full chan chunk
	stop chan struct{}
	done chan struct{}
	cur  chunk
	rest []byte
}

var aheadPool = sync.Pool{New: func() any { return new([aheadSize]byte) }}

// chunk is some bytes and what came after them.
type chunk struct {
	buf *[aheadSize]byte
	n   int
	err error
}

func newAhead(r io.Reader) *ahead {
	a := &ahead{
		free: make(chan *[aheadSize]byte, aheadBuffers),
		full: make(chan chunk, aheadBuffers),
		stop: make(chan struct{}),
		done: make(chan struct{}),
	}
	for range aheadBuffers {
		a.free <- aheadPool.Get().(*[aheadSize]byte)
	}
	go a.run(r)
	return a
}

func (a *ahead) run(r io.Reader) {
	defer close(a.done)
	for {
		select {
		case buf := <-a.free:
			n, err := fill(r, buf[:])
			a.full <- chunk{buf, n, err}
			if err != nil {
				return
			}
		case <-a.stop:
			return
		}
	}
}

// fill reads until buf is full or r has an error, which it leaves as it is:
// io.ReadFull would hide a decompressor's io.ErrUnexpectedEOF behind its own.
func fill(r io.Reader, buf []byte) (n int, err error) {
	for n < len(buf) && err == nil {
		var m int
		m, err = r.Read(buf[n:])
		n += m
	}
	return n, err
}

func (a *ahead) Read(p []byte) (int, error) {
	for len(a.rest) == 0 {
		if a.cur.err != nil {
			return 0, a.cur.err
		}
		if a.cur.buf != nil {
			a.free <- a.cur.buf
		}
		a.cur = <-a.full
		a.rest = a.cur.buf[:a.cur.n]
	}
	n := copy(p, a.rest)
	a.rest = a.rest[n:]
	return n, nil
}

// Close ends the goroutine and waits for it: r is not used afterwards.
func (a *ahead) Close() error {
	close(a.stop)
	<-a.done
	close(a.free)
	for buf := range a.free {
		aheadPool.Put(buf)
	}
	close(a.full)
	for c := range a.full {
		aheadPool.Put(c.buf)
	}
	if a.cur.buf != nil {
		aheadPool.Put(a.cur.buf)
	}
	return nil
}
