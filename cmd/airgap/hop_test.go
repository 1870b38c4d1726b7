//go:build unix

package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spf13/pflag"
	"golang.org/x/crypto/ssh"

	"airgap/cmd/airgap/internal/excerpt"
	"airgap/cmd/airgap/internal/ui"
	"airgap/transfer/transfertest"
)

// greeting is what a .bashrc prints, which does not even end its line.
const greeting = `echo Linux x86_64; printf '{"type":"error"} noise'; `

// farHost serves a folder, where the programs given by their names are found first.
func farHost(t *testing.T, programs map[string]string) (dest, dir string) {
	t.Helper()
	home, dir := t.TempDir(), t.TempDir()
	mustMkdir(t, filepath.Join(home, ".ssh"), filepath.Join(home, "bin"), filepath.Join(home, "far"))
	for name, script := range programs {
		if err := os.WriteFile(filepath.Join(home, "far", name), []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	server := transfertest.NewServer(t, true, func(c *ssh.ServerConfig) { c.NoClientAuth = true })
	server.Profile = greeting + "PATH=" + filepath.Join(home, "far") + ":/usr/bin:/bin"
	shell, err := exec.LookPath("sh")
	if err == nil {
		err = os.Symlink(shell, filepath.Join(home, "bin", "sh"))
	}
	if err == nil {
		err = os.Rename(server.KnownHosts(t), filepath.Join(home, ".ssh", "known_hosts"))
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("HOME", home)
	t.Setenv("PATH", filepath.Join(home, "bin")) // there is no ssh, which would look into the real one
	return "sftp://user@" + server.Addr + dir, dir
}

// hopBy is a hop to a host, with flags of send.
func hopBy(t *testing.T, env *ui.Env, dest string, how patience, flags ...string) *hop {
	t.Helper()
	s := newSender(t, env, filepath.Join("mine", defaultBundle), cutOptions{})
	given := pflag.NewFlagSet("send", pflag.ContinueOnError)
	s.o.flags(given)
	if err := given.Parse(append([]string{"--unpack"}, flags...)); err != nil {
		t.Fatal(err)
	}
	s.o.patience = how
	s.excerpt = sync.OnceValues(func() (*excerpt.Recorder, error) { return excerptOf(t.Context(), s.bundle) })
	place, err := s.open(t.Context(), dest)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { place.Close() })
	return &hop{way: &way{sender: s, dest: dest, place: place}, airgap: "airgap"}
}

func (h *hop) run(t *testing.T) error {
	return h.sendAndUnpack(t.Context(), func(string, int64) *ui.Progress { return h.env.Progress("sending", 0) })
}

// TestSilentHost is waited for so long, whatever it does not answer, and nothing is
// sent there.
func TestSilentHost(t *testing.T) {
	t.Chdir(t.TempDir())
	packInto(t, "mine")
	forever := fmt.Sprintf("while [ -e %s ]; do sleep 0.1; done", t.TempDir()) // which is gone at the end
	dest, dir := farHost(t, map[string]string{"airgap": forever, "uname": forever})
	env, _, _ := newEnv()
	h := hopBy(t, env, dest, patience{note: time.Hour, most: time.Millisecond}, "--to=oci:x")
	for what, ask := range map[string]func() error{
		"what unpack would do with the bundle (--to oci:x)": func() error { return h.run(t) },
		"which version of airgap it has":                    func() error { return inState(unsent, h.noAirgap(t.Context(), nil)) },
		"which platform it is": func() error {
			_, err := h.platform(t.Context())
			return inState(unsent, err)
		},
	} {
		err := ask()
		var silent *silentError
		if !errors.As(err, &silent) || silent.What != what || silent.Host != "127.0.0.1" {
			t.Errorf("%s: error %v", what, err)
			continue
		}
		var told *ui.Error
		errors.As(explain(t.Context(), "airgap send", err), &told)
		if told.Code != ui.Failed || told.State != unsent || len(told.Hints) == 0 {
			t.Errorf("told as %+v", told)
		}
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("%v is there, %v", left, err)
	}
}

// TestSlowHost is said to be waited for, and answers then.
func TestSlowHost(t *testing.T) {
	t.Chdir(t.TempDir())
	packInto(t, "mine")
	said := filepath.Join(t.TempDir(), "said")
	dest, _ := farHost(t, map[string]string{"airgap": fmt.Sprintf(
		"until [ -e %s ]; do sleep 0.1; done; echo '{\"type\":\"error\",\"status\":9,\"error\":\"no engine\"}'; exit 9", said)})
	env, _, _ := newEnv()
	env.Err = writerFunc(func(p []byte) {
		if strings.Contains(string(p), "127.0.0.1: waiting at most 1 h 00 min for an answer: what unpack would do with the bundle\n") {
			if err := os.WriteFile(said, nil, 0o600); err != nil {
				t.Error(err)
			}
		}
	})
	err := hopBy(t, env, dest, patience{most: time.Hour}).run(t)
	var there *thereError
	if !errors.As(err, &there) || there.Status != ui.Engine {
		t.Errorf("error %v", err)
	}
}

// TestGreeting is what a shell prints before what it is asked for, which matters not.
func TestGreeting(t *testing.T) {
	t.Chdir(t.TempDir())
	packInto(t, "mine")
	dest, _ := farHost(t, map[string]string{"uname": "echo Linux aarch64", "airgap": `echo '{"type":"version","version":"v9"}'`})
	env, _, _ := newEnv()
	h := hopBy(t, env, dest, usualPatience)
	if p, err := h.platform(t.Context()); err != nil || p.String() != "linux/arm64" {
		t.Errorf("the platform is %v, %v", p, err)
	}
	var none *noAirgapError
	if err := h.noAirgap(t.Context(), nil); !errors.As(err, &none) || none.Version != "v9" {
		t.Errorf("its version: %v", err)
	}
}

// TestHostThatSaysTooMuch is not listened to without end.
func TestHostThatSaysTooMuch(t *testing.T) {
	t.Chdir(t.TempDir())
	packInto(t, "mine")
	dest, _ := farHost(t, map[string]string{"airgap": "exec yes x"})
	env, _, _ := newEnv()
	err := hopBy(t, env, dest, patience{note: time.Hour, most: time.Hour}).run(t)
	var state *stateError
	if !errors.Is(err, errTooMuch) || !errors.As(err, &state) || state.state != unsent {
		t.Errorf("error %v", err)
	}
}

type writerFunc func(p []byte)

func (f writerFunc) Write(p []byte) (int, error) {
	f(p)
	return len(p), nil
}
