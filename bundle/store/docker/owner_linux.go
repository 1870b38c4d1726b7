package docker

import (
	"fmt"
	"os"
	"strings"

	"airgap/bundle/image"
)

// canAsk says that this system tells which processes run.
const canAsk = true

// whoAmI tells this start of the machine, and this process on it. Containers
// with processes of their own are machines of their own.
func whoAmI() (machine, process string) {
	boot, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	space, _ := os.Readlink("/proc/self/ns/pid")
	return image.SHA256([]byte(space + string(boot))).Hex[:12], processOf(os.Getpid())
}

// runs says whether a process that whoAmI has told does so still.
func runs(process string) bool {
	var pid int
	_, err := fmt.Sscanf(process, "%d.", &pid)
	return err == nil && process == processOf(pid) && began(pid) != unknown
}

func processOf(pid int) string { return fmt.Sprintf("%d.%s", pid, began(pid)) }

const unknown = "x"

// began is when a process began, in ticks of the kernel: a number is given to
// another process in time.
func began(pid int) string {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return unknown
	}
	// The name, in brackets, may hold anything.
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	// Fields 3 and 22 of proc(5), where the name is the second. A zombie has ended, and
	// nobody has asked how.
	const state, start = 0, 19
	if len(fields) <= start || fields[state] == "Z" || fields[state] == "X" {
		return unknown
	}
	return fields[start]
}
