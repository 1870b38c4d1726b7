package sftp

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/skeema/knownhosts"
	"golang.org/x/crypto/ssh"
	xknownhosts "golang.org/x/crypto/ssh/knownhosts"

	"airgap/transfer"
)

// hostKeys decides whether a host is the one that is meant.
type hostKeys struct {
	settings
	db  *knownhosts.HostKeyDB
	ask Asker
}

// loadHostKeys reads the known_hosts files. As ssh does, it skips lines that it
// cannot read; but a @revoked line that it cannot read stops it.
func loadHostKeys(s settings, ask Asker) (*hostKeys, error) {
	var all bytes.Buffer
	for _, name := range append(append([]string{}, s.KnownHosts...), s.GlobalOnly...) {
		if err := appendKnown(&all, name); err != nil {
			return nil, err
		}
	}
	// The parser takes files only.
	f, err := os.CreateTemp("", "airgap-known-hosts-*")
	if err != nil {
		return nil, err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(all.Bytes())
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	db, err := knownhosts.NewDB(f.Name())
	if err != nil {
		return nil, fmt.Errorf("known hosts: %w", err)
	}
	return &hostKeys{s, db, ask}, nil
}

func appendKnown(all *bytes.Buffer, name string) error {
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
		_, _, _, _, _, err := ssh.ParseKnownHosts(line)
		switch {
		case err == nil:
			all.Write(append(bytes.TrimSpace(line), '\n'))
		case strings.HasPrefix(strings.TrimSpace(string(line)), "@revoked"):
			return fmt.Errorf("known hosts: %s:%d revokes a key that cannot be read", name, n)
		}
	}
	return scanner.Err()
}

// address is the host as known_hosts is asked for it.
func (k *hostKeys) address() string {
	if k.KeyAlias != "" {
		return net.JoinHostPort(k.KeyAlias, "22")
	}
	return net.JoinHostPort(k.Host, k.Port)
}

// plainAlgorithms are those of keys without certificates.
var plainAlgorithms = []string{
	ssh.KeyAlgoED25519, ssh.KeyAlgoECDSA256, ssh.KeyAlgoECDSA384, ssh.KeyAlgoECDSA521,
	ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256,
}

// algorithms are those of the keys that are known for the host, so that it
// shows one of these. Of a host that is not known by a key of its own a plain
// one is wanted, whose fingerprint can be compared.
func (k *hostKeys) algorithms() []string {
	known := k.db.HostKeyAlgorithms(k.address())
	if slices.ContainsFunc(known, func(a string) bool { return slices.Contains(plainAlgorithms, a) }) {
		return known
	}
	return append(known, plainAlgorithms...)
}

// check is an ssh.HostKeyCallback, with a context for the question.
func (k *hostKeys) check(ctx context.Context) ssh.HostKeyCallback {
	return func(_ string, remote net.Addr, key ssh.PublicKey) error {
		err := k.db.HostKeyCallback()(k.address(), remote, key)
		var revoked *xknownhosts.RevokedError
		switch {
		case err == nil:
			return nil
		case errors.As(err, &revoked):
			return k.problem(transfer.RevokedKey, key)
		case !k.isKnown():
			return k.unknown(ctx, remote, key)
		}
		return k.problem(transfer.ChangedKey, key)
	}
}

// isKnown says whether there is any key of the host's own; authorities do not
// count.
func (k *hostKeys) isKnown() bool {
	return slices.ContainsFunc(k.db.HostKeys(k.address()), func(p knownhosts.PublicKey) bool { return !p.Cert })
}

func (k *hostKeys) problem(kind transfer.HostKeyKind, key ssh.PublicKey) error {
	return &transfer.HostKeyError{
		Host: k.known(), Kind: kind, KeyType: strings.TrimPrefix(key.Type(), "ssh-"),
		Fingerprint: ssh.FingerprintSHA256(key), Files: append(append([]string{}, k.KnownHosts...), k.GlobalOnly...),
	}
}

// known is the host's name in known_hosts.
func (k *hostKeys) known() string { return xknownhosts.Normalize(k.address()) }

// unknown asks about a host that is met for the first time.
func (k *hostKeys) unknown(ctx context.Context, remote net.Addr, key ssh.PublicKey) error {
	problem := k.problem(transfer.UnknownHost, key)
	switch k.Strict {
	case "yes", "true":
		return problem
	case "accept-new", "no", "false", "off":
		// ssh accepts these without a question. A key that changes is refused
		// all the same, which of them only accept-new says.
		return k.remember(remote, key)
	}
	if k.ask == nil {
		return problem
	}
	ok, err := k.ask.Confirm(ctx, fmt.Sprintf("The host %s (%s) is not known. Its %s key has the fingerprint\n%s\nIs that the right host?",
		k.Alias, remote, strings.TrimPrefix(key.Type(), "ssh-"), ssh.FingerprintSHA256(key)))
	if err != nil || !ok {
		return errors.Join(problem, err)
	}
	return k.remember(remote, key)
}

// remember writes a key to the user's first known_hosts file.
func (k *hostKeys) remember(remote net.Addr, key ssh.PublicKey) error {
	if len(k.KnownHosts) == 0 {
		return nil
	}
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
