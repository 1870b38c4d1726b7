package storetest

import (
	"bytes"
	"os"
	"os/exec"
	"testing"
	"time"
)

// Serve runs a server, which is asked to end with the test, and waits until it
// answers or has ended. The output is complete once it has ended.
func Serve(t testing.TB, answers func() bool, program string, args ...string) (output string, up bool) {
	t.Helper()
	cmd := exec.Command(program, args...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt) // where it cannot be asked, it is killed
		select {
		case <-ended:
		case <-time.After(10 * time.Second):
			cmd.Process.Kill()
			<-ended
		}
	})
	for !answers() {
		select {
		case <-ended:
			return out.String(), false
		case <-t.Context().Done():
			t.Fatalf("%s did not start", program)
		case <-time.After(10 * time.Millisecond):
		}
	}
	return "", true
}
