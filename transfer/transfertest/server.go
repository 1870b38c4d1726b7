package transfertest

import (
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
)

// Server is an SSH server in this process that serves the files of this
// machine by SFTP, and runs commands if Shell is set.
type Server struct {
	Addr    string
	Config  *ssh.ServerConfig
	HostKey ssh.Signer
	Shell   bool
	SFTP    func(channel io.ReadWriteCloser) // serves files; nil for the usual

	forwarded atomic.Int32
}

// Forwarded is the number of connections that the server has passed on.
func (s *Server) Forwarded() int { return int(s.forwarded.Load()) }

// NewSigner makes a key.
func NewSigner(t testing.TB) ssh.Signer {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return signer
}

// NewServer starts a server; configure says who may log in.
func NewServer(t testing.TB, shell bool, configure func(*ssh.ServerConfig)) *Server {
	t.Helper()
	s := &Server{Config: &ssh.ServerConfig{}, HostKey: NewSigner(t), Shell: shell}
	s.Config.AddHostKey(s.HostKey)
	configure(s.Config)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.Addr = l.Addr().String()
	var wg sync.WaitGroup
	t.Cleanup(func() { l.Close(); wg.Wait() })
	wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go s.serve(conn)
		}
	})
	return s
}

func (s *Server) serve(conn net.Conn) {
	defer conn.Close()
	_, channels, requests, err := ssh.NewServerConn(conn, s.Config)
	if err != nil {
		return
	}
	go ssh.DiscardRequests(requests)
	for c := range channels {
		if c.ChannelType() == "direct-tcpip" {
			go s.forward(c)
			continue
		}
		if c.ChannelType() != "session" {
			c.Reject(ssh.UnknownChannelType, "sessions and connections only")
			continue
		}
		channel, requests, err := c.Accept()
		if err != nil {
			return
		}
		go s.session(channel, requests)
	}
}

// forward connects to another host for a client.
func (s *Server) forward(c ssh.NewChannel) {
	var to struct {
		Host       string
		Port       uint32
		Origin     string
		OriginPort uint32
	}
	ssh.Unmarshal(c.ExtraData(), &to)
	conn, err := net.Dial("tcp", net.JoinHostPort(to.Host, fmt.Sprint(to.Port)))
	if err != nil {
		c.Reject(ssh.ConnectionFailed, err.Error())
		return
	}
	defer conn.Close()
	channel, requests, err := c.Accept()
	if err != nil {
		return
	}
	defer channel.Close()
	s.forwarded.Add(1)
	go ssh.DiscardRequests(requests)
	go io.Copy(channel, conn)
	io.Copy(conn, channel)
}

func (s *Server) session(channel ssh.Channel, requests <-chan *ssh.Request) {
	defer channel.Close()
	for r := range requests {
		var arg struct{ Value string }
		ssh.Unmarshal(r.Payload, &arg)
		switch {
		case r.Type == "subsystem" && arg.Value == "sftp":
			r.Reply(true, nil)
			if s.SFTP != nil {
				s.SFTP(channel)
			} else if server, err := sftp.NewServer(channel); err == nil {
				server.Serve()
			}
			return
		case r.Type == "exec" && s.Shell:
			r.Reply(true, nil)
			go ssh.DiscardRequests(requests)
			Exec(channel, exec.Command("sh", "-c", arg.Value))
			return
		default:
			r.Reply(false, nil)
		}
	}
}

// Exec runs a command for a client, as sshd does without a terminal: when the
// client is gone its input ends, and nothing else happens to it.
func Exec(channel ssh.Channel, cmd *exec.Cmd) {
	cmd.Stdout, cmd.Stderr = channel, channel.Stderr()
	in, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		fmt.Fprintln(channel.Stderr(), err)
		return
	}
	go func() {
		io.Copy(in, channel)
		in.Close()
	}()
	err = cmd.Wait()
	status := struct{ Status uint32 }{}
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		status.Status = uint32(exit.ExitCode())
	}
	channel.SendRequest("exit-status", false, ssh.Marshal(status))
}

// KnownHosts writes a file that knows the server's key under its address.
func (s *Server) KnownHosts(t testing.TB) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "known_hosts")
	if err := os.WriteFile(path, []byte(knownhosts.Line([]string{s.Addr}, s.HostKey.PublicKey())+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// Line is a connection that passes through a place where it can be cut.
type Line struct {
	Addr string
	left atomic.Int64 // bytes towards the server until the cut; negative: no limit

	stalls atomic.Bool   // where it would be cut nothing more passes, and it stays open
	ended  chan struct{} // with the test
}

// NewLine starts a line to addr.
func NewLine(t testing.TB, addr string) *Line {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	line := &Line{Addr: l.Addr().String(), ended: make(chan struct{})}
	t.Cleanup(func() { l.Close(); close(line.ended) })
	line.left.Store(-1)
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go line.pass(conn, addr)
		}
	}()
	return line
}

// CutAfter cuts the connections of the line after n more bytes to the server.
func (l *Line) CutAfter(n int64) {
	l.stalls.Store(false)
	l.left.Store(n)
}

// StallAfter has nothing more pass after n more bytes to the server.
func (l *Line) StallAfter(n int64) {
	l.stalls.Store(true)
	l.left.Store(n)
}

// Heal lets everything pass again.
func (l *Line) Heal() { l.left.Store(-1) }

func (l *Line) pass(conn net.Conn, addr string) {
	defer conn.Close()
	server, err := net.Dial("tcp", addr)
	if err != nil {
		return
	}
	defer server.Close()
	go io.Copy(conn, server)
	buf := make([]byte, 16<<10)
	for {
		n, err := conn.Read(buf)
		if err != nil {
			return
		}
		if left := l.left.Load(); left >= 0 {
			if int64(n) >= left {
				server.Write(buf[:left])
				l.left.Store(0)
				if l.stalls.Load() {
					<-l.ended
					return
				}
				server.(*net.TCPConn).SetLinger(0)
				conn.(*net.TCPConn).SetLinger(0)
				return
			}
			l.left.Add(-int64(n))
		}
		if _, err := server.Write(buf[:n]); err != nil {
			return
		}
	}
}

// SSHD starts OpenSSH's server with keys of its own. It answers the address,
// a client's private key file and a known_hosts file.
func SSHD(t testing.TB, extra ...string) (addr, key, knownHosts string) {
	t.Helper()
	binary, err := exec.LookPath("/usr/sbin/sshd")
	required := strings.Contains(","+os.Getenv("AIRGAP_REQUIRE")+",", ",sshd,")
	switch {
	case err != nil && required:
		t.Fatal("sshd is required and not there: ", err)
	case err != nil:
		t.Skip("SKIPPED for want of sshd: ", err)
	}
	dir := t.TempDir()
	host, key := filepath.Join(dir, "host"), filepath.Join(dir, "id")
	for _, path := range []string{host, key} {
		if out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path).CombinedOutput(); err != nil {
			t.Fatalf("ssh-keygen: %v: %s", err, out)
		}
	}
	addr = freeAddr(t)
	_, port, _ := net.SplitHostPort(addr)
	config := fmt.Sprintf("ListenAddress 127.0.0.1\nPort %s\nHostKey %s\nAuthorizedKeysFile %s.pub\nPidFile none\nStrictModes no\nUsePAM no\nPasswordAuthentication no\nMaxStartups 100\n%s\n",
		port, host, key, strings.Join(extra, "\n"))
	if !strings.Contains(config, "\nSubsystem ") {
		config += "Subsystem sftp internal-sftp\n"
	}
	if err := os.WriteFile(filepath.Join(dir, "config"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	os.MkdirAll("/run/sshd", 0o755)
	cmd := exec.Command(binary, "-D", "-e", "-f", filepath.Join(dir, "config"))
	var log strings.Builder
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		if t.Failed() {
			t.Logf("sshd: %s", log.String())
		}
	})
	awaitPort(t, addr)
	public, err := os.ReadFile(host + ".pub")
	if err != nil {
		t.Fatal(err)
	}
	knownHosts = filepath.Join(dir, "known_hosts")
	line := fmt.Sprintf("[127.0.0.1]:%s %s", port, public)
	if err := os.WriteFile(knownHosts, []byte(line), 0o600); err != nil {
		t.Fatal(err)
	}
	return addr, key, knownHosts
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
