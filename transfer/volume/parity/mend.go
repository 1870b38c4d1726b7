package parity

import (
	"context"
	"fmt"
	"io"
)

// Mend writes the right bytes of every damaged shard to its place in dataOut and
// parityOut, which may be what s reads, or nil to leave that as it is; the last
// data shard without its padding. Hashes that the table had lost are filled in.
// The damage is what [Scan] has found, and only damaged groups are read again.
//
// If a group is too damaged nothing is written, and the error is a
// [*TooDamagedError].
func Mend(ctx context.Context, g Geometry, t *Table, s Source, d Damage, dataOut, parityOut io.WriterAt) error {
	err := g.Check()
	if err == nil && !d.Repairable {
		err = d.tooDamaged(g)
	}
	if err == nil {
		err = (&mending{g, t, s, dataOut, parityOut}).groups(ctx, d.lost)
	}
	if err != nil {
		return fmt.Errorf("mending: %w", err)
	}
	return nil
}

type mending struct {
	g                  Geometry
	t                  *Table
	s                  Source
	dataOut, parityOut io.WriterAt
}

// groups mends the groups that have lost something.
func (m *mending) groups(ctx context.Context, lost []uint8) error {
	b, err := newBatch(m.g)
	if err != nil {
		return err
	}
	for first := 0; first < len(lost); {
		count := leading(lost[first:], int(m.g.width()))
		if count == 0 {
			first++
			continue
		}
		b.take(int64(first), int64(count))
		first += count
		if err := m.batch(ctx, b); err != nil {
			return err
		}
	}
	return nil
}

// leading counts the groups at the start that have lost something, up to most.
func leading(lost []uint8, most int) int {
	n := 0
	for n < min(most, len(lost)) && lost[n] > 0 {
		n++
	}
	return n
}

func (m *mending) batch(ctx context.Context, b *batch) error {
	err := b.add(ctx, m.s.Data, func(i int64, shard []byte, err error) (bool, error) {
		return err == nil && m.t.proves(i, shard), nil
	})
	if err == nil {
		err = b.compare(ctx, m.s.Parity, m.t, true)
	}
	if err != nil {
		return err
	}
	for x := range b.groups {
		if err := m.group(b, x); err != nil {
			return err
		}
	}
	return nil
}

func (m *mending) group(b *batch, x int) error {
	shards, err := b.solve(x, m.t)
	if err != nil {
		return err
	}
	g := &b.groups[x]
	for i, pos := range g.lost {
		n := b.shard(x, pos)
		if err := write(m.dataOut, shards[i][:m.g.length(n)], n*m.g.shard()); err != nil {
			return fmt.Errorf("writing at byte %d: %w", n*m.g.shard(), err)
		}
		m.t.set(n, sum(shards[i]))
		// With the lost shards added, the sums are the parity again.
		if err := b.code.EncodeIdx(shards[i], pos, g.sums); err != nil {
			return err
		}
	}
	return m.parity(b, x)
}

func (m *mending) parity(b *batch, x int) error {
	for _, j := range b.groups[x].bad {
		n := b.shard(x, j)
		shard := b.groups[x].sums[j]
		h := sum(shard)
		if m.t.refutes(m.g.DataShards()+n, h) {
			return fmt.Errorf("rebuilding group %d: parity shard %d came out as another", b.first+int64(x), n)
		}
		if err := write(m.parityOut, shard, n*m.g.shard()); err != nil {
			return fmt.Errorf("writing parity at byte %d: %w", n*m.g.shard(), err)
		}
		m.t.set(m.g.DataShards()+n, h)
	}
	return nil
}

func write(w io.WriterAt, p []byte, off int64) error {
	if w == nil {
		return nil
	}
	_, err := w.WriteAt(p, off)
	return err
}
