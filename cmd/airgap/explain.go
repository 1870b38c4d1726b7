package main

import (
	"context"
	"errors"

	"airgap/cmd/airgap/internal/ui"
)

// explain turns the typed errors of the rooms into what a person reads and the
// exit status. It is the only place that does.
func explain(ctx context.Context, err error) error {
	if errors.Is(context.Cause(ctx), errInterrupted) {
		return &ui.Error{Err: errInterrupted, Code: ui.Interrupted}
	}
	return err
}
