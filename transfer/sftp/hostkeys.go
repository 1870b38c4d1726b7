package sftp

import (
	"bufio"
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/rsa"
	"crypto/sha1" // known_hosts hashes names with it
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
	xknownhosts "golang.org/x/crypto/ssh/knownhosts"

	"airgap/transfer"
)

// hostKeys decides whether a host is the one that is meant.
type hostKeys struct {
	settings
	list []knownKey
	ask  Asker
	note func(format string, args ...any)
}

// knownKey is a line of a known_hosts file.
type knownKey struct {
	marker string // cert-authority, revoked or empty
	names  string
	key    ssh.PublicKey
}

// loadHostKeys reads the known_hosts files.
func loadHostKeys(s settings, o Options) (*hostKeys, error) {
	k := &hostKeys{settings: s, ask: o.Ask, note: o.Note}
	for _, name := range slices.Concat(s.KnownHosts, s.GlobalOnly) {
		if err := k.read(name); err != nil {
			return nil, err
		}
	}
	return k, nil
}

// read reads a file, if it is there. As ssh does, it skips lines that it cannot
// read; but a @revoked line that it cannot read stops it.
func (k *hostKeys) read(name string) error {
	raw, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	scanner := bufio.NewScanner(bytes.NewReader(raw))
	scanner.Buffer(nil, 1<<20)
	for n := 1; scanner.Scan(); n++ {
		line := scanner.Bytes()
		marker, names, key, _, _, err := ssh.ParseKnownHosts(line)
		switch {
		case err == nil && slices.Contains([]string{"", authority, revokes}, marker):
			k.list = append(k.list, knownKey{marker, strings.Join(names, ","), key})
		case bytes.HasPrefix(bytes.TrimSpace(line), []byte("@"+revokes)):
			return fmt.Errorf("known hosts: %s:%d revokes a key that cannot be read", name, n)
		}
	}
	return scanner.Err()
}

// The markers.
const (
	authority = "cert-authority"
	revokes   = "revoked"
)

// known is the host's name in known_hosts.
func (k *hostKeys) known() string {
	if k.KeyAlias != "" {
		return k.KeyAlias
	}
	return xknownhosts.Normalize(net.JoinHostPort(k.Host, k.Port))
}

// of are the lines about a name.
func (k *hostKeys) of(name string) []knownKey {
	var list []knownKey
	for _, known := range k.list {
		if matches(known.names, strings.ToLower(name)) {
			list = append(list, known)
		}
	}
	return list
}

// matches says whether names, which are patterns or the hash of one name, mean
// a name in lower case.
func matches(names, name string) bool {
	if strings.HasPrefix(names, "|") {
		return matchesHash(names, name)
	}
	found := false
	for pattern := range strings.SplitSeq(names, ",") {
		pattern, not := strings.CutPrefix(pattern, "!")
		if !fits(strings.ToLower(pattern), name) {
			continue
		}
		if not {
			return false
		}
		found = true
	}
	return found
}

// fits compares with a pattern of * and ?, byte by byte: neither needs to be
// text.
func fits(pattern, name string) bool {
	star, rest := -1, 0 // behind the last *, and where in name that one ends
	p, n := 0, 0
	for n < len(name) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			p++
			star, rest = p, n
		case p < len(pattern) && (pattern[p] == '?' || pattern[p] == name[n]):
			p++
			n++
		case star >= 0: // it takes one byte more
			rest++
			p, n = star, rest
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}

// matchesHash compares with |1|salt|hash.
func matchesHash(names, name string) bool {
	parts := strings.Split(names, "|")
	if len(parts) != 4 || parts[1] != "1" {
		return false
	}
	salt, err := base64.StdEncoding.DecodeString(parts[2])
	hash, hashErr := base64.StdEncoding.DecodeString(parts[3])
	mac := hmac.New(sha1.New, salt)
	mac.Write([]byte(name))
	return err == nil && hashErr == nil && hmac.Equal(mac.Sum(nil), hash)
}

// algorithms are those that the host may show a key with, the ones that it is
// known by first, so that it shows one of these if it can.
func (k *hostKeys) algorithms() []string {
	all := k.HostKeys
	if len(all) == 0 {
		all = ssh.SupportedAlgorithms().HostKeys
	}
	if k.InOrder {
		return all
	}
	known := k.of(k.known())
	var first, last []string
	for _, a := range all {
		if slices.ContainsFunc(known, func(known knownKey) bool { return known.shows(a) }) {
			first = append(first, a)
		} else {
			last = append(last, a)
		}
	}
	return append(first, last...)
}

// shows says whether a line is about keys of an algorithm. An authority is about
// all certificates, whatever it signs them with.
func (known knownKey) shows(algorithm string) bool {
	plain, cert := strings.CutSuffix(algorithm, certificateSuffix)
	if strings.HasPrefix(plain, "rsa-sha2-") {
		plain = ssh.KeyAlgoRSA
	}
	return cert && known.marker == authority || known.marker == "" && strings.TrimSuffix(known.key.Type(), "@openssh.com") == strings.TrimSuffix(plain, "@openssh.com")
}

// check is an ssh.HostKeyCallback, with a context for the question.
func (k *hostKeys) check(ctx context.Context) ssh.HostKeyCallback {
	return func(_ string, remote net.Addr, key ssh.PublicKey) error {
		if bits := rsaBits(key); bits > 0 && bits < k.RSABits {
			return &ConfigError{k.Alias, fmt.Sprintf("requiredrsasize %d, and the host's key has %d bits", k.RSABits, bits)}
		}
		kind, key := k.verdict(key)
		if kind <= transfer.UnknownHost && k.CheckIP && k.otherAddress(remote, key) {
			kind = transfer.ChangedKey
		}
		switch kind {
		case trusted:
			return nil
		case transfer.UnknownHost:
			return k.unknown(ctx, remote, key)
		}
		return k.problem(kind, key)
	}
}

// trusted is the kind of a key that is known.
const trusted = transfer.HostKeyKind(-1)

// verdict is what is thought of a key, or of the key in a certificate that
// proves nothing. Which of them is answered as well.
func (k *hostKeys) verdict(key ssh.PublicKey) (transfer.HostKeyKind, ssh.PublicKey) {
	kind := k.judge(k.known(), key)
	if kind == transfer.UnknownHost && k.KeyAlias == "" && k.known() != k.Host {
		// A line without a port is about all ports, but only if it says yes.
		if anyPort := k.judge(k.Host, key); anyPort != transfer.ChangedKey {
			kind = anyPort
		}
	}
	cert, ok := key.(*ssh.Certificate)
	switch {
	case !ok, kind == transfer.RevokedKey, kind == trusted && k.certifies(cert):
		return kind, key
	}
	return k.verdict(cert.Key)
}

// judge is what the list says of a key under one name.
func (k *hostKeys) judge(name string, key ssh.PublicKey) transfer.HostKeyKind {
	plain, signer, marker := key, key, ""
	if cert, ok := key.(*ssh.Certificate); ok {
		plain, signer, marker = cert.Key, cert.SignatureKey, authority
	}
	kind := transfer.UnknownHost
	for _, known := range k.of(name) {
		switch {
		case known.marker == revokes && (sameKey(known.key, plain) || sameKey(known.key, signer)):
			return transfer.RevokedKey
		case known.marker != marker || kind == trusted:
		case sameKey(known.key, signer):
			kind = trusted
		case marker == "":
			kind = transfer.ChangedKey
		}
	}
	return kind
}

// certifies says whether a certificate of a known authority is about this host,
// and now. One without names is about none, as newer versions of ssh have it.
func (k *hostKeys) certifies(cert *ssh.Certificate) bool {
	name := k.Host
	if k.KeyAlias != "" {
		name = k.KeyAlias
	}
	signed := len(k.AuthorityKeys) == 0 || slices.Contains(k.AuthorityKeys, cert.Signature.Format)
	return signed && cert.CertType == ssh.HostCert && len(cert.ValidPrincipals) > 0 && new(ssh.CertChecker).CheckCert(name, cert) == nil
}

// otherAddress says whether another key than this is known for the host's
// address.
func (k *hostKeys) otherAddress(remote net.Addr, key ssh.PublicKey) bool {
	addr, ok := remote.(*net.TCPAddr)
	if !ok || addr.IP.IsLoopback() || addr.IP.IsUnspecified() || addr.IP.String() == k.Host {
		return false // of its own machine or behind another ssh asks for the name only
	}
	return k.judge(xknownhosts.Normalize(addr.String()), key) == transfer.ChangedKey
}

// rsaBits is the length of an RSA key, and 0 for others.
func rsaBits(key ssh.PublicKey) int {
	if held, ok := key.(*agent.Key); ok {
		if parsed, err := ssh.ParsePublicKey(held.Marshal()); err == nil {
			key = parsed
		}
	}
	if cert, ok := key.(*ssh.Certificate); ok {
		key = cert.Key
	}
	if known, ok := key.(ssh.CryptoPublicKey); ok {
		if public, ok := known.CryptoPublicKey().(*rsa.PublicKey); ok {
			return public.N.BitLen()
		}
	}
	return 0
}

func (k *hostKeys) problem(kind transfer.HostKeyKind, key ssh.PublicKey) error {
	return &transfer.HostKeyError{
		Host: k.known(), Kind: kind, KeyType: strings.TrimPrefix(key.Type(), "ssh-"),
		Fingerprint: ssh.FingerprintSHA256(key), Files: slices.Concat(k.KnownHosts, k.GlobalOnly),
	}
}

// unknown asks about a host that is met for the first time.
func (k *hostKeys) unknown(ctx context.Context, remote net.Addr, key ssh.PublicKey) error {
	problem := k.problem(transfer.UnknownHost, key)
	switch k.Strict {
	case "yes", "true":
		return problem
	case "accept-new", "no", "false", "off":
		// ssh accepts these without a question, where it has a list to put them
		// on. A key that changes is refused all the same, which of them only
		// accept-new says.
		if len(k.KnownHosts) == 0 {
			return problem
		}
		if k.note != nil {
			k.note("the host %s was not known; ssh's configuration says to take its %s key %s as it is", k.Alias, strings.TrimPrefix(key.Type(), "ssh-"), ssh.FingerprintSHA256(key))
		}
		return k.remember(key)
	}
	if k.ask == nil || len(k.KnownHosts) == 0 {
		return problem
	}
	ok, err := k.ask.Confirm(ctx, fmt.Sprintf("The host %s (%s) is not known. Its %s key has the fingerprint\n%s\nIs that the right host?",
		k.Alias, remote, strings.TrimPrefix(key.Type(), "ssh-"), ssh.FingerprintSHA256(key)))
	if err != nil || !ok {
		return errors.Join(problem, err)
	}
	return k.remember(key)
}

// remember writes a key to the user's first known_hosts file.
func (k *hostKeys) remember(key ssh.PublicKey) error {
	path := k.KnownHosts[0]
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	name := k.known()
	if k.HashNames {
		name = xknownhosts.HashHostname(name)
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(lineStart(f) + xknownhosts.Line([]string{name}, key) + "\n")
	return errors.Join(err, f.Close())
}

// lineStart is a line feed where the file does not end with one.
func lineStart(f *os.File) string {
	info, err := f.Stat()
	if err != nil || info.Size() == 0 {
		return ""
	}
	last := make([]byte, 1)
	if _, err := f.ReadAt(last, info.Size()-1); err != nil || last[0] == '\n' {
		return ""
	}
	return "\n"
}
