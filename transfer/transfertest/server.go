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
	"sync"
	"sync/atomic"
	"testing"

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
	Profile string                           // what the shell runs before every command, as a .bashrc
	Mute    func()                           // is called instead of saying whether a command will be run; or nil
	SFTP    func(channel io.ReadWriteCloser) // serves files; nil for the usual

	forwarded atomic.Int32
}

// Forwarded is the number of connections that the server has passed on.
func (s *Server) Forwarded() int { return int(s.forwarded.Load()) }

// NewKey makes a key.
func NewKey(t testing.TB) (ed25519.PrivateKey, ssh.Signer) {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return key, signer
}

// NewSigner makes a key of which nobody needs the bytes.
func NewSigner(t testing.TB) ssh.Signer {
	t.Helper()
	_, signer := NewKey(t)
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
		case r.Type == "exec" && s.Mute != nil:
			s.Mute()
		case r.Type == "exec" && s.Shell:
			r.Reply(true, nil)
			go ssh.DiscardRequests(requests)
			Exec(channel, exec.Command("sh", "-c", s.Profile+"\n"+arg.Value))
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
