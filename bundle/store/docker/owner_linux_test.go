package docker

import (
	"os"
	"os/exec"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestZombie: a process that has ended runs no more, though nobody has waited for it,
// as in a container whose first process does not.
func TestZombie(t *testing.T) {
	cmd := exec.Command(os.Args[0], "-test.run", "^none$")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	machine, _ := whoAmI()
	its := owner{machine, processOf(cmd.Process.Pid), 0}
	if err := unix.Waitid(unix.P_PID, cmd.Process.Pid, nil, unix.WEXITED|unix.WNOWAIT, nil); err != nil {
		t.Fatal(err)
	}
	if !its.gone(time.Unix(0, 0)) {
		t.Error("a zombie is taken to run")
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}
