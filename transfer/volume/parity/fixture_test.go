package parity

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"sync/atomic"
	"testing"
)

// memory is a file in memory.
type memory []byte

func (m memory) ReadAt(p []byte, off int64) (int, error) { return bytes.NewReader(m).ReadAt(p, off) }
func (m memory) WriteAt(p []byte, off int64) (int, error) {
	return copy(m[off:], p), nil
}

func noise(r *rand.Rand, n int64) memory {
	p := make(memory, n)
	for i := range p {
		p[i] = byte(r.Uint32())
	}
	return p
}

// set is data with its parity, and what has become of it.
type set struct {
	g                 Geometry
	wantData          memory
	wantParity        memory
	wantTable         []byte
	data, parity      memory
	table             [2]memory
	failing, lying    [2]map[int64]bool // shards of data and of parity
	rand              *rand.Rand
	lies              atomic.Uint32 // how many bytes have been lied about
	dataCut, parityAt int64         // where the files end
}

func newSet(t testing.TB, r *rand.Rand, g Geometry) *set {
	t.Helper()
	s := &set{g: g, rand: r, wantData: noise(r, g.Size), wantParity: make(memory, g.ParitySize())}
	table, err := Encode(t.Context(), g, s.wantData, s.wantParity, nil)
	if err != nil {
		t.Fatal(err)
	}
	s.wantTable = bytes.Clone(table.Marshal())
	s.data, s.parity = bytes.Clone(s.wantData), bytes.Clone(s.wantParity)
	s.table = [2]memory{bytes.Clone(s.wantTable), bytes.Clone(s.wantTable)}
	for i := range 2 {
		s.failing[i], s.lying[i] = map[int64]bool{}, map[int64]bool{}
	}
	s.dataCut, s.parityAt = g.Size, g.ParitySize()
	return s
}

var errSector = errors.New("bad sector")

// source is a stretch of the set with its faults.
type source struct {
	s     *set
	m     memory
	which int
	end   int64
}

func (s source) ReadAt(p []byte, off int64) (int, error) {
	n, err := s.m[:s.end].ReadAt(p, min(off, s.end))
	for i := off / s.s.g.shard(); i*s.s.g.shard() < off+int64(n); i++ {
		if s.s.failing[s.which][i] {
			return int(max(0, i*s.s.g.shard()-off)), errSector
		}
		if s.s.lying[s.which][i] {
			s.s.lie(p, off, s.which, max(off, i*s.s.g.shard()))
		}
	}
	return n, err
}

// lie puts a wrong byte at a place of what has been read from off on, another one
// each time.
func (s *set) lie(p []byte, off int64, which int, at int64) {
	truth := [2][]byte{s.wantData, s.wantParity}[which][at]
	p[at-off] = truth ^ byte(1+s.lies.Add(1)%255)
}

func (s *set) source() Source {
	return Source{source{s, s.data, 0, s.dataCut}, source{s, s.parity, 1, s.parityAt}}
}

func (s *set) readTable() (*Table, error) {
	return ReadTable(context.Background(), s.g, s.table[0], s.table[1])
}

// bad says whether a shard, as the table numbers them, is lost.
func (s *set) bad(i int64) bool {
	if page := i / pageHashes * pageSize; s.pageLost(0, page) && s.pageLost(1, page) {
		return true
	}
	which, have, want, end := 0, s.data, s.wantData, s.dataCut
	if n := s.g.DataShards(); i >= n {
		i, which, have, want, end = i-n, 1, s.parity, s.wantParity, s.parityAt
	}
	from, to := i*s.g.shard(), min((i+1)*s.g.shard(), int64(len(want)))
	return s.failing[which][i] || s.lying[which][i] || to > end || !bytes.Equal(have[from:to], want[from:to])
}

func (s *set) pageLost(c int, at int64) bool {
	return !bytes.Equal(s.table[c][at:at+pageSize], s.wantTable[at:at+pageSize])
}

// lost counts the lost shards of each group.
func (s *set) lost() []int {
	lost := make([]int, s.g.Groups())
	for i := range s.g.shards() {
		if s.bad(i) {
			if n := s.g.DataShards(); i >= n {
				lost[(i-n)%s.g.Groups()]++
			} else {
				lost[i%s.g.Groups()]++
			}
		}
	}
	return lost
}

func spillFile(t testing.TB) *os.File {
	t.Helper()
	f, err := os.Create(t.TempDir() + "/spill")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// readAll reads everything through a reader.
func readAll(r *Reader) ([]byte, error) {
	return io.ReadAll(io.NewSectionReader(r, 0, r.Size()))
}
