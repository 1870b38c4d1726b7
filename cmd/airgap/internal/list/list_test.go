package list

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestMain(m *testing.M) {
	ServeReader()
	os.Exit(m.Run())
}

// readText reads a text as if it came from standard input, in an empty folder.
func readText(t *testing.T, text string, profiles ...string) (List, error) {
	t.Helper()
	t.Chdir(t.TempDir())
	return Read(t.Context(), strings.NewReader(text), Options{Profiles: profiles})
}

// TestRead tells the kinds of files apart and finds all of their images.
// TestBound: services may say on which platform they run.
func TestBound(t *testing.T) {
	got, err := readText(t, "name: x\nservices:\n  a: {image: 'a:1', platform: linux/arm64}\n  b: {image: 'b:1'}\n  c: {build: ., platform: linux/arm64}\n")
	if want := []Bound{{"a", "a:1", "linux/arm64"}}; err != nil || !slices.Equal(got.Bound, want) {
		t.Errorf("%v, %v; expected %v", got.Bound, err, want)
	}
}

func TestRead(t *testing.T) {
	t.Setenv("TAG", "15")
	t.Setenv("COMPOSE_PROFILES", "")
	for name, c := range map[string]struct {
		text     string
		profiles []string
		kind     string
		want     string
		built    []Built
	}{
		"list":         {"\ufeffpostgres:15 # the database\n\n# nothing\n  docker://quay.io/a/b:1\npostgres:15\n", nil, "list", "postgres:15 docker://quay.io/a/b:1", nil},
		"empty":        {"", nil, "list", "", nil},
		"list of one":  {"postgres", nil, "list", "postgres", nil},
		"Windows list": {"a:1\r\nb:2\r\n", nil, "list", "a:1 b:2", nil},
		"compose": {`
name: shop
services:
  db: {image: "postgres:${TAG}"}
  cache: {image: "redis:${REDIS:-7}"}
  again: {image: "postgres:15"}
  debug: {image: "busybox:1", profiles: [debug]}
  web: {build: .}
  api: {build: ., image: "api:1"}
`, nil, "compose", "postgres:15 api:1 redis:7", []Built{{"web", "shop-web"}}},
		"compose with a profile": {"name: x\nservices:\n  debug: {image: 'busybox:1', profiles: [debug]}\n  db: {image: a}\n", []string{"debug"}, "compose", "a busybox:1", nil},
		"compose with a volume of an image": {"name: x\nservices:\n  a:\n    image: a:1\n    volumes: [{type: image, source: 'data:1', target: /d}, {type: image, source: b, target: /e}]\n  b: {image: 'b:1'}\n",
			nil, "compose", "a:1 data:1 b:1", nil},
		"pod": {"apiVersion: v1\nkind: Pod\nspec:\n  containers: [{image: a:1}, {image: a:1}, {name: x}]\n  initContainers: [{image: i:1}]\n  ephemeralContainers: [{image: e:1}]\n  volumes: [{name: v, image: {reference: 'v:1'}}, {name: w, emptyDir: {}}]\n",
			nil, "kubernetes", "i:1 a:1 e:1 v:1", nil},
		"deployment": {"# Source: chart\n---\n---\napiVersion: apps/v1\nkind: Deployment\nspec: {template: {spec: {containers: [{image: d:1}]}}}\n---\napiVersion: v1\nkind: ConfigMap\ndata: {image: no}\n",
			nil, "kubernetes", "d:1", nil},
		"cron job":               {"apiVersion: batch/v1\nkind: CronJob\nspec: {jobTemplate: {spec: {template: {spec: {containers: [{image: c:1}]}}}}}\n", nil, "kubernetes", "c:1", nil},
		"kinds of others":        {"apiVersion: x.example/v1\nkind: Fleet\nspec: {members: [{pod: {containers: [{image: f:1}]}}], containers: 3}\n", nil, "kubernetes", "f:1", nil},
		"list of objects":        {"apiVersion: v1\nkind: List\nitems: [{apiVersion: v1, kind: Pod, spec: {containers: [{image: l:1}]}}]\n", nil, "kubernetes", "l:1", nil},
		"services of Kubernetes": {"apiVersion: v1\nkind: Fleet\nservices: {a: {image: no}}\n", nil, "kubernetes", "", nil},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := readText(t, c.text, c.profiles...)
			want := strings.Fields(c.want)
			sorted := func(s []string) []string { return slices.Sorted(slices.Values(s)) }
			if err != nil || got.Kind != c.kind || !slices.Equal(sorted(got.Images), sorted(want)) || !slices.Equal(got.Built, c.built) {
				t.Errorf("%+v, %v; expected %s %q %v", got, err, c.kind, want, c.built)
			}
			if c.kind != "compose" && !slices.Equal(got.Images, want) {
				t.Errorf("order %q, expected %q", got.Images, want)
			}
		})
	}
}

// TestReadErrors are of files whose kind is clear.
func TestReadErrors(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"compose that is none":         {"services: {a: {image: [1]}}\n", "must be a string"},
		"compose with a missing value": {"services: {a: {image: 'a:${UNSET:?set it}'}}\n", "set it"},
		"image of a number":            {"apiVersion: v1\nkind: Pod\nspec: {containers: [{image: 7}]}\n", "containers[0].image is not a text"},
		"broken after a manifest":      {"apiVersion: v1\nkind: Pod\n---\n{\n", "line 4"},
	} {
		if got, err := readText(t, c.text); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %+v, error %v", name, got, err)
		}
	}
}

// TestComposeFiles reads what a compose file on disk refers to: .env, extends
// and include, beside it and not beside the current folder.
func TestComposeFiles(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		".env":         "TAG=3\n",
		"compose.yaml": "include: [more.yaml]\nservices:\n  a: {image: 'a:${TAG}', env_file: missing.env}\n  b: {extends: {file: base.yaml, service: base}}\n",
		"more.yaml":    "services: {c: {image: c:1}}\n",
		"base.yaml":    "services: {base: {image: b:1}}\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(dir, "compose.yaml")
	got, err := Read(t.Context(), nil, Options{Path: path})
	if want := []string{"a:3", "b:1", "c:1"}; err != nil || !slices.Equal(slices.Sorted(slices.Values(got.Images)), want) {
		t.Errorf("%+v, %v; expected %q", got, err, want)
	}
}

// TestManyWays reads services with more ways from one to another than can be walked.
func TestManyWays(t *testing.T) {
	var text strings.Builder
	text.WriteString("services:\n")
	for i := range 40 {
		var before []string
		for j := range i {
			before = append(before, fmt.Sprintf("s%d", j))
		}
		fmt.Fprintf(&text, "  s%d: {image: x/a:1, depends_on: [%s]}\n", i, strings.Join(before, ", "))
	}
	if l, err := readText(t, text.String()); err != nil || !slices.Equal(l.Images, []string{"x/a:1"}) {
		t.Errorf("%v, %v", l.Images, err)
	}
}

// TestLargeAnswers are cut, or refused.
func TestLargeAnswers(t *testing.T) {
	var names strings.Builder
	for i := range 5 << 10 {
		fmt.Fprintf(&names, "%01024d\n", i)
	}
	if _, err := readText(t, names.String()); err == nil || !strings.Contains(err.Error(), "names of its images have more than 4 MiB") {
		t.Errorf("many names: %v", err)
	}
	long := "apiVersion: v1\nkind: Pod\ncontainers: [{image: [" + strings.Repeat("long, ", 9000) + "]}]\n"
	if _, err := readText(t, long); err == nil || !strings.Contains(err.Error(), "image is not a text") || len(err.Error()) > maxFault+len("…") {
		t.Errorf("a long error: %v", err)
	}
}

// TestWhyEnded tells a reader without memory from one that has failed otherwise.
func TestWhyEnded(t *testing.T) {
	status := errors.New("exit status 2")
	for stderr, want := range map[string]string{
		"runtime: out of memory: cannot allocate 4194304-byte block\nfatal error: out of memory\n": "it takes more than 192 MiB",
		"panic: oh\n\ngoroutine 1": "without an answer: exit status 2: panic: oh",
	} {
		if err := whyEnded(status, stderr); !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "goroutine") {
			t.Errorf("%q: %v", stderr, err)
		}
	}
}
