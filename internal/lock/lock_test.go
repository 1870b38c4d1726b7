package lock_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"

	"airgap/internal/lock"
)

// child is set for the process that takes a lock and waits to be killed.
const child = "AIRGAP_LOCK_TEST"

func TestMain(m *testing.M) {
	path := os.Getenv(child)
	if path == "" {
		os.Exit(m.Run())
	}
	if _, err := lock.Take(context.Background(), opener(path), func() {}); err != nil {
		panic(err)
	}
	os.Stdout.WriteString("taken\n")
	select {}
}

// opener opens a file, which it makes, or a folder.
func opener(path string) func() (*os.File, error) {
	return func() (*os.File, error) {
		if info, err := os.Stat(path); err == nil && info.IsDir() {
			return os.Open(path)
		}
		return os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	}
}

// TestTake: one at a time, whoever waits can be stopped, and a lock dies with
// its owner.
func TestTake(t *testing.T) {
	dir := t.TempDir()
	paths := []string{filepath.Join(dir, "file")}
	if runtime.GOOS != "windows" {
		paths = append(paths, dir)
	}
	for _, path := range paths {
		owner := exec.Command(os.Args[0])
		owner.Env = append(os.Environ(), child+"="+path)
		out, err := owner.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := owner.Start(); err != nil {
			t.Fatal(err)
		}
		if _, err := out.Read(make([]byte, 8)); err != nil {
			t.Fatal(err)
		}
		why := errors.New("stopped")
		ctx, stop := context.WithCancelCause(t.Context())
		if _, err := lock.Take(ctx, opener(path), func() { stop(why) }); !errors.Is(err, why) {
			t.Errorf("%s: who waits and is stopped has %v", path, err)
		}
		waited := 0
		f, err := lock.Take(t.Context(), opener(path), func() {
			waited++
			owner.Process.Kill()
			owner.Wait()
		})
		if err != nil || waited != 1 {
			t.Fatalf("%s: error %v, told %d times to wait", path, err, waited)
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
		f, err = lock.Take(t.Context(), opener(path), func() { t.Errorf("%s: a lock that was given back is waited for", path) })
		if err != nil {
			t.Fatal(err)
		}
		f.Close()
	}
}

// TestTakeRemoved: what its owner removes is no lock for who waited for it.
func TestTakeRemoved(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("SKIPPED: Windows removes no open file")
	}
	path := filepath.Join(t.TempDir(), "file")
	first, err := lock.Take(t.Context(), opener(path), func() {})
	if err != nil {
		t.Fatal(err)
	}
	var stale *os.File
	second, err := lock.Take(t.Context(), func() (*os.File, error) {
		f, err := opener(path)()
		if stale == nil && err == nil { // opened before it goes, locked after
			stale = f
			err = errors.Join(os.Remove(path), first.Close())
		}
		return f, err
	}, func() {})
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	held, err := second.Stat()
	if there, statErr := os.Stat(path); err != nil || statErr != nil || !os.SameFile(held, there) {
		t.Errorf("the lock is on what nobody finds: %v, %v", err, statErr)
	}
}
