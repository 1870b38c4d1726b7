package image_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/distribution/reference"

	"airgap/bundle/image"
	"airgap/internal/seed"
)

func TestNormalize(t *testing.T) {
	digest := "@" + image.SHA256(nil).String()
	for given, want := range map[string]string{
		"postgres":                      "docker.io/library/postgres:latest",
		"my-app:v1":                     "docker.io/library/my-app:v1",
		"team/app:v1":                   "docker.io/team/app:v1",
		"docker.io/library/postgres:15": "docker.io/library/postgres:15",
		"index.docker.io/library/x:1":   "docker.io/library/x:1",
		"127.0.0.1:5000/multi:v1":       "127.0.0.1:5000/multi:v1",
		"localhost/x":                   "localhost/x:latest",
		"x" + digest:                    "docker.io/library/x" + digest,
		"x:v1" + digest:                 "docker.io/library/x:v1" + digest,
		"host:5000/a/x:v1" + digest:     "host:5000/a/x:v1" + digest,
	} {
		got, err := image.Normalize(given)
		if err != nil || got != want {
			t.Errorf("%q is %q (%v), want %q", given, got, err, want)
		}
		if again, err := image.Normalize(got); err != nil || again != got {
			t.Errorf("%q does not stay: %q (%v)", got, again, err)
		}
		both := strings.Contains(want, "@") && strings.Contains(given, ":v1@")
		if err := image.CheckName(want, image.SHA256(nil)); (err == nil) == both {
			t.Errorf("CheckName(%q): %v", want, err)
		}
	}
	for _, bad := range []string{"", " ", "UPPER", "a//b", "a:b:c", "a:", ":a", "a@sha256:12", "a@sha512:" + strings.Repeat("0", 128), "../x", "a b", "a\x1b[31m", strings.Repeat("ab", 32), strings.Repeat("a", 300)} {
		if got, err := image.Normalize(bad); err == nil {
			t.Errorf("%q is %q, want an error", bad, got)
		}
	}
}

func TestCheckName(t *testing.T) {
	root := image.SHA256(nil)
	digest := "@" + root.String()
	for _, good := range []string{"docker.io/library/postgres:15", "docker.io/library/postgres" + digest} {
		if err := image.CheckName(good, root); err != nil {
			t.Error(err)
		}
	}
	for _, bad := range []string{
		"", "postgres", "postgres:15", "docker.io/postgres:15", "docker.io/library/postgres", "docker.io/library/postgres:15 ",
		"postgres" + digest, "docker.io/library/postgres:15" + digest, "docker.io/library/postgres@" + image.SHA256([]byte("other")).String(),
	} {
		if err := image.CheckName(bad, root); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
}

// TestNamesAsDocker: what Docker's own library leaves as it is and the format's
// grammar are the same names, and their short forms are the same.
func TestNamesAsDocker(t *testing.T) {
	random := seed.Random(t)
	firsts := []string{
		"docker.io", "docker.io", "index.docker.io", "localhost", "LOCALHOST", "host", "Host", "my_host.internal", "a.b", "a..b", "-a.b", "a-.b", "a--b.c", "a__b.c", "a___b.c", "_a.b", "a.", ".a", "a.b:", "a_b:1",
		"127.0.0.1", "127.0.0.1:5000", "host:5000", "host:x", "[::1]", "[::1]:5000", "[fe80::1%eth0]", "[]", "A", "é.b", "",
	}
	parts := []string{"library", "a", "a.b", "a..b", "a_b", "a__b", "a___b", "a---b", "-a", "a-", "A", "é", "", "0", strings.Repeat("a", 120), strings.Repeat("ab", 32), " ", "a:1"}
	ends := []string{
		":1", ":v1", ":latest", ":V_1.x-y", ":" + strings.Repeat("t", 128), ":" + strings.Repeat("t", 129), ":_", ":.x", ":-", ":", "", "@", "@sha256:", ":1@" + image.SHA256(nil).String(), ":1\n",
		"@" + image.SHA256(nil).String(), "@" + image.SHA256([]byte("other")).String(), "@sha256:" + strings.ToUpper(image.SHA256(nil).Hex),
	}
	of := func(list []string) string { return list[random.IntN(len(list))] }
	good := 0
	for range 30_000 {
		name := of(firsts) + "/" + of(parts)
		for range random.IntN(3) {
			name += "/" + of(parts)
		}
		name += of(ends)
		full, err := image.Normalize(name)
		tagged, pinned, d, isPinned := image.Pin(full)
		want := err == nil && full == name && (tagged == "" || pinned == "") && (!isPinned || d == image.SHA256(nil))
		if got := image.CheckName(name, image.SHA256(nil)); (got == nil) != want {
			t.Fatalf("%q: %v; Docker makes %q of it, %v", name, got, full, err)
		}
		if !want {
			continue
		}
		good++
		ref, err := reference.ParseNormalizedNamed(name)
		if err != nil {
			t.Fatal(err)
		}
		if short := image.Familiar(name); short != reference.FamiliarString(ref) {
			t.Fatalf("%q is %q, to Docker %q", name, short, reference.FamiliarString(ref))
		}
	}
	if good < 1000 {
		t.Errorf("only %d good names", good)
	}
}

// TestPin takes names with digests apart, and others not.
func TestPin(t *testing.T) {
	d := image.SHA256(nil)
	for name, want := range map[string][]string{
		"docker.io/library/x:1@" + d.String():      {"docker.io/library/x:1", "docker.io/library/x@" + d.String()},
		"docker.io/library/x@" + d.String():        {"", "docker.io/library/x@" + d.String()},
		"127.0.0.1:5000/a/x:1@" + d.String():       {"127.0.0.1:5000/a/x:1", "127.0.0.1:5000/a/x@" + d.String()},
		"docker.io/library/x:1":                    {"docker.io/library/x:1", ""},
		"":                                         {"", ""},
		"docker.io/library/x@sha512:" + d.Hex:      {"docker.io/library/x@sha512:" + d.Hex, ""},
		"docker.io/library/x@sha256:" + d.Hex[:12]: {"docker.io/library/x@sha256:" + d.Hex[:12], ""},
	} {
		tagged, pinned, digest, ok := image.Pin(name)
		if tagged != want[0] || pinned != want[1] || ok != (want[1] != "") || ok && digest != d {
			t.Errorf("%q is %q and %q, %s, %t", name, tagged, pinned, digest, ok)
		}
		whole := slices.DeleteFunc(slices.Clone(want), func(s string) bool { return s == "" })
		if got := image.Names(name); !slices.Equal(got, whole) {
			t.Errorf("%q stands for %q, expected %q", name, got, whole)
		}
	}
}

// TestMeans compares what users write with what places hold.
func TestMeans(t *testing.T) {
	d := image.SHA256(nil)
	at := "@" + d.String()
	const held, pinned = "docker.io/library/x:1", "docker.io/library/x"
	for _, c := range []struct {
		given, held string
		want        bool
	}{
		{"x:1", held, true}, {"x:2", held, false}, {"x", held, false}, {"", held, false}, {"x:1", "", false},
		{"x:1" + at, held, true}, {"x" + at, held, true}, {"x:2" + at, held, true}, {"y" + at, held, false},
		{"x" + at, pinned + at, true}, {"x:1" + at, pinned + at, true}, {"x:1", pinned + at, false}, {"x:1", held + at, true},
		{"x@" + image.SHA256([]byte("other")).String(), held, false},
	} {
		if got := image.Means(c.given, c.held, d); got != c.want {
			t.Errorf("%q for %q: %t", c.given, c.held, got)
		}
	}
}

func TestFamiliar(t *testing.T) {
	for full, want := range map[string]string{
		"docker.io/library/postgres:15": "postgres:15", "docker.io/team/app:1": "team/app:1", "host:5000/x:1": "host:5000/x:1", "NOT A NAME": "NOT A NAME",
	} {
		if got := image.Familiar(full); got != want {
			t.Errorf("%q is %q, want %q", full, got, want)
		}
	}
}

func TestLabel(t *testing.T) {
	d := describe(nil)
	if got := (image.Root{Desc: d}).Label(); got != d.Digest.String() {
		t.Errorf("untagged image is %q", got)
	}
	if got := (image.Root{Name: "docker.io/library/x:1", Desc: d}).Label(); got != "x:1" {
		t.Errorf("image is %q", got)
	}
}
