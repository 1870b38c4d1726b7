//go:build linux

package e2e_test

import (
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// server is a host that bundles are sent to: a real sshd, reached through a
// proxy that can cut or hold the line.
type server struct {
	*service
	proxy *proxy
	in    string // the folder that bundles go to
	keys  string // the folder with the host's and the user's keys
	user  string
}

// startServer runs an sshd and writes the ~/.ssh/config by which its host is
// 127.0.0.1, as in `airgap send root@127.0.0.1:DIR`. settings are lines more for
// the sshd's configuration.
func startServer(t *testing.T, settings ...string) *server {
	t.Helper()
	needRoot(t, "sshd")
	sshd, keygen := program(t, "sshd", "sshd"), program(t, "sshd", "ssh-keygen")
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	s := &server{keys: fresh(t, "sshd"), in: fresh(t, "in"), user: me.Username}
	for _, key := range []string{"host", "other", "user"} {
		makeKey(t, keygen, s.at(key))
	}
	port := freePort(t)
	s.run(t, sshd, port, settings)
	s.proxy = startProxy(t, "tcp", loopback(0), "tcp", loopback(port))
	s.trust(t, "host")
	return s
}

func (s *server) at(name string) string { return filepath.Join(s.keys, name) }

func makeKey(t *testing.T, keygen, path string) {
	t.Helper()
	out, err := exec.Command(keygen, "-q", "-t", "ed25519", "-N", "", "-f", path).CombinedOutput()
	if err != nil {
		t.Fatalf("ssh-keygen: %v\n%s", err, out)
	}
}

// run starts the sshd.
func (s *server) run(t *testing.T, sshd string, port int, settings []string) {
	t.Helper()
	if err := os.MkdirAll("/run/sshd", 0o755); err != nil { // its own start script does that
		t.Fatal(err)
	}
	write(t, s.at("config"), fmt.Sprintf(`ListenAddress %s
HostKey %s
AuthorizedKeysFile %s
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
PermitRootLogin yes
Subsystem sftp internal-sftp
%s
`, loopback(port), s.at("host"), s.at("user.pub"), strings.Join(settings, "\n")))
	var err error
	if s.service, err = startService(s.at("log"), sshd, "-D", "-e", "-f", s.at("config")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.stop() })
	if err := s.ready(func() error { return dialable("tcp", loopback(port)) }); err != nil {
		t.Fatalf("sshd: %v", err)
	}
}

// trust writes ~/.ssh anew, with the named key as the one known of the host;
// with "" the host is unknown.
func (s *server) trust(t *testing.T, key string) {
	t.Helper()
	ssh := filepath.Join(world.home, ".ssh")
	for _, name := range []string{"config", "known_hosts"} {
		if err := os.Remove(filepath.Join(ssh, name)); err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
	}
	_, port, _ := strings.Cut(s.proxy.addr, ":")
	write(t, filepath.Join(ssh, "config"), fmt.Sprintf("Host 127.0.0.1 server\n  HostName 127.0.0.1\n  Port %s\n  IdentityFile %s\n", port, s.at("user")))
	if key == "" {
		return
	}
	pub, err := os.ReadFile(s.at(key + ".pub"))
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(ssh, "known_hosts"), fmt.Sprintf("[127.0.0.1]:%s %s", port, pub))
}

// dest is the server's folder as a user names it.
func (s *server) dest() string { return s.user + "@127.0.0.1:" + s.in }

// killSessions ends the processes that sshd has for its connections.
func (s *server) killSessions(t *testing.T) {
	children := map[int][]int{}
	list, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, stat := range list {
		b, err := os.ReadFile(stat)
		if err != nil {
			continue // it has just ended
		}
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(stat)))
		_, rest, _ := strings.Cut(string(b), ") ")
		if fields := strings.Fields(rest); len(fields) > 1 {
			parent, _ := strconv.Atoi(fields[1])
			children[parent] = append(children[parent], pid)
		}
	}
	sessions := children[s.cmd.Process.Pid]
	if len(sessions) == 0 {
		t.Error("sshd has no session to kill")
	}
	for _, pid := range sessions {
		for _, grandchild := range children[pid] {
			syscall.Kill(grandchild, syscall.SIGKILL)
		}
		syscall.Kill(pid, syscall.SIGKILL)
	}
}
