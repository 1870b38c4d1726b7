//go:build linux

package e2e_test

import (
	"path/filepath"
	"strings"
	"testing"
)

// TestContainerd brings images to a node: under the names and digests that
// Kubernetes asks for, unpacked, and not to be collected.
func TestContainerd(t *testing.T) {
	src := needSources(t)
	needRoot(t, "containerd")
	dir := fresh(t, "containerd")
	socket := filepath.Join(dir, "c.sock")
	write(t, filepath.Join(dir, "config.toml"), "version = 2\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n")
	s, err := startService(filepath.Join(dir, "log"), program(t, "containerd", "containerd"),
		"--config", filepath.Join(dir, "config.toml"), "--root", filepath.Join(dir, "root"), "--state", filepath.Join(dir, "state"), "--address", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.stop() })
	if err := s.ready(func() error { return dialable("unix", socket) }); err != nil {
		t.Fatal(err)
	}

	m := newMachine(t, "CONTAINERD_ADDRESS="+socket)
	names := []string{"e2e/app:v1", "e2e/app:v2", "e2e/db:15", "e2e/multi:v1"}
	m.airgap(append([]string{"pack", "--platform", "all"}, src.registry.refs(names...)...)...).ok()
	strip := "--rename=" + src.registry.addr + "/="
	m.airgap("unpack", "--to", "containerd", strip).ok("imported 4 images")
	m.airgap("unpack", "--to", "containerd:k8s.io", strip).ok("unchanged")
	ctr := "ctr -n k8s.io "
	for _, n := range names {
		if got := m.shell(ctr + "images ls name==docker.io/" + n); !strings.Contains(got, src.registry.digest(t, src.registry.addr+"/"+n)) {
			t.Errorf("%s: containerd says\n%s", n, got)
		}
		// The other platform of the index is carried, but for another machine.
		if got := m.shell(ctr + "images check name==docker.io/" + n); !strings.Contains(got, "complete") || !strings.Contains(got, "true") {
			t.Errorf("%s: containerd says\n%s", n, got)
		}
	}
	// A garbage collection leaves all of it. Layers that somebody removes come
	// back with the next import.
	m.shell(ctr + "leases create --id gc && " + ctr + "leases delete --sync gc")
	m.airgap("unpack", "--to", "containerd", strip).ok("unchanged")
	m.shell(ctr + "content prune references 2>/dev/null")
	m.airgap("unpack", "--to", "containerd", strip).ok("imported 4 images")
	m.airgap("unpack", "--to", "containerd", strip).ok("unchanged")
	if leases := m.shell(ctr + "leases ls -q"); strings.TrimSpace(leases) != "" {
		t.Errorf("leases are left: %s", leases)
	}
	for _, n := range []string{"e2e/app:v1", "e2e/db:15"} {
		if got := m.shell(ctr + "run --rm docker.io/" + n + " airgap-e2e cat /srv/version"); strings.TrimSpace(got) != made[n] {
			t.Errorf("%s answers %q", n, got)
		}
	}

	m.airgap("pack", "-o", "arm.tar.zst", "--platform", "linux/arm64", "docker://"+src.registry.addr+"/e2e/multi:v1").ok()
	m.airgap("unpack", "--to", "containerd", "arm.tar.zst").fails(exitRefused, "linux/arm64", "nothing has been changed")
	m.with("CONTAINERD_ADDRESS="+m.path("none.sock")).airgap("unpack", "--to", "containerd").
		fails(exitEngine, "containerd at .*none.sock", "systemctl start containerd")
}
