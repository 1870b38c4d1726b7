package list

import (
	"context"
	"fmt"
	"runtime"
	"runtime/metrics"
	"time"
)

// What compose's loader may take, which reads whatever a file names, devices and
// pipes too, and cannot be told to end.
const (
	patience  = time.Minute
	maxMemory = 192 << 20 // bytes
	glance    = 50 * time.Millisecond
)

// bounded does something that may never end, or need more memory than there is. It
// is left to itself then: who asked ends soon.
func bounded[T any](ctx context.Context, do func() (T, error)) (result T, err error) {
	runtime.GC() // or garbage would count as what was there before
	ended, before := make(chan struct{}), heap()
	var made T
	var failed error
	go func() {
		defer close(ended)
		made, failed = do()
	}()
	late, look := time.NewTimer(patience), time.NewTicker(glance)
	defer late.Stop()
	defer look.Stop()
	for {
		select {
		case <-ended:
			return made, failed
		case <-ctx.Done():
			return result, context.Cause(ctx)
		case <-late.C:
			return result, fmt.Errorf("it is not read after %v: it may name a pipe or a device, or be made to take long", patience)
		case <-look.C:
			if heap() > before+maxMemory {
				return result, fmt.Errorf("it takes more than %d MiB of memory to read: it may name a device, or be made to", maxMemory>>20)
			}
		}
	}
}

// heap is how much memory is in use, in bytes.
func heap() uint64 {
	sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}
