package main

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"

	"github.com/pkg/sftp"
	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"

	"airgap/transfer/transfertest"
)

// sshServer is an SSH server on loopback that serves a folder over SFTP.
type sshServer struct {
	dir      string
	shell    []string // the environment of commands that it runs; nil if it runs none
	config   ssh.ServerConfig
	listener net.Listener

	mu    sync.Mutex
	conns []net.Conn
}

// scriptSFTPServer serves DIR at $SFTP (sftp://user@127.0.0.1:PORT) until the
// script ends. Its host key is put into known_hosts, as $HOSTKEY too, and the
// key of the user into .ssh/id_ed25519, with -passphrase under the passphrase
// "open". With -password it takes the password "open" and no key. With -shell it
// runs commands too, in DIR, with the programs of farbin before the system's.
func scriptSFTPServer(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) == 0 {
		ts.Fatalf("usage: sftpserver DIR [-password|-passphrase|-shell]")
	}
	s := &sshServer{dir: ts.MkAbs(args[0])}
	how := args[len(args)-1]
	if how == "-shell" {
		s.shell = []string{"PATH=" + ts.MkAbs("farbin") + ":/usr/bin:/bin", "HOME=" + s.dir, "DOCKER_HOST=" + ts.Getenv("DOCKER_HOST"), "AIRGAP_HERE=" + filepath.Join(firstDir(ts.Getenv("PATH")), "airgap")}
	}
	host, err := newKey()
	ts.Check(err)
	s.config.AddHostKey(host.signer)
	home := filepath.Join(ts.Getenv("HOME"), ".ssh")
	if how == "-password" {
		s.config.PasswordCallback = func(_ ssh.ConnMetadata, password []byte) (*ssh.Permissions, error) {
			if string(password) != "open" {
				return nil, os.ErrPermission
			}
			return nil, nil
		}
	} else {
		user, err := newKey()
		ts.Check(err)
		ts.Check(user.write(filepath.Join(home, "id_ed25519"), how == "-passphrase"))
		s.config.PublicKeyCallback = func(_ ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
			if string(key.Marshal()) != string(user.signer.PublicKey().Marshal()) {
				return nil, os.ErrPermission
			}
			return nil, nil
		}
	}
	s.listener, err = net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	ts.Defer(s.close)
	go s.serve()

	address := s.listener.Addr().String()
	line := knownhosts.Line([]string{address}, host.signer.PublicKey()) + "\n"
	ts.Check(os.WriteFile(filepath.Join(home, "known_hosts"), []byte(line), 0o600))
	ts.Setenv("SFTP", "sftp://user@"+address)
	ts.Setenv("HOSTKEY", ssh.FingerprintSHA256(host.signer.PublicKey()))
	ts.Setenv("PORT", address[len("127.0.0.1:"):])
}

// key is a key pair.
type key struct {
	private ed25519.PrivateKey
	signer  ssh.Signer
}

func newKey() (key, error) {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return key{}, err
	}
	signer, err := ssh.NewSignerFromKey(private)
	return key{private, signer}, err
}

func (k key) write(path string, locked bool) error {
	block, err := ssh.MarshalPrivateKey(k.private, "")
	if locked {
		block, err = ssh.MarshalPrivateKeyWithPassphrase(k.private, "", []byte("open"))
	}
	if err != nil {
		return err
	}
	return os.WriteFile(path, pem.EncodeToMemory(block), 0o600)
}

func (s *sshServer) close() {
	s.listener.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, conn := range s.conns {
		conn.Close()
	}
}

func (s *sshServer) serve() {
	for {
		conn, err := s.listener.Accept()
		if err != nil {
			return
		}
		s.mu.Lock()
		s.conns = append(s.conns, conn)
		s.mu.Unlock()
		go s.connection(conn)
	}
}

func (s *sshServer) connection(conn net.Conn) {
	_, channels, requests, err := ssh.NewServerConn(conn, &s.config)
	if err != nil {
		conn.Close()
		return
	}
	go ssh.DiscardRequests(requests)
	for offered := range channels {
		channel, requests, err := offered.Accept()
		if err != nil {
			return
		}
		go s.session(channel, requests)
	}
}

// session serves SFTP, and runs commands if there is a shell.
func (s *sshServer) session(channel ssh.Channel, requests <-chan *ssh.Request) {
	for r := range requests {
		var arg struct{ Value string }
		_ = ssh.Unmarshal(r.Payload, &arg)
		isSFTP := r.Type == "subsystem" && arg.Value == "sftp"
		isCommand := r.Type == "exec" && s.shell != nil
		r.Reply(isSFTP || isCommand, nil)
		switch {
		case isSFTP:
			s.files(channel)
		case isCommand:
			cmd := exec.Command("/bin/sh", "-c", arg.Value)
			cmd.Dir, cmd.Env = s.dir, s.shell
			go func() {
				transfertest.Exec(channel, cmd)
				channel.Close()
			}()
		}
	}
}

func (s *sshServer) files(channel ssh.Channel) {
	server, err := sftp.NewServer(channel, sftp.WithServerWorkingDirectory(s.dir))
	if err == nil {
		err = server.Serve()
	}
	if err == nil || err == io.EOF {
		server.Close()
	}
	channel.Close()
}

// scriptOtherKey makes a known_hosts file know another key for its hosts.
func scriptOtherKey(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 1 {
		ts.Fatalf("usage: otherkey KNOWN_HOSTS")
	}
	_, hosts, _, _, _, err := ssh.ParseKnownHosts([]byte(ts.ReadFile(args[0])))
	ts.Check(err)
	other, err := newKey()
	ts.Check(err)
	line := knownhosts.Line(hosts, other.signer.PublicKey()) + "\n"
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(line), 0o600))
}
