//go:build linux

package faults_test

import (
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"testing"
)

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
