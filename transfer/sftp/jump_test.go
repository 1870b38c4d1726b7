package sftp

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
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

// TestPasswordIsForTheHost has a hop that would take
// a password, and a host that does: only the host hears it.
func TestPasswordIsForTheHost(t *testing.T) {
	heard := map[string][]string{}
	var mu sync.Mutex
	server := func(name string, keys bool) *transfertest.Server {
		return transfertest.NewServer(t, false, func(c *ssh.ServerConfig) {
			take := func(secret string) (*ssh.Permissions, error) {
				mu.Lock()
				defer mu.Unlock()
				heard[name] = append(heard[name], secret)
				if keys {
					return nil, errors.New("keys only")
				}
				return nil, nil
			}
			c.PasswordCallback = func(_ ssh.ConnMetadata, secret []byte) (*ssh.Permissions, error) { return take(string(secret)) }
			c.KeyboardInteractiveCallback = func(_ ssh.ConnMetadata, ask ssh.KeyboardInteractiveChallenge) (*ssh.Permissions, error) {
				answers, err := ask("", "", []string{"Password: "}, []bool{false})
				if err != nil {
					return nil, err
				}
				return take(strings.Join(answers, ""))
			}
			if keys {
				c.PublicKeyCallback = func(ssh.ConnMetadata, ssh.PublicKey) (*ssh.Permissions, error) { return nil, nil }
			}
		})
	}
	first, second, box := server("first", true), server("second", true), server("box", false)
	key, _ := writeKey(t, "")
	over := "identityfile " + key
	for name, hosts := range map[string]map[string]string{
		"both named by the host": {
			"first": lines(first, first.KnownHosts(t), over), "second": lines(second, second.KnownHosts(t), over),
			"box": lines(box, box.KnownHosts(t), "proxyjump first,second"),
		},
		"one behind the other": {
			"first": lines(first, first.KnownHosts(t), over), "second": lines(second, second.KnownHosts(t), over, "proxyjump first"),
			"box": lines(box, box.KnownHosts(t), "proxyjump second"),
		},
		"a hop that asks for one": {
			"first": lines(first, first.KnownHosts(t)), "box": lines(box, box.KnownHosts(t), "proxyjump first"),
		},
	} {
		t.Run(name, func(t *testing.T) {
			clear(heard)
			fakeSSH(t, hosts)
			p, err := Open(t.Context(), Dest{Host: "box", Dir: t.TempDir()}, Options{Password: "secret"})
			if err == nil {
				p.Close()
			}
			if len(heard["first"])+len(heard["second"]) > 0 || (len(heard["box"]) > 0) != (err == nil) {
				t.Errorf("heard %v, error %v", heard, err)
			}
			if hop := strings.HasPrefix(name, "a hop"); hop != (err != nil) {
				t.Errorf("error %v", err)
			}
		})
	}
}

// TestTurnedAway comes to hosts that are busy with others: OpenSSH says so
// before it greets, if at all. That is known from what else may be wrong.
func TestTurnedAway(t *testing.T) {
	turnedAway := func(addr, known string) bool {
		t.Helper()
		p, err := open(t.Context(), settingsFor(t, addr, known), ".", Options{})
		if err == nil {
			p.Close()
		}
		var cut *transfer.InterruptedError
		if !errors.As(err, &cut) {
			t.Errorf("error %v", err)
			return false
		}
		return cut.Away
	}
	none := filepath.Join(t.TempDir(), "none")
	for says, want := range map[string]bool{"": true, "Exceeded MaxStartups\r\n": true, "Not allowed at this time\r\n": true, "SSH-2.0-x\r\n": false} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		go func() {
			for conn, err := l.Accept(); err == nil; conn, err = l.Accept() {
				_, _ = conn.Write([]byte(says))
				conn.Close()
			}
		}()
		if got := turnedAway(l.Addr().String(), none); got != want {
			t.Errorf("a host that says %q: %t", says, got)
		}
	}
	addr, _, known := transfertest.SSHD(t, "MaxStartups 1:100:1")
	var silent []net.Conn // they keep it busy
	for range 2 {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		silent = append(silent, conn)
	}
	if _, err := silent[0].Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	if !turnedAway(addr, known) {
		t.Error("OpenSSH with MaxStartups is not known")
	}
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
