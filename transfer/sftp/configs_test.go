package sftp

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	crand "crypto/rand"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"airgap/transfer"
	"airgap/transfer/transfertest"
)

// TestConfigParity generates configurations, and connects with each by OpenSSH
// and by us. What the servers saw has to be the same: which of them was reached,
// through which, by whom, with which keys, in which order, and how it ended.
func TestConfigParity(t *testing.T) {
	o := newTheirs(t)
	const configs = 120
	trials := make([]configTrial, configs)
	t.Setenv("PARITY", filepath.Join(o.dir, "rig"))
	r := newRig(o)
	for i := range trials {
		trials[i] = r.try(uint64(i))
	}
	ends := map[string]int{}
	for i, c := range trials {
		switch {
		case strings.HasPrefix(c.ours, "handed"):
			ends["handed to ssh by name"]++
		case c.ours != withoutHalves(c):
			ends["not the same"]++
			t.Errorf("seed %d: to %+v\n%s\nssh:\n%s\nours:\n%s\n%s", i, c.dest, c.config, c.theirs, c.ours, c.stderr)
		default:
			end, _, _ := strings.Cut(c.ours, "\n")
			ends["the same: "+end]++
		}
	}
	t.Logf("%d configurations: %v", configs, ends)
	if ends["handed to ssh by name"] > configs/2 || ends["the same: accepted"] < configs/5 {
		t.Error("too little has been compared")
	}
}

// configTrial is a configuration and what came of it.
type configTrial struct {
	dest           Dest
	config, stderr string
	theirs, ours   string
}

// withoutHalves is what the servers saw of ssh without keys whose private half
// is not there: ssh shows them, and goes on to the next when it should sign.
func withoutHalves(c configTrial) string {
	var kept []string
	for _, line := range strings.Split(c.theirs, "\n") {
		for name, setting := range map[string]string{`"k1-cert"`: "/keys/k1-cert.pub", `"k2-cert"`: "/keys/k2-cert.pub", `"k4"`: "/keys/k4.pub"} {
			if strings.Contains(line, name) && strings.Contains(c.config, setting) && !strings.Contains(c.ours, line) {
				line = ""
			}
		}
		if line != "" || len(kept) == 0 {
			kept = append(kept, line)
		}
	}
	return strings.Join(kept, "\n")
}

// rig is three servers, keys, an agent and lists of hosts.
type rig struct {
	o       *theirs
	dir     string
	servers []*transfertest.Server
	ports   []string

	mu   sync.Mutex
	seen []string
	keys map[string]string // by what they are to a server
}

func newRig(o *theirs) *rig {
	r := &rig{o: o, dir: filepath.Join(o.dir, "rig"), keys: map[string]string{}}
	for i := range 3 {
		server := transfertest.NewServer(o.t, true, func(c *ssh.ServerConfig) { r.configure(i, c) })
		r.servers = append(r.servers, server)
		_, port, _ := net.SplitHostPort(server.Addr)
		r.ports = append(r.ports, port)
	}
	r.writeKeys()
	r.writeLists()
	r.startAgent()
	// What the tokens %h, %n, %p and %r stand for.
	for i, name := range append([]string{"127.0.0.1", "localhost", "alpha", "beta", "u0", "u1", "u2"}, r.ports...) {
		r.copyKey(fmt.Sprintf("k%d", i%6), name)
	}
	return r
}

// configure has a server take some keys, and note what it is shown.
func (r *rig) configure(server int, c *ssh.ServerConfig) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), crand.Reader)
	if err != nil {
		r.o.t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(key)
	if err != nil {
		r.o.t.Fatal(err)
	}
	c.AddHostKey(signer)
	c.PublicKeyCallback = func(conn ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
		negotiated := conn.(ssh.AlgorithmsConnMetadata).Algorithms()
		r.mu.Lock()
		defer r.mu.Unlock()
		name := r.keys[string(key.Marshal())]
		r.seen = append(r.seen, fmt.Sprintf("server %d, which showed %s, was shown %q by %q", server, negotiated.HostKey, name, conn.User()))
		if strings.Contains(" k3 k4 k1-cert ", " "+name+" ") {
			return nil, nil
		}
		return nil, errors.New("no")
	}
	c.PasswordCallback = func(ssh.ConnMetadata, []byte) (*ssh.Permissions, error) { return nil, errors.New("no") }
}

// writeKeys makes six keys; 1 and 2 have certificates.
func (r *rig) writeKeys() {
	if err := os.MkdirAll(filepath.Join(r.dir, "keys"), 0o700); err != nil {
		r.o.t.Fatal(err)
	}
	authority, _ := r.o.newKey("rig/authority", "-t", "ed25519")
	for i, kind := range []string{"ed25519", "ed25519", "ecdsa", "ed25519", "rsa", "ecdsa"} {
		name := fmt.Sprintf("k%d", i)
		path, _ := r.o.newKey("rig/keys/"+name, "-t", kind)
		r.learn(name, path+".pub")
		if i == 1 || i == 2 {
			r.o.keygen("-s", authority, "-I", name, "-n", "u0,u1,u2", path+".pub")
			r.learn(name+"-cert", path+"-cert.pub")
		}
	}
	r.copyKey("k3", "a key")
	r.copyKey("k4", "100%")
}

func (r *rig) learn(name, path string) {
	key, err := readPublic(path)
	if err != nil {
		r.o.t.Fatal(err)
	}
	r.keys[string(key.Marshal())] = name
}

func (r *rig) copyKey(from, to string) {
	for _, suffix := range []string{"", ".pub"} {
		raw, err := os.ReadFile(filepath.Join(r.dir, "keys", from+suffix))
		if err == nil {
			err = os.WriteFile(filepath.Join(r.dir, "keys", to+suffix), raw, 0o600)
		}
		if err != nil {
			r.o.t.Fatal(err)
		}
	}
}

// writeLists writes known_hosts files that are right, wrong, and in between.
func (r *rig) writeLists() {
	var good, wrong, some strings.Builder
	other := transfertest.NewSigner(r.o.t).PublicKey()
	line := func(b *strings.Builder, names string, key ssh.PublicKey) {
		b.WriteString(names + " " + string(ssh.MarshalAuthorizedKey(key)))
	}
	for i, server := range r.servers {
		names := fmt.Sprintf("[127.0.0.1]:%s,[localhost]:%s,boxes", r.ports[i], r.ports[i])
		line(&good, names, server.HostKey.PublicKey())
		line(&wrong, names, other)
		if i < 2 {
			line(&some, names, server.HostKey.PublicKey())
		}
	}
	for name, content := range map[string]string{"good": good.String(), "a good": good.String(), "good_alpha": good.String(), "wrong": wrong.String(), "some": some.String()} {
		if err := os.WriteFile(filepath.Join(r.dir, name), []byte(content), 0o600); err != nil {
			r.o.t.Fatal(err)
		}
	}
}

// startAgent starts an agent with three keys.
func (r *rig) startAgent() {
	ring := agent.NewKeyring()
	for _, name := range []string{"k5", "k2", "k4"} {
		raw, err := os.ReadFile(filepath.Join(r.dir, "keys", name))
		if err != nil {
			r.o.t.Fatal(err)
		}
		key, err := ssh.ParseRawPrivateKey(raw)
		if err == nil {
			err = ring.Add(agent.AddedKey{PrivateKey: key, Comment: name})
		}
		if err != nil {
			r.o.t.Fatal(err)
		}
	}
	serveAgent(r.o.t, ring, filepath.Join(r.dir, "agent"))
}

func serveAgent(t *testing.T, ring agent.Agent, path string) {
	t.Helper()
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				_ = agent.ServeAgent(ring, conn)
			}()
		}
	}()
}

// try connects with the configuration that a seed makes.
func (r *rig) try(seed uint64) configTrial {
	g := &generator{Rand: rand.New(rand.NewPCG(seed, 4)), rig: r}
	c := configTrial{config: g.config(), dest: g.dest()}
	r.o.write("ssh_config", c.config)
	r.o.write("rig/included", g.included)
	args := []string{"-v"}
	if c.dest.User != "" {
		args = append(args, "-l", c.dest.User)
	}
	if c.dest.Port != "" {
		args = append(args, "-p", c.dest.Port)
	}
	before := r.forwarded()
	stderr, err := r.o.ssh(append(args, "--", c.dest.Host, "true")...)
	c.stderr = stderr
	c.theirs = theirEnd(stderr, err) + r.trace(before)

	before = r.forwarded()
	p := &Place{dest: c.dest}
	if err = p.openOwn(r.o.t.Context(), Options{}); err == nil {
		p.Close()
	}
	c.ours = ourEnd(err) + r.trace(before)
	return c
}

// trace is what the servers have seen since it was asked last.
func (r *rig) trace(before [3]int) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	seen := r.seen
	r.seen = nil
	for i, n := range r.forwarded() {
		if n > before[i] {
			seen = append(seen, fmt.Sprintf("server %d forwarded", i))
		}
	}
	return strings.Join(append([]string{""}, seen...), "\n")
}

func (r *rig) forwarded() (n [3]int) {
	for i, s := range r.servers {
		n[i] = s.Forwarded()
	}
	return n
}

// theirEnd is how OpenSSH ended, in a word.
func theirEnd(stderr string, err error) string {
	for _, sign := range [][2]string{
		{"Permission denied", "not let in"}, {"Too many authentication failures", "not let in"}, {"too many authentication failures", "not let in"},
		{"Connection refused", "not reached"}, {"Could not resolve", "not reached"}, {"Name or service not known", "not reached"}, {"stdio forwarding failed", "not reached"},
		{"Bad configuration option", "configuration"}, {"terminating,", "configuration"}, {"jumphost loop", "configuration"},
	} {
		if err != nil && strings.Contains(stderr, sign[0]) {
			return sign[1]
		}
	}
	return theirVerdict(stderr, err)
}

func ourEnd(err error) string {
	var config *ConfigError
	var login *transfer.AuthError
	var cut *transfer.InterruptedError
	switch {
	case errors.As(err, &config):
		return "handed to ssh: " + config.Setting
	case errors.As(err, &login):
		return "not let in"
	case errors.As(err, &cut):
		return "not reached"
	case err != nil && strings.Contains(err.Error(), "asking ssh"):
		return "configuration"
	}
	return ourVerdict(err)
}

// generator makes configurations from a seed.
type generator struct {
	*rand.Rand
	rig      *rig
	included string
}

func (g *generator) of(list ...string) string { return list[g.IntN(len(list))] }

func (g *generator) dest() Dest {
	d := Dest{Host: g.of("alpha", "alpha", "beta", "beta", "Alpha", "gamma.example.com", "127.0.0.1", "localhost")}
	if g.IntN(6) == 0 {
		d.User = g.of("u1", "u2")
	}
	if g.IntN(6) == 0 {
		d.Port = g.of(g.rig.ports...)
	}
	return d
}

// config is blocks of settings, and at the end what makes sure that there is a
// host to go to.
func (g *generator) config() string {
	var b strings.Builder
	b.WriteString("# first comes, first counts\n")
	for i, name := range []string{"jump", "hop"} {
		fmt.Fprintf(&b, "Host %s\n ProxyJump none\n ProxyCommand none\n HostName 127.0.0.1\n Port %s\n User j%d\n IdentityFile %s/keys/k3\n UserKnownHostsFile %s/good\n", name, g.rig.ports[i+1], i, g.rig.dir, g.rig.dir)
	}
	b.WriteString("Host 127.0.0.1 localhost\n ProxyJump none\n ProxyCommand none\n") // ssh has no end of hops through themselves
	blocks := 1 + g.IntN(5)
	for i := range blocks {
		if i > 0 && g.IntN(6) == 0 {
			g.included = g.block()
			b.WriteString("Host *\nInclude " + g.rig.dir + "/incl*\n")
		}
		b.WriteString(g.block())
	}
	fmt.Fprintf(&b, "Host *\n%s HostName 127.0.0.1\n Port %s\n User u0\n IdentityFile %s/keys/k0\n IdentityFile %s/keys/k3\n UserKnownHostsFile %s/good\n GlobalKnownHostsFile none\n UpdateHostKeys no\n ConnectTimeout 5\n",
		g.of("", " StrictHostKeyChecking yes\n"), g.rig.ports[0], g.rig.dir, g.rig.dir, g.rig.dir)
	return b.String()
}

// block is a condition and what it sets.
func (g *generator) block() string {
	head := g.of("Host alpha", "Host alpha beta", "Host *", "Host * !alpha", "Host !beta al*", "Host al?ha *.example.com", "Host\tbeta", "host=alpha", `Host "beta"`,
		"Host other", "Host gamma.*", "HOST ALPHA alpha", "Host alpha,beta", "Match all", "Match host 127.0.0.1", "Match host alpha,localhost", "Match host *,!alpha",
		"Match originalhost alpha", "Match originalhost beta,127.* user u*", "Match user u1", "Match user u0,u2", `Match exec "true"`, `Match exec "false"`,
		`Match exec "test %h = 127.0.0.1"`, "Match host alpha exec \"test %n = alpha\"", "Match final host 127.0.0.1", "Match final all", "Match !host alpha", "Match localuser root",
		"Match localuser nobody", "Match canonical all")
	b := head + g.of("\n", "\n", "  \n", "\n# a comment\n\n")
	for range 1 + g.IntN(5) {
		key, value, _ := strings.Cut(g.setting(), " ")
		b += g.of("", " ", "\t", "    ") + g.of(key, key, strings.ToLower(key), strings.ToUpper(key)) + g.of(" ", " ", "\t", "=", " = ") + value + g.of("\n", "\n", " \n", "\n\n")
	}
	return b
}

// setting is one line.
func (g *generator) setting() string {
	dir, ports := g.rig.dir, g.rig.ports
	port := g.of(ports...)
	switch g.IntN(10) {
	case 0:
		return g.of("HostName 127.0.0.1", "HostName localhost", "HostName LOCALHOST", "HostName %h", "Port "+port, "Port "+port, "User u1", "User u2")
	case 1, 2:
		return "IdentityFile " + g.of(dir+"/keys/k1", dir+"/keys/k2", dir+"/keys/k4", dir+"/keys/k5", dir+"/keys/%r", dir+"/keys/%h", dir+"/keys/%n", dir+"/keys/%p",
			`"`+dir+`/keys/a key"`, dir+"/keys/100%%", "~/no-such-key", "~nobody/no-such-key", "${PARITY}/keys/k2", "none", dir+"/keys/k4.pub", dir+"/keys/missing", dir+"/keys/%C", dir+"/%u-%i-%L-%l-%k-%d")
	case 3:
		return g.of("IdentitiesOnly yes", "IdentitiesOnly yes", "IdentitiesOnly no", "CertificateFile "+dir+"/keys/k1-cert.pub", "CertificateFile "+dir+"/keys/k2-cert.pub", "CertificateFile "+dir+"/missing",
			"PubkeyAcceptedAlgorithms ssh-ed25519", "PubkeyAcceptedAlgorithms -ecdsa*", "PubkeyAcceptedAlgorithms rsa-sha2-256", "PreferredAuthentications publickey,password", "PreferredAuthentications password",
			"PreferredAuthentications hostbased", "PubkeyAuthentication no", "PasswordAuthentication no", "KbdInteractiveAuthentication no", "NumberOfPasswordPrompts 1", "GSSAPIAuthentication yes")
	case 4:
		return "IdentityAgent " + g.of("none", "SSH_AUTH_SOCK", dir+"/agent", dir+"/agent", "$PARITY_NONE", `"`+dir+`/agent"`)
	case 5:
		return g.of("UserKnownHostsFile "+dir+"/good", "UserKnownHostsFile "+dir+"/missing "+dir+"/good", `UserKnownHostsFile "`+dir+`/a good"`, `UserKnownHostsFile "`+dir+`/missing" "`+dir+`/a good"`,
			"UserKnownHostsFile "+dir+"/wrong", "UserKnownHostsFile "+dir+"/some", "UserKnownHostsFile none", "UserKnownHostsFile /dev/null", "UserKnownHostsFile "+dir+"/good_%n", "UserKnownHostsFile ${PARITY}/good",
			"UserKnownHostsFile relative", "GlobalKnownHostsFile "+dir+"/good", "GlobalKnownHostsFile "+dir+"/wrong")
	case 6:
		return g.of("HostKeyAlias boxes", "HostKeyAlias Boxes", "HostKeyAlias elsewhere", "StrictHostKeyChecking yes", "StrictHostKeyChecking ask", "StrictHostKeyChecking accept-new", "HashKnownHosts yes", "CheckHostIP yes",
			"HostKeyAlgorithms ecdsa-sha2-nistp256,ssh-ed25519", "HostKeyAlgorithms ssh-ed25519", "HostKeyAlgorithms ^ecdsa-sha2-nistp256", "RequiredRSASize 4096", "BatchMode yes", "FingerprintHash md5", "VisualHostKey yes")
	case 7:
		return g.of("ProxyJump jump", "ProxyJump jump,hop", "ProxyJump hop,jump", "ProxyJump u1@127.0.0.1:"+ports[1], "ProxyJump [127.0.0.1]:"+ports[2], "ProxyJump ssh://u2@localhost:"+ports[2], "ProxyJump none", "ProxyCommand none", "ProxyJump jump # a comment")
	case 8:
		return g.of("Ciphers aes256-ctr", "Ciphers aes128-gcm@openssh.com,aes256-cbc", "Ciphers aes256-cbc", "MACs umac-64@openssh.com", "MACs hmac-sha2-256", "KexAlgorithms curve25519-sha256", "KexAlgorithms sntrup761x25519-sha512@openssh.com",
			"KexAlgorithms -sntrup*", "RekeyLimit 1G", "RekeyLimit 1G 1h", "BindAddress 127.0.0.1", "KnownHostsCommand /bin/true", "RevokedHostKeys "+dir+"/missing", "NoHostAuthenticationForLocalhost yes", "HostbasedAuthentication yes",
			"VerifyHostKeyDNS yes", "ControlPath "+dir+"/master-%C", "PKCS11Provider none")
	}
	return g.of("Compression yes", "AddressFamily inet", "AddressFamily any", "CanonicalizeHostname no", "CanonicalizeHostname yes", "CanonicalDomains example.invalid", "CanonicalizeMaxDots 0", "ConnectTimeout 7", "ServerAliveInterval 5", "TCPKeepAlive no",
		"SendEnv LANG LC_*", "SetEnv A=b", "RequestTTY no", "ForwardAgent yes", "ForwardX11 no", "ConnectionAttempts 1", "AddKeysToAgent no", "IPQoS throughput", "LogLevel DEBUG1", "PermitLocalCommand yes", "EscapeChar none", "Tunnel no")
}
