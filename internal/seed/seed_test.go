package seed

import "testing"

// TestAgain: with the seed that a run has logged, the numbers are the same.
func TestAgain(t *testing.T) {
	t.Setenv(variable, "7")
	if a, b := Random(t).Uint64(), Random(t).Uint64(); a != b {
		t.Errorf("%d, then %d", a, b)
	}
	t.Setenv(variable, "")
	if a, b := Random(t).Uint64(), Random(t).Uint64(); a == b {
		t.Errorf("twice %d without a seed that is given", a)
	}
}
