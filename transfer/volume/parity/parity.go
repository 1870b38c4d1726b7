// Package parity is the Reed-Solomon room: it makes parity for a stretch of
// bytes, rebuilds what is damaged while it is read or where it lies, and sends
// bytes with their parity as packets over links that lose some. It knows
// nothing of files' names, volumes and bundles. PARITY.md is its format.
//
// # What is survived
//
// The data is cut into n shards. G groups have k data shards each and m parity
// shards, made by a Cauchy matrix over GF(2^8), of which every square part can
// be inverted: any k good shards of a group give all of it, so
//
//   - any m bad shards of each group, wherever they are, are rebuilt;
//   - neighbouring shards are in different groups (shard i is in group i mod G),
//     so any burst of up to m*G neighbouring shards is: m/k of the file;
//   - a lost volume of v shards costs each group ceil(v/G) of its m.
//
// Where shards go bad independently, each with probability p, a group dies with
//
//	P = sum over i > m of C(k+m, i) p^i (1-p)^(k+m-i)
//
// and one of the file's with at most G times that. For 10 percent (k = 200,
// m = 20) P is 1.7e-14 at p = 1 %, 5.2e-9 at 2 % and 2.3e-4 at 4 %; with k = 100,
// m = 10 it is 1.7e-8, 1.4e-5 and 4.7e-3: larger groups are better at the same
// price, which is why k+m is as large as it is.
//
// # What is proven
//
// A decoder does not know which of its shards are bad, and one bad byte that it
// takes for good makes wrong bytes of everything it rebuilds. So every shard's
// hash is in the [Table], which is kept twice: a shard that differs from its hash
// is a lost one. What is rebuilt is compared with the table as well. Where the
// hash of a rebuilt shard is itself lost, it follows from k shards that are
// proven. No byte is given out on less than that.
//
// The only error that callers branch on is [*TooDamagedError].
package parity

import (
	"errors"
	"fmt"
)

// Limits of the format, and the usual sizes of shards in bytes.
const (
	Shard       = 64 << 10 // of a file
	PacketShard = 16 << 10 // of a stream, unless it is too long for MaxTotal

	MinShardSize = 64        // and every size is a multiple of it
	MaxShardSize = 256 << 10 // bounds memory: MaxShards of them are 55 MiB
	MaxShards    = 220       // of a group, data and parity
	MaxTotal     = 2 << 20   // of a file, data and parity; their table is 32 MiB
)

// Geometry is how data is divided. The zero Geometry stands for no parity.
type Geometry struct {
	Size   int64 // bytes of the data
	Shard  int   // bytes of a shard
	Data   int   // data shards of a group: k
	Parity int   // parity shards of a group: m
}

// NewGeometry divides size bytes, more than 0, so that parity is percent of
// them, 1 to 100, rounded up for each group.
func NewGeometry(size int64, shard, percent int) (Geometry, error) {
	if percent < 1 || percent > 100 {
		return Geometry{}, fmt.Errorf("parity of %d percent: it must be 1 to 100", percent)
	}
	if size < 1 || shard < MinShardSize {
		return Geometry{}, fmt.Errorf("parity for %d bytes in shards of %d: there is nothing to divide", size, shard)
	}
	n := ceil(size, int64(shard))
	groups := ceil(n, int64(MaxShards*100/(100+percent)))
	k := ceil(n, groups) // groups of equal size: a few shards too many for one group do not double the parity
	g := Geometry{Size: size, Shard: shard, Data: int(k), Parity: int(ceil(k*int64(percent), 100))}
	return g, g.Check()
}

// Check says whether a geometry that was read from somewhere is one that the
// format allows.
func (g Geometry) Check() error {
	switch {
	case g.Size < 1:
		return fmt.Errorf("parity for %d bytes", g.Size)
	case g.Shard < MinShardSize || g.Shard > MaxShardSize || g.Shard%MinShardSize != 0:
		return fmt.Errorf("shards of %d bytes: they must be a multiple of %d up to %d", g.Shard, MinShardSize, MaxShardSize)
	case g.Data < 1 || g.Parity < 1 || g.Data > MaxShards-g.Parity:
		return fmt.Errorf("groups of %d and %d shards: they must be at least 1 each and at most %d together", g.Data, g.Parity, MaxShards)
	case g.Size > MaxTotal*int64(g.Shard), g.shards() > MaxTotal:
		return fmt.Errorf("%d bytes are more than %d shards of %d bytes with their parity", g.Size, MaxTotal, g.Shard)
	case int64(g.Data) > g.DataShards():
		return errors.New("groups that are larger than the data")
	}
	return nil
}

// DataShards is n; the last of them is padded with zeros.
func (g Geometry) DataShards() int64 {
	if g.Shard == 0 {
		return 0
	}
	return ceil(g.Size, int64(g.Shard))
}

// Groups is G. Data shard i is in group i mod G.
func (g Geometry) Groups() int64 {
	if g.Parity == 0 {
		return 0
	}
	return ceil(g.DataShards(), int64(g.Data))
}

// ParityShards is m*G. Shard j of group g is number j*G+g.
func (g Geometry) ParityShards() int64 { return int64(g.Parity) * g.Groups() }

// ParitySize is the bytes of all parity shards.
func (g Geometry) ParitySize() int64 { return g.ParityShards() * int64(g.Shard) }

// TableSize is the bytes of a marshalled table.
func (g Geometry) TableSize() int64 {
	if g.Parity == 0 {
		return 0
	}
	return ceil(g.shards(), pageHashes) * pageSize
}

// shards counts data and parity. The table numbers them in this order.
func (g Geometry) shards() int64 { return g.DataShards() + g.ParityShards() }

// shard is the size of a shard, for sums.
func (g Geometry) shard() int64 { return int64(g.Shard) }

// length is how many bytes of a data shard are data: the last has padding.
func (g Geometry) length(i int64) int64 { return min(g.shard(), g.Size-i*g.shard()) }

func ceil(a, b int64) int64 { return (a + b - 1) / b }

// TooDamagedError says that more is lost than parity can rebuild.
type TooDamagedError struct {
	Group int64 // which group of shards
	Off   int64 // of its first lost byte in the data
	Good  int   // shards of the group that are good
	Need  int   // and how many rebuild it
	Err   error // of the last shard that could not be read, or nil where shards were read and are wrong
}

func (e *TooDamagedError) Error() string {
	text := fmt.Sprintf("too damaged at byte %d: group %d has %d good shards of the %d that rebuild it: %d more are needed",
		e.Off, e.Group, e.Good, e.Need, e.Need-e.Good)
	if e.Err != nil {
		text += ": " + e.Err.Error()
	}
	return text
}

// Unwrap gives the reason why the last of the lost shards could not be read.
func (e *TooDamagedError) Unwrap() error { return e.Err }
