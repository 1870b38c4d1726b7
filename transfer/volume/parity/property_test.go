package parity

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"testing"
)

// harm damages the set once, in one of many ways.
func (s *set) harm() {
	r := s.rand
	file, which := s.data, 0
	if r.IntN(3) == 0 {
		file, which = s.parity, 1
	}
	shards := ceil(int64(len(file)), s.g.shard())
	at := r.IntN(len(file))
	i := r.Int64N(shards)
	length := 1 + r.Int64N(int64(s.g.Parity)*s.g.Groups())
	switch r.IntN(9) {
	case 0:
		file[at] ^= 1 << r.IntN(8)
	case 1:
		clear(file[at:min(len(file), at+int(length)*s.g.Shard)])
	case 2:
		for n := range length {
			s.failing[which][i+n] = true
		}
	case 3:
		for n := range r.IntN(3) + 1 {
			s.lying[which][i+int64(n)] = true
		}
	case 4:
		copy(file[at:], noise(r, min(length*s.g.shard(), int64(len(file)-at))))
	case 5:
		s.swap(file, i, r.Int64N(shards))
	case 6:
		if r.IntN(4) == 0 {
			s.dataCut = max(0, min(s.dataCut, s.g.Size-r.Int64N(length*s.g.shard())))
		}
	case 7:
		if r.IntN(4) == 0 {
			s.parityAt = min(s.parityAt, r.Int64N(s.g.ParitySize()))
		}
	case 8:
		table := s.table[r.IntN(2)]
		table[r.IntN(len(table))] ^= 1 << r.IntN(8)
	}
}

func (s *set) swap(file memory, a, b int64) {
	if (max(a, b)+1)*s.g.shard() > int64(len(file)) {
		return
	}
	x, y := file[a*s.g.shard():][:s.g.Shard], file[b*s.g.shard():][:s.g.Shard]
	z := bytes.Clone(x)
	copy(x, y)
	copy(y, z)
}

// someGeometry is small.
func someGeometry(t *testing.T, r *rand.Rand) Geometry {
	size := 1 + r.Int64N(MinShardSize*40)
	if r.IntN(20) == 0 {
		size = 1 + r.Int64N(MinShardSize*900) // several pages
	}
	g, err := NewGeometry(size, MinShardSize, []int{1, 10, 50, 100}[r.IntN(4)])
	if r.IntN(3) > 0 { // more groups than it would have
		g.Data, g.Parity = min(1+r.IntN(9), int(g.DataShards())), 1+r.IntN(5)
		err = g.Check()
	}
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// counts is what a property test has seen.
type counts struct{ patterns, sound, rebuilt, refused, noTable, shards int }

// TestRandomDamage: whatever happens, no wrong byte; within the budget of each
// group, every byte; beyond it, an error.
func TestRandomDamage(t *testing.T) {
	rounds := 12000
	if testing.Short() {
		rounds = 1500
	}
	spill := spillFile(t)
	var c counts
	for seed := range rounds {
		r := rand.New(rand.NewPCG(uint64(seed), 7))
		s := newSet(t, r, someGeometry(t, r))
		for range r.IntN(5) {
			s.harm()
		}
		c.patterns++
		s.judge(t, spill, &c)
		if t.Failed() {
			t.Fatalf("seed %d, %+v", seed, s.g)
		}
	}
	t.Logf("%d patterns: %d without a lost shard, %d rebuilt, %d beyond parity, %d without a table; %d shards rebuilt; wrong bytes 0",
		c.patterns, c.sound, c.rebuilt, c.refused, c.noTable, c.shards)
	if min(c.sound, c.rebuilt, c.refused, c.noTable) < rounds/100 {
		t.Error("too few of a kind: the test does not test")
	}
}

func (s *set) judge(t *testing.T, spill *os.File, c *counts) {
	table, err := s.readTable()
	if err != nil {
		for page := int64(0); page < int64(len(s.wantTable)); page += pageSize {
			if !s.pageLost(0, page) || !s.pageLost(1, page) {
				t.Errorf("a good page is not used: %v", err)
			}
		}
		c.noTable++
		return
	}
	worst, total := 0, 0
	for _, n := range s.lost() {
		worst, total = max(worst, n), total+n
	}
	switch {
	case total == 0:
		c.sound++
	case worst > s.g.Parity:
		c.refused++
	default:
		c.rebuilt++
	}
	s.judgeReader(t, table, spill, c)
	s.judgeScan(t, table, worst, total)
	s.judgeMend(t, table, worst)
}

func (s *set) judgeReader(t *testing.T, table *Table, spill *os.File, c *counts) {
	if err := spill.Truncate(0); err != nil {
		t.Fatal(err)
	}
	r := NewReader(t.Context(), s.g, table, s.source(), spill)
	lost := s.lost()
	for _, i := range s.rand.Perm(int(s.g.DataShards())) {
		off := int64(i) * s.g.shard()
		p := make([]byte, s.g.length(int64(i)))
		_, err := r.ReadAt(p, off)
		dead := s.bad(int64(i)) && lost[int64(i)%s.g.Groups()] > s.g.Parity
		var tooDamaged *TooDamagedError
		switch {
		case dead != (err != nil):
			t.Errorf("shard %d: %v; lost %d of its group", i, err, lost[int64(i)%s.g.Groups()])
		case dead && !errors.As(err, &tooDamaged):
			t.Errorf("shard %d: not typed: %v", i, err)
		case dead && tooDamaged.Need-tooDamaged.Good != lost[tooDamaged.Group]-s.g.Parity:
			t.Errorf("shard %d: %v; lost %d", i, err, lost[tooDamaged.Group])
		case !dead && !bytes.Equal(p, s.wantData[off:][:len(p)]):
			t.Errorf("shard %d: WRONG BYTES", i)
		}
	}
	c.shards += int(r.Stats().Rebuilt)
}

func (s *set) judgeScan(t *testing.T, table *Table, worst, total int) {
	d, err := Scan(t.Context(), s.g, table, s.source(), nil)
	if err != nil {
		t.Error(err)
	}
	if d.Lost != worst || d.Shards != int64(total) || d.Short != max(0, worst-s.g.Parity) || d.Repairable != (worst <= s.g.Parity) {
		t.Errorf("%+v: but the worst group lost %d, all together %d", d, worst, total)
	}
	n := int64(0)
	for base, list := range map[int64][]Range{0: d.Data, s.g.DataShards(): d.Parity} {
		for _, r := range list {
			n += r.Count
			for i := range r.Count {
				if !s.bad(base + r.First + i) {
					t.Errorf("%+v: shard %d is good", d, base+r.First+i)
				}
			}
		}
	}
	if n != d.Shards {
		t.Errorf("%+v lists %d shards", d, n)
	}
}

// judgeMend writes to new media, which are as the old ones can be read.
func (s *set) judgeMend(t *testing.T, table *Table, worst int) {
	data, parity := bytes.Clone(s.data), bytes.Clone(s.parity)
	d, err := Scan(t.Context(), s.g, table, s.source(), nil)
	if err == nil {
		err = Mend(t.Context(), s.g, table, s.source(), d, memory(data), memory(parity))
	}
	var tooDamaged *TooDamagedError
	if (worst > s.g.Parity) != errors.As(err, &tooDamaged) || worst <= s.g.Parity && err != nil {
		t.Errorf("mending: %v; the worst group has lost %d", err, worst)
	}
	if worst > s.g.Parity {
		if !bytes.Equal(data, s.data) || !bytes.Equal(parity, s.parity) {
			t.Error("something has been written, and the parity is not enough")
		}
		return
	}
	if !bytes.Equal(data, s.wantData) || !bytes.Equal(parity, s.wantParity) {
		t.Error("not all has been mended")
	}
	if !bytes.Equal(table.Marshal(), s.wantTable) {
		t.Error("the table has not been completed")
	}
}

// TestBursts: every burst of m*G neighbouring shards is survived, wherever it
// is, and no burst of one more that fits.
func TestBursts(t *testing.T) {
	spill := spillFile(t)
	bursts := 0
	for _, g := range []Geometry{
		{Size: 64 * 60, Shard: 64, Data: 20, Parity: 3},
		{Size: 64*61 - 5, Shard: 64, Data: 9, Parity: 2},
		{Size: 64 * 50, Shard: 64, Data: 50, Parity: 7},
		{Size: 64 * 12, Shard: 64, Data: 2, Parity: 1},
	} {
		s := newSet(t, rand.New(rand.NewPCG(1, 1)), g)
		longest := int64(g.Parity) * g.Groups()
		for start := range g.DataShards() {
			for _, length := range []int64{longest, longest + 1} {
				s.failing[0] = map[int64]bool{}
				for i := range min(length, g.DataShards()-start) {
					s.failing[0][start+i] = true
				}
				bursts++
				s.judgeReader(t, mustTable(t, s), spill, &counts{})
				if dead := int64(len(s.failing[0])) > longest; dead == (worstOf(s) <= g.Parity) {
					t.Errorf("%+v: a burst of %d at %d: group lost %d", g, length, start, worstOf(s))
				}
			}
		}
	}
	t.Logf("%d bursts", bursts)
}

func mustTable(t testing.TB, s *set) *Table {
	t.Helper()
	table, err := s.readTable()
	if err != nil {
		t.Fatal(err)
	}
	return table
}

func worstOf(s *set) int {
	worst := 0
	for _, n := range s.lost() {
		worst = max(worst, n)
	}
	return worst
}
