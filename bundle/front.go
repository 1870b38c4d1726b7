package bundle

import (
	"context"
	"hash"
	"io"
	"os"
	"sync"
)

// front is how far the parts of a file have come, for those who follow.
type front struct {
	mu   sync.Mutex
	cond *sync.Cond
	at   []int64 // offset in the file that each part has reached
	err  error   // why it will not go on
}

func newFront(parts int) *front {
	f := &front{at: make([]int64, parts)}
	f.cond = sync.NewCond(&f.mu)
	return f
}

// reach notes that a part has come to offset at.
func (f *front) reach(part int, at int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.at[part] = at
	f.cond.Broadcast()
}

// fail ends the waiting of those who follow.
func (f *front) fail(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.err = err
	f.cond.Broadcast()
}

// failWith lets the front fail with the context, until the result is called.
func (f *front) failWith(ctx context.Context) (release func() bool) {
	return context.AfterFunc(ctx, func() { f.fail(context.Cause(ctx)) })
}

// wait answers how far a part is, once that is past offset at.
func (f *front) wait(part int, at int64) (int64, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for f.at[part] <= at && f.err == nil {
		f.cond.Wait()
	}
	if f.at[part] <= at {
		return 0, f.err
	}
	return f.at[part], nil
}

// follow hashes a file in order, close behind its writers, while the bytes are
// still in the page cache. offs is where the parts start, and where they end.
func (f *front) follow(file *os.File, offs []int64, h hash.Hash) error {
	buf := make([]byte, 1<<20)
	for i := range f.at {
		for at := offs[i]; at < offs[i+1]; {
			to, err := f.wait(i, at)
			if err != nil {
				return err
			}
			n := min(to-at, int64(len(buf)))
			if _, err := file.ReadAt(buf[:n], at); err != nil {
				return err
			}
			h.Write(buf[:n])
			startWriteback(file, at, n)
			at += n
		}
	}
	return nil
}

// follower reads a file that has a leader, and waits for it to be ahead.
type follower struct {
	r    io.ReaderAt
	f    *front // of one part, the file
	size int64
}

func (w *follower) ReadAt(p []byte, off int64) (int, error) {
	if _, err := w.f.wait(0, min(off+int64(len(p)), w.size)-1); err != nil {
		return 0, err
	}
	return w.r.ReadAt(p, off)
}
