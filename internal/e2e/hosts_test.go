//go:build linux

package e2e_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestThroughSSH: what the configuration asks for and only ssh can do is done
// by ssh, which is said.
func TestThroughSSH(t *testing.T) {
	s := startServer(t)
	m := newMachine(t)
	packSamples(m)
	host, port, _ := strings.Cut(s.proxy.addr, ":")
	config := filepath.Join(world.home, ".ssh", "config")
	old, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	command := "  ProxyCommand bash -c 'exec 2>/dev/null 3<>/dev/tcp/" + host + "/" + port + "; cat <&3 & cat >&3'\n"
	write(t, config, string(old)+command)
	m.airgap("send", s.dest()).ok("proxycommand bash -c .*, which needs the ssh command: sending through it", "sent")
	arrivedWhole(t, m, s.in)
	m.airgap("send", s.dest()).ok("already there")
}

// TestSeveralHosts sends to those of a list, side by side; those that can be
// reached have it, and doing it again does what is left.
func TestSeveralHosts(t *testing.T) {
	s := startServer(t)
	m := newMachine(t)
	packSamples(m)
	one, two, three := fresh(t, "one"), fresh(t, "two"), filepath.Join(s.in, "three")
	at := s.user + "@127.0.0.1:"
	write(t, m.path("hosts.txt"), "# where it goes\n"+at+one+"\n"+two+" # a folder here\n\n"+at+three+"/\n")
	send := []string{"send", "--parallel", "3", "--hosts", "hosts.txt", "--limit", "200MiB/s"}
	m.airgap(send...).fails(exitFailed, "1 of 3 destinations failed", `folder "`+three+`" at 127.0.0.1`)
	arrivedWhole(t, m, one)
	arrivedWhole(t, m, two)
	if err := os.Mkdir(three, 0o755); err != nil {
		t.Fatal(err)
	}
	m.airgap(send...).ok("at all 3 destinations", "already there", "sent")
	arrivedWhole(t, m, three)
}

// arrivedWhole compares a folder's bundle with the machine's.
func arrivedWhole(t *testing.T, m *machine, dir string) {
	t.Helper()
	for _, name := range []string{"bundle.tar.zst", "bundle.tar.zst.sha256"} {
		want, err := os.ReadFile(m.path(name))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(filepath.Join(dir, name)); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s in %s: %d of %d bytes, %v", name, dir, len(got), len(want), err)
		}
	}
}
