// Package seed gives tests their random numbers: other ones in every run, and
// the same again where AIRGAP_SEED is what a run has logged.
package seed

import (
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
)

const variable = "AIRGAP_SEED"

// Of is the seed of a test, which is logged.
func Of(t testing.TB) uint64 {
	t.Helper()
	seed := rand.Uint64()
	if text := os.Getenv(variable); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("%s: %v", variable, err)
		}
	}
	t.Logf("%s=%d", variable, seed)
	return seed
}

// Random is a generator with the seed of a test.
func Random(t testing.TB) *rand.Rand {
	t.Helper()
	return rand.New(rand.NewPCG(Of(t), 0))
}
