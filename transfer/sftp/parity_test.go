package sftp

import (
	"context"
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"airgap/transfer"
	"airgap/transfer/transfertest"
)

// These tests ask OpenSSH and us the same, and compare what comes of it at real
// servers.

// theirs is OpenSSH's command with a configuration of the test's own, for us to
// find as well.
type theirs struct {
	t      *testing.T
	binary string
	dir    string
	config string
}

func newTheirs(t *testing.T) *theirs {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("SKIPPED for want of a POSIX shell")
	}
	binary, err := exec.LookPath("ssh")
	switch required := strings.Contains(","+os.Getenv("AIRGAP_REQUIRE")+",", ",sshd,"); {
	case err != nil && required:
		t.Fatal("ssh is required and not there: ", err)
	case err != nil:
		t.Skip("SKIPPED for want of ssh: ", err)
	}
	dir := t.TempDir()
	o := &theirs{t, binary, dir, filepath.Join(dir, "ssh_config")}
	o.write("bin/ssh", "#!/bin/sh\nexec "+binary+" -F "+o.config+" \"$@\"\n")
	t.Setenv("PATH", filepath.Join(dir, "bin")+string(os.PathListSeparator)+os.Getenv("PATH"))
	t.Setenv("SSH_AUTH_SOCK", "")
	return o
}

// write writes a file of the test's folder.
func (o *theirs) write(name, content string) string {
	o.t.Helper()
	path := filepath.Join(o.dir, name)
	err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(content), 0o700))
	if err != nil {
		o.t.Fatal(err)
	}
	return path
}

// ssh runs the command without anybody to ask.
func (o *theirs) ssh(args ...string) (stderr string, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, o.binary, append([]string{"-F", o.config, "-o", "BatchMode=yes"}, args...)...)
	cmd.WaitDelay = time.Second
	var b strings.Builder
	cmd.Stderr = &b
	err = cmd.Run()
	return b.String(), err
}

// keygen runs ssh-keygen.
func (o *theirs) keygen(args ...string) {
	o.t.Helper()
	if out, err := exec.Command("ssh-keygen", append([]string{"-q"}, args...)...).CombinedOutput(); err != nil {
		o.t.Fatalf("ssh-keygen %q: %v: %s", args, err, out)
	}
}

// newKey makes a key and gives its file and its public half.
func (o *theirs) newKey(name string, args ...string) (path, public string) {
	o.t.Helper()
	path = filepath.Join(o.dir, name)
	o.keygen(append([]string{"-N", "", "-C", "", "-f", path}, args...)...)
	raw, err := os.ReadFile(path + ".pub")
	if err != nil {
		o.t.Fatal(err)
	}
	return path, strings.TrimSpace(string(raw))
}

// The verdicts, in one word.
const (
	accepted = "accepted"
	unknown  = "unknown"
	changed  = "changed"
	revoked  = "revoked"
)

// theirVerdict is how OpenSSH judged a host.
func theirVerdict(stderr string, err error) string {
	switch {
	case err == nil:
		return accepted
	case strings.Contains(stderr, "REVOKED HOST KEY DETECTED"):
		return revoked
	case strings.Contains(stderr, "REMOTE HOST IDENTIFICATION HAS CHANGED"):
		return changed
	case strings.Contains(stderr, "Host key verification failed"):
		return unknown
	}
	return "error: " + stderr
}

// ourVerdict is how we did.
func ourVerdict(err error) string {
	var key *transfer.HostKeyError
	switch {
	case err == nil:
		return accepted
	case errors.As(err, &key):
		return [...]string{unknown, changed, revoked}[key.Kind]
	}
	return "error: " + err.Error()
}

// known are the keys and names that the cases are made of.
type known struct {
	host                        string // [127.0.0.1]:port
	key, rsa, other, otherRSA   string // public keys: the host's, and others
	authority, stranger, signed string
}

func hashedName(name string) string {
	salt := []byte("twenty bytes of salt")
	mac := hmac.New(sha1.New, salt)
	mac.Write([]byte(name))
	return "|1|" + base64.StdEncoding.EncodeToString(salt) + "|" + base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// hostCase is a list of known hosts and what is asked of it.
type hostCase struct {
	name   string
	server string // plain, rsa only, or one with a certificate
	list   func(k known) string
	more   string // settings
	// Where we are stricter than ssh on purpose: what we say then.
	stricter string
}

var hostCases = []hostCase{
	{name: "plain", list: func(k known) string { return k.host + " " + k.key }},
	{name: "hashed", list: func(k known) string { return hashedName(k.host) + " " + k.key }},
	{name: "hash of the name without a port", list: func(k known) string { return hashedName("127.0.0.1") + " " + k.key }},
	{name: "broken hash", list: func(k known) string { return "|1|xxx|yyy " + k.key }},
	{name: "another port", list: func(k known) string { return "[127.0.0.1]:1 " + k.key }},
	{name: "without a port", list: func(k known) string { return "127.0.0.1 " + k.key }},
	{name: "without a port, another key", list: func(k known) string { return "127.0.0.1 " + k.other }},
	{name: "with a port another key, without this", list: func(k known) string { return k.host + " " + k.other + "\n127.0.0.1 " + k.key }},
	{name: "wildcard", list: func(k known) string { return "[127.0.0.*]:* " + k.key }},
	{name: "wildcard without a port", list: func(k known) string { return "127.0.* " + k.key }},
	{name: "star", list: func(k known) string { return "* " + k.key }},
	{name: "star, another key", list: func(k known) string { return "* " + k.other }},
	{name: "question mark", list: func(k known) string { return strings.Replace(k.host, "127", "12?", 1) + " " + k.key }},
	{name: "negation", list: func(k known) string { return "*,!" + k.host + " " + k.key }},
	{name: "negation first", list: func(k known) string { return "!" + k.host + ",* " + k.key }},
	{name: "negation of the name without a port", list: func(k known) string { return "*,!127.0.0.1 " + k.key }},
	{name: "negation of another", list: func(k known) string { return "*,!example.com " + k.key }},
	{name: "comma list", list: func(k known) string { return "example.com," + k.host + ",10.0.0.1 " + k.key }},
	{name: "brackets without need", list: func(k known) string { return "[127.0.0.1] " + k.key }},
	{name: "tabs and blanks", list: func(k known) string {
		return " \t" + k.host + "\t" + strings.Replace(k.key, " ", "  ", 1) + " a comment"
	}},
	{name: "no line feed, carriage return", list: func(k known) string { return "# comment\r\n" + k.host + " " + k.key + "\r" }},
	{name: "malformed lines", list: func(k known) string {
		return "rubbish\n" + k.host + "\n" + k.host + " ssh-ed25519\n" + k.host + " ssh-ed25519 AAAA\n@unheard " + k.host + " " + k.key + "\n" + k.host + " " + k.key
	}},
	{name: "only malformed lines", list: func(k known) string { return k.host + " ssh-ed25519 AAAA\n@unheard " + k.host + " " + k.key }},
	{name: "unknown type of key", list: func(k known) string {
		return k.host + " ssh-new AAAAB3NzaC1uZXc=\n" + k.host + " " + k.key
	}},
	{name: "type that is not the key's", list: func(k known) string { return k.host + " ssh-rsa " + strings.Fields(k.key)[1] }},
	{name: "version 1", list: func(k known) string { return k.host + " 1024 35 1234567890\n" + k.host + " " + k.key }},
	{name: "only version 1", list: func(k known) string { return k.host + " 1024 35 1234567890" }},
	{name: "empty", list: func(k known) string { return "" }},
	{name: "changed", list: func(k known) string { return k.host + " " + k.other }},
	{name: "two keys of a type", list: func(k known) string { return k.host + " " + k.other + "\n" + k.host + " " + k.key }},
	{name: "known by RSA, shows ed25519 too", list: func(k known) string { return k.host + " " + k.rsa }},
	{name: "known by another RSA key", list: func(k known) string { return k.host + " " + k.otherRSA }},
	{name: "RSA right, ed25519 wrong", list: func(k known) string { return k.host + " " + k.rsa + "\n" + k.host + " " + k.other }},
	{name: "RSA wrong, ed25519 right", list: func(k known) string { return k.host + " " + k.otherRSA + "\n" + k.host + " " + k.key }},
	{name: "known by ed25519, shows RSA only", server: "rsa", list: func(k known) string { return k.host + " " + k.key }},
	{name: "RSA by HostKeyAlgorithms", list: func(k known) string { return k.host + " " + k.rsa }, more: "HostKeyAlgorithms rsa-sha2-256"},
	{name: "ed25519 known, RSA by HostKeyAlgorithms", list: func(k known) string { return k.host + " " + k.key }, more: "HostKeyAlgorithms rsa-sha2-512"},

	{name: "revoked", list: func(k known) string { return k.host + " " + k.key + "\n@revoked * " + k.key }},
	{name: "revoked first", list: func(k known) string { return "@revoked " + k.host + " " + k.key + "\n" + k.host + " " + k.key }},
	{name: "revoked, not otherwise known", list: func(k known) string { return "@revoked * " + k.key }},
	{name: "revoked for another host", list: func(k known) string { return "@revoked example.com " + k.key + "\n" + k.host + " " + k.key }},
	{name: "revoked without a port", list: func(k known) string { return "@revoked 127.0.0.1 " + k.key + "\n" + k.host + " " + k.key }},
	{name: "revoked without a port, not known", list: func(k known) string { return "@revoked 127.0.0.1 " + k.key }},
	{name: "another key revoked", list: func(k known) string { return "@revoked * " + k.other + "\n" + k.host + " " + k.key }},
	{name: "revocation that cannot be read", list: func(k known) string { return "@revoked * rubbish\n" + k.host + " " + k.key }, stricter: "error: known hosts"},

	{name: "authority", server: "certified", list: func(k known) string { return "@cert-authority " + k.host + " " + k.authority }},
	{name: "authority of all", server: "certified", list: func(k known) string { return "@cert-authority * " + k.authority }},
	{name: "authority without a port", server: "certified", list: func(k known) string { return "@cert-authority 127.0.0.1 " + k.authority }},
	{name: "authority of others", server: "certified", list: func(k known) string { return "@cert-authority *.example.com " + k.authority }},
	{name: "another authority", server: "certified", list: func(k known) string { return "@cert-authority * " + k.stranger }},
	{name: "another authority, known by its key", server: "certified", list: func(k known) string {
		return "@cert-authority * " + k.stranger + "\n" + k.host + " " + k.signed
	}},
	{name: "certificate, known by its key", server: "certified", list: func(k known) string { return k.host + " " + k.signed }},
	{name: "certificate, another key known", server: "certified", list: func(k known) string { return k.host + " " + k.other }},
	{name: "authority, another key known", server: "certified", list: func(k known) string {
		return k.host + " " + k.other + "\n@cert-authority * " + k.authority
	}},
	{name: "authority's key as the host's", server: "certified", list: func(k known) string { return k.host + " " + k.authority }},
	{name: "host's key as authority", server: "certified", list: func(k known) string { return "@cert-authority * " + k.signed }},
	{name: "authority revoked", server: "certified", list: func(k known) string {
		return "@cert-authority * " + k.authority + "\n@revoked * " + k.authority
	}},
	{name: "certified key revoked", server: "certified", list: func(k known) string {
		return "@cert-authority * " + k.authority + "\n@revoked * " + k.signed
	}},
	{name: "authority but no certificate", list: func(k known) string { return "@cert-authority * " + k.authority }},
	{name: "authority's own key", list: func(k known) string { return "@cert-authority * " + k.key }},
	{name: "algorithm of the authority not allowed", server: "certified", list: func(k known) string { return "@cert-authority * " + k.authority }, more: "CASignatureAlgorithms rsa-sha2-512"},
	{name: "no certificates by HostKeyAlgorithms", server: "certified", list: func(k known) string { return "@cert-authority * " + k.authority }, more: "HostKeyAlgorithms ssh-ed25519"},
	{name: "expired", server: "expired", list: func(k known) string { return "@cert-authority * " + k.authority }},
	{name: "expired, known by its key", server: "expired", list: func(k known) string {
		return "@cert-authority * " + k.authority + "\n" + k.host + " " + k.signed
	}},
	{name: "wrong principal", server: "misnamed", list: func(k known) string { return "@cert-authority * " + k.authority }},
	{name: "principal by HostKeyAlias", server: "misnamed", list: func(k known) string { return "@cert-authority box.example.com " + k.authority }, more: "HostKeyAlias box.example.com"},
	{name: "pattern as principal", server: "patterned", list: func(k known) string { return "@cert-authority * " + k.authority }},
	{name: "no principals", server: "nameless", list: func(k known) string { return "@cert-authority * " + k.authority }, stricter: unknown},

	{name: "alias", list: func(k known) string { return "boxes " + k.key }, more: "HostKeyAlias boxes"},
	{name: "alias in capitals", list: func(k known) string { return "BoXes " + k.key }, more: "HostKeyAlias bOxes"},
	{name: "alias, known by address only", list: func(k known) string { return k.host + " " + k.key }, more: "HostKeyAlias boxes"},
	{name: "alias with a port", list: func(k known) string { return "[boxes]:22 " + k.key }, more: "HostKeyAlias boxes"},
	{name: "alias hashed", list: func(k known) string { return hashedName("boxes") + " " + k.key }, more: "HostKeyAlias Boxes"},

	{name: "strict, unknown", more: "StrictHostKeyChecking yes"},
	{name: "strict, known", list: func(k known) string { return k.host + " " + k.key }, more: "StrictHostKeyChecking yes"},
	{name: "strict, changed", list: func(k known) string { return k.host + " " + k.other }, more: "StrictHostKeyChecking yes"},
	{name: "accept-new, unknown", more: "StrictHostKeyChecking accept-new"},
	{name: "accept-new, unknown, hashed", more: "StrictHostKeyChecking accept-new\nHashKnownHosts yes"},
	{name: "accept-new, changed", list: func(k known) string { return k.host + " " + k.other }, more: "StrictHostKeyChecking accept-new"},
	{name: "accept-new, changed without a port", list: func(k known) string { return "127.0.0.1 " + k.other }, more: "StrictHostKeyChecking accept-new"},
	{name: "accept-new, other type known", server: "rsa", list: func(k known) string { return k.host + " " + k.key }, more: "StrictHostKeyChecking accept-new"},
	{name: "accept-new, revoked", list: func(k known) string { return "@revoked * " + k.key }, more: "StrictHostKeyChecking accept-new"},
	{name: "accept-new, revoked without a port", list: func(k known) string { return "@revoked 127.0.0.1 " + k.key }, more: "StrictHostKeyChecking accept-new", stricter: revoked},
	{name: "accept-new, expired", server: "expired", list: func(k known) string { return "@cert-authority * " + k.authority }, more: "StrictHostKeyChecking accept-new"},
	{name: "accept-new, no list", more: "StrictHostKeyChecking accept-new\nUserKnownHostsFile none"},
	{name: "not strict, unknown", more: "StrictHostKeyChecking no"},
	{name: "not strict, changed", list: func(k known) string { return k.host + " " + k.other }, more: "StrictHostKeyChecking no", stricter: changed},
	{name: "not strict, revoked", list: func(k known) string { return "@revoked * " + k.key }, more: "StrictHostKeyChecking off", stricter: revoked},
	{name: "not strict, to nowhere", more: "StrictHostKeyChecking no\nUserKnownHostsFile /dev/null"},
	{name: "not strict, no list", more: "StrictHostKeyChecking no\nUserKnownHostsFile none"},
	{name: "ask, no list", more: "StrictHostKeyChecking ask\nUserKnownHostsFile none"},

	{name: "second file", list: func(k known) string { return k.host + " " + k.key }, more: "UserKnownHostsFile DIR/missing DIR/known_hosts"},
	{name: "file for all users", list: func(k known) string { return k.host + " " + k.key }, more: "UserKnownHostsFile DIR/missing\nGlobalKnownHostsFile DIR/missing2 DIR/known_hosts"},
	{name: "revoked for all users", list: func(k known) string { return "@revoked * " + k.key }, more: "UserKnownHostsFile DIR/all\nGlobalKnownHostsFile DIR/known_hosts"},
	{name: "missing files", more: "UserKnownHostsFile DIR/missing"},
	{name: "none and a file for all users", list: func(k known) string { return k.host + " " + k.key }, more: "UserKnownHostsFile none\nGlobalKnownHostsFile DIR/known_hosts"},
	{name: "file with a blank", list: func(k known) string { return k.host + " " + k.key }, more: "UserKnownHostsFile \"DIR/a known\" DIR/missing"},
	{name: "file by a token", list: func(k known) string { return k.host + " " + k.key }, more: "UserKnownHostsFile DIR/known_%n"},
	{name: "CheckHostIP on loopback", list: func(k known) string { return k.host + " " + k.key }, more: "CheckHostIP yes"},
	{name: "long RSA keys only", server: "rsa", list: func(k known) string { return k.host + " " + k.rsa }, more: "RequiredRSASize 2048"},
}

// TestKnownHostsParity judges every case with OpenSSH and with us.
func TestKnownHostsParity(t *testing.T) {
	o := newTheirs(t)
	servers := parityServers(o)
	trials := make([]*trial, len(hostCases))
	var config strings.Builder
	for i, c := range hostCases {
		trials[i] = &trial{hostCase: c, server: servers[c.server], alias: fmt.Sprintf("box%d", i)}
		config.WriteString(trials[i].prepare(o))
	}
	o.write("ssh_config", config.String())
	inParallel(len(trials), func(i int) { trials[i].run(t, o) })
	agreed, stricter := 0, 0
	for _, c := range trials {
		t.Logf("%s: %s with ssh, %s with us", c.name, c.theirs, c.ours)
		switch {
		case c.stricter != "" && strings.HasPrefix(c.ours, c.stricter):
			stricter++
		case c.stricter != "":
			t.Errorf("%s: we say %q, expected %q (ssh says %q)", c.name, c.ours, c.stricter, c.theirs)
		case c.ours != c.theirs || strings.HasPrefix(c.ours, "error"):
			t.Errorf("%s: we say %q, and ssh says %q\n%s", c.name, c.ours, c.theirs, c.stderr)
		case c.added != c.theyAdded:
			t.Errorf("%s: we added %d words to the list, and ssh %d", c.name, c.added, c.theyAdded)
		default:
			agreed++
		}
	}
	t.Logf("%d cases: %d agree, %d are refused by us alone, on purpose", len(trials), agreed, stricter)
}

// inParallel calls do for each number below n, a few at a time.
func inParallel(n int, do func(i int)) {
	var wg sync.WaitGroup
	places := make(chan bool, 4)
	for i := range n {
		places <- true
		wg.Go(func() { do(i); <-places })
	}
	wg.Wait()
}

// trial is a case as it went.
type trial struct {
	hostCase
	server           parityServer
	alias, dir, text string
	theirs, ours     string // verdicts
	stderr           string // of ssh
	theyAdded, added int    // words of the list
}

// prepare answers the settings for the case.
func (c *trial) prepare(o *theirs) string {
	c.dir = filepath.Join(o.dir, c.alias)
	if c.list != nil {
		c.text = c.list(c.server.known)
	}
	if c.text != "" && !strings.HasSuffix(c.text, "\r") {
		c.text += "\n"
	}
	_, port, _ := net.SplitHostPort(c.server.addr)
	return fmt.Sprintf("Host %s\n%s\nHostName 127.0.0.1\nPort %s\nUser %s\nIdentityFile %s\nIdentitiesOnly yes\nUpdateHostKeys no\nUserKnownHostsFile %s\nGlobalKnownHostsFile none\nKexAlgorithms curve25519-sha256\n",
		c.alias, strings.ReplaceAll(c.more, "DIR", c.dir), port, currentUser(o.t), c.server.login, filepath.Join(c.dir, "known_hosts"))
}

// run asks both, each with lists that nobody has added to.
func (c *trial) run(t *testing.T, o *theirs) {
	lists := func() {
		for _, name := range []string{"known_hosts", "a known", "known_" + c.alias} {
			o.write(filepath.Join(c.alias, name), c.text)
		}
		o.write(filepath.Join(c.alias, "all"), c.server.host+" "+c.server.key)
	}
	lists()
	stderr, err := o.ssh(c.alias, "true")
	c.theirs, c.stderr, c.theyAdded = theirVerdict(stderr, err), stderr, c.words(t)
	lists()
	p, err := Open(t.Context(), Dest{Host: c.alias}, Options{})
	if err == nil {
		p.Close()
	}
	c.ours, c.added = ourVerdict(err), c.words(t)
}

// words is the number of words that have been added to the list.
func (c *trial) words(t *testing.T) int {
	raw, err := os.ReadFile(filepath.Join(c.dir, "known_hosts"))
	if err != nil {
		t.Error(err)
	}
	return len(strings.Fields(string(raw))) - len(strings.Fields(c.text))
}

type parityServer struct {
	known
	addr, login string
}

// parityServers starts servers with all kinds of keys and certificates.
func parityServers(o *theirs) map[string]parityServer {
	t := o.t
	t.Helper()
	rsaFile, rsa := o.newKey("rsa", "-t", "rsa", "-b", "2048")
	_, otherRSA := o.newKey("other_rsa", "-t", "rsa", "-b", "2048")
	_, other := o.newKey("other", "-t", "ed25519")
	authorityFile, authority := o.newKey("authority", "-t", "ed25519")
	_, stranger := o.newKey("stranger", "-t", "ed25519")
	servers := map[string]parityServer{}
	start := func(name, signed string, extra ...string) {
		addr, login, list := transfertest.SSHD(t, extra...)
		raw, err := os.ReadFile(list)
		if err != nil {
			t.Fatal(err)
		}
		_, _, key, _, _, err := ssh.ParseKnownHosts(raw)
		if err != nil {
			t.Fatal(err)
		}
		_, port, _ := net.SplitHostPort(addr)
		servers[name] = parityServer{known{
			host: "[127.0.0.1]:" + port, key: strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key))), rsa: rsa,
			other: other, otherRSA: otherRSA, authority: authority, stranger: stranger, signed: signed,
		}, addr, login}
	}
	start("", "", "HostKey "+rsaFile)
	start("rsa", "", "HostKey "+rsaFile, "HostKeyAlgorithms rsa-sha2-512,rsa-sha2-256")
	for name, args := range map[string][]string{
		"certified": {"-n", "127.0.0.1,example.com", "-V", "-1d:+1d"}, "expired": {"-n", "127.0.0.1", "-V", "-2d:-1d"},
		"misnamed": {"-n", "box.example.com"}, "patterned": {"-n", "127.0.0.*"}, "nameless": {},
	} {
		file, signed := o.newKey(name, "-t", "ed25519")
		o.keygen(append(append([]string{"-s", authorityFile, "-I", name, "-h"}, args...), file+".pub")...)
		start(name, signed, "HostKey "+file, "HostCertificate "+file+"-cert.pub", "HostKeyAlgorithms ssh-ed25519-cert-v01@openssh.com,ssh-ed25519")
	}
	return servers
}
