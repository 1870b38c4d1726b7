package bundle

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"io"

	"airgap/bundle/image"
)

// CheckContents proves that the bundle is what would be packed of its images:
// graphs are its own images, as image.Read read them from it. Then every
// document for other tools says what the images say.
func (b *Bundle) CheckContents(graphs []*image.Graph) error {
	c, err := newContents(graphs, b.manifest.Files, b.blobSize)
	if err != nil {
		return damaged(manifestName, "%w", err)
	}
	if !c.manifest.isEncoded(b.raw) {
		return damaged(manifestName, "it does not list what the images consist of")
	}
	return b.checkTar(c)
}

// blobSize is what the manifest says of a blob; it has been checked that it
// lists those of all files.
func (b *Bundle) blobSize(d image.Digest) int64 { return b.geometry.entries[b.index[d]].size }

// checkTar compares every byte of the tar that is not of a blob: headers, the
// manifest and its signature, derived documents, padding, the end. Together
// with the blobs that is the whole tar, read by the seek table: so every row of
// that is decoded, and holds one frame of its cut and nothing else that plain
// tools would come upon.
func (b *Bundle) checkTar(c *contents) error {
	documents := [][]byte{b.raw}
	if b.signature != nil {
		documents = append(documents, b.signature)
	}
	documents = append(documents, c.derived...)
	for i, s := range b.slots {
		at := b.geometry.entries[i]
		if err := b.compare(s.name, at.off-headerSize(s.size), header(s.name, s.size)); err != nil {
			return err
		}
		if i < len(documents) {
			if err := b.compare(s.name, at.off, documents[i]); err != nil {
				return err
			}
		}
		if err := b.compare(s.name, at.end(), make([]byte, padding(s.size))); err != nil {
			return err
		}
	}
	return b.compare("end of the tar", b.geometry.size-tarEnd, make([]byte, tarEnd))
}

func (b *Bundle) compare(what string, off int64, want []byte) error {
	r := b.section(span{off, int64(len(want))})
	buf := make([]byte, min(len(want), 64<<10))
	for len(want) > 0 {
		got := buf[:min(len(want), len(buf))]
		if _, err := io.ReadFull(r, got); err != nil {
			return err
		}
		if !bytes.Equal(got, want[:len(got)]) {
			return damaged(what, "bytes at %d of the tar are not those of the format", off)
		}
		want = want[len(got):]
		off += int64(len(got))
	}
	return nil
}

// Prove gives a second view of the bundle, which reads only what run has
// passed: run reads the file once from start to end and compares the hash in
// its trailer. Together they read a slow medium once, in order. Views wait
// until run is called; progress hears of the bytes of the file. After run has
// answered nil, b remembers what was there: what it reads from then on is that,
// or the error is a *DamagedError.
func (b *Bundle) Prove(progress func(n int64)) (view *Bundle, run func(context.Context) error) {
	f, seen := newFront(1), newPieceWriter(b)
	behind := *b
	behind.r, behind.proven = &follower{b.r, f, b.size}, seen.pieces
	return &behind, func(ctx context.Context) error {
		defer f.failWith(ctx)()
		_, err := b.prove(ctx, f, seen, progress)
		if err != nil {
			f.fail(err)
			return err
		}
		b.proven = seen.pieces
		return nil
	}
}

// Sum reads the file once and gives its sha256, in hexadecimal digits. On the way
// it compares the hash in the trailer; the plain tar from inside a bundle has
// none.
func (b *Bundle) Sum(ctx context.Context, progress func(n int64)) (string, error) {
	return b.prove(ctx, newFront(1), io.Discard, progress)
}

func (b *Bundle) prove(ctx context.Context, f *front, seen io.Writer, progress func(int64)) (sum string, err error) {
	h := b.newTrailerCheck()
	end := h.end
	buf := make([]byte, min(1<<20, b.size))
	for at := int64(0); at < end; {
		if err := context.Cause(ctx); err != nil {
			return "", err
		}
		n, err := b.r.ReadAt(buf[:min(int64(len(buf)), end-at)], at)
		if err != nil {
			return "", err
		}
		_, _ = h.Write(buf[:n]) // which never fails, nor does this:
		_, _ = seen.Write(buf[:n])
		at += int64(n)
		f.reach(0, at)
		progress(int64(n))
	}
	rest := make([]byte, b.size-end)
	if _, err := b.r.ReadAt(rest, end); err != nil {
		return "", err
	}
	progress(b.size - end)
	f.reach(0, b.size)
	_, _ = h.Write(rest)
	if err := h.Close(); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.hash.Sum(nil)), nil
}

// Trailer takes all bytes of the file, in order, from who reads them anyway. Close
// compares them with the hash in the trailer; a plain tar has none.
func (b *Bundle) Trailer() io.WriteCloser { return b.newTrailerCheck() }

func (b *Bundle) newTrailerCheck() *trailerCheck {
	c := &trailerCheck{hash: sha256.New(), end: b.size, plain: b.Plain()}
	if !c.plain {
		c.end = b.frames[len(b.frames)-1]
	}
	return c
}

// trailerCheck is one Trailer.
type trailerCheck struct {
	hash  hash.Hash // of all of it so far
	at    int64
	end   int64 // of what the trailer is about
	plain bool  // every byte is checked on its own
	want  []byte
	rest  []byte // as much of what follows as the trailer may be
}

func (c *trailerCheck) Write(p []byte) (int, error) {
	before := p[:min(int64(len(p)), max(0, c.end-c.at))]
	c.hash.Write(before)
	c.at += int64(len(before))
	if after := p[len(before):]; len(after) > 0 {
		if c.want == nil {
			c.want = trailer(c.hash.Sum(nil))
		}
		c.hash.Write(after)
		c.at += int64(len(after))
		c.rest = append(c.rest, after[:min(len(after), len(c.want)-len(c.rest))]...)
	}
	return len(p), nil
}

func (c *trailerCheck) Close() error {
	if !c.plain && (c.want == nil || !bytes.Equal(c.rest, c.want)) {
		return damaged("trailer", "the hash of the file is not the one that it ends with")
	}
	return nil
}
