package parity

import (
	"bytes"
	"context"
	"math/rand/v2"
	"testing"

	"airgap/internal/vectors"
)

var fuzzed = Geometry{Size: 64*400 - 9, Shard: 64, Data: 50, Parity: 5}

// FuzzTable: a page that is accepted is encoded to the same bytes, others are
// not taken.
func FuzzTable(f *testing.F) {
	s := newSet(f, rand.New(rand.NewPCG(1, 1)), fuzzed)
	seeds := [][]byte{s.wantTable, s.wantTable[:pageSize], append(make([]byte, pageSize), s.wantTable[pageSize:]...)}
	for _, seed := range seeds {
		if _, err := ReadTable(f.Context(), fuzzed, memory(seed)); err != nil {
			f.Fatalf("a seed finds nothing: %v", err)
		}
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		table, err := ReadTable(t.Context(), fuzzed, memory(raw))
		if err != nil {
			return
		}
		same := 0
		for at, page := range table.pagesOf() {
			if page != nil && bytes.Equal(page, raw[at:at+pageSize]) {
				same++
			} else if page != nil {
				t.Errorf("the page at %d is encoded otherwise", at)
			}
		}
		if same == 0 {
			t.Error("accepted without a good page")
		}
	})
}

// pagesOf gives the pages of which a hash is known, by offset.
func (t *Table) pagesOf() map[int][]byte {
	pages := map[int][]byte{}
	known := bytes.Clone(t.pages)
	raw := t.Marshal()
	for at := 0; at < len(raw); at += pageSize {
		if !bytes.Equal(known[at:at+pageSize], make([]byte, pageSize)) {
			pages[at] = raw[at : at+pageSize]
		}
	}
	return pages
}

// FuzzPackets never panics; what is accepted is what its packets were made of.
func FuzzPackets(f *testing.F) {
	g := Geometry{Size: 64*5 - 3, Shard: 64, Data: 3, Parity: 2}
	stream := packets(f, g, noise(rand.New(rand.NewPCG(8, 8)), g.Size), 1)
	size := HeaderSize + g.Shard
	for _, seed := range [][]byte{stream, stream[size:], append([]byte("junk"), stream[:len(stream)-size]...)} {
		if _, _, err := receive(f, seed); err != nil {
			f.Fatalf("a seed finds nothing: %v", err)
		}
		f.Add(seed)
	}
	seeds, err := vectors.Seeds(".packets")
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range seeds {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		s, err := ReadPackets(context.Background(), bytes.NewReader(raw), t.TempDir(), nil)
		if err != nil {
			return
		}
		defer s.Close()
		got, err := readAll(s.Reader)
		if err != nil {
			t.Fatal(err)
		}
		table, err := Encode(t.Context(), s.g, memory(got), make(memory, s.g.ParitySize()), nil)
		if err != nil || table.root() != s.t.root() {
			t.Errorf("accepted what was not sent: %v", err)
		}
	})
}
