package ui

import (
	"fmt"
	"strings"
)

// Status is an exit status. The table is a promise to scripts: numbers keep
// their meaning, and one that a script does not know means failure.
type Status int

// The exit statuses.
const (
	OK          Status = 0
	Failed      Status = 1
	Usage       Status = 2
	Damaged     Status = 3
	Refused     Status = 4
	BaseMissing Status = 5
	Transfer    Status = 6
	NoSpace     Status = 7
	Medium      Status = 8
	Engine      Status = 9
	Interrupted Status = 130
)

var meanings = map[Status]string{
	OK:          "all done and verified",
	Failed:      "failed: not found, a registry's fault, or a newer airgap is needed",
	Usage:       "usage",
	Damaged:     "the bundle is damaged or incomplete",
	Refused:     "refused: host key, missing platform, or a rule that was given",
	BaseMissing: "the base of an update is missing",
	Transfer:    "the transfer failed; the same command resumes it",
	NoSpace:     "not enough space",
	Medium:      "the medium failed",
	Engine:      "engine: not there, no permission, failed, or not what the bundle says",
	Interrupted: "interrupted",
}

// Statuses is the end of a command's help: the statuses that it can have.
// OK, Failed, Usage and Interrupted are among them for every command.
func Statuses(special ...Status) string {
	var b strings.Builder
	b.WriteString("Exit status:\n")
	for _, s := range append(append([]Status{OK, Failed, Usage}, special...), Interrupted) {
		fmt.Fprintf(&b, "  %3d  %s\n", s, meanings[s])
	}
	return strings.TrimSuffix(b.String(), "\n")
}
