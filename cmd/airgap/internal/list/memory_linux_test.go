//go:build !race

package list

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
)

// growing is variables of which each is so many of the one before.
func growing(times int, variable string) string {
	text := "V0=aaaaaaaaaa\n"
	for i := range 29 {
		text += fmt.Sprintf("V%d=%s\n", i+1, strings.Repeat(fmt.Sprintf(variable, i), times))
	}
	return text
}

// TestMemory refuses what needs more memory than there is for it: the process that
// reads has never had more.
func TestMemory(t *testing.T) {
	shapes := map[string]map[string]string{
		".env is a device":                     {"compose.yaml": service, ".env": zeros},
		"including a device":                   {"compose.yaml": "include: [/dev/zero]\n" + service},
		"including with variables of a device": {"compose.yaml": "include: [{path: o.yaml, env_file: /dev/zero}]\n" + service, "o.yaml": "services: {b: {image: 'b:1'}}\n"},
		"extending a device":                   {"compose.yaml": "services: {a: {extends: {file: /dev/zero, service: a}}}\n"},
		"an image whose name is long":          {"compose.yaml": "services: {a: {image: '" + strings.Repeat("$V9", 300) + "'}}\n", ".env": growing(4, "$V%d")},
		"manifests of many lists":              {"compose.yaml": "apiVersion: v1\nkind: Pod\na: [" + strings.Repeat("[],", 4<<20) + "]\n"},
		"manifests of many names":              {"compose.yaml": "apiVersion: v1\nkind: Pod\ncontainers:\n" + strings.Repeat("- image: x/a:1\n", 1<<20)},
	}
	for _, times := range []int{2, 4, 8, 100} {
		for _, variable := range []string{"$V%d", "${V%d}"} {
			shapes[fmt.Sprintf("%d times %s", times, variable)] = map[string]string{"compose.yaml": service, ".env": growing(times, variable)}
		}
	}
	for name, files := range shapes {
		t.Run(name, func(t *testing.T) { refused(t, files, "MiB of memory") })
	}
	refused(t, map[string]string{"compose.yaml": zeros}, "more than 67108864 bytes")
}

// refused reads files and demands that it fails so, in little memory. What the system
// says of a process is never less than what this one had when it started it.
func refused(t *testing.T, files map[string]string, want string) {
	t.Helper()
	_, state, err := read(t.Context(), nil, Options{Path: folder(t, files)})
	const most = maxMemory + 32<<20 // with the program itself
	if peak := state.SysUsage().(*syscall.Rusage).Maxrss << 10; peak > most {
		t.Errorf("it had %d MiB", peak>>20)
	}
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("error %v, expected %q", err, want)
	}
}
