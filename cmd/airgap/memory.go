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

// besideHeap is what the process has of that for other things than the heap.
const besideHeap = 15 << 20

// keepMemory sets the goal. What the documents of thousands of images need is
// more, and a collector that can hardly reach its goal does little but try: so
// the goal gives way as it runs.
func keepMemory() {
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(memoryGoal)
		adjustMemory(0)
	}
}

// adjustMemory sets the goal anew after each run of the collector, which is when
// it finds that nobody has a thing.
func adjustMemory(runs int64) {
	thing := new([16]byte)
	runtime.SetFinalizer(thing, func(*[16]byte) {
		live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
		metrics.Read(live)
		debug.SetMemoryLimit(goalFor(int64(live[0].Value.Uint64()), runs+1))
		adjustMemory(runs + 1)
	})
}

// goalFor is the goal with so much in use after so many runs: half a MiB more with
// each, up to where the heap may double. What would be left with hardly any room
// gets that at once.
func goalFor(live, runs int64) int64 {
	doubled := 2*live + besideHeap
	return max(memoryGoal, min(doubled, memoryGoal+runs<<19), doubled-2*besideHeap)
}
