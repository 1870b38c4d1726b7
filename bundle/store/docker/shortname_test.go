package docker

import "testing"

// TestPodmanName resolves names as podman does.
func TestPodmanName(t *testing.T) {
	for _, c := range []struct {
		given string
		tags  []string
		want  string // empty for a refusal
	}{
		{"app:v1", []string{"localhost/app:v1"}, "localhost/app:v1"},
		{"app", []string{"localhost/app:v1", "localhost/app:latest"}, "localhost/app:latest"},
		{"team/app:v1", []string{"localhost/team/app:v1"}, "localhost/team/app:v1"},
		{"app:v1", []string{"docker.io/library/app:v1", "localhost/app:v1"}, "localhost/app:v1"},
		{"app:v1", []string{"docker.io/library/app:v1"}, "docker.io/library/app:v1"},
		{"app:v1", []string{"quay.io/team/app:v1", "quay.io/team/app:v2"}, "quay.io/team/app:v1"},
		{"docker.io/library/app:v1", []string{"localhost/app:v1", "docker.io/library/app:v1"}, "docker.io/library/app:v1"},
		{"localhost/app:v1", []string{"docker.io/library/app:v1", "localhost/app:v1"}, "localhost/app:v1"},
		{"127.0.0.1:5000/app:v1", []string{"127.0.0.1:5000/app:v1"}, "127.0.0.1:5000/app:v1"},
		{"app:v1", []string{"quay.io/app:v1", "docker.io/library/app:v1"}, ""},
		{"app:v1", []string{"localhost/app:v2"}, ""},
		{"app:v1", nil, ""},
		{"app:v1", []string{"localhost/my-app:v1"}, ""},
	} {
		got, err := podmanName(c.given, c.tags)
		if got != c.want || (err == nil) == (c.want == "") {
			t.Errorf("%q of %q is %q, %v; expected %q", c.given, c.tags, got, err, c.want)
		}
	}
}
