package docker

import (
	"fmt"
	"strings"
	"time"
)

// owner is the run of airgap that something in an engine belongs to, so that a
// later one knows whether it is needed any more.
type owner struct {
	machine string // this start of the machine, as far as it can be told
	process string // which process, and when it began
	since   int64  // by the engine's clock, in seconds since 1970
}

// orphaned is after how long what belongs to a run on a machine that cannot be
// asked belongs to nobody.
const orphaned = 24 * time.Hour

// self is this process, which has come to an engine at a time of its clock.
func self(now time.Time) owner {
	machine, process := whoAmI()
	return owner{machine, process, now.Unix()}
}

// String is the owner as labels have it, and tags of images may.
func (o owner) String() string { return fmt.Sprintf("%s-%s-%x", o.machine, o.process, o.since) }

// parseOwner reads what String has written.
func parseOwner(s string) (o owner, ok bool) {
	parts := strings.Split(s, "-")
	if len(parts) != 3 || parts[0] == "" || parts[1] == "" {
		return owner{}, false
	}
	_, err := fmt.Sscanf(parts[2], "%x", &o.since)
	o.machine, o.process = parts[0], parts[1]
	return o, err == nil && o.String() == s
}

// gone says that the owner runs no more: on this machine that is known, of
// others it is taken to be so after a day.
func (o owner) gone(now time.Time) bool {
	if machine, _ := whoAmI(); o.machine == machine && canAsk {
		return !runs(o.process)
	}
	return now.Sub(time.Unix(o.since, 0)) > orphaned
}
