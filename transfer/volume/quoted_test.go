package volume

import (
	"fmt"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"airgap/internal/forge"
)

// TestQuoted is the rule of VOLUMES.md, example by example.
func TestQuoted(t *testing.T) {
	for name, want := range map[string]string{
		"bundle.tar.zst":       `"bundle.tar.zst"`,
		`a "b" c`:              `"a \"b\" c"`,
		"größe-日本.tar":         `"größe-日本.tar"`,
		"a\tb\n\x7f":           `"a\x09b\x0a\x7f"`,
		"\u0085\u009f\u00a0":   "\"\\xc2\\x85\\xc2\\x9f\u00a0\"",
		"\u200b\u202e\ufeff":   "\"\u200b\u202e\ufeff\"",   // which Go's %q escapes
		"\U0001fae9\U000e0fff": "\"\U0001fae9\U000e0fff\"", // of which one is too new for some tables, one unassigned
		"\xff\xc3":             `"\xff\xc3"`,
		"\xe2\x82":             `"\xe2\x82"`,
		"\xed\xa0\x80":         `"\xed\xa0\x80"`, // a surrogate is no character
		"\xc0\xafx":            `"\xc0\xafx"`,
		"\ufffd":               "\"\ufffd\"",
	} {
		if got := quoted(name); got != want {
			t.Errorf("%q is %s, expected %s", name, got, want)
		}
		if got, err := unquoted(want); err != nil || got != name {
			t.Errorf("%s is %q, %v", want, got, err)
		}
	}
	for _, bad := range []string{"", `"`, `a`, `"a`, `a"`, `"\`, `"\"`, `"\x"`, `"\x4"`, `"\xg0"`, `"\n"`, `"\u0041"`} {
		if got, err := unquoted(bad); err == nil {
			t.Errorf("%s is %q", bad, got)
		}
	}
}

// TestQuotedAll goes through every character: each comes back, no control
// character is left, and what was printable ASCII is as it has always been.
func TestQuotedAll(t *testing.T) {
	for r := rune(0); r <= unicode.MaxRune; r++ {
		name := "a" + string(r) + "z"
		q := quoted(name)
		if got, err := unquoted(q); err != nil && r != '\\' || got != name && r != '\\' { // which no name has
			t.Fatalf("%U: %s is %q, %v", r, q, got, err)
		}
		if strings.ContainsFunc(q, unicode.IsControl) || !utf8.ValidString(q) {
			t.Fatalf("%U: %q", r, q)
		}
		if r >= ' ' && r < 0x7f && r != '\\' && q != fmt.Sprintf("%q", name) {
			t.Fatalf("%U: %s", r, q)
		}
	}
}

// TestLongNames: every name that a file can have, and that is text, fits into
// each kind of footer.
func TestLongNames(t *testing.T) {
	for _, name := range []string{strings.Repeat("n", 255), strings.Repeat("日", 85), strings.Repeat("ü", 127)} {
		for _, f := range seeds() {
			f.Name = name
			b, err := f.Marshal()
			if err != nil {
				t.Fatal(err)
			}
			if got, err := ParseFooter(b); err != nil || got.Name != name {
				t.Errorf("%q: %+v, %v", name, got, err)
			}
		}
	}
}

// TestOtherQuotes: a name that is written otherwise, and means the same, is no
// footer's.
func TestOtherQuotes(t *testing.T) {
	f := seeds()[0]
	lines, _, _ := strings.Cut(string(must(f.Marshal())), "sum ")
	if _, err := ParseFooter(forge.Footer(lines)); err != nil {
		t.Fatal("the forger's own work is not sound: ", err)
	}
	for _, other := range []string{`"\x62 \"ü\".tar.zst"`, `"b \x22ü\x22.tar.zst"`, `"b \"\xc3\xbc\".tar.zst"`, `"b \"\u00fc\".tar.zst"`, `"b \"ü\".tar.zst" `} {
		changed := strings.Replace(lines, quoted(f.Name), other, 1)
		if got, err := ParseFooter(forge.Footer(changed)); err == nil || changed == lines {
			t.Errorf("%s is taken for %q", other, got.Name)
		}
	}
}
