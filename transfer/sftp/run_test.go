package sftp

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"airgap/transfer"
	"airgap/transfer/transfertest"
)

// hostile are words that shells take for something else.
var hostile = []string{
	"", " ", "a b", "'", `"`, `\`, `\\`, `'\''`, `\'$(touch canary)`, "$(touch canary)", "`touch canary`", "; touch canary", "& touch canary",
	"| touch canary", "> canary", "\ntouch canary\n", "a\nb", "\n", "\t", "\r", "*", "?", "[a-z]*", "{a,b}", "~", "~root", "$HOME", "${HOME}", "%HOME%", "!", "!!", "^x^y",
	"#", "a#b", "-n", "--", "=", "a=b", "(", ")", "größe", "日本", "\xff\xfe", "\x01\x7f", `\\\'$(touch canary)'\\\`, "'$(touch canary)", `a\`, "%", "%s", "@", ":", ",", "\x1b[31m",
}

// shells are those that somebody may have at a host, with what prints their
// words, each with a zero byte behind it.
var shells = [][]string{{"sh", "-c"}, {"dash", "-c"}, {"bash", "-c"}, {"zsh", "-c"}, {"mksh", "-c"}, {"busybox", "sh", "-c"}, {"fish", "-c"}, {"tcsh", "-f", "-c"}}

// TestWords has every shell that is here take words apart.
func TestWords(t *testing.T) {
	tested := 0
	for _, shell := range shells {
		t.Run(shell[0], func(t *testing.T) {
			if _, err := exec.LookPath(shell[0]); err != nil {
				t.Skip("NOT TESTED for want of ", shell[0])
			}
			tested++
			list := hostile
			if shell[0] == "tcsh" { // which changes these itself, wherever they come from
				list = slices.DeleteFunc(slices.Clone(hostile), func(s string) bool {
					return strings.Contains(s, "\n") || !utf8.ValidString(s)
				})
			}
			takenApart(t, shell, list)
			for _, s := range list {
				takenApart(t, shell, []string{s})
			}
		})
	}
	if tested == 0 {
		t.Fatal("no shell has been tried")
	}
}

// takenApart demands that a shell finds the arguments, and does nothing else.
func takenApart(t *testing.T, shell, args []string) {
	t.Helper()
	dir := t.TempDir()
	line := Words(append([]string{"/usr/bin/printf", `%s\0`}, args...)...)
	cmd := exec.Command(shell[0], append(shell[1:len(shell):len(shell)], line)...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "HOME="+t.TempDir())
	out, err := cmd.CombinedOutput()
	want := strings.Join(args, "\x00") + "\x00"
	if err != nil || string(out) != want {
		t.Errorf("%q arrive as %q, %v; the line is %s", args, out, err, line)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*")); len(left) > 0 {
		t.Errorf("%q: it made %v", args, left)
	}
}

// FuzzWords does the same with anything, for a POSIX shell.
func FuzzWords(f *testing.F) {
	for _, s := range hostile {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if strings.Contains(s, "\x00") || len(s) > 10000 {
			t.Skip()
		}
		takenApart(t, []string{"sh", "-c"}, []string{s, "x"})
	})
}

// hosts are the ways to run a command, each with the folder it may use.
func hosts(t *testing.T) map[string]func(t *testing.T) *Place {
	addr, key, known := transfertest.SSHD(t)
	server := transfertest.NewServer(t, true, anybody)
	inProcess := server.KnownHosts(t)
	_, port, _ := net.SplitHostPort(addr)
	return map[string]func(t *testing.T) *Place{
		"in process": func(t *testing.T) *Place {
			return opened(t)(open(t.Context(), settingsFor(t, server.Addr, inProcess), t.TempDir(), Options{}))
		},
		"sshd": func(t *testing.T) *Place {
			s := settingsFor(t, addr, known)
			s.User, s.Keys = currentUser(t), []string{key}
			return opened(t)(open(t.Context(), s, t.TempDir(), Options{}))
		},
		"ssh": func(t *testing.T) *Place {
			if _, err := exec.LookPath("ssh"); err != nil {
				t.Skip("SKIPPED for want of ssh")
			}
			command := "ssh -F none -o LogLevel=ERROR -o IdentitiesOnly=yes -i '" + key + "' -o UserKnownHostsFile=" + known
			return opened(t)(Open(t.Context(), Dest{User: currentUser(t), Host: "127.0.0.1", Port: port, Dir: t.TempDir()}, Options{SSH: command}))
		},
	}
}

func opened(t *testing.T) func(*Place, error) *Place {
	return func(p *Place, err error) *Place {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { p.Close() })
		return p
	}
}

// TestRun runs commands over every kind of connection.
func TestRun(t *testing.T) {
	for name, to := range hosts(t) {
		t.Run(name, func(t *testing.T) {
			p := to(t)
			var out, stderr bytes.Buffer
			if err := p.Run(t.Context(), Command{Args: append([]string{"printf", `%s\0`}, hostile...), Stdout: &out}); err != nil || out.String() != strings.Join(hostile, "\x00")+"\x00" {
				t.Errorf("%v, %q", err, &out)
			}
			out.Reset()
			if err := p.Run(t.Context(), Command{Args: []string{"cat"}, Stdin: strings.NewReader("through\n"), Stdout: &out}); err != nil || out.String() != "through\n" {
				t.Errorf("cat: %v, %q", err, &out)
			}
			// Nobody reads what is written to it: that is no error.
			if err := p.Run(t.Context(), Command{Args: []string{"true"}, Stdin: strings.NewReader(strings.Repeat("x", 8<<20))}); err != nil {
				t.Errorf("true: %v", err)
			}
			script := "head -c 100000 /dev/zero | tr '\\0' x >&2; echo end >&2; exit 7"
			var exit *ExitError
			err := p.Run(t.Context(), Command{Args: []string{"sh", "-c", script}})
			if !errors.As(err, &exit) || exit.Status != 7 || len(exit.Stderr) != maxTail || !strings.HasSuffix(exit.Stderr, "xend\n") {
				t.Errorf("status 7 is %.200v", err)
			}
			err = p.Run(t.Context(), Command{Args: []string{"sh", "-c", script}, Stderr: &stderr})
			if !errors.As(err, &exit) || exit.Status != 7 || exit.Stderr != "" || stderr.Len() != 100004 {
				t.Errorf("status 7 with a writer is %v, %d bytes", err, stderr.Len())
			}
			err = p.Run(t.Context(), Command{Args: []string{"no such command"}})
			if !errors.As(err, &exit) || exit.Status != 127 || !strings.Contains(exit.Stderr, "not found") {
				t.Errorf("what is not there is %v", err)
			}
			if err := p.Run(t.Context(), Command{Args: []string{"sh", "-c", "kill -KILL $$"}}); err == nil || isCut(err) {
				t.Errorf("what is killed is %v", err)
			}
			if _, err := p.Find(t.Context(), transfertest.FileOf("f", []byte("x"))); err != nil {
				t.Errorf("the place cannot be used after that: %v", err)
			}
		})
	}
}

func isCut(err error) bool {
	var cut *transfer.InterruptedError
	return errors.As(err, &cut)
}

// cleansUp is a command that says that it runs, and makes a file when its input
// has ended.
func cleansUp(file string) []string {
	return []string{"sh", "-c", `echo running; cat >/dev/null; echo cleaned >"$1"; exit 130`, "sh", file}
}

// TestRunInterrupted: an attended command hears that nobody waits any more, and
// has cleaned up when Run returns.
func TestRunInterrupted(t *testing.T) {
	for name, to := range hosts(t) {
		t.Run(name, func(t *testing.T) {
			p, file := to(t), filepath.Join(t.TempDir(), "cleaned")
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			args := cleansUp(file)
			args[2] = "trap '' TERM; " + args[2]
			err := p.Run(ctx, Command{Args: args, Attended: true, Stdout: trigger(cancel)})
			if !errors.Is(err, context.Canceled) {
				t.Errorf("error %v", err)
			}
			if _, err := os.Stat(file); err != nil {
				t.Errorf("it has not cleaned up: %v", err)
			}
			ctx, cancel = context.WithCancel(t.Context())
			defer cancel()
			started := time.Now()
			err = p.Run(ctx, Command{Args: []string{"sh", "-c", "echo running; exec sleep 60"}, Stdout: trigger(cancel)})
			if !errors.Is(err, context.Canceled) || time.Since(started) > 30*time.Second {
				t.Errorf("what is not attended ends with %v after %v", err, time.Since(started))
			}
		})
	}
}

// trigger calls itself at the first byte.
type trigger func()

func (f trigger) Write(p []byte) (int, error) { f(); return len(p), nil }

// TestRunCut: when the line is cut, an attended command at a real sshd hears it.
func TestRunCut(t *testing.T) {
	addr, key, known := transfertest.SSHD(t)
	line := transfertest.NewLine(t, addr)
	s := settingsFor(t, line.Addr, knownAs(t, known, line.Addr))
	s.User, s.Keys = currentUser(t), []string{key}
	p := opened(t)(open(t.Context(), s, t.TempDir(), Options{}))
	file := filepath.Join(t.TempDir(), "cleaned")
	// The line breaks with the next byte that is sent: of the input.
	in, more := net.Pipe()
	cut := trigger(func() {
		line.CutAfter(1)
		go more.Write([]byte("x"))
	})
	err := p.Run(t.Context(), Command{Args: cleansUp(file), Stdin: in, Attended: true, Stdout: cut})
	if !isCut(err) {
		t.Errorf("error %v", err)
	}
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if _, err := os.Stat(file); err == nil {
			return
		} else if time.Now().After(deadline) {
			t.Fatalf("the command has not heard that the line is cut: %v", err)
		}
	}
}

// TestNoCommands is a host that only takes files.
// TestOneSession is a host that allows no second session, for a command.
func TestOneSession(t *testing.T) {
	addr, key, known := transfertest.SSHD(t, "MaxSessions 1")
	s := settingsFor(t, addr, known)
	s.User, s.Keys = currentUser(t), []string{key}
	p, err := open(t.Context(), s, t.TempDir(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if err := p.Run(t.Context(), Command{Args: []string{"true"}}); !errors.Is(err, ErrNoCommands) {
		t.Errorf("error %v", err)
	}
}

func TestNoCommands(t *testing.T) {
	server := transfertest.NewServer(t, false, anybody)
	p := opened(t)(open(t.Context(), settingsFor(t, server.Addr, server.KnownHosts(t)), t.TempDir(), Options{}))
	if err := p.Run(t.Context(), Command{Args: []string{"true"}}); !errors.Is(err, ErrNoCommands) {
		t.Errorf("error %v", err)
	}
}

// TestPrivate makes folders of one's own, and refuses others'.
func TestPrivate(t *testing.T) {
	for name, to := range hosts(t) {
		t.Run(name, func(t *testing.T) {
			p := to(t)
			dir := filepath.Join(p.dest.Dir, "a b", "own")
			private, err := p.Private(t.Context(), dir)
			if err != nil {
				t.Fatal(err)
			}
			f, raw := transfertest.Content("program", 100_000)
			if _, err := transfer.Send(t.Context(), private, f, transfer.SendOptions{}); err != nil {
				t.Fatal(err)
			}
			if err := private.LetRun(t.Context()); err != nil {
				t.Fatal(err)
			}
			transfertest.Arrived(t, dir, f, raw)
			for path, want := range map[string]os.FileMode{dir: os.ModeDir | 0o700, filepath.Join(dir, "program"): 0o700} {
				if info, err := os.Stat(path); err != nil || info.Mode() != want {
					t.Errorf("%s: %v, %v", path, info.Mode(), err)
				}
			}
			if _, err := p.Private(t.Context(), dir); err != nil {
				t.Errorf("a second time: %v", err)
			}
			if err := os.Symlink(dir, dir+".link"); err != nil {
				t.Fatal(err)
			}
			for _, not := range []string{dir + ".link", filepath.Join(dir, "program")} {
				if _, err := p.Private(t.Context(), not); err == nil {
					t.Errorf("%s is taken for a folder of one's own", not)
				}
			}
			if os.Getuid() != 0 {
				return
			}
			if err := os.Chown(dir, 65534, 65534); err != nil {
				t.Fatal(err)
			}
			if _, err := p.Private(t.Context(), dir); err == nil || !strings.Contains(err.Error(), "somebody else's") {
				t.Errorf("somebody else's folder: %v", err)
			}
		})
	}
}

// TestNoisyShell is one whose .bashrc talks: the last line is the command's.
func TestNoisyShell(t *testing.T) {
	for name, profile := range map[string]string{
		"greets": "echo welcome to $USER; echo 4711", "at length": "yes no news | head -c 3000000", "has empty lines": "printf 'you have mail\n\n'",
		"has no line's end": "printf 4711",
	} {
		t.Run(name, func(t *testing.T) {
			server := transfertest.NewServer(t, true, anybody)
			server.Profile = profile
			p := opened(t)(open(t.Context(), settingsFor(t, server.Addr, server.KnownHosts(t)), t.TempDir(), Options{}))
			dir := filepath.Join(p.dest.Dir, "own")
			private, err := p.Private(t.Context(), dir)
			if err != nil {
				t.Fatal(err)
			}
			f, raw := transfertest.Content("program", 100_000)
			r, err := transfer.Send(t.Context(), private, f, transfer.SendOptions{})
			if err != nil || r.Proven == "read back" {
				t.Errorf("%+v, %v", r, err)
			}
			transfertest.Arrived(t, dir, f, raw)
			if os.Getuid() != 0 {
				return
			}
			if err := os.Chown(dir, 65534, 65534); err != nil {
				t.Fatal(err)
			}
			if _, err := p.Private(t.Context(), dir); !errors.Is(err, fs.ErrPermission) {
				t.Errorf("somebody else's folder: %v", err)
			}
		})
	}
}

// TestNobodyKnown is a host that does not say who its user is: nothing that
// is to be run is put there.
func TestNobodyKnown(t *testing.T) {
	for name, profile := range map[string]string{"fails": "exit 1", "says nothing": "exit 0", "says something else": "echo root; exit 0"} {
		t.Run(name, func(t *testing.T) {
			server := transfertest.NewServer(t, true, anybody)
			server.Profile = profile
			p := opened(t)(open(t.Context(), settingsFor(t, server.Addr, server.KnownHosts(t)), t.TempDir(), Options{}))
			if _, err := p.Private(t.Context(), filepath.Join(p.dest.Dir, "own")); !errors.Is(err, fs.ErrPermission) {
				t.Errorf("error %v", err)
			}
			f, raw := transfertest.Content("bundle", 100_000)
			if _, err := transfer.Send(t.Context(), p, f, transfer.SendOptions{}); err != nil {
				t.Errorf("what is only carried: %v", err)
			}
			if err := os.Remove(filepath.Join(p.dest.Dir, "own")); err != nil {
				t.Error(err)
			}
			transfertest.Arrived(t, p.dest.Dir, f, raw)
		})
	}
}

// TestMuteServer never says whether it will run a command: whoever waits for that can
// still leave.
func TestMuteServer(t *testing.T) {
	server := transfertest.NewServer(t, true, anybody)
	ctx, leave := context.WithCancel(t.Context())
	server.Mute = leave
	p := opened(t)(open(t.Context(), settingsFor(t, server.Addr, server.KnownHosts(t)), t.TempDir(), Options{}))
	if err := p.Run(ctx, Command{Args: []string{"true"}}); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

// TestSilentShell never ends, or never stops: what it was asked is found out in
// another way.
func TestSilentShell(t *testing.T) {
	for name, profile := range map[string]string{"silent": "exec sleep 20", "endless": "exec cat /dev/zero"} {
		t.Run(name, func(t *testing.T) {
			server := transfertest.NewServer(t, true, anybody)
			server.Profile = profile
			p := opened(t)(open(t.Context(), settingsFor(t, server.Addr, server.KnownHosts(t)), t.TempDir(), Options{patience: 100 * time.Millisecond}))
			f, raw := transfertest.Content("bundle", 9<<20)
			if err := os.WriteFile(filepath.Join(p.dest.Dir, f.Partial(f.Name)), raw[:5<<20], 0o600); err != nil {
				t.Fatal(err)
			}
			r, err := transfer.Send(t.Context(), p, f, transfer.SendOptions{})
			if err != nil || r.Proven != "read back" {
				t.Errorf("%+v, %v", r, err)
			}
			transfertest.Arrived(t, p.dest.Dir, f, raw)
		})
	}
}
