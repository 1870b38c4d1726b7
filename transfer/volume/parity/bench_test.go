package parity

import (
	"io"
	"math/rand/v2"
	"testing"
)

// nowhere takes writes.
type nowhere struct{}

func (nowhere) WriteAt(p []byte, _ int64) (int, error) { return len(p), nil }

func benchGeometry(b *testing.B, percent int) (Geometry, memory) {
	g, err := NewGeometry(256<<20, Shard, percent)
	if err != nil {
		b.Fatal(err)
	}
	data := make(memory, g.Size)
	copy(data, noise(rand.New(rand.NewPCG(1, 1)), 1<<20))
	b.SetBytes(g.Size)
	return g, data
}

func BenchmarkEncode(b *testing.B) {
	g, data := benchGeometry(b, 10)
	for b.Loop() {
		if _, err := Encode(b.Context(), g, data, nowhere{}, nil); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkReadSound and BenchmarkReadLost read all of it, the latter without
// a lost volume of 9 %.
func BenchmarkReadSound(b *testing.B) { benchRead(b, 0) }
func BenchmarkReadLost(b *testing.B)  { benchRead(b, 9) }

func benchRead(b *testing.B, lost int64) {
	g, data := benchGeometry(b, 10)
	s := &set{g: g, data: data, parity: make(memory, g.ParitySize()), dataCut: g.Size - g.Size*lost/100, parityAt: g.ParitySize()}
	t, err := Encode(b.Context(), g, data, s.parity, nil)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		r := NewReader(b.Context(), g, t, s.source(), spillFile(b))
		if _, err := io.CopyBuffer(io.Discard, struct{ io.Reader }{io.NewSectionReader(r, 0, g.Size)}, make([]byte, 1<<20)); err != nil {
			b.Fatal(err)
		}
	}
}
