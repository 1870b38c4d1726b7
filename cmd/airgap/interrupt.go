package main

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"syscall"

	"airgap/cmd/airgap/internal/ui"
)

// errInterrupted is the cause of a context that a signal has ended.
var errInterrupted = errors.New("interrupted")

// interruptible ends the context at the first Ctrl-C, SIGTERM or SIGHUP, so
// that what is half done is cleaned up, and the process at the second.
func interruptible(ctx context.Context, env *ui.Env) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	if !signal.Ignored(syscall.SIGHUP) { // under nohup it stays ignored
		signal.Notify(signals, syscall.SIGHUP)
	}
	// With a handler, a closed pipe is an error of the write and not the end
	// of the process in the middle of things.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	done := make(chan struct{})
	go func() {
		for interrupts := 0; ; interrupts++ {
			select {
			case <-done:
				return
			case <-signals:
			}
			if interrupts > 0 {
				os.Exit(int(ui.Interrupted))
			}
			cancel(errInterrupted)
			env.Note("interrupted: cleaning up (once more to stop at once)")
		}
	}()
	return ctx, func() {
		signal.Stop(signals)
		close(done)
		cancel(nil)
	}
}
