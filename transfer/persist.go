package transfer

import (
	"context"
	"errors"
	"time"
)

// Persistence says how long something is tried again where the way to a place
// breaks off.
type Persistence struct {
	// Reopen connects to the place once more, in the stead of a connection that
	// has broken. Nil: the first cut is the end.
	Reopen func(ctx context.Context) (Place, error)
	// Pause waits for the way to come back. Nil: by the clock.
	Pause func(ctx context.Context, d time.Duration) error
	// Note hears of what a user should know; may be nil.
	Note func(format string, args ...any)
}

// How often it is tried without any gain, and how long is waited before: a
// second, then twice as long each time. Together that is four minutes.
const (
	maxFailures = 10
	firstPause  = time.Second
	maxPause    = 40 * time.Second
)

// Open connects to a place for the first time. Only a host that turns connections
// away is tried again, as after an interruption: where none is found its name may
// be wrong, or the way to it.
func (again Persistence) Open(ctx context.Context, open func(ctx context.Context) (Place, error)) (Place, error) {
	p, err := open(ctx)
	var cut *InterruptedError
	if again.Reopen == nil || !errors.As(err, &cut) || !cut.Away || ctx.Err() != nil {
		return p, err
	}
	failures := 0
	return again.reopen(ctx, err, &failures)
}

// Try does something at a place, for as long as it takes: where the way to the
// place breaks off it connects again and does it once more. It gives up with
// the error of the last time when that has been in vain for some minutes; what
// else goes wrong ends it at once. Do says whether it has come further than the
// times before.
func (again Persistence) Try(ctx context.Context, p Place, do func(p Place) (further bool, err error)) error {
	failures := 0
	for {
		further, err := do(p)
		if further {
			failures = 0
		}
		var cut *InterruptedError
		if err == nil || again.Reopen == nil || !errors.As(err, &cut) || ctx.Err() != nil {
			return err
		}
		if p, err = again.reopen(ctx, err, &failures); err != nil {
			return err
		}
	}
}

// reopen connects again after an interruption. Failures counts those since it
// last came further.
func (again Persistence) reopen(ctx context.Context, cause error, failures *int) (Place, error) {
	pause, note := again.Pause, again.Note
	if pause == nil {
		pause = pauseFor
	}
	if note == nil {
		note = func(string, ...any) {}
	}
	why := cause
	for {
		if *failures++; *failures > maxFailures {
			return nil, cause
		}
		wait := min(firstPause<<(*failures-1), maxPause)
		note("%v; connecting again in %v", why, wait)
		if err := pause(ctx, wait); err != nil {
			return nil, cause
		}
		p, err := again.Reopen(ctx)
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

// SendOn is Send, tried again as Persistence says: it goes on where the way
// broke off.
func SendOn(ctx context.Context, p Place, f File, o SendOptions, again Persistence) (Receipt, error) {
	s := &persistent{owner: newOwner(), f: f, o: o.withDefaults()}
	if again.Note == nil {
		again.Note = s.o.Note
	}
	err := again.Try(ctx, p, func(p Place) (bool, error) { return s.attempt(ctx, p) })
	return s.total, err
}

// persistent is one SendOn.
type persistent struct {
	owner    string
	f        File
	o        SendOptions
	attempts int
	total    Receipt // of them all
	told     int64   // bytes that Progress has heard of
	looked   bool    // at what was there
	fresh    bool    // nothing had the name then
}

// attempt is one Send. It has come further when a place was proven, or said, to
// have more than before.
func (s *persistent) attempt(ctx context.Context, p Place) (further bool, err error) {
	o, at, before := s.o, int64(0), s.told
	o.Progress = func(n int64) { // what is proven again has been told already
		at += n
		if at > s.told {
			s.o.Progress(at - s.told)
			s.told = at
		}
	}
	o.Fresh = o.Fresh || s.fresh
	o.Found = func(f Found) {
		if !s.looked {
			s.looked, s.fresh = true, f.Final < 0
			s.o.Found(f)
		}
	}
	r, err := sendAs(ctx, s.owner, p, s.f, o)
	switch {
	case r.Place == "": // it broke off before anything was found there
		r = s.total
	case s.total.Place != "":
		r.Sent, r.Resumed = s.total.Sent+r.Sent, s.total.Resumed
	}
	r.Cuts = s.attempts
	s.attempts++
	s.total = r
	return s.told > before, err
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
