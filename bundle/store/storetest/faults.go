package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"testing"

	"airgap/bundle/image"
)

// ErrInjected is the cause of [Broken] and [Refused] faults.
var ErrInjected = errors.New("injected fault")

// FaultKind is what goes wrong.
type FaultKind int

const (
	Absent    FaultKind = iota // Fetch: the blob is not there
	Refused                    // the call fails with ErrInjected
	Broken                     // the reader fails with ErrInjected half way
	Short                      // the reader ends half way, as if that were all
	Long                       // the reader gives one byte too many
	Wrong                      // the reader gives one wrong byte, of the right number
	Cancelled                  // Fault.Cancel is called half way; the reader ends with the context's cause
)

// AllBlobFaults are the faults of a Fetcher that lies or quits.
var AllBlobFaults = []FaultKind{Absent, Refused, Broken, Short, Long, Wrong, Cancelled}

func (k FaultKind) String() string {
	return [...]string{"absent blob", "refused call", "error in the middle", "short blob", "long blob", "wrong byte", "cancelled context"}[k]
}

// Fault is one fault, at the Nth matching call (from 1).
type Fault struct {
	Kind FaultKind
	// Call is the method that fails: "fetch" (if empty), or of a Sink "begin",
	// "write", "commit", "abort" or "flush", for which only Refused exists.
	Call   string
	Nth    int
	Digest image.Digest            // only calls for this blob count; zero for any
	Cancel context.CancelCauseFunc // for Cancelled
}

// Faults injects a queue of faults and remembers which were reached.
type Faults struct {
	mu      sync.Mutex
	faults  []Fault
	calls   []int
	reached []bool
}

// NewFaults queues faults. When the test ends, those that were not reached
// fail it: a test of a fault that never happened proves nothing.
func NewFaults(t testing.TB, faults ...Fault) *Faults {
	f := &Faults{faults: faults, calls: make([]int, len(faults)), reached: make([]bool, len(faults))}
	t.Cleanup(func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		for i, reached := range f.reached {
			if !reached {
				t.Errorf("fault not reached: %s in call %d of %q", faults[i].Kind, faults[i].Nth, faults[i].Call)
			}
		}
	})
	return f
}

// next says whether a call fails, and how.
func (f *Faults) next(call string, d image.Digest) (Fault, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i, fault := range f.faults {
		if fault.Call == "" {
			fault.Call = "fetch"
		}
		if fault.Call != call || fault.Digest != (image.Digest{}) && fault.Digest != d {
			continue
		}
		if f.calls[i]++; f.calls[i] == max(1, fault.Nth) {
			f.reached[i] = true
			return fault, true
		}
	}
	return Fault{}, false
}

// Fetcher wraps a Fetcher. Its readers lie: they do not verify.
func (f *Faults) Fetcher(from image.Fetcher) image.Fetcher { return faultyFetcher{from, f} }

// Set wraps a Set in the same way.
func (f *Faults) Set(set image.Set) image.Set { return faultySet{set, f} }

// Sink wraps a Sink and its transactions.
func (f *Faults) Sink(sink image.Sink) image.Sink { return faultySink{sink, f} }

type faultyFetcher struct {
	from   image.Fetcher
	faults *Faults
}

func (f faultyFetcher) Fetch(ctx context.Context, d image.Descriptor) (io.ReadCloser, error) {
	return f.faults.fetch(ctx, f.from, d)
}

type faultySet struct {
	image.Set
	faults *Faults
}

func (s faultySet) Fetch(ctx context.Context, d image.Descriptor) (io.ReadCloser, error) {
	return s.faults.fetch(ctx, s.Set, d)
}

func (f *Faults) fetch(ctx context.Context, from image.Fetcher, d image.Descriptor) (io.ReadCloser, error) {
	fault, ok := f.next("fetch", d.Digest)
	if !ok {
		return from.Fetch(ctx, d)
	}
	switch fault.Kind {
	case Absent:
		return nil, fmt.Errorf("blob %s: %w", d.Digest, image.ErrNotFound)
	case Refused:
		return nil, ErrInjected
	}
	r, err := from.Fetch(ctx, d)
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(r)
	if err := closeWith(r, err); err != nil {
		return nil, err
	}
	return io.NopCloser(fault.spoil(ctx, b)), nil
}

// spoil gives the reader of a blob that has the fault.
func (f Fault) spoil(ctx context.Context, b []byte) io.Reader {
	half := bytes.NewReader(b[:len(b)/2])
	switch f.Kind {
	case Broken:
		return io.MultiReader(half, failing(func() error { return ErrInjected }))
	case Short:
		return half
	case Long:
		return bytes.NewReader(append(bytes.Clone(b), 0))
	case Wrong:
		b = bytes.Clone(b)
		b[len(b)/2] ^= 1
		return bytes.NewReader(b)
	case Cancelled:
		return io.MultiReader(half, failing(func() error {
			f.Cancel(ErrInjected)
			return context.Cause(ctx)
		}))
	}
	panic("storetest: no such fault of a reader: " + f.Kind.String())
}

type failing func() error

func (f failing) Read([]byte) (int, error) { return 0, f() }

type faultySink struct {
	image.Sink
	faults *Faults
}

func (f *Faults) refuse(call string) error {
	if _, ok := f.next(call, image.Digest{}); ok {
		return ErrInjected
	}
	return nil
}

func (s faultySink) Begin(ctx context.Context, img image.Import) (image.Txn, error) {
	if err := s.faults.refuse("begin"); err != nil {
		return nil, err
	}
	txn, err := s.Sink.Begin(ctx, img)
	if err != nil {
		return nil, err
	}
	return faultyTxn{txn, s.faults}, nil
}

func (s faultySink) Flush(ctx context.Context) (bool, string, error) {
	if err := s.faults.refuse("flush"); err != nil {
		return false, "", err
	}
	return s.Sink.Flush(ctx)
}

type faultyTxn struct {
	image.Txn
	faults *Faults
}

func (t faultyTxn) Write(ctx context.Context, from image.Fetcher, done func(n int64)) error {
	if err := t.faults.refuse("write"); err != nil {
		return err
	}
	return t.Txn.Write(ctx, from, done)
}

func (t faultyTxn) Commit(ctx context.Context) ([]image.Tag, error) {
	if err := t.faults.refuse("commit"); err != nil {
		return nil, err
	}
	return t.Txn.Commit(ctx)
}

func (t faultyTxn) Abort(ctx context.Context) error {
	if err := t.faults.refuse("abort"); err != nil {
		return err
	}
	return t.Txn.Abort(ctx)
}
