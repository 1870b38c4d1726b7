package sftp

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

// identity is a key of a file: what it is, and what signs with it, if anything
// of ours can.
type identity struct {
	path   string
	public ssh.PublicKey
	signer ssh.Signer
}

// signers are the keys in ssh's order, since a server counts every key that it
// is shown: certificates that are named, keys of the agent that are named too,
// others of the agent unless only named ones may be used, then files.
func (l *login) signers() ([]ssh.Signer, error) {
	held := l.fromAgent()
	files := l.fromFiles()
	certificates := l.certificates(held, files)
	var named, others, rest []ssh.Signer
	for _, key := range held {
		if i := slices.IndexFunc(files, func(f identity) bool { return sameKey(f.public, key.PublicKey()) }); i >= 0 {
			l.note("key " + files[i].path)
			named = append(named, key)
			files = slices.Delete(files, i, i+1)
		} else if !l.OnlyKeys {
			l.note("keys of the agent")
			others = append(others, key)
		}
	}
	for _, file := range files {
		if file.signer != nil {
			l.note("key " + file.path)
			rest = append(rest, file.signer)
		} else if pair := l.certified(file, held); pair != nil {
			rest = append(rest, pair)
		}
	}
	all := slices.Concat(certificates, named, others, rest)
	return slices.DeleteFunc(l.allowed(all), func(s ssh.Signer) bool {
		bits := rsaBits(s.PublicKey())
		return bits > 0 && bits < l.RSABits
	}), nil
}

// allowed are the keys whose algorithms may be used, with these only.
func (l *login) allowed(keys []ssh.Signer) []ssh.Signer {
	if len(l.KeyTypes) == 0 {
		return keys
	}
	var list []ssh.Signer
	for _, key := range keys {
		kind := key.PublicKey().Type()
		plain, _, _ := strings.Cut(kind, certificateSuffix)
		if plain == ssh.KeyAlgoRSA {
			key = l.allowedRSA(key, kind[len(plain):])
		} else if !slices.Contains(l.KeyTypes, kind) {
			key = nil
		}
		if key != nil {
			list = append(list, key)
		}
	}
	return list
}

const certificateSuffix = "-cert-v01@openssh.com"

// allowedRSA limits an RSA key, which has several algorithms, to those that may
// be used; nil if there are none. suffix is that of certificates, or empty.
func (l *login) allowedRSA(key ssh.Signer, suffix string) ssh.Signer {
	names := slices.DeleteFunc([]string{ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256, ssh.KeyAlgoRSA}, func(a string) bool {
		return !slices.Contains(l.KeyTypes, a+suffix)
	})
	signer, ok := key.(ssh.AlgorithmSigner)
	if !ok {
		return nil
	}
	limited, err := ssh.NewSignerWithAlgorithms(signer, names)
	if err != nil {
		return nil
	}
	return limited
}

func (l *login) fromAgent() []ssh.Signer {
	if l.Agent == "" {
		return nil
	}
	conn, err := net.Dial("unix", l.Agent)
	if err != nil {
		return nil
	}
	l.agent = conn
	signers, err := agent.NewClient(conn).Signers()
	if err != nil {
		return nil
	}
	return signers
}

// fromFiles are the keys of files, each followed by a certificate beside it,
// which is not looked for where certificates are named.
func (l *login) fromFiles() []identity {
	var list []identity
	for _, path := range l.Keys {
		key := l.fromFile(path)
		if key.public == nil {
			continue // not there, or not a key: ssh goes on as well
		}
		list = append(list, key)
		if cert := readCertificate(path + "-cert.pub"); cert != nil && len(l.Certs) == 0 {
			list = append(list, identity{path + "-cert.pub", cert, certSigner(cert, key.signer)})
		}
	}
	return list
}

// fromFile reads a key. One that is encrypted is opened only when the server
// would take it. What we cannot read, such as a key on a device, may be in the
// agent, or else is left to ssh.
func (l *login) fromFile(path string) identity {
	raw, err := os.ReadFile(path)
	if err != nil {
		public, _ := readPublic(path + ".pub")
		return identity{path, public, nil}
	}
	if public, _, _, _, err := ssh.ParseAuthorizedKey(raw); err == nil {
		return identity{path, public, nil}
	}
	key, err := ssh.ParsePrivateKey(raw)
	if err == nil {
		return identity{path, key.PublicKey(), key}
	}
	var locked *ssh.PassphraseMissingError
	isLocked := errors.As(err, &locked)
	var public ssh.PublicKey
	if isLocked {
		public = locked.PublicKey
	}
	if public == nil {
		public, _ = readPublic(path + ".pub")
	}
	switch {
	case !isLocked && bytes.Contains(raw, []byte(" PRIVATE KEY-----")):
		l.beyond = "identityfile " + path
		l.note(fmt.Sprintf("key %s (no: only ssh can read it)", path))
	case isLocked && l.ask == nil:
		l.note(fmt.Sprintf("key %s (no: it has a passphrase, and there is nobody to ask)", path))
	case isLocked && public != nil:
		return identity{path, public, &lockedKey{login: l, path: path, raw: raw, public: public}}
	case isLocked:
		l.beyond = "identityfile " + path
	}
	return identity{path, public, nil}
}

func readPublic(path string) (ssh.PublicKey, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	key, _, _, _, err := ssh.ParseAuthorizedKey(raw)
	return key, err
}

func readCertificate(path string) *ssh.Certificate {
	public, err := readPublic(path)
	cert, ok := public.(*ssh.Certificate)
	if err != nil || !ok || cert.CertType != ssh.UserCert {
		return nil
	}
	return cert
}

func sameKey(a, b ssh.PublicKey) bool {
	return a != nil && b != nil && bytes.Equal(a.Marshal(), b.Marshal())
}

// certSigner signs with a certificate; nil if the key is not the certificate's.
func certSigner(cert *ssh.Certificate, key ssh.Signer) ssh.Signer {
	if key == nil {
		return nil
	}
	signer, err := ssh.NewCertSigner(cert, key)
	if err != nil {
		return nil
	}
	return signer
}

// certified is a certificate beside a file whose key the agent holds.
func (l *login) certified(file identity, held []ssh.Signer) ssh.Signer {
	cert, ok := file.public.(*ssh.Certificate)
	if !ok {
		return nil
	}
	for _, key := range held {
		if signer := certSigner(cert, key); signer != nil {
			l.note("certificate " + file.path)
			return signer
		}
	}
	return nil
}

// certificates are those that are named, with the keys that they are for.
func (l *login) certificates(held []ssh.Signer, files []identity) []ssh.Signer {
	keys := slices.Clone(held)
	for _, file := range files {
		if file.signer != nil {
			keys = append(keys, file.signer)
		}
	}
	var list []ssh.Signer
	for _, path := range l.Certs {
		if cert := readCertificate(path); cert != nil {
			if signer := l.certified(identity{path, cert, nil}, keys); signer != nil {
				list = append(list, signer)
			}
		}
	}
	return list
}
