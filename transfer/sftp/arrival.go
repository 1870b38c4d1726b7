package sftp

import (
	"context"
	"fmt"
	"io"
	"sync"
	"time"
)

// arrival is the sum of a partial that the far side makes while it arrives: a
// shell there is told how far it has come, and hashes that stretch. What it
// finds only saves time: whatever goes wrong, the whole is hashed at the end.
//
// It is the shell's standard input, so that nobody waits for a shell that has
// ended.
type arrival struct {
	mu     sync.Mutex
	change sync.Cond // with mu
	there  int64     // bytes that may be hashed
	told   int64     // whole blocks that it has been told of
	ended  bool      // no more will come
	whole  bool      // and all has

	result chan string
	stop   func() // nobody waits for it any more
}

// What is hashed at a time, in bytes: dd counts in blocks.
const (
	sumBlock   = 1 << 20
	sumStretch = 8 << 20
)

// follow starts to hash the partial.
func (p *Place) follow(ctx context.Context) *arrival {
	a := newArrival()
	ctx, a.stop = context.WithCancel(ctx)
	go func() {
		var out tail
		err := p.run(ctx, posix(arrivalScript(p.partial())), Command{Stdin: a, Stdout: &out, Stderr: io.Discard, silent: true})
		if err != nil {
			out = tail{}
		}
		a.result <- parseSum(out.lastLine())
	}()
	return a
}

func newArrival() *arrival {
	a := &arrival{result: make(chan string, 1)}
	a.change.L = &a.mu
	return a
}

// arrivalScript reads lines of two numbers, where a stretch begins and how long
// it is in blocks, and makes one sum of the stretches.
func arrivalScript(name string) string {
	return fmt.Sprintf("while read -r from n; do dd if=%s bs=%d skip=\"$from\" count=\"$n\" 2>/dev/null; done | { %s; }",
		quoted(name), sumBlock, sumProgram)
}

// has says how much is there, from the start and without holes.
func (a *arrival) has(n int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.there = n
	a.change.Signal()
}

// end says that no more will come.
func (a *arrival) end(whole bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.ended, a.whole = true, whole
	a.change.Signal()
}

// Read gives the shell the next line, when there is a stretch to hash.
func (a *arrival) Read(b []byte) (int, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for !a.ended && a.there-a.told < sumStretch {
		a.change.Wait()
	}
	if a.ended && (!a.whole || a.told >= a.there) {
		return 0, io.EOF
	}
	blocks := (a.there - a.told) / sumBlock
	if a.ended { // the last one may be a part of one
		blocks = (a.there - a.told + sumBlock - 1) / sumBlock
	}
	line := fmt.Appendf(nil, "%d %d\n", a.told/sumBlock, blocks)
	if len(b) < len(line) {
		return 0, io.ErrShortBuffer
	}
	a.told += blocks * sumBlock
	return copy(b, line), nil
}

// sum waits so long for the sum; empty if there is none.
func (a *arrival) sum(patience time.Duration) string {
	if a == nil {
		return ""
	}
	late := time.AfterFunc(patience, a.stop)
	defer late.Stop()
	sum := <-a.result
	a.result <- sum
	return sum
}
