package image_test

import (
	"strings"
	"testing"

	"airgap/bundle/image"
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
		"x:v1" + digest:                 "docker.io/library/x" + digest,
	} {
		got, err := image.Normalize(given)
		if err != nil || got != want {
			t.Errorf("%q is %q (%v), want %q", given, got, err, want)
		}
		if again, err := image.Normalize(got); err != nil || again != got {
			t.Errorf("%q does not stay: %q (%v)", got, again, err)
		}
		if err := image.CheckName(want); (err == nil) == strings.Contains(want, "@") {
			t.Errorf("CheckName(%q): %v", want, err)
		}
	}
	for _, bad := range []string{"", " ", "UPPER", "a//b", "a:b:c", "a:", ":a", "a@sha256:12", "../x", "a b", "a\x1b[31m", strings.Repeat("ab", 32), strings.Repeat("a", 300)} {
		if got, err := image.Normalize(bad); err == nil {
			t.Errorf("%q is %q, want an error", bad, got)
		}
	}
}

func TestCheckName(t *testing.T) {
	digest := "@" + image.SHA256(nil).String()
	for _, bad := range []string{"", "postgres", "postgres:15", "docker.io/postgres:15", "docker.io/library/postgres", "docker.io/library/postgres:15" + digest, "docker.io/library/postgres" + digest, "docker.io/library/postgres:15 "} {
		if err := image.CheckName(bad); err == nil {
			t.Errorf("%q was accepted", bad)
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
