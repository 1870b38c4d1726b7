package sftp

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
)

// splitCommand splits a command line at blanks, with quotes and backslashes as
// a POSIX shell has them. Nothing is expanded.
func splitCommand(s string) ([]string, error) {
	var words []string
	var word strings.Builder
	inWord := false
	quote := rune(0)
	escaped := false
	for _, c := range s {
		switch {
		case escaped:
			word.WriteRune(c)
			escaped = false
		case c == '\\' && quote != '\'':
			escaped, inWord = true, true
		case quote != 0 && c == quote:
			quote = 0
		case quote != 0:
			word.WriteRune(c)
		case c == '\'' || c == '"':
			quote, inWord = c, true
		case c == ' ' || c == '\t' || c == '\n':
			if inWord {
				words = append(words, word.String())
				word.Reset()
			}
			inWord = false
		default:
			word.WriteRune(c)
			inWord = true
		}
	}
	if quote != 0 || escaped {
		return nil, fmt.Errorf("command %q ends within quotes", s)
	}
	if inWord {
		words = append(words, word.String())
	}
	if len(words) == 0 {
		return nil, errors.New("the ssh command is empty")
	}
	return words, nil
}

// command is the ssh command to a destination: options before the host, which
// cannot be taken for one.
func command(words []string, d Dest, before []string, after ...string) []string {
	args := append([]string{}, words...)
	if d.User != "" {
		args = append(args, "-l", d.User)
	}
	if d.Port != "" {
		args = append(args, "-p", d.Port)
	}
	args = append(append(args, before...), "--", d.Host)
	return append(args, after...)
}

// process is an ssh command that runs SFTP.
type process struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out io.Reader
	end sync.Once // who loses a lock ends it, and who is done
}

// options are what a transfer asks of ssh, as scp does: notice a host that does
// not answer any more, forward nothing, run nothing else. What the command line
// says of these comes first and counts.
func options(words []string) []string {
	if base := strings.TrimSuffix(filepath.Base(words[0]), ".exe"); base != "ssh" {
		return nil
	}
	return []string{
		"-x", "-o", fmt.Sprintf("ServerAliveInterval=%d", int(keepalive.Seconds())), "-o", fmt.Sprintf("ServerAliveCountMax=%d", keepaliveMisses),
		"-o", "ClearAllForwardings=yes", "-o", "ForwardAgent=no", "-o", "PermitLocalCommand=no", "-o", "RemoteCommand=none", "-o", "RequestTTY=no",
	}
}

// startProcess runs the ssh command; it asks its own questions on the terminal.
func startProcess(words []string, d Dest) (*process, error) {
	args := command(words, d, append(options(words), "-s"), "sftp")
	p := &process{cmd: exec.Command(args[0], args[1:]...)}
	p.cmd.Stderr = os.Stderr
	var err error
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if p.out, err = p.cmd.StdoutPipe(); err != nil {
		return nil, err
	}
	return p, p.cmd.Start()
}

func (p *process) Close() error {
	p.end.Do(func() {
		p.in.Close()
		p.cmd.Process.Kill()
		p.cmd.Wait() //nolint:errcheck // it has been killed
	})
	return nil
}

// subsystem starts one on a connection of ours.
func (l *link) subsystem(name string) (io.Reader, io.WriteCloser, error) {
	session, err := l.client.NewSession()
	if err != nil {
		return nil, nil, err
	}
	in, inErr := session.StdinPipe()
	out, outErr := session.StdoutPipe()
	if err := errors.Join(inErr, outErr, session.RequestSubsystem(name)); err != nil {
		return nil, nil, errors.Join(err, session.Close())
	}
	return out, in, nil
}
