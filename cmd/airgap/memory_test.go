package main

import "testing"

// TestMemoryGoal: a short run keeps to the goal, a long one that needs more has
// room to work in, and nobody is left without.
func TestMemoryGoal(t *testing.T) {
	for _, c := range []struct{ live, runs, want int64 }{ // MiB, but for runs
		{0, 0, 72}, {10, 1000, 72}, {28, 1000, 72}, {40, 2, 73}, {40, 20, 82}, {40, 1000, 95}, {50, 5, 85}, {200, 1, 385}, {200, 1000, 415},
	} {
		if got := goalFor(c.live<<20, c.runs); got != c.want<<20 {
			t.Errorf("with %d MiB in use after %d runs the goal is %.1f MiB, expected %d", c.live, c.runs, float64(got)/(1<<20), c.want)
		}
	}
}
