package main

import (
	"os"
	"testing"

	"airgap/internal/world"
)

// TestWorld runs the command in a world that is not clean.
func TestWorld(t *testing.T) {
	world.Check(t, func(args []string) world.Result {
		env, out, stderr := newEnv()
		env.Getenv = os.Getenv
		status := Main(args, env)
		return world.Result{Status: status, Out: out.String(), Err: stderr.String()}
	})
}
