package sftp

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"airgap/transfer"
	"airgap/transfer/transfertest"
)

// everything sets all that `ssh -G` prints only if it is set.
const everything = `Host x
BindAddress 127.0.0.1
BindInterface lo
ControlPath /nonexistent
HostKeyAlias a
IdentityAgent none
IgnoreUnknown Nothing
KbdInteractiveDevices pam
LocalCommand true
RemoteCommand true
PKCS11Provider /nonexistent
PreferredAuthentications password
RevokedHostKeys /nonexistent
KnownHostsCommand /bin/true
DynamicForward 1080
LocalForward 1081 localhost:1
RemoteForward 1082 localhost:1
CertificateFile /nonexistent
SendEnv A
SetEnv B=c
ProxyCommand true
`

// TestKeywords knows every keyword that ssh prints, in one table.
func TestKeywords(t *testing.T) {
	o := newTheirs(t)
	o.write("ssh_config", everything+"Host y\nProxyJump z\n")
	seen := map[string]bool{}
	for _, host := range []string{"x", "y"} {
		out, err := exec.Command("ssh", "-G", host).Output()
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(out)) {
			key, _, _ := strings.Cut(strings.ToLower(strings.TrimSpace(line)), " ")
			seen[key] = true
		}
	}
	for key := range seen {
		_, isFollowed := followed[key]
		_, isHanded := handed[key]
		_, isPassed := passed[key]
		if n := slices.DeleteFunc([]bool{isFollowed, isHanded, isPassed}, func(b bool) bool { return !b }); len(n) != 1 {
			t.Errorf("%q is in %d tables", key, len(n))
		}
	}
	if len(seen) < 80 {
		t.Errorf("%d keywords only", len(seen))
	}
	t.Logf("%d keywords", len(seen))
	var config *ConfigError
	s := settings{Alias: "x", Host: "x"}
	usual := "host x\nnewthing no"
	if err := s.compare(strings.Fields(usual), strings.Split(usual, "\n"), []string{"newthing no"}); err != nil {
		t.Error(err)
	}
	if err := s.compare(strings.Fields(usual), strings.Split(usual, "\n"), []string{"newthing yes"}); !errors.As(err, &config) {
		t.Errorf("error %v", err)
	}
}

// hop is settings for a real server.
func hop(t *testing.T, name, addr, key, known string, more ...string) string {
	_, port, _ := net.SplitHostPort(addr)
	return fmt.Sprintf("Host %s\n%s\nHostName 127.0.0.1\nPort %s\nUser %s\nIdentityFile %s\nIdentitiesOnly yes\nUpdateHostKeys no\nUserKnownHostsFile %s\nGlobalKnownHostsFile none\n",
		name, strings.Join(more, "\n"), port, currentUser(t), key, known)
}

// TestChain goes through two real servers, with a check of the key at each.
func TestChain(t *testing.T) {
	o := newTheirs(t)
	var addrs, keys, lists []string
	for range 3 {
		addr, key, list := transfertest.SSHD(t)
		addrs, keys, lists = append(addrs, addr), append(keys, key), append(lists, list)
	}
	names := []string{"first", "second", "box"}
	for i, end := range []string{unknown, changed, changed, accepted} {
		known := slices.Clone(lists)
		if i < 3 && end == unknown {
			known[i] = filepath.Join(o.dir, "missing")
		} else if i < 3 {
			_, port, _ := net.SplitHostPort(addrs[i])
			known[i] = o.write("other", "[127.0.0.1]:"+port+" "+string(ssh.MarshalAuthorizedKey(transfertest.NewSigner(t).PublicKey())))
		}
		o.write("ssh_config", hop(t, names[0], addrs[0], keys[0], known[0])+hop(t, names[1], addrs[1], keys[1], known[1])+hop(t, names[2], addrs[2], keys[2], known[2], "ProxyJump first,second"))
		stderr, err := o.ssh("box", "true")
		if got := theirVerdict(stderr, err); got != end {
			t.Errorf("ssh says %s, expected %s: %s", got, end, stderr)
		}
		p, err := Open(t.Context(), Dest{Host: "box"}, Options{})
		if err == nil {
			p.Close()
		}
		var refused *transfer.HostKeyError
		if got := ourVerdict(err); got != end {
			t.Errorf("we say %s, expected %s", got, end)
		} else if errors.As(err, &refused) && !strings.HasSuffix(addrs[i], strings.TrimPrefix(refused.Host, "[127.0.0.1]")) {
			t.Errorf("it is about %s, expected %s", refused.Host, addrs[i])
		}
	}
	o.write("ssh_config", hop(t, names[0], addrs[0], keys[0], lists[0])+hop(t, "box", addrs[2], keys[2], lists[2], "ProxyCommand "+o.binary+" -F "+o.config+" -W [%h]:%p first"))
	var notes []string
	p, err := Open(t.Context(), Dest{Host: "box"}, Options{Note: func(format string, args ...any) { notes = append(notes, fmt.Sprintf(format, args...)) }})
	if err != nil {
		t.Fatal(err)
	}
	p.Close()
	if len(notes) != 1 || !strings.Contains(notes[0], "proxycommand") {
		t.Errorf("notes %q", notes)
	}
}

// TestManyKeys has an agent with more keys than a server lets anybody try.
func TestManyKeys(t *testing.T) {
	o := newTheirs(t)
	addr, key, list := transfertest.SSHD(t)
	ring := agent.NewKeyring()
	for range 7 {
		path, _ := o.newKey(fmt.Sprintf("k%d", len(must(ring.List()))), "-t", "ed25519")
		o.addKey(ring, path)
	}
	o.addKey(ring, key)
	socket := filepath.Join(o.dir, "agent")
	serveAgent(t, ring, socket)
	half := o.write("half", string(must(os.ReadFile(key+".pub"))))
	for name, c := range map[string]struct {
		more string
		end  string
	}{
		"all":                       {"IdentitiesOnly no\nIdentityFile none", "not let in"},
		"the named one first":       {"IdentitiesOnly no\nIdentityFile " + key, accepted},
		"named by its public half":  {"IdentitiesOnly yes\nIdentityFile " + half, accepted},
		"named ones only":           {"IdentitiesOnly yes\nIdentityFile " + o.dir + "/k1\nIdentityFile " + key, accepted},
		"named ones only, not this": {"IdentitiesOnly yes\nIdentityFile " + o.dir + "/k1", "not let in"},
	} {
		o.write("ssh_config", "Host box\n"+c.more+"\nIdentityAgent "+socket+"\n"+strings.Replace(hop(t, "box", addr, "none", list), "Host box", "", 1))
		stderr, err := o.ssh("box", "true")
		p, ourErr := Open(t.Context(), Dest{Host: "box"}, Options{})
		if ourErr == nil {
			p.Close()
		}
		if theirs, ours := theirEnd(stderr, err), ourEnd(ourErr); theirs != c.end || ours != c.end {
			t.Errorf("%s: ssh %s, we %s, expected %s\n%s", name, theirs, ours, c.end, stderr)
		}
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func (o *theirs) addKey(ring agent.Agent, path string) {
	o.t.Helper()
	key, err := ssh.ParseRawPrivateKey(must(os.ReadFile(path)))
	if err == nil {
		err = ring.Add(agent.AddedKey{PrivateKey: key})
	}
	if err != nil {
		o.t.Fatal(err)
	}
}

// TestKeyForms logs in at a real server with keys in all their forms. What Go
// cannot read is left to ssh by name, and only if the server wants it.
func TestKeyForms(t *testing.T) {
	o := newTheirs(t)
	authority, _ := o.newKey("authority", "-t", "ed25519")
	authorized := filepath.Join(o.dir, "authorized")
	addr, plain, list := transfertest.SSHD(t, "TrustedUserCAKeys "+authority+".pub", "Match all", "AuthorizedKeysFile "+authorized)
	certified, _ := o.newKey("certified", "-t", "ed25519")
	o.keygen("-s", authority, "-I", "me", "-n", currentUser(t), certified+".pub")
	o.keygen("-s", authority, "-I", "other", "-n", "nobody-else", "-z", "2", plain+".pub")
	if err := os.Rename(certified+"-cert.pub", filepath.Join(o.dir, "apart.pub")); err != nil {
		t.Fatal(err)
	}
	locked := filepath.Join(o.dir, "locked")
	o.keygen("-t", "ed25519", "-N", "open sesame", "-f", locked)
	pkcs8 := filepath.Join(o.dir, "pkcs8")
	o.keygen("-t", "rsa", "-b", "2048", "-m", "PKCS8", "-N", "open sesame", "-f", pkcs8)
	gcm := filepath.Join(o.dir, "gcm")
	o.keygen("-t", "ed25519", "-Z", "aes256-gcm@openssh.com", "-N", "open sesame", "-f", gcm)
	var all []byte
	for _, path := range []string{locked, pkcs8, gcm} {
		all = append(all, must(os.ReadFile(path+".pub"))...)
	}
	if err := os.WriteFile(authorized, all, 0o600); err != nil {
		t.Fatal(err)
	}
	ask := func() Asker { return &asker{secrets: []string{"open sesame"}} }
	for name, c := range map[string]struct {
		key, more string
		ask       Asker
		end       string
	}{
		"certificate":                   {certified, "CertificateFile " + o.dir + "/apart.pub", nil, accepted},
		"without its certificate":       {certified, "", nil, "not let in"},
		"certificate of somebody else":  {plain, "", nil, "not let in"},
		"with a passphrase":             {locked, "", ask(), accepted},
		"with a passphrase, batch mode": {locked, "BatchMode yes", ask(), "not let in"},
		"with a passphrase, alone":      {locked, "", nil, "not let in"},
		"PKCS#8":                        {pkcs8, "", ask(), "handed to ssh: identityfile " + pkcs8},
		"a cipher that Go has not":      {gcm, "", ask(), "handed to ssh: identityfile " + gcm},
	} {
		o.write("ssh_config", hop(t, "box", addr, c.key, list, c.more))
		p := &Place{dest: Dest{Host: "box"}}
		err := p.openOwn(t.Context(), Options{Ask: c.ask})
		if err == nil {
			p.Close()
		}
		if end := ourEnd(err); end != c.end {
			t.Errorf("%s: %s (%v), expected %s", name, end, err, c.end)
		}
	}
}

// TestKeyAndCode logs in with a key and then a code, as many hosts want it.
func TestKeyAndCode(t *testing.T) {
	key, public := writeKey(t, "")
	server := transfertest.NewServer(t, false, func(c *ssh.ServerConfig) {
		c.PublicKeyCallback = func(_ ssh.ConnMetadata, shown ssh.PublicKey) (*ssh.Permissions, error) {
			if !sameKey(shown, public) {
				return nil, errors.New("no")
			}
			return nil, &ssh.PartialSuccessError{Next: ssh.ServerAuthCallbacks{KeyboardInteractiveCallback: func(_ ssh.ConnMetadata, ask ssh.KeyboardInteractiveChallenge) (*ssh.Permissions, error) {
				for i, question := range []string{"Code: ", "Next code: "} {
					answers, err := ask("", "", []string{question}, []bool{true})
					if err != nil || answers[0] != fmt.Sprint(i+1) {
						return nil, errors.New("no")
					}
				}
				return nil, nil
			}}}
		}
	})
	for _, codes := range [][]string{{"1", "2"}, {"1", "x", "1", "2"}} {
		s := settingsFor(t, server.Addr, server.KnownHosts(t))
		s.Keys = []string{key}
		p, err := open(t.Context(), s, ".", Options{Ask: &asker{secrets: codes}})
		if err != nil {
			t.Errorf("%q: %v", codes, err)
			continue
		}
		p.Close()
	}
}
