package sftp

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"airgap/transfer"
	"airgap/transfer/transfertest"
)

// TestContiguous has stretches acknowledged in any order.
func TestContiguous(t *testing.T) {
	c := contiguous{end: 10}
	for _, step := range []struct{ off, n, end int64 }{{20, 5, 10}, {15, 5, 10}, {10, 5, 25}, {30, 1, 25}, {25, 5, 31}} {
		if end := c.add(step.off, step.n); end != step.end {
			t.Errorf("%d bytes at %d: %d are there, expected %d", step.n, step.off, end, step.end)
		}
	}
	if len(c.later) > 0 {
		t.Errorf("%v is left", c.later)
	}
}

// TestNotTooFarAhead has the first packet lag: nobody goes on reading then,
// until it is there.
func TestNotTooFarAhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &stream{data: bytes.NewReader(make([]byte, 2*inFlight)), packet: largePacket, arrival: newArrival()}
		s.change.L = &s.mu
		buf := make([]byte, s.packet)
		for range requests(s.packet) {
			if n, _ := s.next(buf); n != s.packet {
				t.Fatalf("%d bytes", n)
			}
		}
		var taken atomic.Int64
		go func() {
			_, off := s.next(buf)
			taken.Store(off)
		}()
		s.acknowledge(int64(s.packet), int64(s.packet))
		synctest.Wait()
		if taken.Load() != 0 {
			t.Error("read on behind a hole")
		}
		s.acknowledge(0, int64(s.packet))
		synctest.Wait()
		if want := int64(requests(s.packet) * s.packet); taken.Load() != want || want > inFlight {
			t.Errorf("went on at %d, expected %d", taken.Load(), want)
		}
	})
}

// TestArrival tells a shell of a growing file, piece by piece, and of its end.
func TestArrival(t *testing.T) {
	for name, c := range map[string]struct {
		there []int64
		whole bool
		lines string
	}{
		"in pieces":        {[]int64{3 << 20, 8<<20 + 5, 17 << 20, 17<<20 + 1}, true, "0 8\n8 9\n17 1\n"},
		"whole blocks":     {[]int64{9 << 20, 10 << 20}, true, "0 9\n9 1\n"},
		"less than one":    {[]int64{5}, true, "0 1\n"},
		"nothing":          {nil, true, ""},
		"it breaks off":    {[]int64{9 << 20, 10 << 20}, false, "0 9\n"},
		"nothing, for now": {[]int64{1}, false, ""},
	} {
		t.Run(name, func(t *testing.T) {
			a := newArrival()
			var lines strings.Builder
			for _, n := range c.there {
				a.has(n)
				if a.there-a.told >= sumStretch {
					lines.WriteString(readLine(t, a))
				}
			}
			a.end(c.whole)
			rest, err := io.ReadAll(a)
			if got := lines.String() + string(rest); got != c.lines || err != nil {
				t.Errorf("told %q, %v, expected %q", got, err, c.lines)
			}
		})
	}
}

func readLine(t *testing.T, r io.Reader) string {
	t.Helper()
	b := make([]byte, 64)
	n, err := r.Read(b)
	if err != nil {
		t.Fatal(err)
	}
	return string(b[:n])
}

// TestArrivalScript runs what is run on the far side, whatever the name is.
func TestArrivalScript(t *testing.T) {
	if _, err := exec.LookPath("dd"); err != nil {
		t.Skip("SKIPPED for want of dd")
	}
	f, raw := transfertest.Content("it's $(a) \"name\"", 3<<20+17)
	path := filepath.Join(t.TempDir(), f.Name)
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("sh", "-c", arrivalScript(path))
	cmd.Stdin = strings.NewReader("0 2\n2 1\n3 1\n")
	out, err := cmd.Output()
	if sum := sha256.Sum256(raw); err != nil || parseSum(string(out)) != hex.EncodeToString(sum[:]) {
		t.Errorf("%q, %v", out, err)
	}
}

// TestHowItIsProven looks at who made the sum, and how many channels there
// were: also where a server allows one session only.
func TestHowItIsProven(t *testing.T) {
	for name, c := range map[string]struct {
		config []string
		how    string
	}{
		"OpenSSH":      {nil, "hashed there as it arrived"},
		"one session":  {[]string{"MaxSessions 1"}, "read back"},
		"two sessions": {[]string{"MaxSessions 2"}, ""}, // whoever comes first
		"files only":   {[]string{"ForceCommand internal-sftp"}, "read back"},
	} {
		t.Run(name, func(t *testing.T) {
			addr, key, known := transfertest.SSHD(t, c.config...)
			s := settingsFor(t, addr, known)
			s.User, s.Keys = currentUser(t), []string{key}
			dir := t.TempDir()
			p, err := open(t.Context(), s, dir, Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer p.Close()
			if p.packet != largePacket {
				t.Errorf("packets of %d bytes", p.packet)
			}
			f, raw := transfertest.Content("bundle", 21<<20+5)
			r, err := transfer.Send(t.Context(), p, f, transfer.SendOptions{})
			if err != nil || c.how != "" && r.Proven != c.how {
				t.Errorf("receipt %+v, %v", r, err)
			}
			transfertest.Arrived(t, dir, f, raw)
		})
	}
}

// TestSmallPackets sends in packets that are no fraction of anything.
func TestSmallPackets(t *testing.T) {
	server := transfertest.NewServer(t, true, anybody)
	dir := t.TempDir()
	p, err := open(t.Context(), settingsFor(t, server.Addr, server.KnownHosts(t)), dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if p.packet != smallPacket {
		t.Errorf("packets of %d bytes", p.packet)
	}
	p.packet = 4097
	f, raw := transfertest.Content("bundle", 9<<20+1)
	if _, err := transfer.Send(t.Context(), p, f, transfer.SendOptions{}); err != nil {
		t.Error(err)
	}
	transfertest.Arrived(t, dir, f, raw)
}

// TestOtherBytes writes others than the file's: a sum that is made on the way is
// not believed then, but made again of the whole.
func TestOtherBytes(t *testing.T) {
	server := transfertest.NewServer(t, true, anybody)
	p, err := open(t.Context(), settingsFor(t, server.Addr, server.KnownHosts(t)), t.TempDir(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	f, raw := transfertest.Content("bundle", 9<<20)
	if _, err := p.Find(t.Context(), f); err != nil {
		t.Fatal(err)
	}
	other := bytes.Clone(raw)
	other[5] ^= 1
	if err := p.Write(t.Context(), 0, bytes.NewReader(other)); err != nil {
		t.Fatal(err)
	}
	sum, how, err := p.Hash(t.Context(), transfer.Partial, f.Size)
	if want := sha256.Sum256(other); err != nil || sum != hex.EncodeToString(want[:]) || how != "hashed there" {
		t.Errorf("%s, %s, %v", sum, how, err)
	}
}
