package main

import (
	"fmt"
	"math"
	"os"
	"regexp"
	"strconv"
	"strings"
)

// splitSendArgs finds out which argument is the bundle: the first, if it is a
// file, or one that was cut.
func splitSendArgs(args []string) (name string, dests []string) {
	if len(args) > 0 && isFile(args[0]) {
		return args[0], args[1:]
	}
	return defaultBundle, args
}

// isFile says whether a name is that of a file, or of one that was cut into
// volumes.
func isFile(name string) bool {
	info, err := os.Stat(name)
	if err == nil {
		return info.Mode().IsRegular()
	}
	_, _, cut := volumesAt(name)
	return cut
}

// readHosts reads a list of destinations; no file is an empty one.
func readHosts(path string) ([]string, error) {
	if path == "" {
		return nil, nil
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading the destinations: %w", err)
	}
	var dests []string
	for line := range strings.Lines(string(raw)) {
		line, _, _ = strings.Cut(line, "#")
		if line = strings.TrimSpace(line); line != "" {
			dests = append(dests, line)
		}
	}
	if len(dests) == 0 {
		return nil, fmt.Errorf("reading the destinations: %q lists none", path)
	}
	return dests, nil
}

// rateForm is a number of bytes a second.
var rateForm = regexp.MustCompile(`^([0-9]+)(|k|M|G|Ki|Mi|Gi)B?(/s)?$`)

// parseRate reads a rate such as 2MiB/s; nothing is 0.
func parseRate(s string) (int64, error) {
	if s == "" {
		return 0, nil
	}
	m := rateForm.FindStringSubmatch(s)
	if m == nil {
		return 0, fmt.Errorf("%q is no rate such as 2MiB/s or 500kB/s", s)
	}
	unit := map[string]int64{"": 1, "k": 1e3, "M": 1e6, "G": 1e9, "Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30}[m[2]]
	n, err := strconv.ParseInt(m[1], 10, 64)
	if err != nil || n == 0 || n > math.MaxInt64/unit {
		return 0, fmt.Errorf("%q is out of range", s)
	}
	return n * unit, nil
}

// readPassword reads the first line of a file.
func readPassword(path string) (string, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("reading the password: %w", err)
	}
	first, _, _ := strings.Cut(string(raw), "\n")
	if first = strings.TrimSuffix(first, "\r"); first == "" {
		return "", fmt.Errorf("reading the password: the first line of %q is empty", path)
	}
	return first, nil
}
