package parity

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"slices"
	"testing"
)

// packets sends data of a geometry.
func packets(t testing.TB, g Geometry, data memory, id byte) []byte {
	t.Helper()
	var b bytes.Buffer
	p := Packets{Data: data, Size: g.Size, ID: [16]byte{id}, Spill: spillFile(t)}
	if err := p.write(t.Context(), &b, g); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func receive(t testing.TB, stream []byte) ([]byte, Losses, error) {
	t.Helper()
	s, err := ReadPackets(context.Background(), bytes.NewReader(stream), t.TempDir(), nil)
	if err != nil {
		return nil, Losses{}, err
	}
	defer s.Close()
	got, err := readAll(s.Reader)
	return got, s.Lost(), err
}

// TestPackets sends as everybody does.
func TestPackets(t *testing.T) {
	data := noise(rand.New(rand.NewPCG(1, 2)), 300_000)
	var b bytes.Buffer
	sent := int64(0)
	_, err := WritePackets(t.Context(), &b, Packets{
		Data: data, Size: int64(len(data)), Percent: 20, ID: [16]byte{7}, Spill: spillFile(t),
		Progress: func(n int64) { sent += n },
	})
	if err != nil || sent != int64(len(data)) {
		t.Fatalf("%v; %d bytes", err, sent)
	}
	if got, lost, err := receive(t, b.Bytes()); err != nil || !bytes.Equal(got, data) || lost != (Losses{}) {
		t.Errorf("%v, %+v", err, lost)
	}
	if !IsPackets(b.Bytes()[:HeaderSize]) || !IsPackets(b.Bytes()[5:][:PacketShard+2*HeaderSize]) {
		t.Error("a stream is not recognised")
	}
	if IsPackets([]byte(magic)) || IsPackets(data[:1000]) {
		t.Error("recognised what is none")
	}
	if _, _, err := receive(t, data); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("of noise: %v", err)
	}
}

// TestOpenLink: what is whole is given although the link stays open.
func TestOpenLink(t *testing.T) {
	g := Geometry{Size: 64 * 9, Shard: 64, Data: 5, Parity: 2}
	stream := packets(t, g, make(memory, g.Size), 1)
	r, w := io.Pipe()
	defer w.Close()
	go w.Write(stream)
	s, err := ReadPackets(t.Context(), r, t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// changing is other data the second time.
type changing struct {
	memory
	left int
}

func (c *changing) ReadAt(p []byte, off int64) (int, error) {
	n, err := c.memory.ReadAt(p, off)
	if c.left--; c.left < 0 {
		p[0] ^= 1
	}
	return n, err
}

func TestDataThatChanges(t *testing.T) {
	g := Geometry{Size: 64 * 9, Shard: 64, Data: 9, Parity: 2}
	p := Packets{Data: &changing{make(memory, g.Size), 12}, Size: g.Size, Spill: spillFile(t)}
	if err := p.write(t.Context(), io.Discard, g); err == nil {
		t.Error("sent data that is not what parity was made of")
	}
}

// link is what packets are lost on.
type link struct {
	rand *rand.Rand
	list [][]byte
	good []int // index of the packet, or -1 where it is not whole
}

// spoil does something to one packet or to the order.
func (l *link) spoil() {
	r := l.rand
	if len(l.list) == 0 {
		return
	}
	i := r.IntN(len(l.list))
	p := l.list[i]
	switch r.IntN(7) {
	case 0, 1: // lost
		n := min(1+r.IntN(4), len(l.list)-i)
		l.list, l.good = append(l.list[:i:i], l.list[i+n:]...), append(l.good[:i:i], l.good[i+n:]...)
	case 2: // out of order
		j := r.IntN(len(l.list))
		l.list[i], l.list[j], l.good[i], l.good[j] = l.list[j], l.list[i], l.good[j], l.good[i]
	case 3: // twice
		l.list, l.good = append(l.list, p), append(l.good, l.good[i])
	case 4: // cut inside
		at := r.IntN(max(1, len(p)))
		l.list[i], l.good[i] = append(bytes.Clone(p[:at]), p[min(len(p), at+1+r.IntN(50)):]...), -1
	case 5: // garbage before it
		junk := append(noise(r, int64(r.IntN(300))), magic[:r.IntN(len(magic)+1)]...)
		l.list, l.good = slices.Insert(l.list, i, []byte(junk)), slices.Insert(l.good, i, -1)
	case 6: // a bit
		l.list[i], l.good[i] = bytes.Clone(p), -1
		if len(p) > 0 {
			l.list[i][r.IntN(len(p))] ^= 1 << r.IntN(8)
		}
	}
}

// TestLossyLink: what came is enough and the bytes are those that were sent, or
// it is refused.
func TestLossyLink(t *testing.T) {
	rounds := 3000
	if testing.Short() {
		rounds = 300
	}
	whole, refused, lostShards := 0, 0, 0
	for seed := range rounds {
		r := rand.New(rand.NewPCG(uint64(seed), 9))
		g := someGeometry(t, r)
		if g.Size > 64*60 {
			continue
		}
		data := noise(r, g.Size)
		l := &link{rand: r}
		stream := packets(t, g, data, 1)
		for i := range int(g.shards()) {
			size := HeaderSize + g.Shard
			l.list, l.good = append(l.list, stream[i*size:][:size]), append(l.good, i)
		}
		for range r.IntN(8) {
			l.spoil()
		}
		came := map[int]bool{}
		for _, i := range l.good {
			came[i] = true
		}
		delete(came, -1)
		worst, lost := missing(g, came)
		got, losses, err := receive(t, bytes.Join(l.list, nil))
		var tooDamaged *TooDamagedError
		switch {
		case worst <= g.Parity && len(came) > 0 && (err != nil || !bytes.Equal(got, data) || losses.Data+losses.Parity != int64(lost)):
			t.Fatalf("seed %d, %+v: lost %d: %v, %+v", seed, g, worst, err, losses)
		case worst > g.Parity && !errors.As(err, &tooDamaged) && !errors.Is(err, io.ErrUnexpectedEOF):
			t.Fatalf("seed %d, %+v: lost %d: %v", seed, g, worst, err)
		case worst > g.Parity && !came[int(g.shards())-1] && !errors.Is(err, io.ErrUnexpectedEOF):
			t.Fatalf("seed %d: the end did not come: %v", seed, err)
		case err != nil:
			refused++
		default:
			whole, lostShards = whole+1, lostShards+lost
		}
	}
	t.Logf("%d streams came whole with %d shards lost, %d were refused, wrong bytes 0", whole, lostShards, refused)
	if min(whole, refused) < rounds/100 {
		t.Error("too few of a kind: the test does not test")
	}
}

// missing is how many shards of the worst group did not come, and how many of all.
func missing(g Geometry, came map[int]bool) (worst, all int) {
	lost := make([]int, g.Groups())
	for i := range g.shards() {
		if came[int(i)] {
			continue
		}
		all++
		n := i
		if i >= g.DataShards() {
			n -= g.DataShards()
		}
		lost[n%g.Groups()]++
		worst = max(worst, lost[n%g.Groups()])
	}
	return worst, all
}

// TestCutStream at every byte: it is repaired or refused.
func TestCutStream(t *testing.T) {
	g := Geometry{Size: 64*5 - 3, Shard: 64, Data: 3, Parity: 2}
	data := noise(rand.New(rand.NewPCG(8, 8)), g.Size)
	stream := packets(t, g, data, 1)
	for n := range len(stream) {
		got, _, err := receive(t, stream[:n])
		came := map[int]bool{}
		for i := range n / (HeaderSize + g.Shard) {
			came[i] = true
		}
		worst, _ := missing(g, came)
		if enough := worst <= g.Parity; enough && !bytes.Equal(got, data) || !enough && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("cut at %d: %v", n, err)
		}
	}
}

// TestForeignPackets: streams are not mixed, and the same one again fills gaps.
func TestForeignPackets(t *testing.T) {
	g := Geometry{Size: 64 * 5, Shard: 64, Data: 5, Parity: 1}
	random := rand.New(rand.NewPCG(8, 8))
	data := noise(random, g.Size)
	size := HeaderSize + g.Shard
	mine, other := packets(t, g, data, 1), packets(t, g, noise(random, g.Size), 2)
	mixed := append(append(bytes.Clone(mine[:3*size]), other...), mine[2*size:]...)
	got, lost, err := receive(t, mixed)
	if err != nil || !bytes.Equal(got, data) || lost != (Losses{Foreign: 6, Again: 1}) {
		t.Errorf("%+v, %v", lost, err)
	}
}

// TestRandomLoss: of a thousand streams made for a loss, each of whose packets is
// lost with that probability, 999 come whole; and so does each that loses as much
// in one piece. That is counted by groups.
func TestRandomLoss(t *testing.T) {
	for _, size := range []int64{100, 1 << 20, 30 << 20, 1 << 30} {
		for _, percent := range []int{1, 3, 10, 25, 50} {
			g, err := packetGeometry(size, percent)
			if err != nil {
				t.Fatal(err)
			}
			streams, dead := 1000, 0
			if size > 100<<20 {
				streams = 100
			}
			for seed := range streams {
				r := rand.New(rand.NewPCG(uint64(seed), 37))
				if !survives(g, func(int64) bool { return r.IntN(100) < percent }) {
					dead++
				}
			}
			for from := int64(0); from < g.shards(); from += max(1, g.shards()/50) {
				if !survives(g, func(i int64) bool { return i >= from && (i-from)*100 < g.shards()*int64(percent) }) {
					t.Errorf("%d bytes, %d%%: the loss of all from packet %d on", size, percent, from)
				}
			}
			t.Logf("%d bytes, %d%%: %d+%d shards, %.1f%% of parity; %d of %d streams did not come whole", size, percent,
				g.Data, g.Parity, 100*float64(g.ParityShards())/float64(g.DataShards()), dead, streams)
			if dead > 1 {
				t.Errorf("%d bytes, %d%%: %d of %d streams are dead", size, percent, dead, streams)
			}
		}
	}
	for _, percent := range []int{0, 51, 100} {
		if _, err := packetGeometry(1<<20, percent); err == nil {
			t.Errorf("made for a loss of %d%%", percent)
		}
	}
}

func survives(g Geometry, lost func(i int64) bool) bool {
	count := make([]int, g.Groups())
	n := g.DataShards()
	for i := range g.shards() {
		if !lost(i) {
			continue
		}
		at := i
		if i >= n {
			at -= n
		}
		if count[at%g.Groups()]++; count[at%g.Groups()] > g.Parity {
			return false
		}
	}
	return true
}

// TestTenthLost loses a tenth of the packets of real streams.
func TestTenthLost(t *testing.T) {
	data := noise(rand.New(rand.NewPCG(1, 2)), 3_600_000)
	var b bytes.Buffer
	g, err := WritePackets(t.Context(), &b, Packets{Data: data, Size: int64(len(data)), Percent: 10, Spill: spillFile(t)})
	if err != nil {
		t.Fatal(err)
	}
	size := HeaderSize + g.Shard
	for seed := range uint64(5) {
		r := rand.New(rand.NewPCG(seed, 5))
		var some []byte
		for at := 0; at < b.Len(); at += size {
			if r.IntN(10) > 0 {
				some = append(some, b.Bytes()[at:at+size]...)
			}
		}
		if got, lost, err := receive(t, some); err != nil || !bytes.Equal(got, data) || lost.Data == 0 {
			t.Errorf("%+v, %v", lost, err)
		}
	}
}
