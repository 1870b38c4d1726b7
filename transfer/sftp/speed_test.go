package sftp

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"airgap/transfer"
	"airgap/transfer/transfertest"
)

// distances are where servers are.
var distances = map[string]time.Duration{"loopback": 0, "20ms": 20 * time.Millisecond, "100ms": 100 * time.Millisecond}

// BenchmarkSend measures a Send to a real sshd, and scp beside it.
func BenchmarkSend(b *testing.B) {
	addr, key, known := transfertest.SSHD(b)
	f, raw := transfertest.Content("bundle", 345<<20)
	name := filepath.Join(b.TempDir(), "bundle")
	if err := os.WriteFile(name, raw, 0o600); err != nil {
		b.Fatal(err)
	}
	for _, where := range []string{"loopback", "20ms", "100ms"} {
		s := settingsFor(b, addr, known)
		if rtt := distances[where]; rtt > 0 {
			far, err := transfertest.NewFar(addr, transfertest.Distance{RoundTrip: rtt})
			if err != nil {
				b.Fatal(err)
			}
			defer far.Close()
			s = settingsFor(b, far.Addr, knownAs(b, known, far.Addr))
		}
		s.User, s.Keys = currentUser(b), []string{key}
		b.Run("airgap/"+where, func(b *testing.B) {
			for b.Loop() {
				dir := b.TempDir()
				sendOnce(b, s, dir, f)
				os.RemoveAll(dir)
			}
			b.SetBytes(f.Size)
		})
		b.Run("scp/"+where, func(b *testing.B) {
			for b.Loop() {
				dir := b.TempDir()
				scpOnce(b, s, name, dir)
				os.RemoveAll(dir)
			}
			b.SetBytes(f.Size)
		})
	}
}

func sendOnce(b *testing.B, s settings, dir string, f transfer.File) {
	p, err := open(context.Background(), s, dir, Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer p.Close()
	if _, err := transfer.Send(context.Background(), p, f, transfer.SendOptions{}); err != nil {
		b.Fatal(err)
	}
}

func scpOnce(b *testing.B, s settings, name, dir string) {
	out, err := exec.Command("scp", "-q", "-F", "none", "-o", "IdentitiesOnly=yes", "-i", s.Keys[0], "-o", "UserKnownHostsFile="+s.KnownHosts[0],
		"-P", s.Port, name, fmt.Sprintf("%s@%s:%s/", s.User, s.Host, dir)).CombinedOutput()
	if err != nil {
		b.Fatalf("scp: %v: %s", err, out)
	}
}

// BenchmarkRoundTrips counts how often a Send of 1 KiB waits for an sshd that is
// far away.
func BenchmarkRoundTrips(b *testing.B) {
	const rtt = 100 * time.Millisecond
	addr, key, known := transfertest.SSHD(b)
	far, err := transfertest.NewFar(addr, transfertest.Distance{RoundTrip: rtt})
	if err != nil {
		b.Fatal(err)
	}
	defer far.Close()
	s := settingsFor(b, far.Addr, knownAs(b, known, far.Addr))
	s.User, s.Keys = currentUser(b), []string{key}
	f, _ := transfertest.Content("bundle", 1<<10)
	for b.Loop() {
		sendOnce(b, s, b.TempDir(), f)
	}
	b.ReportMetric(float64(b.Elapsed())/float64(rtt)/float64(b.N), "trips/op")
}
