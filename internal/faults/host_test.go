//go:build linux

package faults_test

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"airgap/transfer/transfertest"
)

// host is an sshd on this machine, that airgap reaches by ~/.ssh.
type host struct{ addr string }

func newHost(t *testing.T, extra ...string) host {
	t.Helper()
	needRoot(t, "sshd")
	addr, key, known := transfertest.SSHD(t, append([]string{"PermitRootLogin yes"}, extra...)...)
	return reached(t, addr, key, known)
}

// reached writes ~/.ssh, which is the tests' own here.
func reached(t *testing.T, addr, key, known string, extra ...string) host {
	t.Helper()
	name, _, _ := net.SplitHostPort(addr)
	text := fmt.Sprintf("Host %s\n  Port %s\n  IdentityFile %s\n  UserKnownHostsFile %s\n  %s\n", name, port(t, addr), key, known, strings.Join(extra, "\n  "))
	if err := os.WriteFile(filepath.Join(world.dir, "ssh", "config"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return host{addr}
}

func port(t *testing.T, addr string) string {
	t.Helper()
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	return port
}

func (h host) dest(dir string) string {
	name, _, _ := net.SplitHostPort(h.addr)
	return "root@" + name + ":" + dir
}
