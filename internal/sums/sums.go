// Package sums is the line that sha256sum writes of one file, and sha256sum -c
// reads.
package sums

import (
	"encoding/hex"
	"strings"
)

// Most is how long a line of a name can be at most, in bytes, with much to spare.
const Most = 8 << 10

var escape = strings.NewReplacer("\\", `\\`, "\n", `\n`, "\r", `\r`)

// Line is the line of a file of that sum, in hexadecimal digits. As sha256sum has
// it, a backslash before it says that some are in the name.
func Line(sum, name string) string {
	if escaped := escape.Replace(name); escaped != name {
		return `\` + sum + "  " + escaped + "\n"
	}
	return sum + "  " + name + "\n"
}

// IsOf says whether a file of sums has been written of a file of that name, and of
// no other, or is empty.
func IsOf(content, name string) bool {
	const digits = 64
	if content == "" {
		return true
	}
	line := strings.TrimSuffix(strings.TrimSuffix(content, "\n"), "\r")
	sum := strings.TrimPrefix(line, `\`)
	if len(sum) < digits {
		return false
	}
	sum = sum[:digits]
	if _, err := hex.DecodeString(sum); err != nil {
		return false
	}
	want := strings.TrimSuffix(Line(sum, name), "\n")
	return line == want || line == strings.Replace(want, "  ", " *", 1)
}
