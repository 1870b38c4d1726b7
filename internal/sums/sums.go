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

// digits are those of a sum.
const digits = 64

// IsLine says whether a file of sums has the line of one file, of whatever name: who
// renames a file with its sums leaves the old name in them. It may be empty.
func IsLine(content string) bool {
	if content == "" {
		return true
	}
	line := strings.TrimPrefix(strings.TrimSuffix(strings.TrimSuffix(content, "\n"), "\r"), `\`)
	if len(line) < digits+3 || strings.ContainsAny(line, "\r\n") {
		return false
	}
	between := line[digits : digits+2]
	_, err := hex.DecodeString(line[:digits])
	return err == nil && (between == "  " || between == " *")
}
