package parity

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"os"
)

// magic begins every packet. It is neither text nor the beginning of any
// compressor's format.
const magic = "\x89agpkt1\n"

// HeaderSize is the bytes of a packet before its shard.
const HeaderSize = 96

// header is what stands before each shard of a stream. All but index and
// payload is the same in all packets.
type header struct {
	stream
	index   int64 // of the shard, as the table numbers them
	payload hash  // of the shard
}

// stream is what packets of one stream have in common.
type stream struct {
	id   [16]byte
	root hash // of the hashes of all data shards
	g    Geometry
}

// encode puts the header into p.
func (h header) encode(p []byte) {
	b := append(p[:0], magic...)
	b = append(b, h.id[:]...)
	b = append(b, h.root[:]...)
	b = binary.LittleEndian.AppendUint64(b, uint64(h.g.Size))
	b = binary.LittleEndian.AppendUint32(b, uint32(h.g.Shard))
	b = binary.LittleEndian.AppendUint16(b, uint16(h.g.Data))
	b = binary.LittleEndian.AppendUint16(b, uint16(h.g.Parity))
	b = binary.LittleEndian.AppendUint64(b, uint64(h.index))
	b = append(b, h.payload[:]...)
	own := sum(b)
	copy(p[len(b):], own[:])
}

// parseHeader reads a header; ok is false for whatever is none.
func parseHeader(p []byte) (h header, ok bool) {
	if len(p) < HeaderSize || string(p[:len(magic)]) != magic {
		return header{}, false
	}
	if own := sum(p[:HeaderSize-hashSize]); !bytes.Equal(own[:], p[HeaderSize-hashSize:HeaderSize]) {
		return header{}, false
	}
	h.id, h.root, h.payload = [16]byte(p[8:24]), hash(p[24:40]), hash(p[64:80])
	le := binary.LittleEndian
	h.g = Geometry{
		Size: int64(le.Uint64(p[40:])), Shard: int(le.Uint32(p[48:])),
		Data: int(le.Uint16(p[52:])), Parity: int(le.Uint16(p[54:])),
	}
	h.index = int64(le.Uint64(p[56:]))
	return h, h.g.Check() == nil && h.index >= 0 && h.index < h.g.shards()
}

// IsPackets says whether head, the beginning of something, has the beginning of
// a packet in it. With PacketShard + 2 HeaderSize bytes, a stream is recognised
// whose first packet is damaged.
func IsPackets(head []byte) bool {
	for {
		i := bytes.Index(head, []byte(magic))
		if i < 0 {
			return false
		}
		if _, ok := parseHeader(head[i:]); ok {
			return true
		}
		head = head[i+1:]
	}
}

// Packets is what is sent as packets.
type Packets struct {
	Data     io.ReaderAt
	Size     int64         // of Data, more than 0
	Percent  int           // of all packets that may get lost, 1 to MaxLoss
	ID       [16]byte      // of the stream: packets of another are not mixed with it
	Spill    *os.File      // an empty file that parity is kept in; it is not closed
	Progress func(n int64) // hears of the bytes of data that have been sent; or nil
}

// WritePackets sends data and then its parity, and says how they were divided.
// The data is read twice, first for its parity; it is an error if it has changed
// by the second time.
func WritePackets(ctx context.Context, w io.Writer, p Packets) (Geometry, error) {
	g, err := packetGeometry(p.Size, p.Percent)
	if err == nil {
		err = p.write(ctx, w, g)
	}
	if err != nil {
		return g, fmt.Errorf("sending packets: %w", err)
	}
	return g, nil
}

func (p Packets) write(ctx context.Context, w io.Writer, g Geometry) error {
	t, err := Encode(ctx, g, p.Data, p.Spill, nil)
	if err != nil {
		return err
	}
	s := sender{w, t, header{stream: stream{p.ID, t.root(), g}}, make([]byte, HeaderSize+g.Shard)}
	progress := told(p.Progress)
	if err := s.send(ctx, g.data(p.Data), func(i int64) { progress(g.length(i)) }); err != nil {
		return err
	}
	return s.send(ctx, g.parity(p.Spill), func(int64) {})
}

// MaxLoss is how much of a stream may be meant to get lost, in percent: beyond
// that more would be sent of parity than is worth it.
const MaxLoss = 50

// packetGeometry divides a stream so that it survives the loss of percent of all
// its packets, wherever they are. Larger shards are taken where there would be too
// many.
func packetGeometry(size int64, percent int) (g Geometry, err error) {
	if percent < 1 || percent > MaxLoss {
		return g, fmt.Errorf("packets for a loss of %d percent: it must be 1 to %d", percent, MaxLoss)
	}
	for shard := PacketShard; shard <= MaxShardSize; shard *= 2 {
		g = geometryForLoss(size, shard, percent)
		if err = g.Check(); err == nil {
			break
		}
	}
	return g, err
}

// deadly is how often a stream may come out as too damaged where each packet is
// lost with the probability that it is made for.
const deadly = 1e-4

// geometryForLoss takes the least parity with which that is so.
func geometryForLoss(size int64, shard, percent int) Geometry {
	n := ceil(size, int64(shard))
	g := Geometry{Size: size, Shard: shard}
	for g.Parity = 1; g.Parity < MaxShards; g.Parity++ {
		groups := ceil(n, int64(MaxShards-g.Parity))
		g.Data = int(ceil(n, groups)) // groups of equal size
		if float64(groups)*dies(g.Data+g.Parity, g.Parity, percent) <= deadly {
			break
		}
	}
	return g
}

// dies is the probability that more than m of n shards are lost, where percent of
// all are. The conversions keep every machine from adding and multiplying at once:
// all have to come to the same geometry.
func dies(n, m, percent int) float64 {
	lost, kept := float64(percent)/100, float64(100-percent)/100
	exactly := 1.0 // the probability that i are lost, from i = 0 on
	for range n {
		exactly = float64(exactly * kept)
	}
	more := 0.0
	for i := range n {
		exactly = float64(float64(exactly*float64(n-i)) / float64(i+1) * float64(lost/kept))
		if i+1 > m {
			more += exactly
		}
	}
	return more
}

type sender struct {
	w io.Writer
	t *Table
	h header // of the next packet
	p []byte // a packet
}

// send sends a stretch of shards. They must be those of the table: the other
// side rebuilds from what parity was made of.
func (s *sender) send(ctx context.Context, from stretch, sent func(i int64)) error {
	for i := range ceil(from.size, from.shard) {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		shard := s.p[HeaderSize:]
		if err := from.fill(shard, i*from.shard); err != nil {
			return fmt.Errorf("reading at byte %d: %w", i*from.shard, err)
		}
		if s.h.payload = sum(shard); s.h.payload != hash(s.t.at(s.h.index)) {
			return fmt.Errorf("reading at byte %d: it has changed meanwhile", i*from.shard)
		}
		s.h.encode(s.p)
		if _, err := s.w.Write(s.p); err != nil {
			return err
		}
		s.h.index++
		sent(i)
	}
	return nil
}
