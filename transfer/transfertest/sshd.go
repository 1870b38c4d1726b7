package transfertest

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// OpenSSH is OpenSSH's server with keys of its own.
type OpenSSH struct {
	Addr       string
	Key        string // a file with a client's private key
	KnownHosts string // a file

	config string
	cmd    *exec.Cmd
	log    *strings.Builder
}

const sshd = "/usr/sbin/sshd"

// NewOpenSSH starts a server; extra are lines of its configuration.
func NewOpenSSH(t testing.TB, extra ...string) *OpenSSH {
	t.Helper()
	_, err := exec.LookPath(sshd)
	required := strings.Contains(","+os.Getenv("AIRGAP_REQUIRE")+",", ",sshd,")
	switch {
	case err != nil && required:
		t.Fatal("sshd is required and not there: ", err)
	case err != nil:
		t.Skip("SKIPPED for want of sshd: ", err)
	}
	dir := t.TempDir()
	host := filepath.Join(dir, "host")
	s := &OpenSSH{
		Addr: freeAddr(t), Key: filepath.Join(dir, "id"), KnownHosts: filepath.Join(dir, "known_hosts"),
		config: filepath.Join(dir, "config"), log: &strings.Builder{},
	}
	for _, path := range []string{host, s.Key} {
		if out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path).CombinedOutput(); err != nil {
			t.Fatalf("ssh-keygen: %v: %s", err, out)
		}
	}
	_, port, _ := net.SplitHostPort(s.Addr)
	config := fmt.Sprintf("ListenAddress 127.0.0.1\nPort %s\nHostKey %s\nAuthorizedKeysFile %s.pub\nPidFile none\nStrictModes no\nUsePAM no\nPasswordAuthentication no\n%s\n",
		port, host, s.Key, strings.Join(extra, "\n"))
	// The home of whoever runs the tests has files for the shell, which every command would read: here
	// that took three quarters of a login.
	for _, usual := range []string{"Subsystem sftp internal-sftp", "MaxStartups 100", "SetEnv HOME=" + dir} {
		if keyword, _, _ := strings.Cut(usual, " "); !strings.Contains(config, "\n"+keyword+" ") {
			config += usual + "\n"
		}
	}
	public, err := os.ReadFile(host + ".pub")
	if err != nil {
		t.Fatal(err)
	}
	for path, text := range map[string]string{s.config: config, s.KnownHosts: fmt.Sprintf("[127.0.0.1]:%s %s", port, public)} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll("/run/sshd", 0o755); err != nil {
		t.Log(err) // not root: it may do without
	}
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.Kill()
		if t.Failed() {
			t.Logf("sshd: %s", s.log)
		}
	})
	awaitPort(t, s.Addr)
	return s
}

// Start starts the server, again after Kill.
func (s *OpenSSH) Start() error {
	s.cmd = exec.Command(sshd, "-D", "-e", "-f", s.config)
	s.cmd.Stderr, s.cmd.WaitDelay = s.log, time.Second
	return s.cmd.Start()
}

// Kill kills the process that listens; sessions live on.
func (s *OpenSSH) Kill() {
	_ = s.cmd.Process.Kill() // it may have ended
	_ = s.cmd.Wait()
}

// SSHD is NewOpenSSH in parts.
func SSHD(t testing.TB, extra ...string) (addr, key, knownHosts string) {
	t.Helper()
	s := NewOpenSSH(t, extra...)
	return s.Addr, s.Key, s.KnownHosts
}

func freeAddr(t testing.TB) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// awaitPort waits until something answers.
func awaitPort(t testing.TB, addr string) {
	for range 2000 {
		conn, err := net.Dial("tcp", addr)
		if err == nil {
			conn.Close()
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Fatalf("nothing answers at %s", addr)
}
