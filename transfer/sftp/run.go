package sftp

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/ssh"

	"airgap/transfer"
)

// Command is a command for the far side.
type Command struct {
	// Args are the command and its arguments. Each arrives as it is, whatever
	// it holds; only a zero byte cannot.
	Args   []string
	Stdin  io.Reader // nil: an empty one
	Stdout io.Writer // nil: what comes is dropped
	Stderr io.Writer // nil: the end of what comes is kept for the error
	// Attended keeps the command's standard input open for as long as the
	// connection stands and the context lasts: to a command that heeds it, its
	// end is a hangup. Without a terminal there is no other.
	Attended bool

	silent bool // the ssh command must ask nothing for it
}

// ExitError says that a command of the far side has failed by its own account.
type ExitError struct {
	Host   string
	Args   []string
	Status int    // -1 if a signal ended it
	Signal string // its name, such as KILL
	Stderr string // the last 64 KiB of what it said, unless that went to a writer
}

func (e *ExitError) Error() string {
	how := fmt.Sprintf("exit status %d", e.Status)
	if e.Signal != "" {
		how = "ended by signal " + e.Signal
	}
	if said := strings.TrimSpace(e.Stderr); said != "" {
		how += ": " + said
	}
	return fmt.Sprintf("running %q at %s: %s", e.Args[0], e.Host, how)
}

// ErrNoCommands says that a host lets nobody run commands.
var ErrNoCommands = errors.New("the host runs no commands, it only takes files")

// grace is how long an attended command has to end by itself.
const grace = 15 * time.Second

// Run runs a command at the place's host, through the shell of the user there
// but out of its reach: see [Words]. What it fails with is an *ExitError, an
// error that wraps ErrNoCommands, or a *transfer.InterruptedError if the
// connection broke; the command may still be running then. When the context
// ends, an attended command is given the time to clean up.
func (p *Place) Run(ctx context.Context, c Command) error {
	kept := &tail{}
	if c.Stderr == nil {
		c.Stderr = kept
	}
	if c.Stdout == nil {
		c.Stdout = io.Discard
	}
	if c.Stdin == nil {
		c.Stdin = strings.NewReader("")
	}
	running, cancel := context.WithCancel(ctx)
	defer cancel()
	if c.Attended {
		c.Stdin = io.MultiReader(c.Stdin, waiting{running})
	}
	err := p.run(ctx, Words(c.Args...), c)
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return p.ended(ctx, c, err, string(kept.b))
}

// ended sorts the ends of commands. What a server that still answers has ended
// is no interruption, and would end so again.
func (p *Place) ended(ctx context.Context, c Command, err error, stderr string) error {
	var exit *ExitError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &exit):
		exit.Host, exit.Args, exit.Stderr = p.dest.Host, c.Args, stderr
		return exit
	case errors.Is(err, ErrNoCommands):
		return fmt.Errorf("running %q at %s: %w", c.Args[0], p.dest.Host, err)
	}
	cut := !p.answers(ctx)
	if cut && errors.Is(err, errNoStatus) {
		err = errors.New("the connection broke off")
	}
	err = p.told(err)
	if said := strings.TrimSpace(stderr); said != "" {
		err = fmt.Errorf("%w: %s", err, said)
	}
	if cut {
		return &transfer.InterruptedError{Place: p.dest.Host, Err: fmt.Errorf("running %q there: %w", c.Args[0], err)}
	}
	return fmt.Errorf("running %q at %s: %w", c.Args[0], p.dest.Host, err)
}

// answers says whether the connection is still there.
func (p *Place) answers(ctx context.Context) bool {
	return p.guard(ctx, func() error {
		_, err := p.client.RealPath(".")
		return err
	}) == nil
}

// shell is what is known of the shell there.
type shell struct {
	patience time.Duration
	mu       sync.Mutex
	user     string      // with mu; what id -u says, or nothing yet
	hangs    atomic.Bool // it has not answered in time once, and is not asked again
}

// patience is how long the shell there may take for a small question. For one
// about so many bytes as patientBytes it may take that long once more.
const (
	patience     = 30 * time.Second
	patientBytes = 64 << 20
)

// patient is how long the shell there may take for a question about n bytes.
func (s *shell) patient(n int64) time.Duration {
	return s.patience + time.Duration(float64(s.patience)*float64(n)/patientBytes)
}

var (
	errNoAnswer = errors.New("no answer from a shell there")
	errHangs    = errors.New("the shell there does not answer in time")
)

// output asks the shell there about n bytes, by a line of it, and gives the last
// line of what it prints: what comes before may be a greeting. In may be nil.
// Where only somebody's answer would let it run, it fails.
func (p *Place) output(ctx context.Context, line string, in io.Reader, n int64) (string, error) {
	if p.shell.hangs.Load() {
		return "", errNoAnswer
	}
	if in == nil {
		in = strings.NewReader("")
	}
	ctx, cancel := context.WithTimeoutCause(ctx, p.shell.patient(n), errHangs)
	defer cancel()
	var out tail
	ended := make(chan error, 1)
	go func() {
		ended <- p.run(ctx, line, Command{Stdin: in, Stdout: &out, Stderr: io.Discard, silent: true})
	}()
	select {
	case err := <-ended:
		if err == nil {
			return out.lastLine(), nil
		}
	case <-ctx.Done(): // a server may not even say whether it will run it
	}
	if errors.Is(context.Cause(ctx), errHangs) {
		p.shell.hangs.Store(true)
	}
	return "", errNoAnswer
}

// runner runs a line of shell on the far side. What it fails with is an
// *ExitError with nothing but how it ended, ErrNoCommands, or the connection's.
type runner func(ctx context.Context, line string, c Command) error

// run runs it over a connection of ours.
func (l *link) run(ctx context.Context, line string, c Command) error {
	stdout, stderr := &gate{w: c.Stdout}, &gate{w: c.Stderr}
	defer stdout.shut()
	defer stderr.shut()
	session, in, err := l.begin(ctx, line, stdout, stderr)
	if err != nil {
		return err
	}
	defer session.Close()
	left := make(chan struct{})
	defer context.AfterFunc(ctx, func() {
		// Servers that know no signals leave it at the end of the input.
		_ = session.Signal(ssh.SIGTERM)
		leave := func() { close(left) }
		if c.Attended {
			time.AfterFunc(grace, leave)
		} else {
			leave()
		}
	})()
	go feed(in, c.Stdin)
	ended := make(chan error, 1)
	go func() { ended <- session.Wait() }()
	select {
	case err := <-ended:
		return exitOf(err)
	case <-left: // a server may keep a session open for as long as its command lasts
		return context.Cause(ctx)
	}
}

// begin starts a line of shell, unless the context ends before the server has said
// whether it will run it.
func (l *link) begin(ctx context.Context, line string, stdout, stderr io.Writer) (*ssh.Session, io.WriteCloser, error) {
	var session *ssh.Session
	var in io.WriteCloser
	var err error
	begun := make(chan struct{})
	go func() {
		defer close(begun)
		session, in, err = l.start(line, stdout, stderr)
	}()
	select {
	case <-begun:
		return session, in, err
	case <-ctx.Done():
		go func() {
			if <-begun; err == nil {
				session.Close()
			}
		}()
		return nil, nil, context.Cause(ctx)
	}
}

// start starts a line of shell.
func (l *link) start(line string, stdout, stderr io.Writer) (*ssh.Session, io.WriteCloser, error) {
	session, err := l.client.NewSession()
	var refused *ssh.OpenChannelError
	if errors.As(err, &refused) {
		return nil, nil, fmt.Errorf("%w: %w", ErrNoCommands, err)
	}
	if err != nil {
		return nil, nil, err
	}
	session.Stdout, session.Stderr = stdout, stderr
	in, err := session.StdinPipe()
	if err == nil {
		err = session.Start(line)
	}
	if err != nil && strings.HasPrefix(err.Error(), "ssh: command ") { // the server has refused it
		err = ErrNoCommands
	}
	if err != nil {
		session.Close()
		return nil, nil, err
	}
	return session, in, nil
}

var errNoStatus = errors.New("it ended without an exit status")

// exitOf gives how a command ended.
func exitOf(err error) error {
	var exit *ssh.ExitError
	var missing *ssh.ExitMissingError
	switch {
	case errors.As(err, &missing):
		return errNoStatus
	case !errors.As(err, &exit):
		return err
	case exit.Signal() != "":
		return &ExitError{Status: -1, Signal: exit.Signal()}
	}
	return &ExitError{Status: exit.ExitStatus()}
}

// feed gives a command its input, of which it need not read all.
func feed(to io.WriteCloser, from io.Reader) {
	_, _ = io.Copy(to, from)
	to.Close()
}

// gate lets what is written through until it is shut.
type gate struct {
	mu sync.Mutex
	w  io.Writer // nil once it is shut
}

func (g *gate) Write(p []byte) (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.w == nil {
		return len(p), nil
	}
	return g.w.Write(p)
}

func (g *gate) shut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.w = nil
}

// sshFailed is the exit status by which ssh speaks for itself.
const sshFailed = 255

// runnerOf is one that starts the ssh command again.
func runnerOf(ssh []string, d Dest) runner {
	return func(ctx context.Context, line string, c Command) error {
		before := options(ssh)
		if c.silent {
			before = append(before, "-o", "BatchMode=yes")
		}
		args := command(ssh, d, before, line)
		cmd := exec.CommandContext(ctx, args[0], args[1:]...)
		cmd.Stdout, cmd.Stderr, cmd.WaitDelay = c.Stdout, c.Stderr, grace
		if c.Attended {
			cmd.Cancel = func() error { return nil } // its input ends
		}
		in, err := cmd.StdinPipe()
		if err != nil {
			return err
		}
		if err := cmd.Start(); err != nil {
			return err
		}
		go feed(in, c.Stdin)
		var exit *exec.ExitError
		err = cmd.Wait()
		if errors.As(err, &exit) && exit.ExitCode() >= 0 && exit.ExitCode() != sshFailed {
			return &ExitError{Status: exit.ExitCode()}
		}
		return err
	}
}

// waiting is an input that ends with the context.
type waiting struct{ ctx context.Context }

func (w waiting) Read([]byte) (int, error) {
	<-w.ctx.Done()
	return 0, io.EOF
}

// tail keeps the end of what is written to it.
type tail struct{ b []byte }

const maxTail = 64 << 10

// lastLine is the last one that is not empty.
func (t *tail) lastLine() string {
	said := bytes.TrimSpace(t.b)
	return string(said[bytes.LastIndexByte(said, '\n')+1:])
}

func (t *tail) Write(p []byte) (int, error) {
	t.b = append(t.b, p...)
	if over := len(t.b) - maxTail; over > 0 {
		t.b = append(t.b[:0], t.b[over:]...)
	}
	return len(p), nil
}

// Words are arguments as the words of a shell, whichever it is: what means
// nothing to any of them stands as it is, all else behind a backslash. Within
// single quotes, which would do for a POSIX shell, fish knows backslashes.
func Words(args ...string) string {
	list := make([]string, len(args))
	for i, arg := range args {
		list[i] = quoted(arg)
	}
	return strings.Join(list, " ")
}

// plain are the bytes below 0x80 that mean nothing to any shell.
const plain = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-./:,+@"

// quoted is s as one word of a shell.
func quoted(s string) string {
	if s == "" {
		return "''"
	}
	var b strings.Builder
	for i := range len(s) {
		switch c := s[i]; {
		case c == '\n':
			b.WriteString("'\n'") // behind a backslash it would be nothing
		case c < 0x80 && !strings.ContainsRune(plain, rune(c)):
			b.WriteByte('\\')
			b.WriteByte(c)
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}
