package main

import "testing"

// TestMemoryGoal: what needs more than the goal has room to work in.
func TestMemoryGoal(t *testing.T) {
	for live, want := range map[int64]int64{0: memoryGoal, 44 << 20: memoryGoal, 54 << 20: 92 << 20, 200 << 20: 384 << 20} {
		if got := goalFor(live); got != want {
			t.Errorf("with %d MiB in use the goal is %d MiB, expected %d", live>>20, got>>20, want>>20)
		}
	}
}
