package transfer

import (
	"context"
	"errors"
	"fmt"
	"io"

	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"

	"airgap/internal/sums"
)

// sending is one Send.
type sending struct {
	SendOptions
	place   Place
	owner   string
	file    File
	found   Found
	receipt Receipt
}

// alone does something as the only send of what the file is called.
func (s *sending) alone(ctx context.Context, do func(context.Context) error) error {
	held, unlock, err := s.place.Lock(ctx, s.file, LockOptions{Owner: s.owner, Pace: s.Pace, Wait: s.Wait, Note: s.Note})
	if err != nil {
		return err
	}
	defer unlock()
	return do(held)
}

// sync comes when the lock is gone: else a cut would bring that back.
func (s *sending) sync(ctx context.Context) (err error) {
	s.receipt.Durable, s.receipt.Why, err = s.place.Sync(ctx)
	return err
}

func (s *sending) find(ctx context.Context) (err error) {
	s.found, err = s.place.Find(ctx, s.file)
	s.receipt.Place, s.receipt.Path, s.receipt.Replaced = s.found.Place, s.found.Path, s.found.Final >= 0
	return err
}

func (s *sending) run(ctx context.Context) error {
	if err := s.find(ctx); err != nil {
		return err
	}
	s.Found(s.found)
	s.receipt.Size, s.receipt.SHA256 = s.file.Size, s.file.SHA256
	if err := s.mayReplaceSums(ctx); err != nil {
		return err
	}
	there, err := s.alreadyThere(ctx)
	if err != nil {
		return err
	}
	if there {
		return s.commitThere(ctx)
	}
	if err := s.mayReplace(ctx); err != nil {
		return err
	}
	if err := s.fits(); err != nil {
		return err
	}
	if err := s.clear(ctx); err != nil {
		return err
	}
	if err := s.resume(ctx); err != nil {
		return err
	}
	if err := s.write(ctx); err != nil {
		return err
	}
	return s.finish(ctx)
}

// finish names what has been written, when it has been proven.
func (s *sending) finish(ctx context.Context) error {
	if err := s.prove(ctx); err != nil || s.Hold {
		return err
	}
	return s.commit(ctx, Partial)
}

// commit names the file, with the line beside it that sha256sum -c reads. What has
// changed there since the beginning is asked about once more.
func (s *sending) commit(ctx context.Context, which Which) error {
	err := s.place.Commit(ctx, which, Sidecar(s.file, s.found.Name))
	var meanwhile *MeanwhileError
	if !errors.As(err, &meanwhile) || meanwhile.Appeared && meanwhile.Path == s.found.Path {
		return err
	}
	before := s.found
	again := s.find(ctx)
	if again == nil && !meanwhile.Named && before.Final < 0 && s.found.Final >= 0 { // of two that have come, only the sums may have been seen
		return &MeanwhileError{Place: s.found.Place, Path: s.found.Path, Appeared: true, Kept: meanwhile.Kept}
	}
	if again == nil {
		again = s.mayReplaceSums(ctx)
	}
	if again == nil && which == Partial {
		again = s.mayReplace(ctx)
	}
	var foreign *ForeignError
	switch {
	case errors.As(again, &foreign), errors.Is(again, ErrNotRegular):
		return err
	case again != nil:
		return again
	}
	return s.place.Commit(ctx, which, Sidecar(s.file, s.found.Name))
}

// commitThere is commit of what has its name. Where a rename is a link and a removal,
// a cut leaves the other name, too.
func (s *sending) commitThere(ctx context.Context) error {
	if s.found.Begun >= 0 {
		if err := s.place.Discard(ctx); err != nil {
			return err
		}
	}
	return s.commit(ctx, Final)
}

// Sidecar is what a .sha256 beside a file of that name holds.
func Sidecar(f File, name string) []byte { return []byte(sums.Line(f.SHA256, name)) }

// alreadyThere recognises an identical file, by its hash. A sum that is only
// somebody's word says nothing of the file here, which is read meanwhile.
func (s *sending) alreadyThere(ctx context.Context) (bool, error) {
	if s.found.Final != s.file.Size {
		return false, nil
	}
	reading, cancel := context.WithCancel(ctx)
	defer cancel()
	var here errgroup.Group
	here.Go(func() error { return s.isItself(reading) })
	sum, how, err := s.place.Hash(ctx, Final, s.file.Size)
	if err != nil || sum != s.file.SHA256 {
		cancel()
		_ = here.Wait() // it is of no interest
		return false, err
	}
	if err := here.Wait(); err != nil {
		return false, err
	}
	s.receipt.AlreadyThere, s.receipt.Replaced = true, false
	s.receipt.Proven, s.receipt.Resumed = how, s.file.Size
	s.Progress(s.file.Size)
	return true, nil
}

// isItself is a *ChangedError if the file here is not the one of its sum.
func (s *sending) isItself(ctx context.Context) error {
	if s.file.Hashed {
		return nil
	}
	here, err := sumOf(ctx, s.file, s.file.Size)
	if err == nil && here != s.file.SHA256 {
		err = &ChangedError{Name: s.file.Name, Want: s.file.SHA256, Got: here}
	}
	return err
}

// mayReplace refuses to replace what may be dear to somebody.
func (s *sending) mayReplace(ctx context.Context) error {
	if s.Fresh && s.found.Final >= 0 {
		return &MeanwhileError{Place: s.found.Place, Path: s.found.Path, Appeared: true}
	}
	if s.MayReplace == nil || s.found.Final <= 0 {
		return nil
	}
	return s.place.Visit(ctx, func(dir Dir) error {
		old, err := dir.Open(s.found.Name)
		if err != nil {
			return err
		}
		defer old.Close()
		ours, err := s.MayReplace(old, old.Size())
		if err == nil && !ours {
			err = &ForeignError{s.found.Place, s.found.Path}
		}
		return err
	})
}

// mayReplaceSums refuses what has the name of the file's sums and is no such line,
// where it may be dear to somebody.
func (s *sending) mayReplaceSums(ctx context.Context) error {
	found := s.found.Sums
	if s.MayReplace == nil || found == nil || found.Mode().IsRegular() && found.Size() == 0 {
		return nil
	}
	foreign := &ForeignError{s.found.Place, s.found.Path + ".sha256"}
	if !found.Mode().IsRegular() || found.Size() > sums.Most {
		return foreign
	}
	return s.place.Visit(ctx, func(dir Dir) error {
		old, err := dir.Open(s.found.Name + ".sha256")
		if err != nil {
			return err
		}
		defer old.Close()
		content, err := io.ReadAll(io.NewSectionReader(old, 0, sums.Most))
		if err == nil && !sums.IsLine(string(content)) {
			err = foreign
		}
		return err
	})
}

// fits refuses what cannot succeed before the first byte.
func (s *sending) fits() error {
	need := s.file.Size - max(0, min(s.found.Begun, s.file.Size))
	switch {
	case s.found.Limit > 0 && s.file.Size > s.found.Limit:
		return &MediumError{s.found.Path, fmt.Errorf("the file has %d bytes, and at most %d can be written to one there", s.file.Size, s.found.Limit)}
	case s.found.Free >= 0 && need > s.found.Room():
		return s.found.Full(need)
	}
	return nil
}

// clear makes the room of what an older send has left, and names it.
func (s *sending) clear(ctx context.Context) error {
	if len(s.found.Older) == 0 {
		return nil
	}
	err := removeOlder(ctx, s.place, s.found, s.found.Older, s.Note)
	noteStaying(s.found, s.found.Older, s.Note)
	return err
}

// resume proves how much of a partial is the file's beginning.
func (s *sending) resume(ctx context.Context) error {
	n := min(s.found.Begun, s.file.Size)
	if n <= 0 {
		return nil
	}
	here, err := sumOf(ctx, s.file, n)
	if err != nil {
		return err
	}
	there, _, err := s.place.Hash(ctx, Partial, n)
	if err != nil {
		return err
	}
	if there != here {
		s.Note("what is there of %s is not its beginning: starting over", s.file.Name)
		return nil
	}
	s.receipt.Resumed = n
	s.Progress(n)
	s.Note("resuming after %d of %d bytes", n, s.file.Size)
	return nil
}

// write sends the rest. It is not hashed here, too: that what is there has the
// sum that it should have says all.
func (s *sending) write(ctx context.Context) error {
	off := s.receipt.Resumed
	err := s.place.Write(ctx, off, &counted{s.limited(ctx, readerOf(ctx, s.file, off, s.file.Size-off)), s})
	return Beside(err, staying(s.found.Older))
}

// limited keeps to the limit, if there is one.
func (s *sending) limited(ctx context.Context, r io.Reader) io.Reader {
	if s.Limit <= 0 {
		return r
	}
	// Whoever reads takes packets, of which a burst must hold at least one.
	burst := max(minBurst, int(min(s.Limit/10, 1<<20)))
	return &limitedReader{ctx, r, rate.NewLimiter(rate.Limit(s.Limit), burst)}
}

// minBurst is what is sent at once however low the limit is, in bytes.
const minBurst = 4 << 10

type limitedReader struct {
	ctx     context.Context
	r       io.Reader
	limiter *rate.Limiter
}

func (l *limitedReader) Read(p []byte) (int, error) {
	n, err := l.r.Read(p[:min(len(p), l.limiter.Burst())])
	if n > 0 {
		if err := l.limiter.WaitN(l.ctx, n); err != nil {
			return 0, context.Cause(l.ctx)
		}
	}
	return n, err
}

// prove compares what the place has with what was sent.
func (s *sending) prove(ctx context.Context) error {
	sum, how, err := s.place.Hash(ctx, Partial, s.file.Size)
	if err != nil {
		return err
	}
	if sum != s.file.SHA256 {
		return errors.Join(s.blame(ctx, sum), s.place.Discard(ctx))
	}
	s.receipt.Proven = how
	return nil
}

// blame says whose fault a wrong sum there is: the place's, unless the file here
// has a wrong one, too.
func (s *sending) blame(ctx context.Context, there string) error {
	if s.file.Data != nil { // a stream cannot be read again
		s.file.Hashed = false // it may have changed since
		if err := s.isItself(ctx); err != nil {
			return err
		}
	}
	if there == "" {
		return &MediumError{s.found.Path, errors.New("it holds less than it was given")}
	}
	return &MediumError{s.found.Path, fmt.Errorf("it holds other bytes than it was given: sha256 %s, expected %s", there, s.file.SHA256)}
}
