package main

import (
	"context"
	"errors"
	"strings"
	"testing"
)

// TestInterruptedBetween fails destinations that have not had their turn: they
// are not among those at which the bundle is.
func TestInterruptedBetween(t *testing.T) {
	env, out, _ := newEnv()
	env.JSON = true
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errInterrupted)
	s := &sender{env: env, o: sendOptions{parallel: 1}, dests: []string{"a", "b:"}}
	failed := s.all(ctx, 0)
	if len(failed) != 2 {
		t.Fatalf("%d of 2 failed: %v", len(failed), failed)
	}
	if err := s.allFailed(ctx, failed); err == nil || !strings.Contains(err.Error(), "2 of 2 destinations failed") {
		t.Errorf("error %v", err)
	}
	if n := strings.Count(out.String(), `{"type":"failed","command":"send","dest":"`); n != 2 {
		t.Errorf("%d objects: %s", n, out)
	}
	s.dests = s.dests[:1]
	if err := s.allFailed(ctx, failed[:1]); !errors.Is(err, errInterrupted) {
		t.Errorf("error %v", err)
	}
	if err := s.allFailed(ctx, nil); err != nil {
		t.Errorf("error %v without a failure", err)
	}
}
