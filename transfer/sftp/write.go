package sftp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"syscall"

	"github.com/pkg/sftp"
	"golang.org/x/sync/errgroup"

	"airgap/transfer"
)

// inFlight is how many bytes of a file have been read here and are not known
// to be there, at most: those are what a cut costs. It is nearly twice what a
// channel's window in OpenSSH holds, which is why there are two channels.
const inFlight = 4<<20 - 2*largePacket

// requests is how many packets that is, however small they are.
func requests(packet int) int { return min(max(2, inFlight/packet), 128) }

// Write implements transfer.Place: many packets in flight, at explicit
// offsets, since what "append" means differs between servers.
func (p *Place) Write(ctx context.Context, off int64, data io.Reader) error {
	err := p.guard(ctx, func() error { return p.write(ctx, off, data) })
	if cause := context.Cause(ctx); cause != nil && err != nil {
		return &transfer.InterruptedError{Place: p.dest.Host, Partial: p.partialIfAny(), Err: cause}
	}
	return err
}

func (p *Place) write(ctx context.Context, off int64, data io.Reader) error {
	f, err := p.openPartial(off)
	if err != nil {
		return p.failed(err)
	}
	s := &stream{data: data, read: off, packet: p.packet, acks: contiguous{end: off}, arrival: p.follow(ctx)}
	s.change.L = &s.mu
	err = s.send(p, f)
	p.arrived = s.arrival
	if s.failed != nil {
		return closing(f, s.failed)
	}
	if err == nil {
		err = p.sync(f)
	}
	return unexplained(p.failed(closing(f, err)))
}

// unexplained adds to a failure of which the server says nothing, with room for
// what it was to write, what it may be.
func unexplained(err error) error {
	var medium *transfer.MediumError
	var status *sftp.StatusError
	if errors.As(err, &medium) && errors.As(err, &status) && status.FxCode() == sftp.ErrSSHFxFailure && !errors.Is(err, syscall.EROFS) {
		medium.Err = fmt.Errorf("%w; the server does not say why: a full disk or a quota there would do that", medium.Err)
	}
	return err
}

// closing closes a file after an error, or none. What closing says counts only
// if all went well before: a connection that is lost is told once.
func closing(f io.Closer, err error) error {
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	return err
}

// stream is what one Write has under way. Its workers take packet after packet
// of the data and write them where they belong, so that reading goes on here
// while others are encrypted or awaited.
type stream struct {
	packet  int
	arrival *arrival

	mu     sync.Mutex
	change sync.Cond // with mu
	data   io.Reader
	read   int64 // where in the file the data goes on
	done   bool  // no more is to be taken: it ended, or something failed
	failed error // of the data
	acks   contiguous
}

// send writes all data to f, and through a second channel if that can be had.
func (s *stream) send(p *Place, f *sftp.File) error {
	var group errgroup.Group
	workers := requests(s.packet)
	share := workers
	from := s.read
	if p.more != nil && p.file.Size-from > inFlight {
		share = workers / 2
		group.Go(func() error { return s.sendBeside(p, f, workers-share) })
	}
	if p.more != nil && p.canSync() && p.file.Size-from > 2*syncStretch {
		group.Go(func() error { return s.syncBehind(p, from) })
	}
	for range share {
		group.Go(func() error { return s.work(f) })
	}
	err := group.Wait()
	s.arrival.end(err == nil && s.failed == nil)
	return err
}

// sendBeside has some workers write through a channel of its own, or through f
// where there is none: the server may allow only one, or one writer of a file.
func (s *stream) sendBeside(p *Place, first *sftp.File, workers int) error {
	var group errgroup.Group
	f := first
	client, err := p.more()
	if err == nil {
		defer client.Close()
		if beside, err := client.OpenFile(p.partial(), os.O_WRONLY); err == nil {
			f = beside
		}
	}
	for range workers {
		group.Go(func() error { return s.work(f) })
	}
	err = group.Wait()
	if f != first {
		err = closing(f, err)
	}
	return err
}

// syncStretch is how many bytes arrive before the disk there is to take them.
const syncStretch = 64 << 20

// syncBehind has the far side write to its disk what has arrived, while more
// does, so that little is left for the end. It takes a channel of its own, since
// a server does nothing else on a channel meanwhile.
func (s *stream) syncBehind(p *Place, from int64) error {
	client, err := p.more()
	if err != nil {
		return nil // the sync at the end is the one that counts
	}
	defer client.Close()
	f, err := client.OpenFile(p.partial(), os.O_WRONLY)
	if err != nil {
		return nil
	}
	for at := from + syncStretch; s.past(at); at += syncStretch {
		if err := f.Sync(); err != nil {
			s.stop()
			return closing(f, err)
		}
	}
	return f.Close()
}

// past waits until all before that is there, or answers false at the end.
func (s *stream) past(at int64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for !s.done && s.acks.end < at {
		s.change.Wait()
	}
	return !s.done
}

// work writes packets until there are no more.
func (s *stream) work(f *sftp.File) error {
	buf := make([]byte, s.packet)
	for {
		n, off := s.next(buf)
		if n == 0 {
			return nil
		}
		if _, err := f.WriteAt(buf[:n], off); err != nil {
			s.stop()
			return err
		}
		s.acknowledge(off, int64(n))
	}
}

// next fills buf with what comes next in the data. It waits for the first
// packet that is not acknowledged before it goes further ahead of that than may
// be in flight: else there could be holes anywhere behind a channel that lags.
func (s *stream) next(buf []byte) (n int, off int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for !s.done && s.read-s.acks.end >= int64(requests(s.packet)*s.packet) {
		s.change.Wait()
	}
	if s.done {
		return 0, 0
	}
	n, err := io.ReadFull(s.data, buf)
	if err != nil {
		s.done = true
		s.change.Broadcast()
	}
	if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
		s.failed = err
	}
	off = s.read
	s.read += int64(n)
	return n, off
}

func (s *stream) stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.done = true
	s.change.Broadcast()
}

func (s *stream) acknowledge(off, n int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.arrival.has(s.acks.add(off, n))
	s.change.Broadcast()
}

// contiguous keeps account of stretches that become one.
type contiguous struct {
	end   int64 // all before it is there
	later map[int64]int64
}

// add adds n bytes at off and gives the end of what is there without holes.
func (c *contiguous) add(off, n int64) int64 {
	if c.later == nil {
		c.later = map[int64]int64{}
	}
	c.later[off] = n
	for c.later[c.end] > 0 {
		n := c.later[c.end]
		delete(c.later, c.end)
		c.end += n
	}
	return c.end
}

// openPartial opens the partial for writing at off; a new one is made so that
// only this user can read it until it is whole.
func (p *Place) openPartial(off int64) (*sftp.File, error) {
	if off > 0 {
		f, err := p.client.OpenFile(p.partial(), os.O_WRONLY)
		if err != nil {
			return nil, err
		}
		_, err = f.Seek(off, io.SeekStart)
		if err := errors.Join(f.Truncate(off), err); err != nil {
			return nil, closing(f, err)
		}
		return f, nil
	}
	f, err := p.newPartial()
	if err == nil {
		// A server that keeps modes to itself keeps its files to itself, too.
		_ = f.Chmod(0o600)
	}
	return f, err
}

// newPartial makes the partial, for which nothing need be removed where nothing was.
func (p *Place) newPartial() (*sftp.File, error) {
	if p.none {
		if f, err := p.client.OpenFile(p.partial(), exclusive); err == nil {
			return f, nil
		}
	}
	return p.create(p.partial())
}
