//go:build linux

package e2e_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// halts are the points at which work is interrupted, as parts of the bytes
// that the whole of it moves.
var halts = []float64{0, 0.1, 0.5, 0.9}

// interruptAt starts airgap, interrupts it at a byte and waits for its end,
// which must be that of an interrupted command and leave nothing.
func (s scene) interruptAt(p *proxy, way int, n int64, args ...string) result {
	s.t.Helper()
	before := s.state()
	r := s.interrupted(p, way, n, args...)
	unchanged(s.t, before, s.state())
	return r
}

// interrupted is interruptAt without the look at what is left.
func (s scene) interrupted(p *proxy, way int, n int64, args ...string) result {
	s.t.Helper()
	started := make(chan *process, 1)
	sprung := p.set(way, n, func() { (<-started).interrupt() })
	run := s.start(args...)
	started <- run
	r := run.wait()
	r.after(sprung)
	return r.fails(exitInterrupted)
}

// after demands that a trap was sprung while the command ran.
func (r result) after(sprung <-chan struct{}) {
	r.t.Helper()
	select {
	case <-sprung:
	case <-time.After(10 * time.Second): // it may end just before the trap says so
		r.t.Fatalf("the byte that was waited for did not come:\n%s", r)
	}
}

// points are the bytes of halts.
func points(total int64) []int64 {
	var list []int64
	for _, part := range halts {
		list = append(list, 1+int64(part*float64(total)))
	}
	return list
}

func TestInterruptPackFromRegistry(t *testing.T) {
	src := needSources(t)
	p := startProxy(t, "tcp", loopback(0), "tcp", src.registry.addr)
	s := scene{machine: newMachine(t)}
	args := []string{"pack", "docker://" + p.addr + "/e2e/app:v1"}
	s.airgap(append(args, "-o", "whole")...).ok()
	for _, n := range points(p.passed(down)) {
		s.interruptAt(p, down, n, args...)
	}
}

func TestInterruptPackFromEngine(t *testing.T) {
	src := needSources(t)
	p := engineProxy(t, src.engine)
	s := scene{machine: newMachine(t, "DOCKER_HOST=unix://"+p.addr)}
	args := []string{"pack", "docker-daemon:e2e/app:v1", "docker-daemon:e2e/db:15"}
	s.airgap(append(args, "-o", "whole")...).ok()
	for _, n := range points(p.passed(down)) {
		s.interruptAt(p, down, n, args...)
	}
}

func engineProxy(t *testing.T, e engine) *proxy {
	t.Helper()
	socket, ok := strings.CutPrefix(e.host, "unix://")
	if !ok {
		t.Skipf("NOT TESTED: the engine at %s has no socket", e.host)
	}
	return startProxy(t, "unix", filepath.Join(fresh(t, "proxy"), "docker.sock"), "unix", socket)
}

func TestInterruptUnpack(t *testing.T) {
	src := needSources(t)
	target := there(t)
	p := engineProxy(t, target)
	s := scene{machine: newMachine(t, "DOCKER_HOST=unix://"+p.addr), engines: []engine{target}}
	s.airgap(append([]string{"pack"}, src.registry.refs("e2e/app:v1", "e2e/db:15")...)...).ok()
	before := p.passed(up)
	s.airgap("unpack").ok()
	total := p.passed(up) - before
	for _, n := range points(total) {
		target.empty(t)
		s.interruptAt(p, up, n, "unpack")
	}
	s.airgap("unpack").ok()
}

// TestKilledUnpack kills unpack at some bytes. What the engine imports all the
// same is taken up or removed by the next one.
func TestKilledUnpack(t *testing.T) {
	src := needSources(t)
	target := there(t)
	p := engineProxy(t, target)
	s := scene{machine: newMachine(t, "DOCKER_HOST=unix://"+p.addr), engines: []engine{target}}
	s.airgap(append([]string{"pack"}, src.registry.refs("e2e/app:v1", "e2e/db:15")...)...).ok()
	before := p.passed(up)
	s.airgap("unpack").ok()
	whole, total := s.state(), p.passed(up)-before
	for _, n := range append(points(total), total-100) { // the last is in the names
		target.empty(t)
		started := make(chan *process, 1)
		sprung := p.set(up, n, func() { (<-started).cmd.Process.Kill() })
		run := s.start("unpack")
		started <- run
		run.wait().after(sprung)
		s.airgap("unpack").ok()
		unchanged(t, whole, s.state())
		if left := target.docker(t, "ps", "-aq"); left != "" {
			t.Errorf("killed at %d, then unpacked: containers %s are left", n, left)
		}
	}
}

// TestInterruptStandardInput interrupts unpack while it waits for the second
// half of a bundle.
func TestInterruptStandardInput(t *testing.T) {
	m := newMachine(t)
	packSamples(m)
	s := scene{machine: m}
	bundle, err := os.ReadFile(m.path("bundle.tar.zst"))
	if err != nil {
		t.Fatal(err)
	}
	before := s.state()
	run := s.prepare("unpack", "--to", "oci:layout", "-")
	stdin, err := run.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	run.begin()
	// More than a pipe holds: when it is written, airgap is reading.
	if _, err := stdin.Write(bundle[:len(bundle)/2]); err != nil {
		t.Fatal(err)
	}
	run.interrupt()
	run.wait().fails(exitInterrupted)
	unchanged(t, before, s.state())
}

// broken is a send that did not end, and what it left.
type broken struct {
	scene
	server *server
	whole  int64 // bytes that an unbroken send moves
	before map[string]string
}

// stepBack is how much of a partial file is sent again, at most: what may have
// been in flight when it broke.
const stepBack = 4 << 20

// startBroken packs and measures a whole send.
func startBroken(t *testing.T) *broken {
	t.Helper()
	server := startServer(t)
	m := newMachine(t)
	packRandom(m, 64<<20)
	b := &broken{scene{machine: m, watched: []string{server.in}}, server, 0, nil}
	b.airgap("send", server.dest()).ok()
	b.whole = server.proxy.passed(up)
	b.shell("rm -r " + server.in + "/*")
	b.before = b.state()
	return b
}

// resumes demands that nothing but one partial file is there, which the
// message names, and that sending again moves only the rest. The lock of a send
// whose connection is gone may not have been removed yet.
func (b *broken) resumes(r result) {
	b.t.Helper()
	left, _ := filepath.Glob(b.server.in + "/*")
	hidden, _ := filepath.Glob(b.server.in + "/.[!.]*")
	lock := filepath.Join(b.server.in, ".bundle.tar.zst.lock")
	left = slices.DeleteFunc(append(left, hidden...), func(path string) bool { return path == lock })
	if len(left) != 1 {
		b.t.Fatalf("expected one partial file, found %q", left)
	}
	r.says("partial", filepath.Base(left[0]))
	have := size(b.t, left[0])
	b.t.Logf("%d of %d bytes are there", have, b.whole)
	after := b.state()
	delete(after, left[0])
	delete(after, lock)
	unchanged(b.t, b.before, after)

	before := b.server.proxy.passed(up)
	again := b.airgap("send", b.server.dest()).ok()
	moved := b.server.proxy.passed(up) - before
	if have <= stepBack {
		return
	}
	again.says("resuming after")
	if limit := b.whole - have + stepBack; moved > limit {
		b.t.Errorf("sending again moved %d bytes: %d were there of %d", moved, have, b.whole)
	}
}

// arrived demands that the bundle is there, whole, with nothing beside it, and
// removes it.
func (b *broken) arrived() {
	b.t.Helper()
	b.shell(fmt.Sprintf("cd %s && sha256sum -c bundle.tar.zst.sha256 && test $(ls -A | wc -l) = 2 && rm *", b.server.in))
}

func TestInterruptSend(t *testing.T) {
	b := startBroken(t)
	for _, part := range []float64{0.3, 0.5, 0.9} {
		r := b.interrupted(b.server.proxy, up, int64(part*float64(b.whole)), "send", b.server.dest())
		b.resumes(r)
		b.arrived()
	}
}

// TestCutConnection kills the session in the middle, and keeps the line dead
// for as long as airgap tries.
func TestCutConnection(t *testing.T) {
	b := startBroken(t)
	for _, part := range []float64{0.3, 0.9} {
		sprung := b.server.proxy.set(up, int64(part*float64(b.whole)), func() {
			b.server.killSessions(t)
			b.server.proxy.cut()
		})
		r := b.airgap("send", "--no-reconnect", b.server.dest())
		r.after(sprung)
		r.fails(exitTransfer, "same command again")
		b.server.proxy.mend()
		b.resumes(r)
		b.arrived()
	}
}

// TestLineComesBack cuts the line once: airgap connects again by itself, says so,
// and the whole arrives.
func TestLineComesBack(t *testing.T) {
	b := startBroken(t)
	sprung := b.server.proxy.set(up, b.whole/2, func() { b.server.killSessions(t) })
	r := b.airgap("send", b.server.dest())
	r.after(sprung)
	r.ok("connecting again in 1s", "resuming after")
	b.arrived()
}

func TestFolderIsNotThere(t *testing.T) {
	m := newMachine(t)
	packSamples(m)
	s := scene{machine: m}
	gone := filepath.Join(m.dir, "no", "such", "folder")
	s.refused(exitFailed, says(gone), "send", gone)
	if _, err := os.Stat(gone); err == nil {
		t.Error("the folder was made")
	}
}
