package list

import (
	"fmt"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// maxMemory is what the reader may have beyond what it has when it starts, in bytes.
const maxMemory = 192 << 20

// outOfMemory is what Go's runtime says, as its last words.
const outOfMemory = "out of memory"

// limitMemory lets the process end when it needs more than it may have: by the
// system where that can be told, or else as soon as it is noticed.
func limitMemory() {
	debug.SetMemoryLimit(maxMemory / 4 * 3) // what is garbage goes before there is too much of it
	if limitSpace() != nil {
		go watchHeap()
	}
}

// watchHeap looks at how much memory is in use from time to time.
func watchHeap() {
	heap := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	for range time.Tick(10 * time.Millisecond) {
		if metrics.Read(heap); heap[0].Value.Uint64() > maxMemory {
			fmt.Fprintln(os.Stderr, outOfMemory)
			os.Exit(1)
		}
	}
}
