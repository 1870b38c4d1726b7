package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"airgap/bundle/image"
	"airgap/bundle/store"
	"airgap/verify/load"
)

// TestAlone: who finds another at work in a place says so, waits, and can be
// stopped; what the other has changed counts afterwards.
func TestAlone(t *testing.T) {
	env, _, _ := newEnv()
	state := t.TempDir()
	env.Getenv = func(name string) string { return map[string]string{"XDG_STATE_HOME": state}[name] }
	for _, to := range []string{"docker://registry:5000/a", "oci:" + filepath.Join(t.TempDir(), "layout")} {
		first := opened(t, to)
		release, err := alone(t.Context(), env, to, first)
		if err != nil {
			t.Fatal(err)
		}
		second, said := opened(t, to), new(buffer)
		env.Err = said
		stopped, stop := context.WithCancelCause(t.Context())
		done := make(chan error)
		go func() {
			_, err := alone(stopped, env, to, second)
			done <- err
		}()
		says(t, said, "another airgap is at work in "+to+": waiting for it")
		stop(errInterrupted)
		if err := <-done; !errors.Is(err, errInterrupted) {
			t.Errorf("%s: who waits and is stopped has %v", to, err)
		}
		go func() {
			_, err := alone(t.Context(), env, to, second)
			done <- err
		}()
		if err := errors.Join(first.Close(), release()); err != nil {
			t.Error(err)
		}
		if err := <-done; err != nil {
			t.Errorf("%s: %v", to, err)
		}
		if err := second.Close(); err != nil {
			t.Error(err)
		}
	}
	// Another place is not waited for.
	env.Err = new(buffer)
	if _, err := alone(t.Context(), env, "docker://registry:5001", opened(t, "docker://registry:5001")); err != nil || env.Err.(*buffer).String() != "" {
		t.Errorf("error %v, it says %s", err, env.Err)
	}
}

func says(t *testing.T, b *buffer, want string) {
	t.Helper()
	for range 1000 {
		if strings.Contains(b.String(), want) {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("it does not say %q but %q", want, b)
}

func opened(t *testing.T, to string) image.Sink {
	t.Helper()
	sink, err := store.OpenSink(t.Context(), to, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return sink
}

// TestAddresses are one for all ways to say the same place.
func TestAddresses(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "real.sock"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("real.sock", filepath.Join(dir, "link.sock")); err != nil {
		t.Skip("SKIPPED for want of links:", err)
	}
	t.Chdir(dir)
	for _, same := range [][2]string{
		{addressOf("docker", socket(filepath.Join(dir, "real.sock"))), addressOf("podman", socket(filepath.Join(dir, "link.sock")))},
		{addressOf("docker://registry:5000/a/b", nil), addressOf("docker://registry:5000", nil)},
		{addressOf("oci:new", opened(t, "oci:new")), addressOf("oci:"+filepath.Join(dir, "new"), opened(t, "oci:"+filepath.Join(dir, "new")))},
	} {
		if same[0] != same[1] || same[0] == "" {
			t.Errorf("%q and %q are one place", same[0], same[1])
		}
	}
}

// socket is an engine that listens there.
type socket string

func (s socket) Address() string { return "unix://" + string(s) }

func (socket) Begin(context.Context, image.Import) (image.Txn, error) { panic("not called") }
func (socket) Flush(context.Context) (bool, string, error)            { panic("not called") }
func (socket) Close() error                                           { return nil }

// TestWithoutState goes on, and says what that means.
func TestWithoutState(t *testing.T) {
	env, _, said := newEnv()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	env.Getenv = func(string) string { return file }
	release, err := alone(t.Context(), env, "docker://registry:5000", opened(t, "docker://registry:5000"))
	if err != nil || release() != nil || !strings.Contains(said.String(), "warning: another airgap is not kept out of docker://registry:5000") {
		t.Errorf("error %v, it says %q", err, said)
	}
}

// reloader is an engine of which images are removed to be brought again.
type reloader struct{ image.Reloader }

func (reloader) Address() string                                           { return "unix:///engine.sock" }
func (reloader) Identity() string                                          { return "one" }
func (reloader) GiveBack(context.Context, image.Removed) ([]string, error) { return nil, nil }

// TestUnreadableReloads are a reason not to remove anything, and no reason not to
// import.
func TestUnreadableReloads(t *testing.T) {
	dir := t.TempDir()
	ask := func(reload bool) (*load.Removed, string, error) {
		env, _, said := newEnv()
		env.Getenv = func(string) string { return dir }
		r, err := unpackOptions{to: "docker", reload: reload}.removed(t.Context(), env, reloader{}, "b.tar.zst", true)
		return r, said.String(), err
	}
	r, said, err := ask(true)
	if err != nil || r == nil || said != "" {
		t.Fatalf("%v, it says %q", err, said)
	}
	if err := errors.Join(os.MkdirAll(filepath.Dir(r.Path()), 0o700), os.WriteFile(r.Path(), []byte(`{"sha256:`), 0o600)); err != nil {
		t.Fatal(err)
	}
	for _, state := range []string{dir, r.Path()} { // cut short, and no folder
		dir = state
		if r, said, err := ask(false); err != nil || r != nil || !strings.Contains(said, "cannot be read: ") {
			t.Errorf("%v, it says %q", err, said)
		}
		if _, _, err := ask(true); err == nil {
			t.Error("a reload begins all the same")
		}
	}
}
