//go:build linux

package e2e_test

import (
	"os"
	"path/filepath"
	"testing"
)

// TestReplaced moves a name to another image, takes that back, and tidies up
// after doing it for good.
func TestReplaced(t *testing.T) {
	src := needSources(t)
	isolated := there(t)
	state := filepath.Join(fresh(t, "state"), "state")
	m := newMachine(t, "DOCKER_HOST="+isolated.host, "XDG_STATE_HOME="+state)
	from := src.registry.addr + "/e2e/app"
	m.airgap("rollback").fails(exitFailed, "there is nothing to put back", "hint: ")
	m.airgap("pack", "-o", "1.tar.zst", "docker://"+from+":v1").ok()
	m.airgap("pack", "-o", "2.tar.zst", "docker://"+from+":v2").ok()

	m.airgap("unpack", "1.tar.zst", "--rename", from+":v1=app:now").ok()
	first := isolated.images(t)
	m.airgap("unpack", "2.tar.zst", "--rename", from+":v2=app:now").ok("app:now: the name pointed to sha256:", "airgap rollback")
	m.airgap("rollback", "--dry-run").ok("app:now +would point again to sha256:")
	m.with("DOCKER_HOST="+here().host).airgap("rollback").fails(exitRefused, "the last unpack went to "+isolated.host, "nothing has been changed")
	m.airgap("rollback").ok("app:now +points again to sha256:")
	if got := isolated.docker(t, "run", "--rm", "--network", "none", "app:now", "cat", "/srv/version"); got != "1.0" {
		t.Errorf("after the rollback it answers %q", got)
	}
	m.airgap("rollback").fails(exitFailed, "there is nothing to put back", "hint: ")

	// What was new is gone again.
	m.airgap("unpack", "2.tar.zst", "--rename", from+":v2=app:new").ok()
	m.airgap("rollback").ok("app:new +removed, for it was new")
	if _, err := isolated.try("image", "inspect", "app:new"); err == nil {
		t.Error("the new name is still there")
	}

	// For good: a container keeps its image until it is gone.
	isolated.docker(t, "create", "--name", "user", "--network", "none", "app:now", "cat")
	m.airgap("unpack", "--prune-replaced", "2.tar.zst", "--rename", from+":v2=app:now").ok("replaced images: 0 removed, 1 kept because they are used")
	m.airgap("rollback").ok()
	isolated.docker(t, "rm", "user")
	m.airgap("unpack", "--prune-replaced", "2.tar.zst", "--rename", from+":v2=app:now").ok("replaced images: 1 removed, 0 kept", "freed")
	for name := range first {
		if _, ok := isolated.images(t)[name]; ok {
			t.Errorf("%s is still there", name)
		}
	}
	m.airgap("rollback").fails(exitFailed, "what it pointed to is gone", "names left as they are: 1")
	if _, err := os.Stat(filepath.Join(state, "airgap", "last-unpack.json")); err == nil {
		t.Error("the journal of an undone import is still there")
	}
}
