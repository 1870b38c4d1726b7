//go:build linux

package e2e_test

import (
	"os"
	"path"
	"strings"
	"testing"
	"time"
)

// TestEverywhere brings one bundle, with a single-platform image, one of
// several platforms and two that share layers, into every engine that there
// is: the isolated host's and those that AIRGAP_ENGINES lists.
func TestEverywhere(t *testing.T) {
	src := needSources(t)
	names := []string{"e2e/app:v1", "e2e/app:v2", "e2e/db:15", "e2e/multi:v1"}
	m := newMachine(t)
	m.airgap(append([]string{"pack", "--platform", "all"}, src.registry.refs(names...)...)...).ok()
	for _, host := range append([]string{there(t).host}, strings.Fields(os.Getenv("AIRGAP_ENGINES"))...) {
		t.Run(path.Base(path.Dir(host))+" "+path.Base(host), func(t *testing.T) {
			e := engine{host}
			t.Cleanup(func() {
				for _, n := range names {
					e.try("rmi", "-f", "docker.io/"+n)
				}
			})
			m := *m
			m.t = t
			here := m.with("DOCKER_HOST=" + host)
			started := time.Now()
			here.airgap("unpack", "--rename", src.registry.addr+"/=").ok("imported 4 images")
			took := time.Since(started)
			here.airgap("unpack", "--rename", src.registry.addr+"/=").ok("unchanged")
			kept := 0
			for _, n := range names {
				digest := src.registry.digest(t, src.registry.addr+"/"+n)
				if strings.Contains(e.docker(t, "image", "inspect", "--format", "{{json .RepoDigests}}", "docker.io/"+n), digest) {
					kept++
				}
				if want, ok := made[n]; ok {
					e.answers(t, "docker.io/"+n, want)
				}
			}
			// The classic store keeps no registry's digest; all others do.
			info := e.docker(t, "info", "--format", "{{.ServerVersion}} {{.Driver}} {{.DriverStatus}}")
			classic := strings.HasPrefix(e.docker(t, "version", "--format", "{{(index .Server.Components 0).Name}}"), "Engine") && !strings.Contains(info, "io.containerd.snapshotter")
			if want := len(names); !classic && kept != want {
				t.Errorf("%d of %d registry digests are kept", kept, want)
			}
			if strings.Contains(info, "io.containerd.snapshotter") {
				sameBlobs(t, here, src.registry, "e2e/app:v1", "e2e/app:v2", "e2e/db:15")
			}
			t.Logf("%s: %d of %d registry digests kept, %s", info, kept, len(names), took.Round(10*time.Millisecond))
		})
	}
}

// sameBlobs packs images from an engine that has the registry's bytes, and from
// the registry: both bundles must hold the same blobs.
func sameBlobs(t *testing.T, m *machine, r *registry, names ...string) {
	t.Helper()
	var local []string
	for _, n := range names {
		local = append(local, "docker-daemon:docker.io/"+n)
	}
	m.airgap(append([]string{"pack", "-o", "engine.tar.zst"}, local...)...).ok()
	m.airgap(append([]string{"pack", "-o", "registry.tar.zst"}, r.refs(names...)...)...).ok()
	blobs := func(file string) string { return m.shell("zstd -dc " + file + " | tar t | grep ^blobs/ | sort") }
	if got, want := blobs("engine.tar.zst"), blobs("registry.tar.zst"); got != want {
		t.Errorf("the engine's bundle holds\n%sthe registry's\n%s", got, want)
	}
}
