package ui

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// Escape makes text safe for a terminal and honest to the eye: control
// characters, what changes the direction of writing, what has no width and
// what is not UTF-8 are shown as in a Go string literal.
func Escape(s string) string {
	return replaceUnsafe(s, func(r rune, raw string) string {
		if r == utf8.RuneError {
			return fmt.Sprintf(`\x%02x`, raw[0])
		}
		quoted := strconv.QuoteRuneToASCII(r)
		return quoted[1 : len(quoted)-1]
	})
}

// escapeJSON does the same to a JSON text, in JSON's notation. A JSON encoder
// has dealt with C0 and invalid UTF-8; the rest can only be inside strings.
func escapeJSON(s string) string {
	return replaceUnsafe(s, func(r rune, raw string) string {
		if r == '\n' {
			return raw
		}
		if high, low := utf16.EncodeRune(r); high != utf8.RuneError {
			return fmt.Sprintf(`\u%04x\u%04x`, high, low)
		}
		return fmt.Sprintf(`\u%04x`, r)
	})
}

// replaceUnsafe replaces every rune that is not safe; raw is its encoding.
func replaceUnsafe(s string, by func(r rune, raw string) string) string {
	var b strings.Builder
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		raw := s[i : i+n]
		if (r == utf8.RuneError && n == 1) || !safe(r) {
			b.WriteString(by(r, raw))
		} else {
			b.WriteString(raw)
		}
		i += n
	}
	return b.String()
}

// safe says that a rune shows itself, in its place, and does nothing else.
// IsPrint leaves out C0, C1, DEL, bidi and other format characters, and all
// space but ASCII's; fillers and selectors count as letters and marks there.
func safe(r rune) bool {
	return strconv.IsPrint(r) && !unicode.Is(unicode.Other_Default_Ignorable_Code_Point, r) && !unicode.Is(unicode.Variation_Selector, r)
}

// line formats one line: what would start another is shown instead.
func line(format string, args ...any) string { return Escape(fmt.Sprintf(format, args...)) }
