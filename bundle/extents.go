package bundle

import (
	"bytes"
	"context"

	"airgap/bundle/image"
)

// Extent is a stretch of the file that holds a stretch of a blob as it is.
type Extent struct{ Off, Size int64 }

// Extents lists where in the file a blob's bytes are, in order. The answer is
// nil for a blob that is compressed in the file, or shares a frame.
func (b *Bundle) Extents(ctx context.Context, d image.Descriptor) ([]Extent, error) {
	i, ok := b.index[d.Digest]
	if !ok {
		return nil, nil
	}
	at := b.geometry.entries[i]
	if b.Plain() {
		return []Extent{{at.off, at.size}}, nil
	}
	starts := b.geometry.frames
	var list []Extent
	scratch := make([]byte, rawFrameSize(MaxFrame)+rawHeaderSize(MaxFrame)+3)
	for f := frameAt(starts, at.off); f < len(starts)-1 && starts[f] < at.end(); f++ {
		if err := context.Cause(ctx); err != nil {
			return nil, err
		}
		raw, err := b.rawExtents(f, scratch)
		if raw == nil || starts[f] < at.off || starts[f+1] > at.end() {
			return nil, err
		}
		list = append(list, raw...)
	}
	return list, nil
}

// rawExtents are those of a frame of raw blocks, and nil for any other.
func (b *Bundle) rawExtents(f int, scratch []byte) ([]Extent, error) {
	n := b.geometry.frames[f+1] - b.geometry.frames[f]
	if b.frames[f+1]-b.frames[f] != rawFrameSize(n) {
		return nil, nil
	}
	layout := newRawFrame(scratch, n)
	at, from := b.frames[f], 0
	var list []Extent
	for _, gap := range layout.gaps {
		head := layout.b[from : cap(layout.b)-cap(gap)]
		got := scratch[len(scratch)-len(head):] // behind every header
		if _, err := b.r.ReadAt(got, at+int64(from)); err != nil {
			return nil, err
		}
		if !bytes.Equal(got, head) {
			return nil, nil
		}
		from += len(head)
		list = append(list, Extent{at + int64(from), int64(len(gap))})
		from += len(gap)
	}
	return list, nil
}
