//go:build linux

package e2e_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// startHost runs an sshd at which there is an engine, if docker is not empty,
// and no airgap. Programs for one user alone are kept in a folder of the test's.
func startHost(t *testing.T, docker string) (s *server, private string) {
	t.Helper()
	s = startServer(t, `SetEnv PATH=/usr/bin:/bin DOCKER_HOST=`+docker)
	for _, dir := range []string{"/usr/bin", "/bin"} {
		if _, err := os.Stat(filepath.Join(dir, "airgap")); err == nil {
			t.Skip("NOT TESTED: there is an airgap in " + dir)
		}
	}
	ssh, err := sshFolder()
	if err != nil {
		t.Fatal(err)
	}
	private = filepath.Join(filepath.Dir(ssh), ".cache", "airgap")
	if err := os.MkdirAll(private, 0o700); err != nil { // a mount point only; it stays
		t.Fatal(err)
	}
	if err := syscall.Mount(fresh(t, "private"), private, "", syscall.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(private, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return s, private
}

// TestHop goes the whole way in one command, to a host that has an engine and
// no airgap.
func TestHop(t *testing.T) {
	src := needSources(t)
	target := there(t)
	s, private := startHost(t, target.host)
	m := newMachine(t)
	m.airgap("pack", "e2e/app:v1", "e2e/db:15").ok()
	dir := filepath.Join(s.in, `a 'b' "$(touch canary)" \; & *`)
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	dest := s.user + "@127.0.0.1:" + dir
	m.airgap("send", "--unpack", dest).fails(exitFailed, "there is no airgap at 127.0.0.1: .*not found", "nothing has been sent", "--bootstrap")
	started := time.Now()
	r := m.airgap("send", "--unpack", "--bootstrap", dest).ok("bringing airgap to 127.0.0.1: done", "sent, ", "127.0.0.1: importing: done", "verified and imported 2 images")
	t.Logf("the whole hop took %v", time.Since(started).Round(10*time.Millisecond))
	r.noCanary(s)
	for _, name := range []string{"e2e/app:v1", "e2e/db:15"} {
		same(t, target, name, src.engine.identity(t, name), made[name])
	}
	brought, err := filepath.Glob(filepath.Join(private, "airgap-????????????????"))
	if err != nil || len(brought) != 1 {
		t.Fatalf("%v, %v", brought, err)
	}
	own, err := os.ReadFile(world.airgap)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(brought[0]); err != nil || !bytes.Equal(got, own) {
		t.Errorf("what was brought is another program: %v", err)
	}
	if info, err := os.Stat(brought[0]); err != nil || info.Mode() != 0o700 {
		t.Errorf("%v, %v", info.Mode(), err)
	}

	t.Run("again", func(t *testing.T) {
		m, before := *m, s.proxy.passed(up)
		m.t = t
		m.airgap("send", "--unpack", "--bootstrap", s.dest()).ok("nothing had to be sent", "were there already")
		if got := s.proxy.passed(up) - before; got > 1<<20 {
			t.Errorf("%d bytes went there", got)
		} else {
			t.Logf("%d bytes went there, of a bundle of %d", got, size(t, m.path("bundle.tar.zst")))
		}
	})
	t.Run("through ssh", func(t *testing.T) {
		m := *m
		m.t = t
		target.empty(t)
		m.airgap("send", "--ssh", "ssh", "--unpack", "--bootstrap", "--rename", "e2e/=other/", dest).ok("already there", "e2e/app:v1 -> other/app:v1").noCanary(s)
		target.docker(t, "image", "inspect", "other/app:v1", "other/db:15")
	})
	t.Run("rest of one image", func(t *testing.T) {
		m := *m
		m.t = t
		target.docker(t, "rmi", "other/db:15")
		m.airgap("send", "--unpack", "--bootstrap", "--rename", "e2e/=other/", dest).ok("other/db:15 .* imported", "other/app:v1 .* already there")
	})
}

// noCanary demands that nothing has taken a folder's name for a command.
func (r result) noCanary(s *server) result {
	r.t.Helper()
	ssh, err := sshFolder()
	if err != nil {
		r.t.Fatal(err)
	}
	for _, dir := range []string{s.in, filepath.Dir(ssh), filepath.Dir(s.in)} {
		if _, err := os.Stat(filepath.Join(dir, "canary")); err == nil {
			r.t.Errorf("a command in the folder's name has been run in %s", dir)
		}
	}
	return r
}

// TestHopRefused: what would not do is found out before the first byte of the
// bundle.
func TestHopRefused(t *testing.T) {
	src := needSources(t)
	target := there(t)
	s, _ := startHost(t, target.host)
	m := newMachine(t)
	m.airgap("pack", "e2e/app:v1").ok()
	m.airgap("pack", "-o", "arm.tar.zst", "--platform", "linux/arm64", "docker://"+src.registry.addr+"/e2e/multi:v1").ok()
	tiny, empty := fresh(t, "tiny"), m.path("empty")
	tinyDisk(t, tiny)
	if err := os.Mkdir(empty, 0o755); err != nil {
		t.Fatal(err)
	}
	sc := scene{machine: m, watched: []string{s.in, tiny}, engines: []engine{target}}
	hop := []string{"send", "--unpack", "--bootstrap"}
	unsent := "nothing has been sent"
	sc.refused(exitRefused, says(unsent, "no airgap to bring .*linux/amd64", "make cross"), append(hop, "--binaries", empty, s.dest())...)
	sc.refused(exitRefused, says(unsent, "linux/amd64", "linux/arm64"), append(hop, "arm.tar.zst", s.dest())...)
	sc.refused(exitNoSpace, says(unsent, "(?i)space", "127.0.0.1"), append(hop, s.user+"@127.0.0.1:"+tiny)...)
	sc.refused(exitNoSpace, says(unsent, "(?i)space .*"+tiny, "make .* of room there"), append(hop, "--to", "oci:"+tiny+"/layout", s.dest())...)
	sc.refused(exitEngine, says(unsent, "podman"), append(hop, "--to", "podman", s.dest())...)

	s, private := startHost(t, "unix://"+filepath.Join(tiny, "docker.sock"))
	sc.watched = []string{s.in}
	sc.refused(exitEngine, says(unsent, filepath.Join(tiny, "docker.sock"), "at 127.0.0.1: start the engine"), append(hop, s.dest())...)
	if err := syscall.Mount("", private, "", syscall.MS_REMOUNT|syscall.MS_BIND|syscall.MS_NOEXEC, ""); err != nil {
		t.Fatal(err)
	}
	sc.refused(exitFailed, says(unsent, "is whole, but does not run there", "noexec"), append(hop, s.dest())...)
}

// TestHopCut cuts the line, and interrupts send, while the host imports: what
// was brought is taken back there, and the same command brings it again.
func TestHopCut(t *testing.T) {
	needSources(t)
	target := there(t)
	p := engineProxy(t, target)
	s, _ := startHost(t, "unix://"+p.addr)
	m := newMachine(t)
	m.airgap("pack", "e2e/app:v1", "e2e/db:15").ok()
	sc := scene{machine: m, engines: []engine{target}}
	hop := []string{"send", "--unpack", "--bootstrap", s.dest()}
	before := p.passed(up)
	m.airgap(hop...).ok()
	total := p.passed(up) - before
	arrived := filepath.Join(s.in, "bundle.tar.zst")
	for _, part := range []float64{0.1, 0.5, 0.9} {
		target.empty(t)
		start := sc.state()
		sprung := p.set(up, int64(part*float64(total)), func() { s.proxy.cut() })
		r := m.airgap(hop...)
		r.after(sprung)
		r.fails(exitTransfer, "the connection broke off", "the bundle is there whole, as "+arrived)
		ended(t, arrived)
		unchanged(t, start, sc.state())
		s.proxy.mend()

		r = sc.interrupted(p, up, int64(part*float64(total)), hop...)
		r.says("the bundle is there whole, as " + arrived + "; what had been brought was taken back, and no name has changed")
		if running(arrived) {
			t.Errorf("it still runs there after\n%s", r)
		}
		unchanged(t, start, sc.state())
	}
	m.airgap(hop...).ok("already there", "verified and imported 2 images")
}

// running says whether an airgap unpacks that file.
func running(path string) bool {
	list, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, name := range list {
		b, err := os.ReadFile(name)
		if err == nil && strings.Contains(string(b), "unpack\x00") && strings.Contains(string(b), path+"\x00") {
			return true
		}
	}
	return false
}

// ended waits until nobody unpacks that file any more.
func ended(t *testing.T, path string) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); running(path); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("unpack does not end at the host")
		}
	}
}
