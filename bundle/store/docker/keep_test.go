package docker

import (
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/moby/moby/api/types/container"

	"airgap/bundle/image"
)

// TestOwner tells runs that are from runs that are no more.
func TestOwner(t *testing.T) {
	now := time.Unix(1e9, 0)
	own := self(now)
	if got, ok := parseOwner(own.String()); !ok || got != own || own.gone(now.Add(time.Hour)) {
		t.Errorf("%q is read as %v, %t", own, got, ok)
	}
	if name := (&Engine{owner: own}).keptName(image.SHA256(nil)); len(name) > 200 {
		t.Errorf("name %q", name)
	} else if got, ok := ownerOf(name); !ok || got != own {
		t.Errorf("%q belongs to %v", name, got)
	}
	pulled := "127.0.0.1:5001/airgap-import/" + strings.Repeat("ab", 13)
	if got, ok := ownerOf((&Engine{owner: own}).nameIn(pulled, image.SHA256(nil))); !ok || got != own {
		t.Errorf("what is pulled belongs to %v", got)
	}
	for _, name := range []string{pulled + ":v1", "x/" + pulled + ":" + own.String() + "-e3b0c44298fc", "", "airgap.invalid/import:latest", "airgap.invalid/import:a-b-c", "my-app:" + own.String() + "-1", "airgap.invalid/import:a-b-zz-1"} {
		if whose, ok := ownerOf(name); ok {
			t.Errorf("%q belongs to %v", name, whose)
		}
	}
	far := owner{"elsewhere2", own.process, own.since}
	if far.gone(now.Add(time.Hour)) || !far.gone(now.Add(orphaned+time.Hour)) {
		t.Error("a run on another machine is given a day")
	}
	if !canAsk {
		return
	}
	cmd := exec.Command(os.Args[0], "-test.run", "^none$")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	other := owner{own.machine, processOf(cmd.Process.Pid), own.since}
	if other.gone(now.Add(2 * orphaned)) {
		t.Error("a process that runs is taken for gone")
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	if !other.gone(now) {
		t.Error("a process that has ended is taken to run")
	}
	if again := (owner{own.machine, own.process + "1", own.since}); !again.gone(now) {
		t.Error("a process that began at another time is taken for the same")
	}
}

// TestIsProbe: a container that its image has given the labels of a probe is none,
// nor is one that has been started.
func TestIsProbe(t *testing.T) {
	owner := self(time.Unix(1e9, 0)).String()
	labels := map[string]string{labelProbe: "true", labelOwner: owner}
	for name, c := range map[string]struct {
		is bool
		container.Summary
	}{
		"ours":           {true, container.Summary{Names: []string{"/" + probeName(owner) + "abc"}, Labels: labels, State: "created"}},
		"another's name": {false, container.Summary{Names: []string{"/db"}, Labels: labels, State: "created"}},
		"started":        {false, container.Summary{Names: []string{"/" + probeName(owner) + "abc"}, Labels: labels, State: "running"}},
		"ended":          {false, container.Summary{Names: []string{"/" + probeName(owner) + "abc"}, Labels: labels, State: "exited"}},
		"no owner":       {false, container.Summary{Names: []string{"/airgap-probe-x"}, State: "created"}},
	} {
		if isProbe(c.Summary) != c.is {
			t.Errorf("%s: %t", name, !c.is)
		}
	}
}
