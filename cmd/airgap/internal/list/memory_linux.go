package list

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// limitSpace lets the system refuse more memory, on which Go's runtime ends the
// process. It counts address space, most of which Go has reserved from the start.
// RLIMIT_DATA would not do: what is in reserved space already is not checked against
// it, be it as large as it likes.
func limitSpace() error {
	sizes, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return err
	}
	var pages uint64
	if _, err := fmt.Sscan(string(sizes), &pages); err != nil {
		return err
	}
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_AS, &limit); err != nil {
		return err
	}
	limit.Cur = min(limit.Cur, pages*uint64(os.Getpagesize())+maxMemory)
	return unix.Setrlimit(unix.RLIMIT_AS, &limit)
}
