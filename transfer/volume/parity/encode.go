package parity

import (
	"context"
	"fmt"
	"io"
	"sync"
)

// Encode makes the table, and writes the parity shards to out from offset 0 on.
// data is read once, in runs of neighbouring shards a column apart; progress, if
// not nil, hears of its bytes.
func Encode(ctx context.Context, g Geometry, data io.ReaderAt, out io.WriterAt, progress func(n int64)) (*Table, error) {
	if err := g.Check(); err != nil {
		return nil, fmt.Errorf("making parity: %w", err)
	}
	b, err := newBatch(g)
	if err != nil {
		return nil, fmt.Errorf("making parity: %w", err)
	}
	t, width := newTable(g), g.width()
	progress = told(progress)
	for first := int64(0); first < g.Groups(); first += width {
		b.take(first, min(width, g.Groups()-first))
		if err := b.encode(ctx, t, data, out, progress); err != nil {
			return nil, fmt.Errorf("making parity: %w", err)
		}
	}
	return t, nil
}

// told lets one worker speak at a time.
func told(progress func(int64)) func(int64) {
	if progress == nil {
		return func(int64) {}
	}
	var mu sync.Mutex
	return func(n int64) {
		mu.Lock()
		defer mu.Unlock()
		progress(n)
	}
}

func (b *batch) encode(ctx context.Context, t *Table, data io.ReaderAt, out io.WriterAt, progress func(int64)) error {
	err := b.add(ctx, data, func(i int64, shard []byte, err error) (bool, error) {
		if err != nil {
			return false, fmt.Errorf("reading at byte %d: %w", i*b.g.shard(), err)
		}
		t.set(i, sum(shard))
		progress(b.g.length(i))
		return true, nil
	})
	if err != nil {
		return err
	}
	for j, row := range b.rows {
		first := b.shard(0, j)
		for x, g := range b.groups {
			t.set(b.g.DataShards()+first+int64(x), sum(g.sums[j]))
		}
		if _, err := out.WriteAt(row, first*b.g.shard()); err != nil {
			return fmt.Errorf("writing parity: %w", err)
		}
	}
	return nil
}
