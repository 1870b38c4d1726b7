//go:build linux

package e2e_test

import (
	"os"
	"strings"
	"testing"
)

// TestTogether imports one bundle twice at once, on every engine that there
// is, and ends the first while it is half way: the second has waited for it, and
// what it says is there is there.
func TestTogether(t *testing.T) {
	src := needSources(t)
	m := newMachine(t)
	m.airgap(append([]string{"pack"}, src.registry.refs("e2e/app:v1", "e2e/db:15")...)...).ok()
	for _, host := range append([]string{there(t).host}, strings.Fields(os.Getenv("AIRGAP_ENGINES"))...) {
		for way, end := range map[string]func(first *process){
			"interrupted": (*process).interrupt,
			"killed":      func(first *process) { first.cmd.Process.Kill() },
			"neither":     func(*process) {},
		} {
			t.Run(way+" "+host, func(t *testing.T) {
				e := engine{host}
				for _, name := range []string{"/e2e/app:v1", "/e2e/db:15"} {
					e.try("rmi", "-f", src.registry.addr+name) // it may not be there
				}
				p := engineProxy(t, e)
				m := &machine{t: t, dir: m.dir, env: []string{"DOCKER_HOST=unix://" + p.addr}}
				started := make(chan *process, 1)
				var second *process
				sprung := p.importing(e, func() {
					first := <-started
					second = m.start("unpack")
					second.saying("another airgap is at work in Docker engine: waiting for it")
					end(first)
				})
				first := m.start("unpack")
				started <- first
				one := first.wait()
				one.after(sprung)
				two := second.wait().ok()
				if way == "neither" {
					one.ok()
					two.says("unchanged")
				} else {
					two.says("imported 2 images")
				}
				m.airgap("unpack").ok("unchanged")
				e.answers(t, src.registry.addr+"/e2e/app:v1", made["e2e/app:v1"])
			})
		}
	}
}

// importing lays a trap at where an engine has begun to take in an image: it has
// a part of what is loaded, or is pulling.
func (p *proxy) importing(e engine, do func()) <-chan struct{} {
	if status, _ := e.try("info", "--format", "{{.DriverStatus}}"); strings.Contains(status, "io.containerd.snapshotter") {
		return p.setAt(down, "Pulling from", do)
	}
	return p.set(up, 3<<20, do)
}
