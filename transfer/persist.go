package transfer

import (
	"context"
	"errors"
	"time"
)

// Persistence says how long a transfer that breaks off is tried again.
type Persistence struct {
	// Reopen connects to the place once more. Nil: the first cut is the end.
	Reopen func(ctx context.Context) (Place, error)
	// Pause waits for the way to come back. Nil: by the clock.
	Pause func(ctx context.Context, d time.Duration) error
}

// How often it is tried without any gain, and how long is waited before: a
// second, then twice as long each time. Together that is four minutes.
const (
	maxFailures = 10
	firstPause  = time.Second
	maxPause    = 40 * time.Second
)

// SendOn is Send, for as long as it takes: where the way to the place breaks
// off it connects again and goes on. It gives up with the error of the last
// Send when that has been in vain for some minutes; what else goes wrong ends
// it at once. It closes p, and every place that it opens.
func SendOn(ctx context.Context, p Place, f File, o SendOptions, again Persistence) (Receipt, error) {
	if again.Pause == nil {
		again.Pause = pauseFor
	}
	s := &persistent{f: f, o: o.withDefaults(), again: again}
	for {
		receipt, err := s.attempt(ctx, p)
		var cut *InterruptedError
		if err == nil || again.Reopen == nil || !errors.As(err, &cut) || ctx.Err() != nil {
			return receipt, err
		}
		if p, err = s.reopen(ctx, err); err != nil {
			return receipt, err
		}
	}
}

// persistent is one SendOn.
type persistent struct {
	f     File
	o     SendOptions
	again Persistence

	total    Receipt
	told     int64 // bytes that Progress has heard of
	best     int64 // bytes that a place was proven, or said, to have
	failures int   // since then
}

// attempt is one Send, with what was done before in its receipt.
func (s *persistent) attempt(ctx context.Context, p Place) (Receipt, error) {
	o, at := s.o, int64(0)
	o.Progress = func(n int64) { // what is proven again has been told already
		at += n
		if at > s.told {
			s.o.Progress(at - s.told)
			s.told = at
		}
	}
	r, err := Send(ctx, p, s.f, o)
	_ = p.Close() // of a connection that may be broken; Send has told what matters
	if s.total.Place == "" {
		s.total = r
	} else {
		s.total.Sent += r.Sent
		r.Sent, r.Resumed = s.total.Sent, s.total.Resumed
	}
	r.Cuts = s.total.Cuts
	if s.told > s.best {
		s.best, s.failures = s.told, 0
	}
	return r, err
}

// reopen connects again after an interruption.
func (s *persistent) reopen(ctx context.Context, cause error) (Place, error) {
	s.total.Cuts++
	why := cause
	for {
		if s.failures++; s.failures > maxFailures {
			return nil, cause
		}
		wait := min(firstPause<<(s.failures-1), maxPause)
		s.o.Note("%v; connecting again in %v", why, wait)
		if err := s.again.Pause(ctx, wait); err != nil {
			return nil, cause
		}
		p, err := s.again.Reopen(ctx)
		var cut *InterruptedError
		switch {
		case err == nil:
			return p, nil
		case ctx.Err() != nil:
			return nil, cause
		case !errors.As(err, &cut):
			return nil, err
		}
		why = err
	}
}

func pauseFor(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
