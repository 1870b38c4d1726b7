package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"strings"

	"airgap/bundle/image"
	"airgap/bundle/store"
	"airgap/cmd/airgap/internal/ui"
	"airgap/internal/lock"
)

// alone keeps other airgaps out of a place until release, and waits for one
// that is at work there: what one has brought and not named yet would be there
// for the other, and then be taken back. Those of other users, and of other
// machines, are kept out of a layout only.
func alone(ctx context.Context, env *ui.Env, to string, sink image.Sink) (release func() error, err error) {
	waiting := func() { env.Note("another airgap is at work in %s: waiting for it", sinkName(to)) }
	if place, ok := sink.(interface {
		Lock(ctx context.Context, waiting func()) error
	}); ok {
		if err := place.Lock(ctx, waiting); !errors.Is(err, errors.ErrUnsupported) {
			return func() error { return nil }, err // Close gives it back
		}
	}
	f, err := lock.Take(ctx, func() (*os.File, error) { return openLock(env, addressOf(to, sink)) }, waiting)
	switch {
	case err == nil:
		return f.Close, nil
	case ctx.Err() != nil:
		return nil, err
	}
	env.Warn("another airgap is not kept out of %s meanwhile: %v", sinkName(to), err)
	return func() error { return nil }, nil
}

// openLock opens the file that stands for a place.
func openLock(env *ui.Env, address string) (*os.File, error) {
	dir, err := stateDir(env)
	if err != nil {
		return nil, err
	}
	dir = filepath.Join(dir, "locks")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	return os.OpenFile(filepath.Join(dir, fileFor(address)), os.O_RDONLY|os.O_CREATE, 0o600)
}

func fileFor(address string) string {
	name := sha256.Sum256([]byte(address))
	return hex.EncodeToString(name[:])
}

// stateDir is where airgap keeps what it has to know the next time.
func stateDir(env *ui.Env) (string, error) {
	dir := env.Getenv("XDG_STATE_HOME")
	if dir == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return "", err
		}
		dir = filepath.Join(home, ".local", "state")
	}
	return filepath.Join(dir, "airgap"), nil
}

// addressOf says which place a spec has opened, the same for all specs of one:
// all folders of a registry, all names of a socket.
func addressOf(to string, sink image.Sink) string {
	if under, err := store.Under(to); err == nil && under != "" {
		host, _, _ := strings.Cut(under, "/")
		return host
	}
	place, ok := sink.(interface{ Address() string })
	if !ok {
		return to
	}
	address := place.Address()
	if socket, ok := strings.CutPrefix(address, "unix://"); ok {
		if real, err := filepath.EvalSymlinks(socket); err == nil {
			return "unix://" + real
		}
	}
	return address
}
