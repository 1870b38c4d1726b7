//go:build linux

package faults_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// TestServerKilled (F15, F20) ends the far side in the middle, in several ways:
// airgap connects again by itself, and all arrives. Killed itself, the same
// command goes on.
func TestServerKilled(t *testing.T) {
	s := bundleOf(t)
	server := need(t, "sshd", "sftp-server")
	h := newHost(t, "Subsystem sftp "+server)
	n, cuts := times(1, 25), 0
	for range n {
		for how, kill := range map[string]func(dir string, client int){
			"sftp-server": func(string, int) { killNamed(t, "sftp-server") },
			"session":     func(string, int) { killNamed(t, "sshd: ") },
			"client":      func(_ string, client int) { syscall.Kill(client, syscall.SIGKILL) },
		} {
			dir := folder(t)
			stop := s.watch(t, dir)
			cmd := command(t, world.airgap, "send", "--limit", "16MiB/s", h.dest(dir))
			out := begun(t, cmd)
			grown(t, filepath.Join(dir, s.partial()), 5<<20)
			kill(dir, cmd.Process.Pid)
			cuts++
			status := finished(t, cmd, cmd.Wait())
			if how == "client" {
				ends(t, 0, "resum", "send", h.dest(dir))
			} else if status != 0 || !strings.Contains(out.String(), "connecting again") {
				t.Errorf("%s killed: status %d:\n%s", how, status, out)
			}
			looks := stop()
			s.arrived(t, dir)
			t.Logf("F20: %s killed; the final name was looked at %d times", how, looks)
		}
	}
	t.Logf("F20: %d kills, %d survived, wrong results 0", cuts, cuts)
}

// killNamed kills the processes of our own sshd whose command begins so.
func killNamed(t *testing.T, prefix string) {
	t.Helper()
	killed := 0
	for _, pid := range descendants(os.Getpid()) {
		raw, _ := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cmdline") // it may just have ended
		if name := string(raw); strings.HasPrefix(name, prefix) && !strings.Contains(name, "[listener]") || strings.HasPrefix(filepath.Base(strings.Split(name, "\x00")[0]), prefix) {
			if syscall.Kill(pid, syscall.SIGKILL) == nil {
				killed++
			}
		}
	}
	if killed == 0 {
		t.Errorf("there is no %q to kill", prefix)
	}
}

// descendants are the processes below one.
func descendants(of int) []int {
	children := map[int][]int{}
	list, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, stat := range list {
		raw, err := os.ReadFile(stat)
		_, rest, ok := strings.Cut(string(raw), ") ")
		fields := strings.Fields(rest)
		if err != nil || !ok || len(fields) < 2 {
			continue // it has just ended
		}
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(stat)))
		parent, _ := strconv.Atoi(fields[1])
		children[parent] = append(children[parent], pid)
	}
	for todo, all := children[of], []int(nil); ; todo = todo[1:] {
		if len(todo) == 0 {
			return all
		}
		all = append(all, todo[0])
		todo = append(todo, children[todo[0]]...)
	}
}

// networkVariable tells the third start of the tests what is wrong with its
// network.
const networkVariable = "AIRGAP_FAULTS_NETWORK"

// TestBadNetwork (F18, F19) sends over a network of its own that is slow, or
// loses one packet in twenty. It takes long, and is part of the long form.
func TestBadNetwork(t *testing.T) {
	if !long() {
		t.Skip("part of the long form: make faults")
	}
	needRoot(t, "netns")
	for name, commands := range map[string]string{
		"F18, 10 Mbit/s":      "ip link set lo mtu 1500 && tc qdisc add dev lo root tbf rate 10mbit burst 32kbit latency 100ms",
		"F19, 5 percent lost": "iptables -A INPUT -i lo -m statistic --mode random --probability 0.05 -j DROP",
	} {
		t.Run(name, func(t *testing.T) {
			for _, tool := range []string{"ip", "tc", "iptables"} {
				need(t, "netns", tool)
			}
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^TestInsideBadNetwork$", "-test.v")
			cmd.Env = append(os.Environ(), networkVariable+"=ip link set lo up && "+commands)
			cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS}
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			t.Logf("%s: all arrived\n%s", name, out)
		})
	}
}

// TestInsideBadNetwork is what TestBadNetwork runs.
func TestInsideBadNetwork(t *testing.T) {
	setUp := os.Getenv(networkVariable)
	if setUp == "" {
		t.Skip("run by TestBadNetwork")
	}
	must(t, "sh", "-c", setUp)
	s, dir := bundleOf(t), folder(t)
	h := newHost(t)
	ends(t, 0, "sent, ", "send", h.dest(dir))
	s.arrived(t, dir)
}
