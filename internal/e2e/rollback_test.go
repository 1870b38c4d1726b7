//go:build linux

package e2e_test

import (
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
	m.with("DOCKER_HOST="+here().host).airgap("rollback").fails(exitRefused, "unpack 2 went to "+isolated.host, "nothing has been changed")
	// At the same address another engine may answer by now.
	m.shell(`cd "$XDG_STATE_HOME"/airgap/unpacks && cp 2.json ../kept && sed -i 's/"engine": "/&not /' 2.json`)
	m.airgap("rollback").fails(exitRefused, "unpack 2 went to "+isolated.host+", which is not what answers now", "nothing has been changed")
	m.shell(`mv "$XDG_STATE_HOME"/airgap/kept "$XDG_STATE_HOME"/airgap/unpacks/2.json`)
	m.airgap("rollback").ok("app:now +points again to sha256:")
	isolated.answers(t, "app:now", "1.0")
	m.airgap("rollback").fails(exitFailed, "there is nothing to put back: unpack 2 has been undone already", "hint: airgap rollback --list")
	m.airgap("rollback", "--list").ok("(?m)^2 .* 1 name +put back ", "(?m)^1 .* 1 name +done ")

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
}

// TestRollbackAgain goes on with the names that a rollback had to leave.
func TestRollbackAgain(t *testing.T) {
	src := needSources(t)
	isolated := there(t)
	m := newMachine(t, "DOCKER_HOST="+isolated.host, "XDG_STATE_HOME="+filepath.Join(fresh(t, "state"), "state"))
	m.airgap(append([]string{"pack"}, src.registry.refs("e2e/app:v1", "e2e/db:15")...)...).ok()
	m.airgap("unpack").ok("imported 2 images")
	app := src.registry.addr + "/e2e/app:v1"
	isolated.docker(t, "create", "--name", "user", "--network", "none", app, "cat")
	for range 2 {
		m.airgap("rollback").fails(exitFailed, "e2e/app:v1 +left: a container uses it", "names left as they are: 1", "hint: .*airgap rollback 1")
	}
	isolated.docker(t, "rm", "user")
	m.airgap("rollback").ok("e2e/app:v1 +removed", "unpack 1 into Docker engine, .*: undone")
	unchanged(t, map[string]string{}, isolated.images(t))
}

// TestRollbackOfKilled: an unpack that is killed between two names can be undone,
// alone or after another bundle, or with the one that has completed it.
func TestRollbackOfKilled(t *testing.T) {
	src := needSources(t)
	isolated := there(t)
	p := engineProxy(t, isolated)
	app, db := src.registry.addr+"/e2e/app:v1", src.registry.addr+"/e2e/db:15"
	for how, then := range map[string]func(m *machine){
		"alone": func(m *machine) {
			m.airgap("rollback", "--list").ok("(?m)^1 .* 2 names +broken off ")
			m.airgap("rollback").ok("unpack 1 into Docker engine, .*: undone")
		},
		"completed": func(m *machine) {
			m.airgap("unpack").ok("imported|named")
			m.airgap("rollback").ok("unpack 2 into Docker engine, .*: undone")
			m.airgap("rollback", "--list").ok("(?m)^2 .* put back ", "(?m)^1 .* put back ")
		},
		"after another": func(m *machine) {
			m.airgap("unpack", "other.tar.zst", "--rename", src.registry.addr+"/e2e/app:v2=other:v2").ok()
			m.airgap("rollback", "1").ok("unpack 1 into Docker engine, .*: undone")
			m.airgap("rollback").ok("other:v2 +removed", "unpack 2")
		},
	} {
		t.Run(how, func(t *testing.T) {
			isolated.empty(t)
			m := newMachine(t, "DOCKER_HOST=unix://"+p.addr, "XDG_STATE_HOME="+filepath.Join(fresh(t, "state"), "state"))
			m.airgap(append([]string{"pack"}, src.registry.refs("e2e/app:v1", "e2e/db:15")...)...).ok()
			m.airgap(append([]string{"pack", "-o", "other.tar.zst"}, src.registry.refs("e2e/app:v2")...)...).ok()
			started := make(chan *process, 1)
			sprung := p.setAt(up, "e2e%2Fdb&tag=15", func() {
				(<-started).cmd.Process.Kill()
				p.cut()
			})
			run := m.start("unpack")
			started <- run
			run.wait().after(sprung)
			p.mend()
			if _, err := isolated.try("image", "inspect", db); err == nil {
				t.Error("all names are set")
			}
			isolated.docker(t, "image", "inspect", app)
			then(m)
			unchanged(t, map[string]string{}, isolated.images(t))
		})
	}
}

// TestDigestsStay keeps names by digest, which nobody can give back behind the gap:
// an engine drops them with the last tag in their repository, and with the image.
func TestDigestsStay(t *testing.T) {
	src := needSources(t)
	e := src.engine // the isolated one has no network
	m := newMachine(t, "DOCKER_HOST="+e.host, "XDG_STATE_HOME="+filepath.Join(fresh(t, "state"), "state"))
	from := src.registry.addr + "/e2e/app"
	pinned := from + "@" + src.registry.digest(t, from+":v1")
	e.docker(t, "pull", "-q", pinned)
	t.Cleanup(func() { e.docker(t, "rmi", from+":v1") })
	m.airgap("pack", "docker://"+from+":v1").ok()
	m.airgap("unpack").ok("already there, named")
	m.airgap("rollback").fails(exitFailed, "v1 +left: the repository has the image by its digest, which would go with it")
	e.docker(t, "image", "inspect", pinned)

	// One that has come since is as dear.
	e.docker(t, "rmi", "-f", pinned, from+":v1")
	m.airgap("unpack").ok()
	e.docker(t, "pull", "-q", pinned)
	m.airgap("rollback").fails(exitFailed, "v1 +left: the repository has the image by its digest, which would go with it")
	e.docker(t, "image", "inspect", pinned)
	m.airgap("unpack", "--reload").fails(exitRefused, "its name by digest, "+pinned+", would be lost", "hint: pull it again", "nothing has been changed|no name has changed")
	e.docker(t, "image", "inspect", pinned)
}
