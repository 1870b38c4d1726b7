//go:build linux

package e2e_test

import (
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// podman is a podman with storage of its own.
type podman struct {
	host string // for CONTAINER_HOST
	args string // of its command line
}

// startPodman serves podman's API.
func startPodman(t *testing.T) podman {
	t.Helper()
	needRoot(t, "podman")
	name := program(t, "podman", "podman")
	dir := fresh(t, "podman")
	p := podman{"unix://" + filepath.Join(dir, "podman.sock"), "--root " + filepath.Join(dir, "root") + " --runroot " + filepath.Join(dir, "run")}
	s, err := startService(filepath.Join(dir, "log"), name, append(strings.Fields(p.args), "system", "service", "--time=0", p.host)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.stop()
		exec.Command("umount", filepath.Join(dir, "root", "overlay")).Run() // podman leaves it mounted over itself, or not
	})
	if err := s.ready(func() error { return dialable("unix", filepath.Join(dir, "podman.sock")) }); err != nil {
		t.Fatal(err)
	}
	return p
}

// run has the image's own program answer.
func (p podman) run(name string, more ...string) ([]byte, error) {
	args := slices.Concat(strings.Fields(p.args), inContainer, more, []string{name, "cat", "/srv/version"})
	return exec.Command("podman", args...).CombinedOutput()
}

// needContainers skips what needs containers where podman cannot run any, as where
// control groups are in hybrid mode: not even of an image that it has pulled itself.
func (p podman) needContainers(t *testing.T, name string) {
	t.Helper()
	out, err := p.run(name, "--tls-verify=false", "--pull=always")
	exec.Command("podman", append(strings.Fields(p.args), "untag", name, name)...).Run() // it is not there if it could not be pulled
	if err != nil {
		missing(t, "podman", string(out))
	}
}

// TestPodman brings images into podman, which then has the registry's digests
// and runs them, and packs them there again.
func TestPodman(t *testing.T) {
	src := needSources(t)
	p := startPodman(t)
	m := newMachine(t, "CONTAINER_HOST="+p.host)
	names := []string{"e2e/app:v1", "e2e/app:v2", "e2e/multi:v1"}
	m.airgap(append([]string{"pack", "--platform", "all"}, src.registry.refs(names...)...)...).ok()
	strip := "--rename=" + src.registry.addr + "/="
	m.airgap("unpack", "--to", "podman", strip).ok("imported 3 images")
	m.airgap("unpack", "--to", "podman", strip).ok("unchanged")
	for _, n := range names {
		want := src.registry.digest(t, src.registry.addr+"/"+n)
		got := m.shell("env -u CONTAINER_HOST podman " + p.args + " image inspect --format '{{json .RepoDigests}}' docker.io/" + n)
		if !strings.Contains(got, want) {
			t.Errorf("%s: podman tells the digests %s, expected %s", n, got, want)
		}
	}
	t.Run("runs", func(t *testing.T) {
		p.needContainers(t, src.registry.addr+"/e2e/app:v1")
		for _, n := range []string{"e2e/app:v1", "e2e/app:v2"} {
			if out, err := p.run("docker.io/" + n); err != nil || strings.TrimSpace(string(out)) != made[n] {
				t.Errorf("%s answers %q, %v", n, out, err)
			}
		}
	})

	m.airgap("pack", "-o", "podman.tar.zst", "podman:e2e/app:v1").ok("registry digest not kept")
	m.airgap("pack", "-o", "docker.tar.zst", "docker-daemon:e2e/app:v1").ok("registry digest not kept")
	m.shell("cmp podman.tar.zst docker.tar.zst")

	m.with("CONTAINER_HOST=unix://"+m.path("none/podman.sock")).airgap("unpack", "--to", "podman").
		fails(exitEngine, "podman at unix://", "systemctl start podman.socket")
}
