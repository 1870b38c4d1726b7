package parity

import (
	"context"
	"io"
)

// Likeness is how far a file is the one that a table is of, by some of its
// shards.
type Likeness struct {
	Looked int  // shards that were looked at: none if nothing of the file is there
	Alike  int  // how many of those are the table's
	End    bool // the last shard is there, and is the table's
}

// Most says that most of what was looked at is the table's, if anything was.
func (l Likeness) Most() bool { return 2*l.Alike >= l.Looked }

// samples is how many shards tell whether a file is the one that is meant.
const samples = 32

// Compare looks at shards that are spread over a file of size bytes, which may
// have the count shards from number first on, as the table numbers them. What
// cannot be read, or has no hash, says nothing.
func (t *Table) Compare(ctx context.Context, r io.ReaderAt, size, first, count int64) (l Likeness, err error) {
	there := t.g.within(first, count, size)
	looks := min(there, samples)
	shard := make([]byte, t.g.Shard)
	for k := range looks {
		if err := context.Cause(ctx); err != nil {
			return l, err
		}
		x := k * (there - 1) / max(looks-1, 1)
		clear(shard)
		if readFull(r, shard[:t.g.lengthOf(first+x)], x*t.g.shard()) != nil || !t.knows(first+x) {
			continue
		}
		l.Looked++
		if t.proves(first+x, shard) {
			l.Alike++
			l.End = l.End || x == count-1
		}
	}
	return l, nil
}

// within is how many of the shards from number first on are whole in size bytes.
func (g Geometry) within(first, count, size int64) int64 {
	whole := min(count, size/g.shard())
	if whole < count && size >= whole*g.shard()+g.lengthOf(first+whole) {
		whole++
	}
	return whole
}

// lengthOf is how many bytes of a shard are stored, as the table numbers them.
func (g Geometry) lengthOf(i int64) int64 {
	if i < g.DataShards() {
		return g.length(i)
	}
	return g.shard()
}
