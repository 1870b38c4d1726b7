//go:build linux

package world

import (
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"airgap/transfer/transfertest"
)

// host is an SSH server whose login folder is the top of the world, and which
// has this airgap.
type host struct {
	top, address string
}

// startHost starts it, and gives this user a key and a host that is known.
func startHost(t *testing.T, top, home string) *host {
	t.Helper()
	private, signer := transfertest.NewKey(t)
	server := transfertest.NewServer(t, true, func(c *ssh.ServerConfig) {
		c.PublicKeyCallback = func(_ ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
			if string(key.Marshal()) != string(signer.PublicKey().Marshal()) {
				return nil, os.ErrPermission
			}
			return nil, nil
		}
	})
	block, err := ssh.MarshalPrivateKey(private, "")
	if err != nil {
		t.Fatal(err)
	}
	known, err := os.ReadFile(server.KnownHosts(t))
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{"id_ed25519": pem.EncodeToMemory(block), "known_hosts": known} {
		path := filepath.Join(home, ".ssh", name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return &host{top, "sftp://user@" + server.Addr}
}

// dest is a folder of the world as a destination.
func (h *host) dest(dir string) string { return h.address + filepath.Join(h.top, dir) }

// short writes what is typed as one would like to read it.
func (h *host) short(line string) string {
	return strings.ReplaceAll(line, h.address+h.top+"/", "host:")
}

// tools makes a folder with all programs of the machine but OpenSSH's, so that
// the settings of this user do not count.
func tools(t *testing.T, dir string) string {
	t.Helper()
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, from := range []string{"/usr/bin", "/bin"} {
		entries, err := os.ReadDir(from)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if !strings.HasPrefix(e.Name(), "ssh") {
				_ = os.Symlink(filepath.Join(from, e.Name()), filepath.Join(dir, e.Name())) // it may be there
			}
		}
	}
	return dir
}
