package parity

import (
	"context"
	"crypto/subtle"
	"fmt"
	"io"

	"github.com/klauspost/reedsolomon"
)

// budget is the memory of a batch's sums in bytes, unless one group needs more.
const budget = 12 << 20

// batch is neighbouring groups that are worked on together, because their
// shards are neighbours on disk. It never holds the data: each shard is added to
// its group's m sums as it comes. The sums of all k data shards are the parity
// shards. If data shards are lost, a sum of the others and the parity shard
// itself differ by what the lost ones contribute; as many such differences as
// there are lost shards are the equations that give them back. That needs m
// shards of memory for a group where the whole group has k+m, and it inverts a
// small matrix and not one of k rows.
type batch struct {
	g     Geometry
	code  reedsolomon.Encoder
	slab  []byte // of the sums
	spare []byte // of what is rebuilt

	first  int64 // group
	rows   [][]byte
	groups []group
}

// group is one group of a batch.
type group struct {
	sums  [][]byte // m
	lost  []int    // positions of data shards that are lost, in order
	used  []int    // parity shards that are good and have been taken from their sums
	bad   []int    // parity shards that are lost, among those that were looked at
	cause error    // why the last of the lost ones could not be read
}

func newBatch(g Geometry) (*batch, error) {
	// Workers are ours, one for a shard. The library's cache of matrices grows
	// with each new pattern of loss, and the small ones of solve are cheap.
	code, err := reedsolomon.New(g.Data, g.Parity, reedsolomon.WithCauchyMatrix(),
		reedsolomon.WithMaxGoroutines(1), reedsolomon.WithInversionCache(false))
	if err != nil {
		return nil, fmt.Errorf("groups of %d and %d shards: %w", g.Data, g.Parity, err)
	}
	return &batch{g: g, code: code}, nil
}

// width is how many groups a batch may have.
func (g Geometry) width() int64 {
	fit := budget / (g.shard() * int64(g.Parity))
	return min(max(fit, 1), maxRun, g.Groups())
}

// take turns the batch to count groups from first on.
func (b *batch) take(first int64, count int64) {
	size := count * b.g.shard()
	if need := size * int64(b.g.Parity); int64(cap(b.slab)) < need {
		b.slab = make([]byte, need)
	}
	b.first, b.rows, b.groups = first, b.rows[:0], make([]group, count)
	for j := range int64(b.g.Parity) {
		row := b.slab[j*size:][:size]
		clear(row)
		b.rows = append(b.rows, row)
		for x := range b.groups {
			b.groups[x].sums = append(b.groups[x].sums, row[int64(x)*b.g.shard():][:b.g.Shard])
		}
	}
}

// shard is the number of the data shard at a position of the batch's group x.
func (b *batch) shard(x, pos int) int64 { return int64(pos)*b.g.Groups() + b.first + int64(x) }

// row is the run of the batch's shards at a position, of total shards.
func (b *batch) row(pos int, total int64) (first int64, count int) {
	first = b.shard(0, pos)
	return first, int(min(int64(len(b.groups)), total-first))
}

// judge says whether a shard, which could not be read if err is not nil, is
// good. Its own error ends everything.
type judge func(i int64, shard []byte, err error) (bool, error)

// add reads the data and adds what is good to the sums.
func (b *batch) add(ctx context.Context, data io.ReaderAt, good judge) error {
	at := func(pos int) (int64, int) { return b.row(pos, b.g.DataShards()) }
	return b.g.data(data).runs(ctx, at, func(pos int, r run) error {
		return r.each(func(x int, shard []byte, why error) error {
			ok, err := good(r.first+int64(x), shard, why)
			if ok && err == nil {
				return b.code.EncodeIdx(shard, pos, b.groups[x].sums)
			}
			b.groups[x].lost = append(b.groups[x].lost, pos)
			b.groups[x].why(why)
			return err
		})
	})
}

func (g *group) why(err error) {
	if err != nil {
		g.cause = err
	}
}

// compare reads parity shards and takes from their sums those that are needed;
// with all it looks at every one, else only until nothing is needed.
func (b *batch) compare(ctx context.Context, s io.ReaderAt, t *Table, all bool) error {
	at := func(j int) (int64, int) { return b.row(j, b.g.ParityShards()) }
	return b.g.parity(s).runs(ctx, at, func(j int, r run) error {
		if !all && !b.needy() {
			return errDone
		}
		return r.each(func(x int, shard []byte, err error) error {
			b.groups[x].compare(j, shard, err, err == nil && t.proves(b.g.DataShards()+r.first+int64(x), shard))
			return nil
		})
	})
}

// needy says whether a group needs more parity shards.
func (b *batch) needy() bool {
	for _, g := range b.groups {
		if len(g.used) < len(g.lost) {
			return true
		}
	}
	return false
}

func (g *group) compare(j int, shard []byte, err error, good bool) {
	switch {
	case !good:
		g.bad = append(g.bad, j)
		g.why(err)
	case len(g.used) < len(g.lost):
		g.used = append(g.used, j)
		subtle.XORBytes(g.sums[j], g.sums[j], shard)
	}
}

// solve gives the lost data shards of group x in the order of its lost. They
// are valid until the next solve.
func (b *batch) solve(x int, t *Table) ([][]byte, error) {
	g := &b.groups[x]
	switch {
	case len(g.lost) == 0:
		return nil, nil
	case len(g.used) < len(g.lost):
		return nil, b.tooDamaged(x)
	}
	shards, err := b.equations(g)
	if err != nil {
		return nil, fmt.Errorf("rebuilding group %d: %w", b.first+int64(x), err)
	}
	for i, pos := range g.lost {
		if n := b.shard(x, pos); t.refutes(n, sum(shards[i])) {
			return nil, fmt.Errorf("rebuilding group %d: shard %d came out as another", b.first+int64(x), n)
		}
	}
	return shards, nil
}

func (b *batch) tooDamaged(x int) error {
	g := &b.groups[x]
	return &TooDamagedError{
		Group: b.first + int64(x), Off: b.shard(x, g.lost[0]) * b.g.shard(),
		Good: b.g.Data - len(g.lost) + len(g.used), Need: b.g.Data, Err: g.cause,
	}
}

// equations solves a code of which all data is lost: its data are the lost
// shards, its parity the differences.
func (b *batch) equations(g *group) ([][]byte, error) {
	e := len(g.lost)
	if need := e * b.g.Shard; cap(b.spare) < need {
		b.spare = make([]byte, need)
	}
	matrix, shards := make([][]byte, e), make([][]byte, 2*e)
	for i, j := range g.used[:e] {
		for _, pos := range g.lost {
			matrix[i] = append(matrix[i], b.g.factor(j, pos))
		}
		shards[i] = b.spare[i*b.g.Shard:][:0:b.g.Shard]
		shards[e+i] = g.sums[j]
	}
	code, err := reedsolomon.New(e, e, reedsolomon.WithCustomMatrix(matrix),
		reedsolomon.WithMaxGoroutines(1), reedsolomon.WithInversionCache(false))
	if err != nil {
		return nil, err
	}
	return shards[:e], code.ReconstructData(shards)
}

// factor is the element of the Cauchy matrix by which the data shard at a
// position goes into parity shard j.
func (g Geometry) factor(j, pos int) byte { return reedsolomon.Inv(byte(g.Data+j) ^ byte(pos)) }
