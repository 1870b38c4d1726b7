package sftp

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"airgap/transfer"
	"airgap/transfer/transfertest"
)

// fakeSSH puts an ssh command on the PATH that answers -G with settings per
// host, given as lines.
func fakeSSH(t *testing.T, hosts map[string]string) {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("SKIPPED for want of a POSIX shell")
	}
	dir := t.TempDir()
	script := "#!/bin/sh\nfor last; do :; done\ncase $last in\n"
	for host, lines := range hosts {
		script += fmt.Sprintf("%s) cat <<'END'\n%s\nEND\n;;\n", host, lines)
	}
	script += "*) echo unknown host $last >&2; exit 1;;\nesac\n"
	if err := os.WriteFile(filepath.Join(dir, "ssh"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+string(os.PathListSeparator)+os.Getenv("PATH"))
}

func lines(s *transfertest.Server, knownHosts string, more ...string) string {
	host, port, _ := net.SplitHostPort(s.Addr)
	return strings.Join(append([]string{
		"hostname " + host, "port " + port, "user somebody", "userknownhostsfile " + knownHosts, "globalknownhostsfile /dev/null", "stricthostkeychecking ask",
	}, more...), "\n")
}

// TestJump reaches a host through two others; the key of each is checked.
func TestJump(t *testing.T) {
	var servers []*transfertest.Server
	for range 3 {
		servers = append(servers, transfertest.NewServer(t, false, func(c *ssh.ServerConfig) { c.NoClientAuth = true }))
	}
	settings := func(first, second, last string) map[string]string {
		return map[string]string{
			"first": lines(servers[0], first), "second": lines(servers[1], second), "box": lines(servers[2], last, "proxyjump first,me@second"),
		}
	}
	known := []string{servers[0].KnownHosts(t), servers[1].KnownHosts(t), servers[2].KnownHosts(t)}
	nobody := filepath.Join(t.TempDir(), "none")
	dir := t.TempDir()
	t.Run("all known", func(t *testing.T) {
		fakeSSH(t, settings(known[0], known[1], known[2]))
		p, err := Open(t.Context(), Dest{Host: "box", Dir: dir}, Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		f, raw := transfertest.Content("bundle", 1<<20)
		if _, err := transfer.Send(t.Context(), p, f, transfer.SendOptions{}); err != nil {
			t.Fatal(err)
		}
		transfertest.Arrived(t, dir, f, raw)
		if servers[0].Forwarded() != 1 || servers[1].Forwarded() != 1 || servers[2].Forwarded() != 0 {
			t.Error("the connection did not go hop by hop")
		}
	})
	for i, name := range []string{"first", "second", "last"} {
		t.Run(name+" not known", func(t *testing.T) {
			files := []string{known[0], known[1], known[2]}
			files[i] = nobody
			fakeSSH(t, settings(files[0], files[1], files[2]))
			_, err := Open(t.Context(), Dest{Host: "box"}, Options{})
			var refused *transfer.HostKeyError
			if !errors.As(err, &refused) || refused.Fingerprint != ssh.FingerprintSHA256(servers[i].HostKey.PublicKey()) {
				t.Errorf("error %v", err)
			}
		})
	}
	t.Run("in a circle", func(t *testing.T) {
		fakeSSH(t, map[string]string{"box": lines(servers[0], known[0], "proxyjump box")})
		if _, err := Open(t.Context(), Dest{Host: "box"}, Options{}); err == nil {
			t.Error("connected")
		}
	})
}

// TestUnreachable says that nothing has been sent.
func TestUnreachable(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	_, err = open(t.Context(), settingsFor(t, addr, filepath.Join(t.TempDir(), "none")), ".", Options{})
	var cut *transfer.InterruptedError
	if !errors.As(err, &cut) || cut.Partial != "" {
		t.Errorf("error %v", err)
	}
}
