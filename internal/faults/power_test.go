//go:build linux

package faults_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"airgap/internal/seed"
)

// TestPowerFailsAfterwards (F4) cuts the power as soon as airgap send has said
// that all is done: all of it is there.
func TestPowerFailsAfterwards(t *testing.T) {
	s, d := bundleOf(t), newDisk(t, folder(t), "64")
	n := times(3, 30)
	for range n {
		ends(t, 0, "sent, ", "send", d.dir)
		d.cut(t)
		d.replug(t)
		s.arrived(t, d.dir)
		must(t, "sh", "-c", "rm "+d.dir+"/bundle* && sync")
	}
	t.Logf("F4, afterwards: %d cuts, %d survived, wrong results 0", n, n)
}

// TestPowerFailsMeanwhile (F4, F12) cuts the power at some time while airgap
// writes: it fails, the final name is the whole or is not there, and the same
// command succeeds when the disk is back.
func TestPowerFailsMeanwhile(t *testing.T) {
	s, d := bundleOf(t), newDisk(t, folder(t), "64")
	n, hit, random := times(8, 100), 0, seed.Random(t)
	for range n {
		cmd := command(t, world.airgap, "send", d.dir)
		out := begun(t, cmd)
		ended := ending(cmd)
		after(t, ended, time.Duration(random.IntN(200))*time.Millisecond)
		d.cut(t)
		status := finished(t, cmd, <-ended)
		if status != 0 {
			hit++
		}
		if status != 0 && status != exitMedium {
			t.Errorf("status %d:\n%s", status, out)
		}
		d.replug(t)
		there, whole := s.final(t, d.dir)
		if there && !whole || status == 0 && !whole {
			t.Errorf("status %d, the final name is there %t, whole %t", status, there, whole)
		}
		ends(t, 0, "", "send", d.dir)
		s.arrived(t, d.dir)
		must(t, "sh", "-c", "rm "+d.dir+"/bundle* && sync")
	}
	t.Logf("F4, F12, meanwhile: %d cuts, %d before the end, %d survived, wrong results 0", n, hit, n)
}

// begun starts a command whose output is kept.
func begun(t *testing.T, cmd *exec.Cmd) *strings.Builder {
	t.Helper()
	out := &strings.Builder{}
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return out
}

func ending(cmd *exec.Cmd) <-chan error {
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	return ended
}

// after waits, so that a fault comes at a random time.
func after(t *testing.T, _ <-chan error, d time.Duration) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	<-ctx.Done()
}

// grown waits until a file has n bytes.
func grown(t *testing.T, path string, n int64) {
	t.Helper()
	for start := time.Now(); time.Since(start) < time.Minute; time.Sleep(time.Millisecond) {
		if info, err := os.Stat(path); err == nil && info.Size() >= n {
			return
		}
	}
	t.Fatalf("%s does not grow to %d bytes", path, n)
}

// TestUnmounted (F12) takes the medium's mount away while airgap writes: it does
// not say that it is done, and nothing is left where the medium was.
func TestUnmounted(t *testing.T) {
	s, d := bundleOf(t), newDisk(t, folder(t), "64")
	cmd := command(t, world.airgap, "send", "--limit", "20MiB/s", d.dir)
	out := begun(t, cmd)
	grown(t, filepath.Join(d.dir, s.partial()), 2<<20)
	must(t, "umount", "-l", d.dir)
	d.pulled = true
	if status := finished(t, cmd, cmd.Wait()); status != exitMedium {
		t.Errorf("status %d:\n%s", status, out)
	}
	if names := list(t, d.dir); len(names) > 0 {
		t.Errorf("left below the medium: %q", names)
	}
	d.mount(t)
	ends(t, 0, "", "send", d.dir)
	s.arrived(t, d.dir)
}

// TestBothNames (F13) is what a FAT file system may have after a cut: the final
// name on half of the bytes or on none, with or without a partial. It is not
// taken for the whole.
func TestBothNames(t *testing.T) {
	s := bundleOf(t)
	tried := 0
	for _, final := range [][]byte{nil, s.raw[:len(s.raw)/2], append(append([]byte{}, s.raw[:len(s.raw)/2]...), make([]byte, len(s.raw)-len(s.raw)/2)...)} {
		for _, partial := range []bool{false, true} {
			for _, sums := range []bool{false, true} {
				dir := folder(t)
				put(t, filepath.Join(dir, bundleName), final)
				if partial {
					put(t, filepath.Join(dir, s.partial()), s.raw)
				}
				if sums {
					put(t, filepath.Join(dir, bundleName+".sha256"), []byte(s.sum+"  "+bundleName+"\n"))
				}
				ends(t, exitDamaged, "", "verify", filepath.Join(dir, bundleName))
				ends(t, 0, "sent, replacing", "send", dir)
				s.arrived(t, dir)
				tried++
			}
		}
	}
	t.Logf("F13: %d states after a cut, none taken for the whole", tried)
}

func put(t *testing.T, path string, raw []byte) {
	t.Helper()
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		t.Fatal(err)
	}
}
