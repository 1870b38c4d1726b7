package bundle

import (
	"errors"
	"hash/maphash"
)

// plainPiece is how many bytes of a plain tar are remembered together.
const plainPiece = 1 << 20

// errChanged is what reading gives once somebody has written to the file.
var errChanged = errors.New("these are no longer the bytes that were verified: the file has been written to, or the medium fails")

// pieces remember what a file held when it was proven, so that what is read of
// it later, and be it a stretch of a blob, is known to be the same. A piece is a
// frame, or plainPiece bytes of a plain tar. The hash has a key that nobody
// knows: who changes the file cannot aim at it.
type pieces struct {
	seed maphash.Seed
	sums []uint64
}

// same compares a piece with what it was.
func (p *pieces) same(i int, b []byte) bool { return maphash.Bytes(p.seed, b) == p.sums[i] }

// pieceEnd is where a piece ends in the file.
func (b *Bundle) pieceEnd(i int) int64 {
	if b.Plain() {
		return min(int64(i+1)*plainPiece, b.size)
	}
	return b.frames[i+1]
}

// pieceWriter remembers a file that is written to it from start to end.
type pieceWriter struct {
	*pieces
	ends func(i int) int64
	hash maphash.Hash
	at   int64
	next int // piece, that at is in
}

func newPieceWriter(b *Bundle) *pieceWriter {
	n := len(b.frames) - 1
	if b.Plain() {
		n = int((b.size + plainPiece - 1) / plainPiece)
	}
	w := &pieceWriter{ends: b.pieceEnd}
	w.pieces = &pieces{w.hash.Seed(), make([]uint64, n)}
	return w
}

func (w *pieceWriter) Write(b []byte) (int, error) {
	written := len(b)
	for len(b) > 0 {
		end := w.ends(w.next)
		n := min(int64(len(b)), end-w.at)
		_, _ = w.hash.Write(b[:n]) // never fails
		b, w.at = b[n:], w.at+n
		if w.at == end {
			w.sums[w.next] = w.hash.Sum64()
			w.next++
			w.hash.Reset()
		}
	}
	return written, nil
}

// pieceLoader gives the content of a plain tar that has been proven.
type pieceLoader struct {
	b   *Bundle
	buf []byte
}

func (p *pieceLoader) load(at, end int64) ([]byte, error) {
	i := int(at / plainPiece)
	from, to := int64(i)*plainPiece, p.b.pieceEnd(i)
	p.buf = room(p.buf, to-from)
	if _, err := p.b.r.ReadAt(p.buf, from); err != nil {
		return nil, err
	}
	if !p.b.proven.same(i, p.buf) {
		return nil, damaged("file", "%w", errChanged)
	}
	return p.buf[at-from : min(end, to)-from], nil
}
