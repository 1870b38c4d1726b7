package bundle

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"slices"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"airgap/bundle/image"
)

// assembly puts a bundle together from its contents: the frames of the file,
// in order, each either finished already, in the spool, or made from a blob when
// its turn comes.
type assembly struct {
	plan     *Plan
	spool    *spool
	framer   *framer
	progress func(int64)

	geometry geometry
	segments []segment
	table    []frameSizes // of the frames, filled in as they are emitted
}

// segment is a run of frames: metadata and documents, which are packed
// already, or one blob.
type segment struct {
	frame   int      // index of its first frame
	spooled *spooled // finished frames, or
	blob    image.Descriptor
}

// size is the length of the segment's frames, if it is known before they are
// made: that of a blob whose media type says that it is compressed follows
// from the blob's size.
func (s segment) size() (n int64, known bool) {
	if s.spooled != nil {
		return s.spooled.packedSize(), true
	}
	whole, rest := s.blob.Size/MaxFrame, s.blob.Size%MaxFrame
	n = whole * rawFrameSize(MaxFrame)
	if rest > 0 {
		n += rawFrameSize(rest)
	}
	return n, image.IsPacked(s.blob.MediaType)
}

// newAssembly packs everything but the blobs that have frames of their own.
func newAssembly(ctx context.Context, p *Plan, c *contents, s *spool, o WriteOptions) (*assembly, error) {
	a := &assembly{plan: p, spool: s, framer: s.framer, progress: o.Progress}
	list := slots(int64(len(c.raw)), -1, c.manifest.Entries)
	a.geometry = newGeometry(list)
	a.table = make([]frameSizes, len(a.geometry.frames)-1)
	b := builder{assembly: a}
	for i, slot := range list {
		b.add(header(slot.name, slot.size))
		if err := b.addContent(ctx, c, i, slot); err != nil {
			return nil, err
		}
		b.add(make([]byte, padding(slot.size)))
		if slot.own {
			b.flush()
		}
	}
	b.add(make([]byte, tarEnd))
	b.flush()
	if b.err != nil {
		return nil, b.err
	}
	if b.frame != len(a.table) {
		return nil, fmt.Errorf("laid out %d frames where %d are expected", b.frame, len(a.table))
	}
	return a, nil
}

// builder makes the segments of an assembly.
type builder struct {
	*assembly
	frame   int
	pending bytes.Buffer // tar bytes that share the next frames
	packed  []byte       // scratch
	err     error        // why frames could not be kept
}

func (b *builder) addContent(ctx context.Context, c *contents, i int, slot slot) error {
	switch i -= 1; {
	case i < 0:
		b.add(c.raw)
	case i < len(c.derived) && slot.size < MinOwnFrame:
		b.add(c.derived[i])
	case i < len(c.derived):
		b.flush()
		b.add(c.derived[i])
		b.flush()
	default:
		return b.addBlob(ctx, c.blobs[i-len(c.derived)])
	}
	return nil
}

func (b *builder) addBlob(ctx context.Context, d image.Descriptor) error {
	if d.Size < MinOwnFrame {
		raw, err := b.small(ctx, d)
		b.add(raw)
		return err
	}
	b.flush()
	if doc := b.plan.document(d.Digest); doc != nil {
		b.add(doc)
		b.flush()
		return nil
	}
	b.segments = append(b.segments, segment{frame: b.frame, spooled: b.spool.get(d.Digest), blob: d})
	b.frame += int((d.Size + MaxFrame - 1) / MaxFrame)
	return nil
}

// small is the content of a blob that shares frames.
func (b *builder) small(ctx context.Context, d image.Descriptor) ([]byte, error) {
	if doc := b.plan.document(d.Digest); doc != nil {
		return doc, nil
	}
	if s := b.spool.get(d.Digest); s != nil {
		return b.spool.content(s)
	}
	r, err := b.open(ctx, d)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	raw, err := io.ReadAll(r)
	if err != nil {
		return nil, err
	}
	return raw, b.plan.checkPlain(d.Digest, raw)
}

// add takes tar bytes and packs what fills a frame.
func (b *builder) add(content []byte) {
	for len(content) > 0 {
		if b.pending.Len() == MaxFrame {
			b.flush()
		}
		n := min(len(content), MaxFrame-b.pending.Len())
		b.pending.Write(content[:n])
		content = content[n:]
	}
}

// flush ends the current frame.
func (b *builder) flush() {
	if b.pending.Len() > 0 {
		b.pack(b.pending.Bytes())
		b.pending.Reset()
	}
}

// pack makes a frame. It goes into the spool, for all that is small may be much.
func (b *builder) pack(content []byte) {
	b.packed = b.framer.encode(content, b.packed)
	finished := &spooled{}
	if err := b.spool.append(finished, b.packed); b.err == nil {
		b.err = err
	}
	b.segments = append(b.segments, segment{frame: b.frame, spooled: finished})
	b.frame++
}

// open opens a blob at its source, counted and with its image's name in errors.
func (a *assembly) open(ctx context.Context, d image.Descriptor) (io.ReadCloser, error) {
	r, err := a.plan.fetch(ctx, d)
	if err != nil {
		return nil, err
	}
	return struct {
		io.Reader
		io.Closer
	}{image.CountingReader(r, a.progress), r}, nil
}

// produce emits the frames of a segment in order.
func (a *assembly) produce(ctx context.Context, s segment, accept func(head []byte) error, emit func([]byte) error) error {
	n := s.frame
	note := func(packed []byte) error {
		a.table[n] = frameSizes{uint32(len(packed)), uint32(a.geometry.frames[n+1] - a.geometry.frames[n])}
		n++
		return emit(packed)
	}
	if s.spooled != nil {
		return a.spool.copyFrames(ctx, s.spooled, note)
	}
	r, err := a.open(ctx, s.blob)
	if err != nil {
		return err
	}
	defer r.Close()
	err = a.framer.frames(ctx, r, s.blob.Size, accept, note)
	if wrong := (*image.WrongLayerError)(nil); errors.As(err, &wrong) { // if these are the layer's bytes, which its end tells
		if _, other := io.Copy(io.Discard, r); other != nil {
			err = other
		}
	}
	if err != nil {
		return fmt.Errorf("image %q: %w", a.plan.from[s.blob.Digest].label, err)
	}
	return nil
}

// stream writes all segments in order.
func (a *assembly) stream(ctx context.Context, w io.Writer) (written, error) {
	out := written{hash: sha256.New()}
	w = io.MultiWriter(w, out.hash)
	for _, s := range a.segments {
		accept := func(head []byte) error { return a.plan.checkPlain(s.blob.Digest, head) }
		err := a.produce(ctx, s, accept, func(packed []byte) error {
			n, err := w.Write(packed)
			out.size += int64(n)
			return err
		})
		if err != nil {
			return out, err
		}
	}
	return out, a.end(w, &out)
}

// written is what is in the file so far: its length and its running sha256.
type written struct {
	size int64
	hash hash.Hash
}

// end writes the trailer and the seek table.
func (a *assembly) end(w io.Writer, out *written) error {
	t := trailer(out.hash.Sum(nil))
	tail := append(t, seekTable(append(a.table, frameSizes{packed: uint32(len(t))}))...)
	n, err := w.Write(tail)
	out.size += int64(n)
	return err
}

// offsets is where each segment goes in the file, and where they end; known is
// false where that depends on how well a blob compresses.
func (a *assembly) offsets() (offs []int64, known bool) {
	offs = make([]int64, 1, len(a.segments)+1)
	for i, s := range a.segments {
		n, ok := s.size()
		if !ok {
			return nil, false
		}
		offs = append(offs, offs[i]+n)
	}
	return offs, true
}

// place writes segments side by side, each at its own offset, and follows them
// with the hash of the file. It answers errPacked where a blob is not
// compressed as its media type says, so that the offsets are wrong.
func (a *assembly) place(ctx context.Context, f *os.File, offs []int64, jobs int) (written, error) {
	out := written{size: offs[len(offs)-1], hash: sha256.New()}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(jobs + 1)
	front := newFront(len(a.segments))
	group.Go(func() error {
		defer front.failWith(ctx)()
		return front.follow(f, offs, out.hash)
	})
	judged := newJudged(a.segments)
	for _, i := range a.order(offs) {
		if ctx.Err() != nil {
			break
		}
		group.Go(func() error {
			s, at := a.segments[i], offs[i]
			if s.spooled != nil {
				if err := judged.wait(ctx); err != nil {
					return err
				}
			}
			return a.produce(ctx, s, judged.packedOnly, func(packed []byte) error {
				_, err := f.WriteAt(packed, at)
				at += int64(len(packed))
				front.reach(i, at)
				return err
			})
		})
	}
	if err := group.Wait(); err != nil {
		return out, err
	}
	return out, a.end(io.MultiWriter(io.NewOffsetWriter(f, out.size), out.hash), &out)
}

// judged is when all blobs have been found to be compressed as their media types
// say. Until then nothing in the spool may be copied, which loses it there:
// should the offsets be wrong, everything is written once more.
type judged struct {
	left atomic.Int64 // blobs
	all  chan struct{}
}

func newJudged(segments []segment) *judged {
	j := &judged{all: make(chan struct{})}
	j.left.Store(1)
	for _, s := range segments {
		if s.spooled == nil {
			j.left.Add(1)
		}
	}
	j.one()
	return j
}

func (j *judged) one() {
	if j.left.Add(-1) == 0 {
		close(j.all)
	}
}

// packedOnly judges a blob by its first bytes.
func (j *judged) packedOnly(head []byte) error {
	if err := packedOnly(head); err != nil {
		return err
	}
	j.one()
	return nil
}

func (j *judged) wait(ctx context.Context) error {
	select {
	case <-j.all:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// order puts segments so that the longest does not run alone at the end, and so
// that what is in the spool waits for none that has not begun.
func (a *assembly) order(offs []int64) []int {
	order := make([]int, len(offs)-1)
	for i := range order {
		order[i] = i
	}
	late := func(i int) int {
		if a.segments[i].spooled != nil {
			return 1
		}
		return 0
	}
	slices.SortStableFunc(order, func(a, b int) int {
		return cmp.Or(cmp.Compare(late(a), late(b)), cmp.Compare(offs[b+1]-offs[b], offs[a+1]-offs[a]))
	})
	return order
}
