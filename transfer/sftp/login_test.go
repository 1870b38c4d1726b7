package sftp

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"

	"airgap/transfer"
	"airgap/transfer/transfertest"
)

func TestParseDest(t *testing.T) {
	for s, want := range map[string]Dest{
		"user@server:/tmp":           {User: "user", Host: "server", Dir: "/tmp"},
		"user@server":                {User: "user", Host: "server"},
		"server:/tmp":                {Host: "server", Dir: "/tmp"},
		"server:":                    {Host: "server"},
		"root@127.0.0.1:/tmp/in":     {User: "root", Host: "127.0.0.1", Dir: "/tmp/in"},
		"u@[::1]:in":                 {User: "u", Host: "::1", Dir: "in"},
		"sftp://u@server:2222/var/x": {User: "u", Host: "server", Port: "2222", Dir: "/var/x"},
		"sftp://server":              {Host: "server"},
		"server:a:b":                 {Host: "server", Dir: "a:b"},
		"dom@user@server:/tmp":       {User: "dom@user", Host: "server", Dir: "/tmp"},
		"dom@user@server":            {User: "dom@user", Host: "server"},
		"server:~user":               {Host: "server", Dir: "~user"},
		"sftp://dom@user@server/tmp": {User: "dom@user", Host: "server", Dir: "/tmp"},
	} {
		got, remote, err := ParseDest(s)
		if err != nil || !remote || got != want {
			t.Errorf("%q: %+v, %t, %v", s, got, remote, err)
		}
	}
	for _, s := range []string{"/media/usb", "folder", "./user@server", "C:\\usb", "C:/usb", "c:", "../x:y", "a/b:c", ""} {
		if _, remote, _ := ParseDest(s); remote {
			t.Errorf("%q was taken for a host", s)
		}
	}
	for _, s := range []string{"user@-oProxyCommand=x:/tmp", "-oX=y@host:/tmp", "$(x)@host:", "user@ho st:", "sftp://u:secret@host/", "host;x:/tmp", "server:a\nb", "@server:", "-oX=y@user@server:", "user@@:"} {
		if _, remote, err := ParseDest(s); !remote || err == nil {
			t.Errorf("%q was accepted", s)
		} else if strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: the error shows the password: %v", s, err)
		}
	}
}

// TestCanonical knows folders by other spellings, and no two folders by one.
func TestCanonical(t *testing.T) {
	canonical := func(s string) Dest {
		d, remote, err := ParseDest(s)
		if err != nil || !remote {
			t.Fatalf("%q: %v", s, err)
		}
		return d.Canonical()
	}
	seen := map[Dest]string{}
	for _, same := range [][]string{
		{"h1:", "h1:.", "h1:~", "h1:~/", "h1:./", "sftp://h1"}, {"h1:in", "h1:in/", "h1:./in", "h1:~/in", "h1:~//in/."},
		{"h1:/tmp", "h1:/tmp/", "h1://tmp/.", "sftp://h1/tmp"}, {"u@h1:/tmp"}, {"h2:/tmp"}, {"H1:/tmp"}, {"h1:/in/../tmp"}, {"h1:~u"}, {"sftp://h1:22/tmp"}, {"h1:/"}, {"h1:.."},
	} {
		for _, s := range same {
			if got := canonical(s); got != canonical(same[0]) {
				t.Errorf("%q is %+v", s, got)
			}
		}
		if other, ok := seen[canonical(same[0])]; ok {
			t.Errorf("%q and %q are one", same[0], other)
		}
		seen[canonical(same[0])] = same[0]
	}
}

// asker answers from a script and remembers what it was asked.
type asker struct {
	secrets []string
	yes     bool
	asked   []string
}

func (a *asker) Secret(_ context.Context, prompt string) (string, error) {
	a.asked = append(a.asked, prompt)
	if len(a.secrets) == 0 {
		return "", errors.New("nobody is there")
	}
	s := a.secrets[0]
	a.secrets = a.secrets[1:]
	return s, nil
}

func (a *asker) Ask(ctx context.Context, prompt string) (string, error) { return a.Secret(ctx, prompt) }

func (a *asker) Confirm(_ context.Context, question string) (bool, error) {
	a.asked = append(a.asked, question)
	return a.yes, nil
}

// writeKey writes a new private key, encrypted if passphrase is not empty.
func writeKey(t *testing.T, passphrase string) (path string, public ssh.PublicKey) {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	var block *pem.Block
	if passphrase == "" {
		block, err = ssh.MarshalPrivateKey(key, "")
	} else {
		block, err = ssh.MarshalPrivateKeyWithPassphrase(key, "", []byte(passphrase))
	}
	if err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(t.TempDir(), "id")
	if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
		t.Fatal(err)
	}
	if public, err = ssh.NewPublicKey(key.Public()); err != nil {
		t.Fatal(err)
	}
	return path, public
}

// TestLogin is the ways to log in, alone and together.
func TestLogin(t *testing.T) {
	plain, plainPublic := writeKey(t, "")
	locked, lockedPublic := writeKey(t, "open sesame")
	accept := func(want ssh.PublicKey) func(c *ssh.ServerConfig) {
		return func(c *ssh.ServerConfig) {
			c.PublicKeyCallback = func(_ ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
				if sameKey(key, want) {
					return nil, nil
				}
				return nil, errors.New("no")
			}
		}
	}
	password := func(c *ssh.ServerConfig) {
		c.PasswordCallback = func(_ ssh.ConnMetadata, given []byte) (*ssh.Permissions, error) {
			if string(given) == "secret" {
				return nil, nil
			}
			return nil, errors.New("no")
		}
	}
	interactive := func(c *ssh.ServerConfig) {
		c.KeyboardInteractiveCallback = func(_ ssh.ConnMetadata, ask ssh.KeyboardInteractiveChallenge) (*ssh.Permissions, error) {
			answers, err := ask("", "Two things", []string{"Password: ", "Code: "}, []bool{false, true})
			if err == nil && (answers[0] != "secret" || answers[1] != "123") {
				err = errors.New("no")
			}
			return nil, err
		}
	}
	for name, c := range map[string]struct {
		server   func(*ssh.ServerConfig)
		keys     []string
		ask      *asker
		password string
		ok       bool
		asked    int
	}{
		"key":                         {accept(plainPublic), []string{plain}, nil, "", true, 0},
		"second key":                  {accept(plainPublic), []string{"/nonexistent", locked, plain}, nil, "", true, 0},
		"locked key":                  {accept(lockedPublic), []string{locked}, &asker{secrets: []string{"open sesame"}}, "", true, 1},
		"locked key, second try":      {accept(lockedPublic), []string{locked}, &asker{secrets: []string{"x", "open sesame"}}, "", true, 2},
		"locked key that is not used": {accept(plainPublic), []string{locked, plain}, &asker{}, "", true, 0},
		"locked key, nobody there":    {accept(lockedPublic), []string{locked}, nil, "", false, 0},
		"wrong key":                   {accept(lockedPublic), []string{plain}, nil, "", false, 0},
		"password asked":              {password, nil, &asker{secrets: []string{"secret"}}, "", true, 1},
		"password, third try":         {password, nil, &asker{secrets: []string{"a", "b", "secret"}}, "", true, 3},
		"password given":              {password, nil, nil, "secret", true, 0},
		"wrong password given":        {password, nil, nil, "wrong", false, 0},
		"questions":                   {interactive, nil, &asker{secrets: []string{"secret", "123"}}, "", true, 2},
		"nothing to try":              {password, nil, nil, "", false, 0},
	} {
		t.Run(name, func(t *testing.T) {
			server := transfertest.NewServer(t, false, c.server)
			s := settingsFor(t, server.Addr, server.KnownHosts(t))
			s.Keys = c.keys
			o := Options{Password: c.password}
			if c.ask != nil {
				o.Ask = c.ask
			}
			p, err := open(t.Context(), s, ".", o)
			if err == nil {
				p.Close()
			}
			var refused *transfer.AuthError
			if c.ok != (err == nil) || !c.ok && !errors.As(err, &refused) {
				t.Errorf("error %v", err)
			}
			if c.ask != nil && len(c.ask.asked) != c.asked {
				t.Errorf("asked %q", c.ask.asked)
			}
		})
	}
}

// TestKnownHosts is what ssh does with its lists, case by case.
func TestKnownHosts(t *testing.T) {
	server := transfertest.NewServer(t, false, anybody)
	other := transfertest.NewSigner(t).PublicKey()
	key := server.HostKey.PublicKey()
	port := strings.Split(server.Addr, ":")[1]
	host := "[127.0.0.1]:" + port
	line := func(marker, name string, key ssh.PublicKey) string {
		return strings.TrimSpace(marker+" "+name+" "+strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key)))) + "\n"
	}
	const known = transfer.HostKeyKind(-1)
	for name, c := range map[string]struct {
		list   string
		strict string
		ask    *asker
		want   transfer.HostKeyKind
	}{
		"known":                        {line("", host, key), "ask", nil, known},
		"known by a hash":              {line("", knownhosts.HashHostname(host), key), "ask", nil, known},
		"known by a pattern":           {line("", "[127.0.0.*]:"+port, key), "ask", nil, known},
		"known among others":           {line("", "example.com", other) + line("", host, key), "ask", nil, known},
		"a pattern that is no text":    {line("", "*\xff", other) + line("", "\xff?*", other) + line("", host, key), "ask", nil, known},
		"not known":                    {line("", "example.com", key), "ask", nil, transfer.UnknownHost},
		"not known at that port":       {line("", "[127.0.0.1]:1", key), "ask", nil, transfer.UnknownHost},
		"excluded by a pattern":        {line("", "[127.0.0.*]:"+port+",!"+host, key), "ask", nil, transfer.UnknownHost},
		"empty list":                   {"", "ask", nil, transfer.UnknownHost},
		"not known, strict":            {"", "yes", &asker{yes: true}, transfer.UnknownHost},
		"not known, answered no":       {"", "ask", &asker{}, transfer.UnknownHost},
		"not known, answered yes":      {"", "ask", &asker{yes: true}, known},
		"not known, accept-new":        {"", "accept-new", nil, known},
		"changed":                      {line("", host, other), "ask", &asker{yes: true}, transfer.ChangedKey},
		"changed, accept-new":          {line("", host, other), "accept-new", nil, transfer.ChangedKey},
		"changed, not strict":          {line("", host, other), "no", nil, transfer.ChangedKey},
		"two keys":                     {line("", host, other) + line("", host, key), "ask", nil, known},
		"revoked":                      {line("@revoked", "*", key) + line("", host, key), "ask", &asker{yes: true}, transfer.RevokedKey},
		"lines that cannot be read":    {"rubbish\n" + host + " ssh-new AAAA\n# comment\n\n" + line("", host, key), "ask", nil, known},
		"authority that did not sign":  {line("@cert-authority", "*", other) + line("", host, key), "ask", nil, known},
		"only an authority, not known": {line("@cert-authority", "*", other), "ask", nil, transfer.UnknownHost},
	} {
		t.Run(name, func(t *testing.T) {
			list := filepath.Join(t.TempDir(), "known_hosts")
			if err := os.WriteFile(list, []byte(c.list), 0o600); err != nil {
				t.Fatal(err)
			}
			s := settingsFor(t, server.Addr, list)
			s.Strict = c.strict
			o := Options{}
			if c.ask != nil {
				o.Ask = c.ask
			}
			p, err := open(t.Context(), s, ".", o)
			if err == nil {
				p.Close()
			}
			var refused *transfer.HostKeyError
			switch {
			case c.want == known && err != nil:
				t.Errorf("error %v", err)
			case c.want != known && (!errors.As(err, &refused) || refused.Kind != c.want):
				t.Errorf("error %v, expected kind %d", err, c.want)
			case c.want != known && (refused.Fingerprint != ssh.FingerprintSHA256(key) || refused.Host != host):
				t.Errorf("error %+v", refused)
			}
			after, err := os.ReadFile(list)
			if err != nil {
				t.Fatal(err)
			}
			if added := len(after) > len(c.list); added != (c.want == known && c.list == "") {
				t.Errorf("the list became %q", after)
			}
			if c.want == known && c.list == "" {
				if p, err := open(t.Context(), s, ".", Options{}); err != nil {
					t.Errorf("the second time: %v", err)
				} else {
					p.Close()
				}
			}
		})
	}
}

// TestFits compares names with patterns, some of which a careless way of doing
// that would not come to an end with.
func TestFits(t *testing.T) {
	for _, c := range []struct {
		pattern, name string
		fits          bool
	}{
		{"host", "host", true}, {"host", "hosts", false}, {"", "", true}, {"", "h", false}, {"*", "", true}, {"*", "host", true}, {"?", "", false}, {"?", "h", true},
		{"h?st", "host", true}, {"h*", "host", true}, {"*t", "host", true}, {"*.example.com", "a.example.com", true}, {"*.example.com", "example.com", false},
		{"[127.0.0.*]:22", "[127.0.0.1]:22", true}, {"h.st", "host", false}, {"a*b*c", "aXbXbYc", true}, {"a*b*c", "aXbXbY", false}, {"**?", "h", true},
		{"*\xff", "host\xff", true}, {"\xff*", "host", false}, {"?\xff", "h\xff", true}, {"a\n*", "a\nb", true},
		{strings.Repeat("*a", 5000) + "b", strings.Repeat("a", 5000), false},
	} {
		if fits(c.pattern, c.name) != c.fits {
			t.Errorf("%.40q and %.40q: expected %t", c.pattern, c.name, c.fits)
		}
	}
}

// TestUnreadableRevocation stops everything: it may be about this host.
func TestUnreadableRevocation(t *testing.T) {
	server := transfertest.NewServer(t, false, anybody)
	list := server.KnownHosts(t)
	f, err := os.OpenFile(list, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.WriteString("@revoked * rubbish\n")
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := open(t.Context(), settingsFor(t, server.Addr, list), ".", Options{}); err == nil {
		t.Error("connected")
	}
}

// TestSettings reads what ssh -G prints.
func TestSettings(t *testing.T) {
	s, _, err := parseSettings(Dest{Host: "box"}, []byte("host box\nuser carol\nhostname 10.0.0.7\nport 2222\nidentityfile ~/.ssh/a\nidentityfile /k/b\n"+
		"identitiesonly yes\nuserknownhostsfile /u/1 /u/2\nglobalknownhostsfile none\nhostkeyalias boxes\nstricthostkeychecking accept-new\nhashknownhosts yes\n"+
		"proxyjump jump@hop:2200,second\nidentityagent none\nserveraliveinterval 5\nserveralivecountmax 2\n"))
	if err != nil {
		t.Fatal(err)
	}
	if s.User != "carol" || s.Host != "10.0.0.7" || s.Port != "2222" || len(s.Keys) != 2 || !filepath.IsAbs(s.Keys[0]) || !s.OnlyKeys || len(s.KnownHosts) != 2 ||
		len(s.GlobalOnly) != 0 || s.KeyAlias != "boxes" || s.Strict != "accept-new" || !s.HashNames || s.Agent != "" ||
		s.Pulse != 5*time.Second || s.Misses != 2 || len(s.Jumps) != 2 || s.Jumps[0] != (Dest{User: "jump", Host: "hop", Port: "2200"}) || s.Jumps[1].Host != "second" {
		t.Errorf("settings %+v", s)
	}
	for _, c := range []struct {
		settings
		pulse  time.Duration
		misses int
	}{{s, 5 * time.Second, 2}, {settings{}, keepalive, keepaliveMisses}, {settings{Pulse: time.Hour, Misses: math.MaxInt}, keepalive, keepaliveMisses}} {
		if c.settings.pulse() != c.pulse || c.settings.misses() != c.misses {
			t.Errorf("%d keepalives every %v, expected %d every %v", c.settings.misses(), c.settings.pulse(), c.misses, c.pulse)
		}
	}
	_, _, err = parseSettings(Dest{Host: "box"}, []byte("hostname h\nport 1\nuser u\nproxycommand nc %h %p\n"))
	var config *ConfigError
	if !errors.As(err, &config) || !strings.Contains(err.Error(), "nc %h %p") {
		t.Errorf("error %v", err)
	}
}

func TestSplitCommand(t *testing.T) {
	for s, want := range map[string][]string{
		"ssh":                   {"ssh"},
		"ssh -F 'a b' x\\ y":    {"ssh", "-F", "a b", "x y"},
		`ssh -o "A=b c" ''`:     {"ssh", "-o", "A=b c", ""},
		"  ssh\t-v ":            {"ssh", "-v"},
		"":                      nil,
		"ssh 'x":                nil,
		`ssh "a\"b" 'c\d' $(x)`: {"ssh", `a"b`, `c\d`, "$(x)"},
	} {
		got, err := splitCommand(s)
		if (want == nil) != (err != nil) || strings.Join(got, "|") != strings.Join(want, "|") {
			t.Errorf("%q: %q, %v", s, got, err)
		}
	}
}

// TestCiphers uses the fastest of those that ssh may use, and ssh where it may
// use none of ours.
func TestCiphers(t *testing.T) {
	base := "hostname h\nport 1\nuser u\n"
	s, _, err := parseSettings(Dest{Host: "box"}, []byte(base+"ciphers chacha20-poly1305@openssh.com,aes256-ctr,aes128-gcm@openssh.com\n"))
	got := slices.Sorted(slices.Values(s.ciphers()))
	if want := []string{"aes128-gcm@openssh.com", "aes256-ctr", "chacha20-poly1305@openssh.com"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("%v, %v", got, err)
	}
	if aesInHardware() && s.ciphers()[0] != "aes128-gcm@openssh.com" {
		t.Errorf("%v is not the fastest", s.ciphers()[0])
	}
	if all := (settings{}).ciphers(); len(all) != len(fastest()) || len(all) < 3 {
		t.Errorf("without settings there are %v", all)
	}
	_, _, err = parseSettings(Dest{Host: "box"}, []byte(base+"ciphers no-such-cipher\n"))
	var config *ConfigError
	if !errors.As(err, &config) {
		t.Errorf("error %v", err)
	}
}
