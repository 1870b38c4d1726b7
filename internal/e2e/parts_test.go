//go:build linux

package e2e_test

import (
	"strings"
	"testing"
)

// TestParts proves the tests' own parts: without it a broken proxy or engine
// could pass for a broken airgap.
func TestParts(t *testing.T) {
	t.Run("engine", func(t *testing.T) {
		src, target := needSources(t), there(t)
		p := engineProxy(t, target)
		m := newMachine(t, "DOCKER_HOST=unix://"+p.addr)
		m.shell("docker -H " + src.engine.host + " save e2e/app:v1 | docker load")
		same(t, target, "e2e/app:v1", src.engine.identity(t, "e2e/app:v1"), made["e2e/app:v1"])
		if p.passed(up) < 1<<20 {
			t.Errorf("the proxy saw %d bytes", p.passed(up))
		}
	})
	t.Run("registry", func(t *testing.T) {
		src := needSources(t)
		for _, n := range append([]string{"e2e/multi:v1"}, madeNames...) {
			if d := src.registry.digest(t, src.registry.addr+"/"+n); !strings.HasPrefix(d, "sha256:") {
				t.Errorf("%s: %s", n, d)
			}
		}
	})
	t.Run("sshd", func(t *testing.T) {
		s := startServer(t)
		m := newMachine(t)
		if out := m.shell("ssh -o BatchMode=yes " + s.user + "@127.0.0.1 echo reached"); out != "reached\n" {
			t.Errorf("ssh answers %q", out)
		}
		sprung := s.proxy.set(down, 1, func() { s.proxy.cut() })
		m.shell("! ssh -o BatchMode=yes server true 2>&1")
		result{t: t}.after(sprung)
	})
}
