//go:build linux

package faults_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// memoryLimit is what the command may use, in KiB.
const memoryLimit = 96 << 10

// TestSlowReader (F22) reads what pack writes with pauses: pack waits, keeps
// nothing in memory, and all arrives.
func TestSlowReader(t *testing.T) {
	s := bundleOf(t)
	cmd := command(t, world.airgap, "pack", "-o", "-", "oci:images")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	h, used := sha256.New(), 0
	for {
		used = max(used, memory(cmd.Process.Pid))
		n, err := io.CopyN(h, out, 4<<20)
		if err == io.EOF {
			break
		}
		if err != nil || n == 0 {
			t.Fatal(err)
		}
		after(t, nil, time.Duration(times(100, 20000))*time.Millisecond)
	}
	if status := finished(t, cmd, cmd.Wait()); status != 0 || fmt.Sprintf("%x", h.Sum(nil)) != s.sum {
		t.Errorf("status %d, or other bytes", status)
	}
	t.Logf("F22: a reader that pauses: whole, %d KiB of memory", used)
	if used > memoryLimit {
		t.Errorf("%d KiB of memory", used)
	}
}

// memory is how much a process has used at most, in KiB. What wait tells would
// count our own before its exec.
func memory(pid int) (kib int) {
	raw, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid)) // it may have ended
	_, rest, _ := strings.Cut(string(raw), "VmHWM:")
	fmt.Sscan(rest, &kib)
	return kib
}

// TestClosedPipe (F22) has the reader of pack go away: it ends, in an orderly way.
func TestClosedPipe(t *testing.T) {
	for _, n := range []string{"0", "1", "100000"} {
		status, text := run(t, "bash", "-c", world.airgap+` pack -o - oci:images | head -c `+n+` >/dev/null; exit ${PIPESTATUS[0]}`)
		if status == 0 || strings.Contains(text, "goroutine ") {
			t.Errorf("after %s bytes: status %d:\n%s", n, status, text)
		}
		t.Logf("F22: closed after %s bytes: status %d: %s", n, status, strings.TrimSpace(text))
	}
}

// TestSlowWriter (F22) unpacks from a FIFO that stops for a while, which is
// waited for, and from one that ends early, which imports nothing.
func TestSlowWriter(t *testing.T) {
	s := bundleOf(t)
	for _, part := range []int{0, 1, 1000, len(s.raw) / 2, len(s.raw) - 1, len(s.raw)} {
		dir := folder(t)
		fifo, layout := filepath.Join(dir, "fifo"), filepath.Join(dir, "layout")
		if err := syscall.Mkfifo(fifo, 0o600); err != nil {
			t.Fatal(err)
		}
		cmd := command(t, "sh", "-c", `exec "$1" unpack --to "oci:$2" - < "$3"`, "-", world.airgap, layout, fifo)
		out := begun(t, cmd)
		w, err := os.OpenFile(fifo, os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		_, err = io.Copy(w, bytes.NewReader(s.raw[:part/2]))
		after(t, nil, time.Duration(times(100, 20000))*time.Millisecond)
		_, err2 := io.Copy(w, bytes.NewReader(s.raw[part/2:part]))
		w.Close()
		status := finished(t, cmd, cmd.Wait())
		_, left := os.Stat(layout)
		switch whole := part == len(s.raw); {
		case whole && (status != 0 || err != nil || err2 != nil):
			t.Errorf("status %d, %v, %v:\n%s", status, err, err2, out)
		case !whole && (status != exitDamaged || left == nil):
			t.Errorf("ended after %d bytes: status %d, the layout is there: %t\n%s", part, status, left == nil, out)
		}
	}
	t.Log("F22: streams that stop and end early: 5 refused, 1 whole, nothing imported of the others")
}
