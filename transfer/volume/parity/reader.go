package parity

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
)

// Source is where the shards are. Either may fail with any error, be short, nil
// or wrong anywhere.
type Source struct {
	Data   io.ReaderAt
	Parity io.ReaderAt
}

// Stats is what a Reader met with so far.
type Stats struct {
	Rebuilt int64 // data shards that were bad and have been rebuilt
	Parity  int64 // parity shards that were found bad meanwhile
}

// Reader gives the data, with what is damaged rebuilt. It is safe for
// concurrent use.
//
// Each shard is proven when it is read. If one is bad, its group is read, and
// all that is lost of it goes to the spill file, so a group is rebuilt once as
// long as no more of it goes bad. Groups that turn out bad one after the other
// are rebuilt more and more at a time.
type Reader struct {
	ctx   context.Context // ends rebuilding, since ReadAt has none
	g     Geometry
	t     *Table
	s     Source
	spill *os.File

	rebuilt, badParity atomic.Int64

	recent recent

	mu      sync.RWMutex // of spilled
	spilled map[int64]spilled

	repairing sync.Mutex // of what follows
	batch     *batch     // nil until something is bad
	next      int64      // group behind the last ones that were rebuilt
	ahead     int64      // how many those were
}

// spilled is where a rebuilt shard is, and what it has to be.
type spilled struct {
	slot int64
	hash hash
}

// NewReader makes a reader of a table's data. Rebuilt shards are written to
// spill, an empty file that the reader does not close. When ctx ends nothing is
// rebuilt any more.
func NewReader(ctx context.Context, g Geometry, t *Table, s Source, spill *os.File) *Reader {
	return &Reader{ctx: ctx, g: g, t: t, s: s, spill: spill, spilled: map[int64]spilled{}, next: -1}
}

// Size is the bytes of the data.
func (r *Reader) Size() int64 { return r.g.Size }

// Stats says what has been met with so far.
func (r *Reader) Stats() Stats { return Stats{r.rebuilt.Load(), r.badParity.Load()} }

// ReadAt is that of io.ReaderAt. Data that cannot be rebuilt is a
// [*TooDamagedError].
func (r *Reader) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, fmt.Errorf("reading at %d: before the start", off)
	}
	n := 0
	for n < len(p) {
		at := off + int64(n)
		if at >= r.g.Size {
			return n, io.EOF
		}
		i, from := at/r.g.shard(), at%r.g.shard()
		part := p[n:min(len(p), n+int(r.g.length(i)-from))]
		if err := r.read(i, from, part); err != nil {
			return n, err
		}
		n += len(part)
	}
	return n, nil
}

// read reads a part of a shard.
func (r *Reader) read(i, from int64, part []byte) error {
	if len(part) == r.g.Shard {
		return r.prove(i, part)
	}
	if r.recent.copy(i, from, part) {
		return nil
	}
	shard := make([]byte, r.g.Shard)
	if err := r.prove(i, shard); err != nil {
		return err
	}
	copy(part, shard[from:])
	r.recent.add(i, shard)
	return nil
}

// prove reads a shard that is right, from wherever it is.
func (r *Reader) prove(i int64, shard []byte) error {
	if at, ok := r.at(i); ok {
		return r.unspill(at, shard)
	}
	err := r.g.data(r.s.Data).fill(shard, i*r.g.shard())
	if err == nil && r.t.proves(i, shard) {
		return nil
	}
	if err := r.repair(i); err != nil {
		return err
	}
	at, _ := r.at(i)
	return r.unspill(at, shard)
}

func (r *Reader) at(i int64) (spilled, bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	at, ok := r.spilled[i]
	return at, ok
}

func (r *Reader) unspill(at spilled, shard []byte) error {
	if err := readFull(r.spill, shard, at.slot*r.g.shard()); err != nil {
		return fmt.Errorf("reading what was rebuilt: %w", err)
	}
	if sum(shard) != at.hash {
		return errors.New("reading what was rebuilt: it has changed on disk")
	}
	return nil
}

// repair rebuilds the group of a data shard, and some after it.
func (r *Reader) repair(i int64) error {
	r.repairing.Lock()
	defer r.repairing.Unlock()
	if _, ok := r.at(i); ok {
		return nil // by another, meanwhile
	}
	if r.batch == nil {
		b, err := newBatch(r.g)
		if err != nil {
			return err
		}
		r.batch = b
	}
	first := i % r.g.Groups()
	if r.ahead *= 2; first != r.next || r.ahead == 0 {
		r.ahead = 1
	}
	r.ahead = min(r.ahead, r.g.width(), r.g.Groups()-first)
	r.next = first + r.ahead
	r.batch.take(first, r.ahead)
	return r.rebuild(i)
}

// rebuild puts what the batch has lost into the spill file, and shard i in any
// case: a bad medium may give it when it is read again. Only the first group has
// to succeed, the others have not been asked for.
func (r *Reader) rebuild(i int64) error {
	b := r.batch
	err := b.add(r.ctx, r.s.Data, func(n int64, shard []byte, err error) (bool, error) {
		if err != nil || !r.t.proves(n, shard) {
			return false, nil
		}
		if n == i {
			return true, r.put(n, shard)
		}
		return true, nil
	})
	if err == nil {
		err = b.compare(r.ctx, r.s.Parity, r.t, false)
	}
	if err != nil {
		return err
	}
	for x := range b.groups {
		if err := r.keep(x); err != nil && x == 0 {
			return err
		}
	}
	return nil
}

func (r *Reader) keep(x int) error {
	b := r.batch
	r.badParity.Add(int64(len(b.groups[x].bad)))
	shards, err := b.solve(x, r.t)
	if err != nil {
		return err
	}
	for i, pos := range b.groups[x].lost {
		if err := r.put(b.shard(x, pos), shards[i]); err != nil {
			return err
		}
	}
	return nil
}

func (r *Reader) put(i int64, shard []byte) error {
	if _, ok := r.at(i); ok {
		return nil
	}
	at := spilled{int64(len(r.spilled)), sum(shard)} // only here, under repairing, is anything added
	if _, err := r.spill.WriteAt(shard, at.slot*r.g.shard()); err != nil {
		return fmt.Errorf("keeping what was rebuilt: %w", err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.spilled[i] = at
	r.rebuilt.Add(1)
	return nil
}

// recent holds the last shards of which only parts were wanted.
type recent struct {
	mu     sync.Mutex
	shards [8]struct {
		i    int64
		data []byte // never written again
	}
	next int
}

func (c *recent) copy(i, from int64, part []byte) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.shards {
		if s.data != nil && s.i == i {
			copy(part, s.data[from:])
			return true
		}
	}
	return false
}

func (c *recent) add(i int64, shard []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.shards[c.next].i, c.shards[c.next].data = i, shard
	c.next = (c.next + 1) % len(c.shards)
}
