package parity

import (
	"context"
	"fmt"
	"slices"
	"sync"
)

// Range is neighbouring shards.
type Range struct{ First, Count int64 }

// Damage is what a scan found. A shard whose hash is lost counts as damaged.
type Damage struct {
	Data, Parity []Range // damaged shards, in order
	Shards       int64   // how many those are
	Bytes        int64   // of data and parity in them
	Unknown      int64   // how many of them cannot be judged, because their hash is lost
	Groups       int64   // that have lost shards

	Worst      int64 // the group that has lost most
	Lost       int   // how many shards it has lost; Geometry.Parity of them can be rebuilt
	Short      int   // how many good shards it lacks
	Repairable bool  // everything can be rebuilt

	lost  []uint8 // how many shards each group has lost
	cause error   // why the last of the shards that could not be read could not
}

// tooDamaged is the error of the group that has lost most.
func (d Damage) tooDamaged(g Geometry) error {
	e := &TooDamagedError{Group: d.Worst, Good: g.Data - d.Short, Need: g.Data, Err: d.cause}
	for _, r := range d.Data {
		// The first shard of the group in the range, if there is one.
		if i := r.First + ((d.Worst-r.First)%g.Groups()+g.Groups())%g.Groups(); i < r.First+r.Count {
			e.Off = i * g.shard()
			break
		}
	}
	return e
}

// scan is the bookkeeping of a scan.
type scan struct {
	g Geometry
	t *Table

	mu           sync.Mutex
	data, parity []int64 // damaged shards
	unknown      int64
	lost         []uint8 // by group: at most MaxShards
	cause        error
}

// Scan reads everything once, from start to end, and says what is damaged;
// progress, if not nil, hears of the bytes of data and parity. It fails only if
// ctx ends.
func Scan(ctx context.Context, g Geometry, t *Table, s Source, progress func(n int64)) (Damage, error) {
	sc := &scan{g: g, t: t}
	if err := sc.all(ctx, s, told(progress)); err != nil {
		return Damage{}, fmt.Errorf("looking for damage: %w", err)
	}
	return sc.damage(), nil
}

func (sc *scan) all(ctx context.Context, s Source, progress func(n int64)) error {
	if err := sc.g.Check(); err != nil {
		return err
	}
	sc.lost = make([]uint8, sc.g.Groups())
	if err := sc.stretch(ctx, sc.g.data(s.Data), 0, &sc.data, progress); err != nil {
		return err
	}
	return sc.stretch(ctx, sc.g.parity(s.Parity), sc.g.DataShards(), &sc.parity, progress)
}

// stretch looks at one of the two, whose first shard is number base of the table.
func (sc *scan) stretch(ctx context.Context, s stretch, base int64, bad *[]int64, progress func(int64)) error {
	return s.runs(ctx, s.all, func(_ int, r run) error {
		defer progress(min(int64(len(r.buf)), s.size-r.first*s.shard))
		return r.each(func(x int, shard []byte, err error) error {
			if i := r.first + int64(x); err != nil || !sc.t.proves(base+i, shard) {
				sc.add(bad, i, sc.t.knows(base+i), err)
			}
			return nil
		})
	})
}

func (sc *scan) add(bad *[]int64, i int64, known bool, err error) {
	sc.mu.Lock()
	defer sc.mu.Unlock()
	*bad = append(*bad, i)
	sc.lost[i%sc.g.Groups()]++
	if !known {
		sc.unknown++
	}
	if err != nil {
		sc.cause = err
	}
}

func (sc *scan) damage() Damage {
	d := Damage{Shards: int64(len(sc.data) + len(sc.parity)), Unknown: sc.unknown, lost: sc.lost, cause: sc.cause}
	d.Bytes = int64(len(sc.parity)) * sc.g.shard()
	for _, i := range sc.data {
		d.Bytes += sc.g.length(i)
	}
	for group, lost := range sc.lost {
		if lost > 0 {
			d.Groups++
		}
		if int(lost) > d.Lost {
			d.Worst, d.Lost = int64(group), int(lost)
		}
	}
	d.Data, d.Parity = ranges(sc.data), ranges(sc.parity)
	d.Short = max(d.Lost-sc.g.Parity, 0)
	d.Repairable = d.Short == 0
	return d
}

// ranges joins neighbours.
func ranges(shards []int64) []Range {
	slices.Sort(shards)
	var list []Range
	for _, i := range shards {
		if last := len(list) - 1; last >= 0 && list[last].First+list[last].Count == i {
			list[last].Count++
			continue
		}
		list = append(list, Range{i, 1})
	}
	return list
}
