package volume

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// quoted is a name as a footer has it: what is text stands for itself. What
// counts as text follows from the bytes alone, so that no version of a library,
// and of Unicode, has to know the characters.
func quoted(name string) string {
	b := []byte{'"'}
	for len(name) > 0 {
		r, n := utf8.DecodeRuneInString(name)
		switch {
		case r == '"':
			b = append(b, `\"`...)
		case isControl(r), r == utf8.RuneError && n == 1:
			for _, c := range []byte(name[:n]) {
				b = fmt.Appendf(b, `\x%02x`, c)
			}
		default:
			b = append(b, name[:n]...)
		}
		name = name[n:]
	}
	return string(append(b, '"'))
}

// isControl says whether a terminal may take a character for a command.
func isControl(r rune) bool { return r < ' ' || r >= 0x7f && r < 0xa0 }

var errQuoted = errors.New("the name is not quoted as a footer has it")

// unquoted is the inverse of quoted for what that makes. Other text it may take
// or not: who needs to know quotes the result again.
func unquoted(text string) (string, error) {
	text, opened := strings.CutPrefix(text, `"`)
	text, closed := strings.CutSuffix(text, `"`)
	if !opened || !closed {
		return "", errQuoted
	}
	var name []byte
	for {
		plain, rest, escaped := strings.Cut(text, `\`)
		name = append(name, plain...)
		if !escaped {
			return string(name), nil
		}
		if text, escaped = strings.CutPrefix(rest, `"`); escaped {
			name = append(name, '"')
			continue
		}
		if len(rest) < 3 || rest[0] != 'x' {
			return "", errQuoted
		}
		c, err := strconv.ParseUint(rest[1:3], 16, 8)
		if err != nil {
			return "", errQuoted
		}
		name, text = append(name, byte(c)), rest[3:]
	}
}
