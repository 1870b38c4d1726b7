package transfer

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"
)

// Two sends of one name to one folder would write one partial, and take from
// each other what they have written. So whoever sends holds a lock there for as
// long as it takes: a small file beside the partial. It has to end with its
// owner, wherever that is and however it ends, which is told by signs of life:
// the owner writes to the lock time and again. One that has not done so for a
// while is dead, by the place's own clock or, where that is not to be had,
// because nothing has happened while somebody watched. A place may know sooner.

// LockName is the name of the lock of what is called name.
func LockName(name string) string { return "." + name + ".lock" }

// LockedName is the name that a file of a folder is the lock of, if it is one.
func LockedName(entry string) (name string, ok bool) {
	name, dot := strings.CutPrefix(entry, ".")
	name, lock := strings.CutSuffix(name, ".lock")
	return name, dot && lock && name != ""
}

// LockOptions say who wants a lock.
type LockOptions struct {
	Owner string // the same for all attempts of one send, and for no other
	Pace  Pace
	Wait  bool // for as long as somebody else has it
	Try   bool // who may have broken off counts as having it: no sign of life is waited for
	Note  func(format string, args ...any)
}

// Pace is how often the owner of a lock gives a sign of life, and how long after
// the last one it is taken for dead. Zero: the usual.
type Pace struct{ Beat, Stale time.Duration }

// The usual pace. A connection that answers nothing is given up by its owner
// before its lock is stale.
const (
	usualBeat  = 5 * time.Second
	usualStale = time.Minute
)

func (p Pace) withDefaults() Pace {
	return Pace{cmp.Or(p.Beat, usualBeat), cmp.Or(p.Stale, usualStale)}
}

// poll is how often somebody looks who watches for signs of life.
func (p Pace) poll() time.Duration { return p.Beat / 5 }

// LockFile is a lock as a place has it. Its methods may be called while the
// place is in use.
type LockFile interface {
	// Create makes the file, or fails with fs.ErrExist. Where there is room for
	// the file and not for what is in it, it is empty.
	Create(sign string) error
	// Beat writes another sign into the file that Create has made.
	Beat(sign string) error
	// Look looks at the file that has the lock's name: fs.ErrNotExist if none.
	Look() (Signs, error)
	// Age is how long ago, by the place's clock, there was the last of the signs;
	// negative where that cannot be told.
	Age(Signs) time.Duration
	// Break removes the file of an owner that is dead, if it still is what was
	// looked at.
	Break(Signs) error
	// Remove removes the file that Create has made.
	Remove() error
}

// Signs are what shows whether a lock's owner is alive.
type Signs struct {
	LockText
	Written Version // of the lock
	Grown   Version // of the partial that it is about
	Fate    Fate
}

// Age is how long ago the last of the signs was, if it is now so late; negative
// where it cannot be told.
func (s Signs) Age(now time.Time) time.Duration {
	last := s.Written.Modified
	if s.Grown.Modified.After(last) {
		last = s.Grown.Modified
	}
	if last.Unix() <= 0 || now.Unix() <= 0 { // a place that keeps no times
		return -1
	}
	return now.Sub(last)
}

// Version is what of a file becomes another when it is written to.
type Version struct {
	Size     int64
	Modified time.Time
}

// LockText is what is in a lock.
type LockText struct {
	Sign    string // whose it is, and a number that grows
	Machine string // on which it is locked by other means as well; may be empty
	Partial string // what grows meanwhile
}

func (l LockText) String() string { return l.Sign + "\n" + l.Machine + "\n" + l.Partial + "\n" }

// MaxLock is how long the text of a lock is at most, in bytes.
const MaxLock = 4 << 10

// ParseLock reads what is in the lock of what is called name. Others may have
// written it.
func ParseLock(raw []byte, name string) (l LockText) {
	lines := strings.Split(string(raw[:min(len(raw), MaxLock)]), "\n")
	for i, part := range []*string{&l.Sign, &l.Machine, &l.Partial} {
		if i < len(lines)-1 { // a line that has no end is not whole
			*part = lines[i]
		}
	}
	if !IsPartial(l.Partial, name) {
		l.Partial = ""
	}
	return l
}

// Fate is what a place knows of the owner of a lock.
type Fate int

// The fates.
const (
	Unknown Fate = iota
	Alive
	Dead
)

// Lock makes its caller the only one that has a lock. The context that it
// answers ends if somebody takes the lock over all the same; unlock gives it
// back. Where another has it, the error is busy.
func Lock(ctx context.Context, f LockFile, o LockOptions, busy *BusyError) (held context.Context, unlock func(), err error) {
	o.Pace = o.Pace.withDefaults()
	l := &lock{LockFile: f, LockOptions: o, token: o.Owner + "." + rand.Text()[:8], busy: busy}
	if err := l.acquire(ctx); err != nil {
		return nil, nil, err
	}
	held, cancel := context.WithCancelCause(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		l.live(held, cancel)
	}()
	return held, func() {
		lost := context.Cause(held) == error(busy)
		cancel(nil)
		<-ended
		if !lost {
			_ = f.Remove() // if the way there is broken, it will be stale
		}
	}, nil
}

// lock is one that is wanted, and then had.
type lock struct {
	LockFile
	LockOptions
	token string
	busy  *BusyError
	beats int
}

// sign is whose the lock is, and a number that grows.
func (l *lock) sign() string { return fmt.Sprintf("%s %08d", l.token, l.beats) }

// acquire makes the lock, in the stead of one whose owner is dead.
func (l *lock) acquire(ctx context.Context) error {
	w := &watch{lock: l}
	for {
		err := l.Create(l.sign())
		if !errors.Is(err, fs.ErrExist) {
			return err
		}
		switch dead, err := w.look(); {
		case err != nil:
			return err
		case dead:
			if err := l.Break(*w.seen); err != nil {
				return err
			}
			continue
		}
		if err := pauseFor(ctx, l.Pace.poll()); err != nil {
			return err
		}
	}
}

// watch is what is known of another's lock.
type watch struct {
	*lock
	seen  *Signs
	quiet time.Duration // since its last sign of life
}

// look looks for signs of life, and answers whether the other is dead. That it
// is alive is an error, unless that is waited for. A partial that grows is no
// proof: what was on the way when its owner died arrives all the same.
func (w *watch) look() (dead bool, err error) {
	now, err := w.Look()
	if errors.Is(err, fs.ErrNotExist) {
		w.seen = nil
		return false, nil
	}
	if err != nil {
		return false, err
	}
	before := w.seen
	w.seen = &now
	switch {
	case now.Fate == Dead, strings.HasPrefix(now.Sign, w.Owner+"."): // of an attempt of ours that broke off
		return true, nil
	case now.Fate == Alive, before != nil && (before.Sign != now.Sign || before.Written != now.Written):
		if !w.Wait {
			return false, w.busy
		}
		w.quiet = 0
	case before == nil:
		w.quiet = max(0, w.Age(now))
	case before.Grown != now.Grown:
		w.quiet = 0
	default:
		w.quiet += w.Pace.poll()
	}
	if before == nil && w.quiet < w.Pace.Stale && !w.Try {
		w.tell()
	}
	if dead = w.quiet >= w.Pace.Stale; !dead && w.Try {
		return false, w.busy
	}
	return dead, nil
}

// tell says what is waited for.
func (w *watch) tell() {
	if w.Wait {
		w.Note("%v: waiting for it", w.busy)
		return
	}
	w.Note("%v, or has broken off: waiting at most %v for a sign of it", w.busy, (w.Pace.Stale - w.quiet).Round(time.Second))
}

// live gives signs of life until held ends, and ends it when the lock has
// become another's.
func (l *lock) live(held context.Context, lost context.CancelCauseFunc) {
	for pauseFor(held, l.Pace.Beat) == nil {
		l.beats++
		_ = l.Beat(l.sign()) // what is wrong with the way there others find out
		now, err := l.Look()
		switch {
		case errors.Is(err, fs.ErrNotExist): // somebody has cleared up
			if err := l.Create(l.sign()); errors.Is(err, fs.ErrExist) {
				lost(l.busy)
			}
		case err == nil && now.Sign != "" && !strings.HasPrefix(now.Sign, l.token):
			lost(l.busy)
		}
	}
}
