package parity

import (
	"context"
	"errors"
	"io"
	"runtime"

	"golang.org/x/sync/errgroup"
)

// maxRun is how many neighbouring shards are read at once. Two runs are in
// memory: one is worked on while the next is read.
const maxRun = 16

// stretch is one of the two rows of shards, data or parity, as it is stored.
type stretch struct {
	r     io.ReaderAt
	size  int64 // in bytes; the last shard is padded with zeros
	shard int64
}

func (g Geometry) data(r io.ReaderAt) stretch   { return stretch{r, g.Size, g.shard()} }
func (g Geometry) parity(r io.ReaderAt) stretch { return stretch{r, g.ParitySize(), g.shard()} }

// run is neighbouring shards of a stretch.
type run struct {
	first int64 // number in the stretch
	shard int64
	buf   []byte
	errs  []error // why shards could not be read; nil where all could
}

// all is the way through a stretch from its start to its end.
func (s stretch) all(step int) (first int64, count int) {
	first = int64(step) * maxRun
	return first, int(min(maxRun, ceil(s.size, s.shard)-first))
}

// errDone ends runs before their end.
var errDone = errors.New("done")

// runs reads the runs that at names, until that answers none, and reads each
// while the one before it is used. Shards that cannot be read are no error here.
func (s stretch) runs(ctx context.Context, at func(step int) (first int64, count int), use func(step int, r run) error) error {
	var bufs [2][]byte
	begin := func(step int) chan run {
		first, count := at(step)
		if count <= 0 {
			return nil
		}
		buf := &bufs[step%2]
		if need := int64(count) * s.shard; int64(cap(*buf)) < need {
			*buf = make([]byte, need)
		}
		c := make(chan run, 1)
		go func() { c <- s.read(first, (*buf)[:int64(count)*s.shard]) }()
		return c
	}
	pending := begin(0)
	for step := 0; pending != nil; step++ {
		r := <-pending
		pending = begin(step + 1)
		err := context.Cause(ctx)
		if err == nil {
			err = use(step, r)
		}
		if err != nil {
			if pending != nil {
				<-pending // it writes to a buffer of ours
			}
			return done(err)
		}
	}
	return nil
}

func done(err error) error {
	if err == errDone {
		return nil
	}
	return err
}

// read reads a run at once or, if that fails, each shard by itself: a bad
// sector must not cost its neighbours.
func (s stretch) read(first int64, buf []byte) run {
	r := run{first: first, shard: s.shard, buf: buf}
	if s.fill(buf, first*s.shard) == nil {
		return r
	}
	r.errs = make([]error, r.count())
	for x := range r.errs {
		r.errs[x] = s.fill(r.part(x), (first+int64(x))*s.shard)
	}
	return r
}

// fill reads p and pads it with zeros behind the end of the stretch.
func (s stretch) fill(p []byte, off int64) error {
	want := min(int64(len(p)), s.size-off)
	clear(p[want:])
	return readFull(s.r, p[:want], off)
}

// readFull reads all of p, from a source that may be nil.
func readFull(r io.ReaderAt, p []byte, off int64) error {
	if r == nil {
		return errors.New("it is missing")
	}
	n, err := r.ReadAt(p, off)
	switch {
	case n == len(p):
		return nil
	case err == nil, err == io.EOF:
		return io.ErrUnexpectedEOF
	}
	return err
}

func (r run) count() int { return len(r.buf) / int(r.shard) }

func (r run) part(x int) []byte { return r.buf[int64(x)*r.shard:][:r.shard] }

// each uses the shards of a run, several at a time.
func (r run) each(use func(x int, shard []byte, err error) error) error {
	workers := min(runtime.GOMAXPROCS(0), r.count(), maxRun)
	var group errgroup.Group
	for w := range workers {
		group.Go(func() error {
			for x := w; x < r.count(); x += workers {
				if err := use(x, r.part(x), r.err(x)); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return group.Wait()
}

func (r run) err(x int) error {
	if r.errs == nil {
		return nil
	}
	return r.errs[x]
}
