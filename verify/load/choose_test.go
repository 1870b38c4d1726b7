package load

import (
	"strings"
	"testing"

	"airgap/bundle/image"
	"airgap/verify"
)

func named(names ...string) verify.Image {
	root := image.Root{Desc: image.Descriptor{Digest: image.SHA256([]byte(names[0]))}}
	if names[0] != "" {
		root.Name = names[0]
		return verify.Image{Names: names, Graph: &image.Graph{Root: root}}
	}
	return verify.Image{Graph: &image.Graph{Root: root}}
}

var held = []verify.Image{
	named("docker.io/library/postgres:15", "docker.io/library/postgres:latest"),
	named("127.0.0.1:5000/team/app:v1"),
	named(""),
}

var untagged = image.SHA256(nil).String()

// pins has images by digest, with a tag and without.
var pins = func() []verify.Image {
	both, digest := image.SHA256([]byte("docker.io/library/app:1")), image.SHA256([]byte("docker.io/library/db"))
	one, two := named("docker.io/library/app:1", "docker.io/library/app@"+both.String()), named("docker.io/library/db")
	two.Names = []string{"docker.io/library/db@" + digest.String()}
	return []verify.Image{one, two}
}()

// TestChoosePinned applies them to names by digest.
func TestChoosePinned(t *testing.T) {
	a, b := "@"+pins[0].Graph.Root.Desc.Digest.String(), "@"+pins[1].Graph.Root.Desc.Digest.String()
	for name, c := range map[string]struct {
		o    Options
		want string
	}{
		"all":                     {Options{}, "app:1 app" + a + " db" + b},
		"a tag":                   {Options{Only: []string{"app:*"}}, "app:1 app" + a},
		"a digest":                {Options{Only: []string{"app" + a}}, "app" + a},
		"both":                    {Options{Only: []string{"app:1" + a}}, "app:1 app" + a},
		"a digest alone":          {Options{Only: []string{"db@*"}}, "db" + b},
		"registry":                {Options{Under: "r.internal/x"}, "r.internal/x/library/app:1 r.internal/x/library/app" + a + " r.internal/x/library/db" + b},
		"renamed tag":             {Options{Rename: []Rename{{"app:1", "r.internal/a:2"}}}, "r.internal/a:2 r.internal/a" + a + " db" + b},
		"renamed tag, below":      {Options{Rename: []Rename{{"app:1", "a:2"}}, Under: "r.internal"}, "r.internal/library/a:2 r.internal/library/a" + a + " r.internal/library/db" + b},
		"renamed by both":         {Options{Rename: []Rename{{"app:1" + a, "a:2"}}}, "a:2 a" + a + " db" + b},
		"renamed by digest":       {Options{Rename: []Rename{{"app" + a, "a:2"}}}, "app:1 a:2 db" + b},
		"renamed to a repository": {Options{Rename: []Rename{{"db" + b, "r.internal:5000/x"}}}, "app:1 app" + a + " r.internal:5000/x" + b},
		"renamed by prefix":       {Options{Rename: []Rename{{"docker.io/library/", "r.internal/"}}}, "r.internal/app:1 r.internal/app" + a + " r.internal/db" + b},
		"one name from two":       {Options{Rename: []Rename{{"app:1", "a:2"}, {"app" + a, "a:2"}}}, "a:2 db" + b},
	} {
		got, err := choose(pins, c.o)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var names []string
		for _, img := range got {
			for _, full := range img.Names {
				names = append(names, image.Familiar(full))
			}
		}
		if text := strings.Join(names, " "); text != c.want {
			t.Errorf("%s: %s, expected %s", name, text, c.want)
		}
	}
}

// TestChoose applies --only, --rename and the registry that names are put below.
func TestChoose(t *testing.T) {
	for name, c := range map[string]struct {
		o       Options
		want    [][]string
		wantErr bool
	}{
		"all":               {Options{}, [][]string{{"docker.io/library/postgres:15", "docker.io/library/postgres:latest"}, {"127.0.0.1:5000/team/app:v1"}, nil}, false},
		"familiar name":     {Options{Only: []string{"postgres:15"}}, [][]string{{"docker.io/library/postgres:15"}}, false},
		"glob":              {Options{Only: []string{"postgres:*"}}, [][]string{{"docker.io/library/postgres:15", "docker.io/library/postgres:latest"}}, false},
		"full name":         {Options{Only: []string{"127.0.0.1:5000/team/app:v1"}}, [][]string{{"127.0.0.1:5000/team/app:v1"}}, false},
		"two globs":         {Options{Only: []string{"*:latest", "*/*/app:*"}}, [][]string{{"docker.io/library/postgres:latest"}, {"127.0.0.1:5000/team/app:v1"}}, false},
		"nothing matches":   {Options{Only: []string{"postgres:15", "mysql"}}, nil, true},
		"rename one":        {Options{Only: []string{"postgres:15"}, Rename: []Rename{{"postgres:15", "db:1"}}}, [][]string{{"docker.io/library/db:1"}}, false},
		"strip registry":    {Options{Only: []string{"*/*/app:*"}, Rename: []Rename{{"127.0.0.1:5000/", ""}}}, [][]string{{"docker.io/team/app:v1"}}, false},
		"other registry":    {Options{Only: []string{"*/*/app:*"}, Rename: []Rename{{"127.0.0.1:5000/team/", "registry.internal/x/"}}}, [][]string{{"registry.internal/x/app:v1"}}, false},
		"first rule counts": {Options{Only: []string{"postgres:15"}, Rename: []Rename{{"postgres:15", "a:1"}, {"postgres:15", "b:1"}}}, [][]string{{"docker.io/library/a:1"}}, false},
		"one name for two":  {Options{Rename: []Rename{{"postgres:15", "a:1"}, {"127.0.0.1:5000/team/app:v1", "a:1"}}}, nil, true},
		"name a digest":     {Options{Only: []string{untagged}, Rename: []Rename{{untagged, "found:1"}}}, [][]string{{"docker.io/library/found:1"}}, false},
		"registry":          {Options{Only: []string{"postgres:15"}, Under: "registry.internal:5000"}, [][]string{{"registry.internal:5000/library/postgres:15"}}, false},
		"folder":            {Options{Only: []string{"*/*/app:*"}, Under: "registry.internal/a/b/"}, [][]string{{"registry.internal/a/b/team/app:v1"}}, false},
		"renamed and under": {Options{Only: []string{"postgres:15"}, Under: "reg.internal/x", Rename: []Rename{{"postgres:15", "db:1"}}}, [][]string{{"reg.internal/x/library/db:1"}}, false},
		"renamed in place":  {Options{Only: []string{"postgres:15"}, Under: "reg.internal/x", Rename: []Rename{{"postgres:15", "reg.internal/x/db:1"}}}, [][]string{{"reg.internal/x/db:1"}}, false},
		"not a name":        {Options{Rename: []Rename{{"postgres:15", "Not A Name"}}}, nil, true},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := choose(held, c.o)
			if (err != nil) != c.wantErr {
				t.Fatalf("error %v", err)
			}
			if err != nil {
				return
			}
			if len(got) != len(c.want) {
				t.Fatalf("%d images, expected %d", len(got), len(c.want))
			}
			for i := range got {
				if len(got[i].Names) != len(c.want[i]) {
					t.Fatalf("names %q, expected %q", got[i].Names, c.want[i])
				}
				for j := range got[i].Names {
					if got[i].Names[j] != c.want[i][j] {
						t.Errorf("names %q, expected %q", got[i].Names, c.want[i])
					}
				}
			}
		})
	}
}

// TestParseRename accepts two names or two prefixes.
func TestParseRename(t *testing.T) {
	for s, want := range map[string]*Rename{
		"a:1=b:2":            {"a:1", "b:2"},
		"127.0.0.1:5000/=":   {"127.0.0.1:5000/", ""},
		"a.example/=b.test/": {"a.example/", "b.test/"},
		"a":                  nil,
		"=b":                 nil,
		"a/=b":               nil,
		"a:1=b@sha256:12":    nil,
	} {
		got, err := ParseRename(s)
		if want == nil && err == nil || want != nil && (err != nil || got != *want) {
			t.Errorf("%q: %v, %v", s, got, err)
		}
	}
}
