package parity

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"airgap/internal/scratch"
)

// Losses is what did not come of a stream, and what else came.
type Losses struct {
	Data, Parity int64 // shards that are missing
	Damaged      int64 // packets whose header was good and whose shard was not
	Foreign      int64 // packets of another stream
	Again        int64 // packets that had come before
	Skipped      int64 // bytes that belong to no good packet
}

// Staged is a stream that has been taken in and is whole. It is safe for
// concurrent use; what it gives is proven as it is read.
type Staged struct {
	*Reader
	id     [16]byte
	losses Losses
	files  []*scratch.File
}

// ID is that of the stream.
func (s *Staged) ID() [16]byte { return s.id }

// Lost says what was rebuilt and what was met with.
func (s *Staged) Lost() Losses { return s.losses }

// Close removes the files that the stream is kept in.
func (s *Staged) Close() error {
	var errs []error
	for _, f := range s.files {
		errs = append(errs, f.Close())
	}
	return errors.Join(errs...)
}

// stage makes a file without a name below dir, where the system allows it.
func (s *Staged) stage(dir string) (*os.File, error) {
	f, err := scratch.New(dir, "airgap-*.partial")
	if err != nil {
		return nil, err
	}
	s.files = append(s.files, f)
	return f.File, nil
}

// ReadPackets takes in a stream of packets, of which some may be lost, damaged,
// doubled or out of order, into files below dir, and rebuilds what is missing.
// It reads until every packet has come or r ends, with whatever error. The first
// good packet says which stream is meant.
//
// What cannot be rebuilt is a [*TooDamagedError]; if the last packet has not
// come, the error is an io.ErrUnexpectedEOF or that of r as well. progress, if
// not nil, hears of the bytes of good packets.
func ReadPackets(ctx context.Context, r io.Reader, dir string, progress func(n int64)) (*Staged, error) {
	in := &receiver{Staged: &Staged{}, ctx: ctx, r: bufio.NewReaderSize(r, HeaderSize+MaxShardSize), dir: dir, progress: told(progress)}
	err := in.receive()
	if err == nil {
		err = in.finish()
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("reading packets: %w", err), in.Close())
	}
	return in.Staged, nil
}

// ErrMixed says that good packets came, and enough of them, but not of one stream.
var ErrMixed = errors.New("what came is not what was sent: the packets do not belong together")

// receiver is a stream that is being taken in.
type receiver struct {
	*Staged
	stream   stream
	ctx      context.Context
	r        *bufio.Reader
	dir      string
	progress func(int64)

	t            *Table // of the shards that have come; nil before the first
	data, parity *os.File
	left         int64 // shards that have not come
	last         bool  // the last packet has come
	end          error // what the stream ended with
}

// receive takes in packets until the stream ends or nothing is missing. Its
// error is one of ours, not the stream's.
func (in *receiver) receive() error {
	for in.t == nil || in.left > 0 {
		if err := context.Cause(in.ctx); err != nil {
			return err
		}
		if !in.seek() {
			return context.Cause(in.ctx)
		}
		if err := in.packet(); err != nil {
			return err
		}
	}
	return nil
}

// seek skips to the next magic. It never waits for more than it needs: a link
// may stay open behind the last packet.
func (in *receiver) seek() bool {
	for {
		if _, in.end = in.r.Peek(len(magic)); in.end != nil {
			return false
		}
		seen, _ := in.r.Peek(in.r.Buffered())
		at := bytes.Index(seen, []byte(magic))
		if at >= 0 {
			in.skip(at)
			return true
		}
		in.skip(len(seen) - len(magic) + 1)
	}
}

func (in *receiver) skip(n int) {
	n, _ = in.r.Discard(n)
	in.losses.Skipped += int64(n)
}

// packet takes in the packet that begins here. If it is not good only its first
// byte is skipped: where bytes were lost, the next one begins inside it.
func (in *receiver) packet() error {
	p, _ := in.r.Peek(HeaderSize)
	h, ok := parseHeader(p)
	if !ok {
		in.skip(1)
		return nil
	}
	p, _ = in.r.Peek(HeaderSize + h.g.Shard)
	if len(p) < HeaderSize+h.g.Shard || sum(p[HeaderSize:]) != h.payload {
		in.losses.Damaged++
		in.skip(1)
		return nil
	}
	err := in.accept(h, p[HeaderSize:])
	in.progress(int64(len(p)))
	_, _ = in.r.Discard(len(p)) // it has been seen
	return err
}

// accept puts a shard to its place.
func (in *receiver) accept(h header, shard []byte) error {
	if in.t == nil {
		if err := in.begin(h.stream); err != nil {
			return err
		}
	}
	switch {
	case h.stream != in.stream:
		in.losses.Foreign++
		return nil
	case in.t.knows(h.index):
		in.losses.Again++
		return nil
	}
	in.left--
	in.last = in.last || h.index == in.stream.g.shards()-1
	in.t.set(h.index, h.payload)
	f, i := in.data, h.index
	if n := in.stream.g.DataShards(); i >= n {
		f, i = in.parity, i-n
	}
	_, err := f.WriteAt(shard, i*in.stream.g.shard())
	return err
}

func (in *receiver) begin(s stream) (err error) {
	in.stream, in.id, in.t, in.left = s, s.id, newTable(s.g), s.g.shards()
	if in.data, err = in.stage(in.dir); err != nil {
		return err
	}
	in.parity, err = in.stage(in.dir)
	return err
}

// finish rebuilds what is missing and proves the whole.
func (in *receiver) finish() error {
	if in.t == nil {
		return fmt.Errorf("there is no packet: %w", in.cause())
	}
	lost := in.count()
	files := Source{in.data, in.parity}
	// Files may be shorter than what was sent; nil leaves lost parity as it is.
	if err := (&mending{in.stream.g, in.t, files, in.data, nil}).groups(in.ctx, lost); err != nil {
		return in.tooDamaged(err)
	}
	if in.t.root() != in.stream.root {
		return ErrMixed
	}
	spill, err := in.stage(in.dir)
	if err != nil {
		return err
	}
	in.Reader = NewReader(in.ctx, in.stream.g, in.t, files, spill)
	return nil
}

// count counts the missing shards of each group that lacks data.
func (in *receiver) count() []uint8 {
	lost := make([]uint8, in.stream.g.Groups())
	n := in.stream.g.DataShards()
	for i := range in.stream.g.shards() {
		switch known := in.t.knows(i); {
		case known:
		case i < n:
			in.losses.Data++
			lost[i%in.stream.g.Groups()]++
		default:
			in.losses.Parity++
		}
	}
	return lost
}

// tooDamaged says that packets are missing, if that is it, and how many came.
func (in *receiver) tooDamaged(err error) error {
	var damaged *TooDamagedError
	if !errors.As(err, &damaged) {
		return err
	}
	damaged.Err = nil // that a shard is not in our file is no reason
	err = fmt.Errorf("%d of %d came: %w", in.stream.g.shards()-in.left, in.stream.g.shards(), damaged)
	if in.last {
		return err
	}
	return fmt.Errorf("%w: %w", in.cause(), err)
}

// cause is why the stream ended.
func (in *receiver) cause() error {
	if in.end == nil || errors.Is(in.end, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return in.end
}
