package sftp

import (
	"bytes"
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"

	"golang.org/x/crypto/ssh"
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

	mu     sync.Mutex
	tried  []string
	beyond string // a setting that ssh could have followed further than we do
	wanted string // one that the host wants followed; nothing else is tried then
	agent  io.Closer
}

// passwordTries is how often a password is asked for, as ssh does.
const passwordTries = 3

func (l *login) methods() []ssh.AuthMethod {
	have := map[string]ssh.AuthMethod{}
	if !l.NoKeys {
		have["publickey"] = ssh.PublicKeysCallback(l.signers)
	}
	tries := cmp.Or(l.Prompts, passwordTries)
	if l.ask != nil && !l.NoQuestions {
		have["keyboard-interactive"] = ssh.RetryableAuthMethod(ssh.KeyboardInteractive(l.answer), tries)
	}
	if l.ask != nil && !l.NoPassword {
		have["password"] = ssh.RetryableAuthMethod(ssh.PasswordCallback(l.askPassword), tries)
	}
	order := l.Ways
	if len(order) == 0 {
		order = ways
	}
	if l.password != "" {
		// One that is given on purpose is tried whatever the configuration says.
		have["password"], have["keyboard-interactive"] = ssh.Password(l.given()), ssh.KeyboardInteractive(l.answerPassword)
		order = []string{"publickey", "password", "keyboard-interactive"}
	}
	var methods []ssh.AuthMethod
	for _, way := range order {
		if method, ok := have[way]; ok {
			methods = append(methods, method)
		}
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
		k.opened, err = ssh.ParsePrivateKeyWithPassphrase(k.raw, []byte(passphrase))
		if err != nil {
			k.opened = nil
		}
		if err != nil && !errors.Is(err, x509.IncorrectPasswordError) {
			k.login.wanted = "identityfile " + k.path // encrypted in a way that Go does not know
			return errLeft
		}
	}
	if k.opened == nil {
		return fmt.Errorf("key %s: wrong passphrase", k.path)
	}
	return nil
}

// errLeft ends ways to log in where ssh will do it.
var errLeft = errors.New("left to the ssh command")

// secret asks while the clock of the handshake stands still.
func (l *login) secret(prompt string) (answer string, err error) {
	err = l.pause(func() error {
		answer, err = l.ask.Secret(l.ctx, prompt)
		return err
	})
	return answer, err
}

func (l *login) askPassword() (string, error) {
	if l.wanted != "" {
		return "", errLeft
	}
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
	if l.wanted != "" {
		return nil, errLeft
	}
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
