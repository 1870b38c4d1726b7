package transfer_test

import (
	"context"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"airgap/transfer"
)

// lockedFolder is a folder in memory that holds one lock at most.
type lockedFolder struct {
	mu       sync.Mutex
	there    bool
	sign     string
	modified time.Time
	clock    bool // the folder keeps times that can be believed
}

func (f *lockedFolder) Create(sign string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.there {
		return fs.ErrExist
	}
	f.there, f.sign, f.modified = true, sign, time.Now()
	return nil
}

// Beat writes to the file of whoever has made it: another's is not touched.
func (f *lockedFolder) Beat(sign string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if token, _, _ := strings.Cut(sign, " "); strings.HasPrefix(f.sign, token+" ") {
		f.sign, f.modified = sign, time.Now()
	}
	return nil
}

func (f *lockedFolder) Look() (s transfer.Signs, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.there {
		return s, fs.ErrNotExist
	}
	s.Sign = f.sign
	if f.clock {
		s.Written.Modified = f.modified
	}
	return s, nil
}

func (f *lockedFolder) Age(s transfer.Signs) time.Duration { return s.Age(time.Now()) }

func (f *lockedFolder) Break(s transfer.Signs) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.there = f.there && f.sign != s.Sign
	return nil
}

func (f *lockedFolder) Remove() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.there = false
	return nil
}

// TestLock has several want one lock, hold it for a while, and give it back or
// die: it never is two's, never taken from the living, and not for long the
// dead's.
func TestLock(t *testing.T) {
	held, died := 0, 0
	for seed := range uint64(12) {
		synctest.Test(t, func(t *testing.T) {
			folder := &lockedFolder{clock: seed%2 == 0}
			var holders atomic.Int32
			var mu sync.Mutex
			var death time.Time // of the last holder, if it has not given it back
			var all sync.WaitGroup
			for who := range uint64(4) {
				random := rand.New(rand.NewPCG(seed, who))
				some := func(most time.Duration) time.Duration { return time.Duration(random.Int64N(int64(most))) }
				all.Go(func() {
					for n := range 5 {
						time.Sleep(some(20 * time.Second))
						wanted := time.Now()
						alive, die := context.WithCancel(t.Context())
						lock, unlock, err := transfer.Lock(alive, folder, transfer.LockOptions{
							Owner: fmt.Sprintf("%d-%d", who, n), Wait: true, Note: func(string, ...any) {},
						}, &transfer.BusyError{})
						if err != nil {
							t.Error(err)
							die()
							return
						}
						mu.Lock()
						if waited := min(time.Since(death), time.Since(wanted)); !death.IsZero() && waited > 70*time.Second {
							t.Errorf("seed %d: it was the dead's for %v", seed, waited)
						}
						death = time.Time{}
						mu.Unlock()
						if holders.Add(1) != 1 {
							t.Errorf("seed %d: it is two's", seed)
						}
						time.Sleep(some(3 * time.Minute))
						if lock.Err() != nil {
							t.Errorf("seed %d: it was taken from the living: %v", seed, context.Cause(lock))
						}
						holders.Add(-1)
						mu.Lock()
						held++
						dies := random.IntN(3) == 0
						if dies {
							died++
							death = time.Now()
						}
						mu.Unlock()
						if dies {
							die()
						} else {
							unlock()
							die()
						}
					}
				})
			}
			all.Wait()
		})
	}
	if held != 12*4*5 || died == 0 {
		t.Errorf("held %d times, %d died", held, died)
	}
}
