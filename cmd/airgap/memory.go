package main

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

// memoryGoal is what the garbage collector keeps the process to, in bytes, if
// it can. Without a goal it lets the heap double between two runs, which costs
// 40 MB more and gains no time. GOMEMLIMIT in the environment goes before it.
const memoryGoal = 72 << 20

// keepMemory sets the goal. What the documents of thousands of images need is
// more, and a collector that cannot reach its goal does nothing but try: then it
// gets almost as much again as is in use.
func keepMemory() {
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(memoryGoal)
		adjustMemory()
	}
}

// adjustMemory sets the goal anew after each run of the collector, which is when
// it finds that nobody has a thing.
func adjustMemory() {
	thing := new([16]byte)
	runtime.SetFinalizer(thing, func(*[16]byte) {
		live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
		metrics.Read(live)
		debug.SetMemoryLimit(goalFor(int64(live[0].Value.Uint64())))
		adjustMemory()
	})
}

func goalFor(live int64) int64 { return max(memoryGoal, 2*live-16<<20) }
