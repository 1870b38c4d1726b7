package forge

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
)

// Geometry is how parity is made: Size bytes in shards of that length, groups of
// K of them, with M of parity each.
type Geometry struct{ Size, Shard, K, M int }

// For is the geometry of so many percent of parity in files.
func For(size, shard, percent int) Geometry {
	g := Geometry{Size: size, Shard: shard}
	most := 22000 / (100 + percent)
	groups := (g.data() + most - 1) / most
	g.K = (g.data() + groups - 1) / groups
	g.M = (g.K*percent + 99) / 100
	return g
}

func (g Geometry) data() int   { return (g.Size + g.Shard - 1) / g.Shard }
func (g Geometry) groups() int { return (g.data() + g.K - 1) / g.K }

// Shards are those of the data, the last one padded, and then those of parity.
func (g Geometry) Shards(data []byte) [][]byte {
	shards := make([][]byte, g.data()+g.M*g.groups())
	for i := range shards {
		shards[i] = make([]byte, g.Shard)
	}
	for i := range g.data() {
		copy(shards[i], data[i*g.Shard:])
		group, c := i%g.groups(), i/g.groups()
		for j := range g.M {
			var times [256]byte // the factor
			for b, a := 0, inverse(byte(g.K+j)^byte(c)); b < 256; b++ {
				times[b] = multiply(a, byte(b))
			}
			parity := shards[g.data()+j*g.groups()+group]
			for x, b := range shards[i] {
				parity[x] ^= times[b]
			}
		}
	}
	return shards
}

// multiply is the product of two elements of GF(2^8) modulo 0x11d.
func multiply(a, b byte) (product byte) {
	for x := int(a); b > 0; b >>= 1 {
		if b&1 == 1 {
			product ^= byte(x)
		}
		if x <<= 1; x > 0xff {
			x ^= 0x11d
		}
	}
	return product
}

func inverse(a byte) byte {
	for b := range 256 {
		if multiply(a, byte(b)) == 1 {
			return byte(b)
		}
	}
	panic("zero has no inverse") // a mistake in a test
}

func hash(p []byte) []byte {
	h := sha256.Sum256(p)
	return h[:16]
}

// numbers are those that a page's hash and a packet have of the geometry.
func (g Geometry) numbers() []byte {
	b := binary.LittleEndian.AppendUint64(nil, uint64(g.Size))
	b = binary.LittleEndian.AppendUint32(b, uint32(g.Shard))
	b = binary.LittleEndian.AppendUint16(b, uint16(g.K))
	return binary.LittleEndian.AppendUint16(b, uint16(g.M))
}

// Table is the table of the shards' hashes.
func (g Geometry) Table(shards [][]byte) (table []byte) {
	const per = 255
	for page := 0; len(shards) > 0; page++ {
		n := min(per, len(shards))
		hashes := make([]byte, 0, 16*per)
		for _, s := range shards[:n] {
			hashes = append(hashes, hash(s)...)
		}
		hashes, shards = hashes[:cap(hashes)], shards[n:]
		own := hash(append(binary.LittleEndian.AppendUint64(g.numbers(), uint64(page)), hashes...))
		table = append(append(table, own...), hashes...)
	}
	return table
}

// Packets are the data and its parity as a stream that has that id.
func (g Geometry) Packets(id string, data []byte) (packets [][]byte) {
	shards := g.Shards(data)
	var hashes []byte
	for _, s := range shards[:g.data()] {
		hashes = append(hashes, hash(s)...)
	}
	for i, s := range shards {
		h := append([]byte("\x89agpkt1\n"), (id + "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00")[:16]...)
		h = append(append(h, hash(hashes)...), g.numbers()...)
		h = append(binary.LittleEndian.AppendUint64(h, uint64(i)), hash(s)...)
		packets = append(packets, bytes.Join([][]byte{h, hash(h), s}, nil))
	}
	return packets
}

// ResealPacket makes the hashes of a packet right.
func ResealPacket(packet []byte) {
	copy(packet[64:], hash(packet[96:]))
	copy(packet[80:], hash(packet[:80]))
}
