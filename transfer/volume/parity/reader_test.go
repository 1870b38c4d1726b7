package parity

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/iotest"

	"golang.org/x/sync/errgroup"
)

// TestReaderIsReader with damage everywhere.
func TestReaderIsReader(t *testing.T) {
	s := newSet(t, rand.New(rand.NewPCG(3, 3)), Geometry{Size: 64*29 + 17, Shard: 64, Data: 10, Parity: 3})
	for i := int64(4); i < 13; i++ {
		s.failing[0][i] = true
	}
	r := NewReader(t.Context(), s.g, mustTable(t, s), s.source(), spillFile(t))
	if err := iotest.TestReader(io.NewSectionReader(r, 0, s.g.Size), s.wantData); err != nil {
		t.Error(err)
	}
	if got := r.Stats(); got != (Stats{Rebuilt: 9}) {
		t.Errorf("%+v: each lost shard is rebuilt once", got)
	}
	if _, err := r.ReadAt(make([]byte, 1), -1); err == nil {
		t.Error("reads before the start")
	}
	if n, err := r.ReadAt(make([]byte, 1), s.g.Size); n != 0 || err != io.EOF {
		t.Errorf("at the end: %d, %v", n, err)
	}
}

// TestLostVolume loses a whole source of each kind, by turns.
func TestLostVolume(t *testing.T) {
	s := newSet(t, rand.New(rand.NewPCG(4, 4)), Geometry{Size: 64*30 - 1, Shard: 64, Data: 5, Parity: 5})
	for name, source := range map[string]Source{
		"no data":   {nil, s.wantParity},
		"no parity": {s.wantData, nil},
	} {
		r := NewReader(t.Context(), s.g, mustTable(t, s), source, spillFile(t))
		if got, err := readAll(r); err != nil || !bytes.Equal(got, s.wantData) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestConcurrent reads random ranges from all sides.
func TestConcurrent(t *testing.T) {
	g, err := NewGeometry(64*2500+9, 64, 10)
	if err != nil {
		t.Fatal(err)
	}
	s := newSet(t, rand.New(rand.NewPCG(5, 5)), g)
	for i := range int64(g.Parity-4) * g.Groups() {
		s.failing[0][i+300] = true
	}
	for i := range g.Groups() {
		s.lying[0][i+3] = true
	}
	r := NewReader(t.Context(), g, mustTable(t, s), s.source(), spillFile(t))
	var group errgroup.Group
	for w := range uint64(8) {
		group.Go(func() error {
			random := rand.New(rand.NewPCG(w, 5))
			for range 200 {
				off := random.Int64N(g.Size)
				p := make([]byte, min(1+random.Int64N(1000), g.Size-off))
				if _, err := r.ReadAt(p, off); err != nil {
					return err
				}
				if !bytes.Equal(p, s.wantData[off:][:len(p)]) {
					return errors.New("WRONG BYTES")
				}
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		t.Error(err)
	}
	if got, want := r.Stats().Rebuilt, int64(len(s.failing[0])+len(s.lying[0])); got > want {
		t.Errorf("%d shards rebuilt of %d", got, want)
	}
}

// flaky fails at a shard every first time.
type flaky struct {
	io.ReaderAt
	left int
}

func (f *flaky) ReadAt(p []byte, off int64) (int, error) {
	if f.left--; f.left >= 0 {
		return 0, errSector
	}
	return f.ReaderAt.ReadAt(p, off)
}

// TestSecondTry: a medium that answers when it is asked again needs no parity.
func TestSecondTry(t *testing.T) {
	s := newSet(t, rand.New(rand.NewPCG(6, 6)), Geometry{Size: 64 * 4, Shard: 64, Data: 4, Parity: 1})
	r := NewReader(t.Context(), s.g, mustTable(t, s), Source{&flaky{s.wantData, 1}, nil}, spillFile(t))
	if got, err := readAll(r); err != nil || !bytes.Equal(got, s.wantData) {
		t.Error(err)
	}
}

func TestTooDamaged(t *testing.T) {
	s := newSet(t, rand.New(rand.NewPCG(6, 6)), Geometry{Size: 64 * 8, Shard: 64, Data: 4, Parity: 2})
	for _, i := range []int64{1, 3, 5, 7} {
		s.failing[0][i] = true
	}
	_, err := readAll(NewReader(t.Context(), s.g, mustTable(t, s), s.source(), spillFile(t)))
	var e *TooDamagedError
	if !errors.As(err, &e) || e.Group != 1 || e.Off != 64 || e.Good != 2 || e.Need != 4 || !errors.Is(err, errSector) ||
		!strings.Contains(err.Error(), "2 more are needed") {
		t.Errorf("%+v: %v", e, err)
	}
}

// TestSpill: what was rebuilt is proven when it is read again.
func TestSpill(t *testing.T) {
	s := newSet(t, rand.New(rand.NewPCG(6, 6)), Geometry{Size: 64 * 8, Shard: 64, Data: 4, Parity: 2})
	s.failing[0][1] = true
	spill := spillFile(t)
	r := NewReader(t.Context(), s.g, mustTable(t, s), s.source(), spill)
	if _, err := readAll(r); err != nil {
		t.Fatal(err)
	}
	if _, err := spill.WriteAt([]byte("rot"), 7); err != nil {
		t.Fatal(err)
	}
	if _, err := readAll(r); err == nil {
		t.Error("gives what has rotted in the spill file")
	}
}

// TestEncodeFails where the data cannot be read, or the parity not be written.
func TestEncodeFails(t *testing.T) {
	g := Geometry{Size: 64 * 8, Shard: 64, Data: 4, Parity: 2}
	if _, err := Encode(t.Context(), g, make(memory, g.Size-1), make(memory, g.ParitySize()), nil); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("of short data: %v", err)
	}
	closed := spillFile(t)
	closed.Close()
	if _, err := Encode(t.Context(), g, make(memory, g.Size), closed, nil); err == nil {
		t.Error("parity that was not written")
	}
}

func TestGeometry(t *testing.T) {
	for size := int64(1); size < 64*5000; size = size*5/4 + 1 {
		for percent := 1; percent <= 100; percent++ {
			g, err := NewGeometry(size, 64, percent)
			if err != nil {
				t.Fatal(err)
			}
			n := g.DataShards()
			if g.ParityShards()*100 < n*int64(percent) || g.ParityShards()*100 >= (n+g.Groups())*int64(percent)+100*g.Groups() {
				t.Errorf("%d bytes, %d %%: %d parity shards for %d", size, percent, g.ParityShards(), n)
			}
		}
	}
	for _, bad := range []Geometry{
		{}, {Size: 64, Shard: 64, Data: 1}, {Size: 64, Shard: 63, Data: 1, Parity: 1}, {Size: 64, Shard: 64, Data: 2, Parity: 1},
		{Size: 1 << 62, Shard: 64, Data: 1, Parity: 1}, {Size: -1, Shard: 64, Data: 1, Parity: 1},
		{Size: 64 * MaxTotal, Shard: 64, Data: 1, Parity: 219}, {Size: 64 * 300, Shard: 64, Data: 200, Parity: 21},
		{Size: 1 << 30, Shard: MaxShardSize * 2, Data: 1, Parity: 1}, {Size: 64, Shard: 64, Data: -1, Parity: 300},
	} {
		if bad.Check() == nil {
			t.Errorf("accepted: %+v", bad)
		}
	}
	for _, percent := range []int{0, 101} {
		if _, err := NewGeometry(1, Shard, percent); err == nil {
			t.Errorf("accepted: %d %%", percent)
		}
	}
	var none Geometry
	if none.ParitySize() != 0 || none.TableSize() != 0 || none.DataShards() != 0 {
		t.Error("no parity has a size")
	}
}
