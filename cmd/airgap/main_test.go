package main

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"airgap/cmd/airgap/internal/ui"
)

// buffer is what a command prints; it may still print while it is looked at.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// newEnv is a world without a terminal or environment variables.
func newEnv() (env *ui.Env, out, err *buffer) {
	out, err = new(buffer), new(buffer)
	return &ui.Env{
		In: strings.NewReader(""), Out: out, Err: err,
		Getenv: func(string) string { return "" }, Now: time.Now,
	}, out, err
}

// TestInterrupt sends each signal to a command that waits for a registry.
func TestInterrupt(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("NOT TESTED: a process cannot send itself these signals here")
	}
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP} {
		t.Run(sig.String(), func(t *testing.T) {
			if signal.Ignored(sig) {
				t.Skip("NOT TESTED: the signal is ignored, as under nohup, and then it is by airgap")
			}
			t.Chdir(t.TempDir())
			asked := make(chan struct{}, 100)
			server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				asked <- struct{}{}
				<-r.Context().Done()
			}))
			defer server.Close()
			env, out, stderr := newEnv()
			status := make(chan int)
			go func() {
				status <- Main([]string{"pack", "docker://" + strings.TrimPrefix(server.URL, "http://") + "/app:v1"}, env)
			}()
			<-asked
			self, err := os.FindProcess(os.Getpid())
			if err != nil {
				t.Fatal(err)
			}
			if err := self.Signal(sig); err != nil {
				t.Fatal(err)
			}
			if got := <-status; got != int(ui.Interrupted) {
				t.Errorf("exit status %d", got)
			}
			if left, err := os.ReadDir("."); err != nil || len(left) > 0 {
				t.Errorf("left behind: %v, error %v", left, err)
			}
			if out.String() != "" || !strings.Contains(stderr.String(), "airgap: error: interrupted\n") {
				t.Errorf("stdout %q, stderr %q", out, stderr)
			}
		})
	}
}

// TestPanic never ends well.
func TestPanic(t *testing.T) {
	env, _, stderr := newEnv()
	env.Getenv = func(string) string { panic("on purpose") }
	if status := Main([]string{"unpack"}, env); status != int(ui.Failed) {
		t.Errorf("exit status %d", status)
	}
	if got := stderr.String(); !strings.Contains(got, "internal error: on purpose") || strings.Contains(got, "goroutine ") {
		t.Errorf("it says %q", got)
	}
}

// TestClosedPipe does not succeed when the answer cannot be given.
func TestClosedPipe(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	r.Close()
	env, _, _ := newEnv()
	env.Out = w
	if status := Main([]string{"version"}, env); status != int(ui.Failed) {
		t.Errorf("exit status %d", status)
	}
}

// TestTerminalIsNoFile refuses to write a bundle to a terminal, or read one.
func TestTerminalIsNoFile(t *testing.T) {
	env, out, stderr := newEnv()
	env.OutTerminal = true
	if status := Main([]string{"pack", "-o", "-", "app:v1"}, env); status != int(ui.Usage) || out.String() != "" {
		t.Errorf("exit status %d, output %q", status, out)
	}
	if !strings.Contains(stderr.String(), "refusing to write a bundle to a terminal") {
		t.Errorf("it says %q", stderr)
	}
	env, _, stderr = newEnv()
	env.InTerminal = true
	if status := Main([]string{"unpack", "-"}, env); status != int(ui.Usage) {
		t.Errorf("exit status %d", status)
	}
	if !strings.Contains(stderr.String(), "airgap unpack - < bundle.tar.zst") {
		t.Errorf("it says %q", stderr)
	}
}
