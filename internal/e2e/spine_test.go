//go:build linux

package e2e_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// carry packs, sends through sshd and unpacks into an empty engine, each as a
// user types it, and hands back that engine.
func carry(t *testing.T, packArgs, unpackArgs []string) engine {
	t.Helper()
	target, s := there(t), startServer(t)
	m := newMachine(t)
	m.airgap(append([]string{"pack"}, packArgs...)...).ok(`bundle\.tar\.zst`)
	m.airgap("send", s.dest()).ok()
	sent, arrived := m.path("bundle.tar.zst"), filepath.Join(s.in, "bundle.tar.zst")
	unchanged(t, map[string]string{s.in: "d---------", arrived: files(t, sent)[sent], arrived + ".sha256": files(t, sent+".sha256")[sent+".sha256"]}, files(t, s.in))

	far := newMachine(t, "DOCKER_HOST="+target.host)
	far.dir = s.in
	far.shell("sha256sum -c bundle.tar.zst.sha256")
	far.airgap("verify").ok()
	far.airgap(append([]string{"unpack", "bundle.tar.zst"}, unpackArgs...)...).ok()
	return target
}

// same demands that an image in an engine is the original, and that it runs.
func same(t *testing.T, target engine, name string, original string, answer string) {
	t.Helper()
	if got := target.identity(t, name); got != original {
		t.Errorf("%s: it arrived as\n%s\nbut was\n%s", name, got, original)
	}
	target.answers(t, name, answer)
}

func TestCarryFromEngine(t *testing.T) {
	src := needSources(t)
	target := carry(t, madeNames, nil)
	for _, name := range madeNames {
		same(t, target, name, src.engine.identity(t, name), made[name])
	}
	again := newMachine(t, "DOCKER_HOST="+target.host)
	before := target.images(t)
	again.airgap("pack", "-o", "same.tar.zst", "docker-daemon:e2e/app:v1").ok()
	again.airgap("unpack", "same.tar.zst").ok(`(?i)already|unchanged`)
	unchanged(t, before, target.images(t))
}

func TestCarryFromRegistry(t *testing.T) {
	src := needSources(t)
	target := carry(t, src.registry.refs(madeNames...), []string{"--rename", src.registry.addr + "/="})
	for _, name := range madeNames {
		same(t, target, name, src.engine.identity(t, name), made[name])
	}
}

// TestCarryCorpus is the first minute of the README, on its images.
func TestCarryCorpus(t *testing.T) {
	if os.Getenv("AIRGAP_CORPUS") == "" {
		t.Skip("NOT TESTED: AIRGAP_CORPUS does not say that the corpus is there")
	}
	src := needEngine(t)
	target := carry(t, []string{"postgres:15-alpine", "my-app:v1"}, nil)
	same(t, target, "my-app:v1", src.identity(t, "my-app:v1"), "1.0")
	if got, want := target.identity(t, "postgres:15-alpine"), src.identity(t, "postgres:15-alpine"); got != want {
		t.Errorf("postgres:15-alpine: it arrived as\n%s\nbut was\n%s", got, want)
	}
	needContainers(t)
	out := target.docker(t, "run", "--rm", "--network", "none", "postgres:15-alpine", "/usr/lib/postgresql/15/bin/postgres", "--version")
	if !strings.Contains(out, "PostgreSQL) 15") {
		t.Errorf("postgres answers %q", out)
	}
}

// TestOtherWays goes the ways beside the main one: standard input, a bundle
// that somebody has decompressed, a bundle sent with the system's ssh.
func TestOtherWays(t *testing.T) {
	src := needSources(t)
	target, s := there(t), startServer(t)
	m := newMachine(t)
	m.airgap("pack", "e2e/app:v1").ok()
	far := m.with("DOCKER_HOST=" + target.host)
	original := src.engine.identity(t, "e2e/app:v1")
	t.Run("standard input", func(t *testing.T) {
		target.empty(t)
		far.shell(world.airgap + " unpack - <bundle.tar.zst")
		same(t, target, "e2e/app:v1", original, "1.0")
	})
	t.Run("standard output", func(t *testing.T) {
		target.empty(t)
		far.shell("DOCKER_HOST=" + src.engine.host + " " + world.airgap + " pack -o - e2e/app:v1 | " + world.airgap + " unpack -")
		same(t, target, "e2e/app:v1", original, "1.0")
	})
	t.Run("decompressed", func(t *testing.T) {
		target.empty(t)
		program(t, "zstd", "zstd")
		far.shell("zstd -dc bundle.tar.zst >bundle.tar")
		far.airgap("unpack", "bundle.tar").ok()
		same(t, target, "e2e/app:v1", original, "1.0")
	})
	t.Run("the system's ssh", func(t *testing.T) {
		m.airgap("send", "--ssh", "ssh", s.dest()).ok()
		m.shell("cmp bundle.tar.zst " + s.in + "/bundle.tar.zst")
	})
	t.Run("a host of ~/.ssh/config", func(t *testing.T) {
		m.airgap("send", "bundle.tar.zst", "server:"+fresh(t, "alias")).ok()
	})
	t.Run("a folder", func(t *testing.T) {
		stick := fresh(t, "stick")
		m.airgap("send", stick).ok()
		m.shell("cd " + stick + " && sha256sum -c bundle.tar.zst.sha256")
	})
}

// TestOtherSources packs what other tools have written.
func TestOtherSources(t *testing.T) {
	src := needSources(t)
	program(t, "skopeo", "skopeo")
	target := there(t)
	m := newMachine(t, "DOCKER_HOST="+target.host)
	m.shell("docker -H " + src.engine.host + " save -o saved.tar e2e/app:v1 e2e/db:15")
	m.shell("skopeo copy -q --src-tls-verify=false docker://" + src.registry.addr + "/e2e/app:v2 oci-archive:archive.tar:e2e/app:v2")
	m.shell("skopeo copy -q --src-tls-verify=false docker://" + src.registry.addr + "/e2e/app:v2 oci:layout:e2e/app:v2")
	for _, c := range []struct {
		source string
		names  []string
		docker bool // the config is Docker's own; skopeo writes another for OCI
	}{
		{"docker-archive:saved.tar", []string{"e2e/app:v1", "e2e/db:15"}, true},
		{"oci-archive:archive.tar", []string{"e2e/app:v2"}, false},
		{"oci:layout:e2e/app:v2", []string{"e2e/app:v2"}, false},
	} {
		t.Run(c.source, func(t *testing.T) {
			target.empty(t)
			m.airgap("pack", c.source).ok()
			m.airgap("unpack").ok()
			for _, name := range c.names {
				original := src.engine.identity(t, name)
				if !c.docker {
					_, rest, _ := strings.Cut(original, " ")
					original = target.docker(t, "image", "inspect", "--format", "{{.Id}}", name) + " " + rest
				}
				same(t, target, name, original, made[name])
			}
		})
	}
}
