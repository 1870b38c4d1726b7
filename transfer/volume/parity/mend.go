package parity

import (
	"context"
	"errors"
	"fmt"
	"io"
)

// Mend writes the right bytes of every damaged shard to its place in dataOut and
// parityOut, which may be what s reads, or nil to leave that as it is; the last
// data shard without its padding. Hashes that the table had lost are filled in.
// Everything is read once to find the damage, and damaged groups once more;
// progress, if not nil, hears of the first.
//
// The damage is what was found before. If groups are too damaged, Mend goes on,
// and its error is the first of theirs, a [*TooDamagedError]; callers who do not
// want that ask [Scan] first.
func Mend(ctx context.Context, g Geometry, t *Table, s Source, dataOut, parityOut io.WriterAt, progress func(n int64)) (Damage, error) {
	sc, err := newScan(ctx, g, t, s, told(progress))
	if err != nil {
		return Damage{}, fmt.Errorf("looking for damage: %w", err)
	}
	d := sc.damage() // of before
	if err := (&mending{g, t, s, dataOut, parityOut}).groups(ctx, sc.lost); err != nil {
		return d, fmt.Errorf("mending: %w", err)
	}
	return d, nil
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
	var dead error
	for first := 0; first < len(lost); {
		count := leading(lost[first:], int(m.g.width()))
		if count == 0 {
			first++
			continue
		}
		b.take(int64(first), int64(count))
		first += count
		err := m.batch(ctx, b)
		if tooDamaged := (*TooDamagedError)(nil); err != nil && !errors.As(err, &tooDamaged) {
			return err
		}
		if dead == nil {
			dead = err
		}
	}
	return dead
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
	var dead error
	for x := range b.groups {
		err := m.group(b, x)
		if tooDamaged := (*TooDamagedError)(nil); err != nil && !errors.As(err, &tooDamaged) {
			return err
		}
		if dead == nil {
			dead = err
		}
	}
	return dead
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
