package parity

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// A table is pages of hashes, each of which proves itself.
const (
	hashSize   = 16
	pageSize   = 4096
	pageHashes = pageSize/hashSize - 1
)

// hash is the first half of a sha256. Zeros stand for one that is not known.
type hash [hashSize]byte

func sum(p []byte) hash {
	h := sha256.Sum256(p)
	return hash(h[:hashSize])
}

// Table holds the hash of every shard, data shards first, as its pages are on
// disk; 16 bytes a shard. It is safe for concurrent use but for [Mend], which
// fills in the hashes that were lost.
type Table struct {
	g     Geometry
	pages []byte
}

func newTable(g Geometry) *Table { return &Table{g, make([]byte, g.TableSize())} }

// at is where a shard's hash is.
func (t *Table) at(i int64) []byte {
	off := i/pageHashes*pageSize + hashSize + i%pageHashes*hashSize
	return t.pages[off : off+hashSize]
}

func (t *Table) set(i int64, h hash) { copy(t.at(i), h[:]) }

func (t *Table) knows(i int64) bool { return hash(t.at(i)) != hash{} }

// proves says whether a shard is the one that the table knows.
func (t *Table) proves(i int64, shard []byte) bool { return t.knows(i) && sum(shard) == hash(t.at(i)) }

// refutes says whether a rebuilt shard is another than the one that the table
// knows. One that it does not know cannot be refuted.
func (t *Table) refutes(i int64, h hash) bool { return t.knows(i) && h != hash(t.at(i)) }

// Unknown counts the shards whose hash was lost with its page. They count as
// lost themselves.
func (t *Table) Unknown() int64 {
	var n int64
	for i := range t.g.shards() {
		if !t.knows(i) {
			n++
		}
	}
	return n
}

// root is one hash for all data shards.
func (t *Table) root() hash {
	h := sha256.New()
	for i := range t.g.DataShards() {
		h.Write(t.at(i))
	}
	return hash(h.Sum(nil)[:hashSize])
}

// Marshal gives the table as bytes, [Geometry.TableSize] of them, which belong
// to the table still.
func (t *Table) Marshal() []byte {
	for page := range int64(len(t.pages) / pageSize) {
		p := t.pages[page*pageSize:][:pageSize]
		h := t.g.seal(page, p)
		copy(p, h[:])
	}
	return t.pages
}

// seal is the hash of a page, with its number and the geometry in it, so that
// no page proves itself in another place or for another file.
func (g Geometry) seal(page int64, p []byte) hash {
	buf := make([]byte, 0, 24+pageSize)
	buf = binary.LittleEndian.AppendUint64(buf, uint64(g.Size))
	buf = binary.LittleEndian.AppendUint32(buf, uint32(g.Shard))
	buf = binary.LittleEndian.AppendUint16(buf, uint16(g.Data))
	buf = binary.LittleEndian.AppendUint16(buf, uint16(g.Parity))
	buf = binary.LittleEndian.AppendUint64(buf, uint64(page))
	return sum(append(buf, p[hashSize:]...))
}

// ReadTable reads a table, each page from the first copy in which it is good.
// What no copy has is known to be lost: see [Table.Unknown]. It is an error only
// if not a single page is good, or if ctx ends.
func ReadTable(ctx context.Context, g Geometry, copies ...io.ReaderAt) (*Table, error) {
	if err := g.Check(); err != nil {
		return nil, fmt.Errorf("reading the table of shards: %w", err)
	}
	if len(copies) == 0 {
		return nil, errors.New("reading the table of shards: there is no copy of it")
	}
	t := newTable(g)
	good, why := false, error(nil)
	for page := range int64(len(t.pages) / pageSize) {
		p := t.pages[page*pageSize:][:pageSize]
		if err := context.Cause(ctx); err != nil {
			return nil, fmt.Errorf("reading the table of shards: %w", err)
		}
		if err := g.readPage(p, page, copies); err != nil {
			why = err
			clear(p)
			continue
		}
		good = true
	}
	if !good {
		return nil, fmt.Errorf("reading the table of shards: %w", why)
	}
	return t, nil
}

func (g Geometry) readPage(p []byte, page int64, copies []io.ReaderAt) error {
	why := fmt.Errorf("page %d: no copy is good", page)
	for _, c := range copies {
		if err := readFull(c, p, page*pageSize); err != nil {
			why = fmt.Errorf("page %d: %w", page, err)
			continue
		}
		if h := g.seal(page, p); bytes.Equal(h[:], p[:hashSize]) {
			return nil
		}
	}
	return why
}
