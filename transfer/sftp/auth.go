package sftp

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"sync"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

// Asker is somebody to ask. Prompts are complete; answers are for this one
// question only.
type Asker interface {
	Secret(ctx context.Context, prompt string) (string, error)
	Ask(ctx context.Context, prompt string) (string, error)
	Confirm(ctx context.Context, question string) (bool, error)
}

// login is the ways to log in, as far as they are there.
type login struct {
	settings
	ctx      context.Context
	ask      Asker
	password string
	pause    func(ask func() error) error // stops the clock of the handshake

	mu    sync.Mutex
	tried []string
	agent io.Closer
}

// passwordTries is how often a password is asked for, as ssh does.
const passwordTries = 3

func (l *login) methods() []ssh.AuthMethod {
	var methods []ssh.AuthMethod
	if !l.NoKeys {
		methods = append(methods, ssh.PublicKeysCallback(l.signers))
	}
	password, questions := ssh.PasswordCallback(l.askPassword), ssh.KeyboardInteractive(l.answer)
	switch {
	case l.password != "":
		// One that is given on purpose is tried whatever the configuration says.
		return append(methods, ssh.Password(l.given()), ssh.KeyboardInteractive(l.answerPassword))
	case l.ask == nil:
		return methods
	}
	if !l.NoQuestions {
		methods = append(methods, ssh.RetryableAuthMethod(questions, passwordTries))
	}
	if !l.NoPassword {
		methods = append(methods, ssh.RetryableAuthMethod(password, passwordTries))
	}
	return methods
}

// given notes that the password of the command line is used.
func (l *login) given() string {
	l.note("password")
	return l.password
}

func (l *login) note(what string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !slices.Contains(l.tried, what) {
		l.tried = append(l.tried, what)
	}
}

// signers are the keys: those of the agent that ssh's settings name first, then
// its others unless only named ones may be used, then files. A server counts
// every key that it is shown, so the order matters.
func (l *login) signers() ([]ssh.Signer, error) {
	held := l.fromAgent()
	var named, files []ssh.Signer
	for _, path := range l.Keys {
		key, err := l.fromFile(path)
		if err != nil {
			continue // not there, or not a key: ssh goes on as well
		}
		if i := slices.IndexFunc(held, func(s ssh.Signer) bool { return sameKey(s.PublicKey(), key.PublicKey()) }); i >= 0 {
			named = append(named, held[i])
			held = slices.Delete(held, i, i+1)
		} else {
			files = append(files, key)
		}
		l.note("key " + path)
	}
	if l.OnlyKeys {
		held = nil
	}
	if len(held) > 0 {
		l.note("keys of the agent")
	}
	return l.withCertificates(slices.Concat(named, held, files)), nil
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

// fromFile reads a private key. One that is encrypted is opened only when the
// server would take it.
func (l *login) fromFile(path string) (ssh.Signer, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	key, err := ssh.ParsePrivateKey(raw)
	var locked *ssh.PassphraseMissingError
	if !errors.As(err, &locked) {
		return key, err
	}
	public := locked.PublicKey
	if public == nil {
		if public, err = readPublic(path + ".pub"); err != nil {
			return nil, err
		}
	}
	if l.ask == nil {
		l.note(fmt.Sprintf("key %s (no: it has a passphrase, and there is nobody to ask)", path))
		return nil, locked
	}
	return &lockedKey{login: l, path: path, raw: raw, public: public}, nil
}

func readPublic(path string) (ssh.PublicKey, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	key, _, _, _, err := ssh.ParseAuthorizedKey(raw)
	return key, err
}

func sameKey(a, b ssh.PublicKey) bool { return bytes.Equal(a.Marshal(), b.Marshal()) }

// withCertificates puts certificates before the keys that they are for.
func (l *login) withCertificates(keys []ssh.Signer) []ssh.Signer {
	paths := slices.Clone(l.Certs)
	for _, path := range l.Keys {
		paths = append(paths, path+"-cert.pub")
	}
	var certified []ssh.Signer
	for _, path := range paths {
		public, err := readPublic(path)
		cert, ok := public.(*ssh.Certificate)
		if err != nil || !ok {
			continue
		}
		for _, key := range keys {
			if signer, err := ssh.NewCertSigner(cert, key); err == nil {
				certified = append(certified, signer)
				l.note("certificate " + path)
			}
		}
	}
	return append(certified, keys...)
}

// lockedKey is a key that is opened when it is needed.
type lockedKey struct {
	login  *login
	path   string
	raw    []byte
	public ssh.PublicKey
	opened ssh.Signer
}

func (k *lockedKey) PublicKey() ssh.PublicKey { return k.public }

func (k *lockedKey) Sign(random io.Reader, data []byte) (*ssh.Signature, error) {
	return k.SignWithAlgorithm(random, data, "")
}

// SignWithAlgorithm implements ssh.AlgorithmSigner.
func (k *lockedKey) SignWithAlgorithm(random io.Reader, data []byte, algorithm string) (*ssh.Signature, error) {
	if err := k.open(); err != nil {
		return nil, err
	}
	signer, ok := k.opened.(ssh.AlgorithmSigner)
	if !ok {
		return k.opened.Sign(random, data)
	}
	return signer.SignWithAlgorithm(random, data, algorithm)
}

func (k *lockedKey) open() error {
	for range passwordTries {
		if k.opened != nil {
			return nil
		}
		passphrase, err := k.login.secret(fmt.Sprintf("Passphrase of the key %s: ", k.path))
		if err != nil {
			return err
		}
		if k.opened, err = ssh.ParsePrivateKeyWithPassphrase(k.raw, []byte(passphrase)); err != nil {
			k.opened = nil
		}
	}
	if k.opened == nil {
		return fmt.Errorf("key %s: wrong passphrase", k.path)
	}
	return nil
}

// secret asks while the clock of the handshake stands still.
func (l *login) secret(prompt string) (answer string, err error) {
	err = l.pause(func() error {
		answer, err = l.ask.Secret(l.ctx, prompt)
		return err
	})
	return answer, err
}

func (l *login) askPassword() (string, error) {
	l.note("password")
	return l.secret(fmt.Sprintf("Password of %s at %s: ", l.User, l.Alias))
}

// answerPassword answers the one question for a password that some servers ask
// instead of taking one.
func (l *login) answerPassword(_, _ string, questions []string, echos []bool) ([]string, error) {
	if len(questions) == 0 {
		return nil, nil
	}
	if len(questions) > 1 || echos[0] {
		return nil, errors.New("the host asks for more than a password")
	}
	return []string{l.given()}, nil
}

// answer passes a server's questions on.
func (l *login) answer(name, instruction string, questions []string, echos []bool) ([]string, error) {
	l.note("keyboard-interactive")
	var answers []string
	for i, question := range questions {
		prompt := fmt.Sprintf("%s at %s: %s", l.User, l.Alias, joinLines(name, instruction, question))
		var answer string
		err := l.pause(func() (err error) {
			if echos[i] {
				answer, err = l.ask.Ask(l.ctx, prompt)
			} else {
				answer, err = l.ask.Secret(l.ctx, prompt)
			}
			return err
		})
		if err != nil {
			return nil, err
		}
		answers = append(answers, answer)
	}
	return answers, nil
}

// joinLines joins what is not empty.
func joinLines(parts ...string) string {
	parts = slices.DeleteFunc(parts, func(s string) bool { return s == "" })
	var b bytes.Buffer
	for i, part := range parts {
		if i > 0 {
			b.WriteString("\n")
		}
		b.WriteString(part)
	}
	return b.String()
}
