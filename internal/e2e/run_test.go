//go:build linux

package e2e_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// The exit statuses that the command promises.
const (
	exitFailed      = 1
	exitUsage       = 2
	exitDamaged     = 3
	exitRefused     = 4
	exitTransfer    = 6
	exitNoSpace     = 7
	exitEngine      = 9
	exitInterrupted = 130
)

// patience is how long a command may hang before the test gives up on it.
const patience = 2 * time.Minute

// machine is a place at which somebody types commands.
type machine struct {
	t    *testing.T
	dir  string   // the current folder
	env  []string // beyond the common ones
	cred *syscall.Credential
}

// newMachine has an empty current folder.
func newMachine(t *testing.T, env ...string) *machine {
	t.Helper()
	dir, err := os.MkdirTemp(world.dir, "cwd-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return &machine{t: t, dir: dir, env: env}
}

// with is the machine with more environment.
func (m *machine) with(env ...string) *machine {
	more := *m
	more.env = append(slices.Clone(m.env), env...)
	return &more
}

func (m *machine) command(name string, args ...string) *exec.Cmd {
	ctx, cancel := context.WithTimeout(m.t.Context(), patience)
	m.t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = m.dir
	cmd.Env = append([]string{"HOME=" + world.home, "PATH=" + os.Getenv("PATH"), "TMPDIR=" + m.dir}, m.env...)
	if m.cred != nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: m.cred}
	}
	return cmd
}

// airgap runs the command to its end.
func (m *machine) airgap(args ...string) result {
	m.t.Helper()
	p := m.start(args...)
	return p.wait()
}

// shell runs a line of what else a user would type, which must succeed.
func (m *machine) shell(line string) string {
	m.t.Helper()
	cmd := m.command("bash", "-o", "pipefail", "-ec", line)
	out, err := cmd.CombinedOutput()
	if err != nil {
		m.t.Fatalf("$ %s\n%s%v", line, out, err)
	}
	return string(out)
}

func (m *machine) path(name string) string { return filepath.Join(m.dir, name) }

// process is a running airgap.
type process struct {
	t   *testing.T
	cmd *exec.Cmd
	out bytes.Buffer
	err messages
}

// messages are those of a process.
type messages struct {
	mu   sync.Mutex
	text []byte
}

func (m *messages) Write(b []byte) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.text = append(m.text, b...)
	return len(b), nil
}

// has says whether something has been said.
func (m *messages) has(words string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return bytes.Contains(m.text, []byte(words))
}

func (m *machine) start(args ...string) *process {
	m.t.Helper()
	p := m.prepare(args...)
	p.begin()
	return p
}

// prepare is start for those who have something to add before begin.
func (m *machine) prepare(args ...string) *process {
	p := &process{t: m.t, cmd: m.command(world.airgap, args...)}
	p.cmd.Stdout, p.cmd.Stderr = &p.out, &p.err
	return p
}

func (p *process) begin() {
	p.t.Helper()
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
}

// interrupt does that, and waits until airgap says that it has heard: a signal
// may come late.
func (p *process) interrupt() {
	if err := p.cmd.Process.Signal(os.Interrupt); err != nil {
		p.t.Errorf("interrupting airgap: %v", err)
	}
	p.saying("interrupted")
}

// saying waits until airgap has said something.
func (p *process) saying(words string) {
	for range 1000 {
		if p.err.has(words) {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	p.t.Errorf("airgap does not say %q", words)
}

func (p *process) wait() result {
	p.t.Helper()
	err := p.cmd.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		p.t.Fatal(err)
	}
	r := result{p.t, strings.Join(append([]string{"airgap"}, p.cmd.Args[1:]...), " "), p.cmd.ProcessState.ExitCode(), p.out.String(), string(p.err.text)}
	p.t.Logf("%s", r)
	return r
}

// result is how a command ended.
type result struct {
	t       *testing.T
	command string
	code    int
	out     string
	err     string
}

func (r result) String() string {
	return fmt.Sprintf("$ %s\n%s%s-> exit status %d", r.command, r.out, r.err, r.code)
}

// ok demands success and that the output matches every pattern.
func (r result) ok(patterns ...string) result {
	r.t.Helper()
	if r.code != 0 {
		r.t.Fatalf("this should have succeeded:\n%s", r)
	}
	r.says(patterns...)
	return r
}

// fails demands an exit status, one message that matches every pattern and
// says what to do next, and no traces of a crash.
func (r result) fails(code int, patterns ...string) result {
	r.t.Helper()
	if r.code != code {
		r.t.Fatalf("exit status %d, expected %d:\n%s", r.code, code, r)
	}
	if n := len(regexp.MustCompile(`(?m)^airgap: error: `).FindAllString(r.err, -1)); n != 1 && code != exitInterrupted {
		r.t.Errorf("%d error messages, expected one:\n%s", n, r)
	}
	if !strings.Contains(r.err, "\nairgap: hint: ") && code != exitInterrupted {
		r.t.Errorf("no hint at what to do next:\n%s", r)
	}
	if strings.Contains(r.err, "panic:") || strings.Contains(r.err, "goroutine ") {
		r.t.Errorf("it crashed:\n%s", r)
	}
	r.says(patterns...)
	return r
}

func (r result) says(patterns ...string) {
	r.t.Helper()
	for _, p := range patterns {
		if !regexp.MustCompile(p).MatchString(r.out + r.err) {
			r.t.Errorf("the output does not match %q:\n%s", p, r)
		}
	}
}

// files lists what is in folders: the regular files with their content's
// digest, and everything else by its type.
func files(t *testing.T, dirs ...string) map[string]string {
	t.Helper()
	found := map[string]string{}
	for _, dir := range dirs {
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() {
				found[path] = d.Type().String()
				return err
			}
			b, err := os.ReadFile(path)
			found[path] = fmt.Sprintf("%x", sha256.Sum256(b))
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return found
}

// unchanged fails the test unless two lists of files or images are the same.
func unchanged(t *testing.T, before, after map[string]string) {
	t.Helper()
	for _, name := range slices.Sorted(maps.Keys(after)) {
		switch old, ok := before[name]; {
		case !ok:
			t.Errorf("left behind: %s (%s)", name, after[name])
		case old != after[name]:
			t.Errorf("changed: %s (from %s to %s)", name, old, after[name])
		}
	}
	for _, name := range slices.Sorted(maps.Keys(before)) {
		if _, ok := after[name]; !ok {
			t.Errorf("gone: %s", name)
		}
	}
}

// damage changes one byte of a file.
func damage(t *testing.T, path string, offset int64) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var b [1]byte
	if _, err := f.ReadAt(b[:], offset); err != nil {
		t.Fatal(err)
	}
	b[0] ^= 0x40
	if _, err := f.WriteAt(b[:], offset); err != nil {
		t.Fatal(err)
	}
}

func size(t *testing.T, path string) int64 {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}
