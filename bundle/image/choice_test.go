package image_test

import (
	"strings"
	"testing"

	"airgap/bundle/image"
	"airgap/bundle/store/storetest"
)

// listed adds an image to a place, and how an index lists it: "v3" is
// linux/amd64/v3, "arm/v7" another architecture, "none" no platform. Behind a
// colon stands what its config says, where that is something else.
func listed(m *storetest.Memory, what string) image.Descriptor {
	parse := func(s string) image.Platform {
		arch, variant, ok := strings.Cut(s, "/")
		switch {
		case ok:
			return platform("linux", arch, variant)
		case strings.HasPrefix(s, "v"):
			return platform("linux", "amd64", s)
		case s == "none":
			return platform("linux", "amd64", "")
		}
		return platform("linux", s, "")
	}
	says, config, ok := strings.Cut(what, ":")
	if !ok {
		config = says
	}
	d := m.Manifest(storetest.Config{Platform: parse(config), Note: what})
	if p := parse(says); says != "none" {
		d.Platform = &p
	} else {
		d.Platform = nil
	}
	return d
}

// TestChoices: which of the manifests of an index a machine is given. Brackets
// are an index within the index.
func TestChoices(t *testing.T) {
	amd64, v3 := platform("linux", "amd64", ""), platform("linux", "amd64", "v3")
	for _, c := range []struct {
		index string
		host  image.Platform
		want  string
	}{
		{"v3 amd64", amd64, "amd64 v3!"},
		{"v2 v3 amd64", amd64, "amd64 v2! v3!"},
		{"arm64 v3 amd64", amd64, "amd64 v3!"},
		{"amd64 v3", amd64, "amd64 v3!"},
		{"v4 v2", amd64, "v2! v4!"},
		{"v1 v3", amd64, "v1 v3!"},
		{"none amd64", amd64, "amd64 none"},
		{"none v3", amd64, "none v3!"},
		{"v3 none", amd64, "none v3!"},
		{"v3:amd64 amd64", amd64, "amd64 v3:amd64!"}, // a config need not say its variant
		{"386 arm64", amd64, ""},
		{"amd64 v4 v2 v3", v3, "v3 v2 amd64"},
		{"none amd64", v3, "amd64 none"},
		{"v4", v3, ""},
		{"arm/v5 arm/v7 arm/v6 arm64", platform("linux", "arm", "v7"), "arm/v7 arm/v6 arm/v5"},
		{"arm/v5 arm/v7 arm/v6 arm64", platform("linux", "arm", "v6"), "arm/v6 arm/v5"},
		{"arm/v6 arm", platform("linux", "arm", "v7"), "arm arm/v6"},
		{"arm64/v9 arm64/v8", platform("linux", "arm64", ""), "arm64/v8 arm64/v9!"},
		{"amd64/odd amd64", amd64, "amd64 amd64/odd!"},
		{"riscv64", platform("linux", "riscv64", ""), "riscv64"},
		{"[ v3 amd64 ] v3", amd64, "amd64* v3!"},
		{"[ amd64 ] amd64", amd64, "amd64"}, // it stands beside the index, too
	} {
		m := storetest.NewMemory()
		var children, within []image.Descriptor
		label := map[image.Digest]string{}
		nested := false
		for _, what := range strings.Fields(c.index) {
			switch what {
			case "[":
				nested = true
				continue
			case "]":
				nested = false
				children = append(children, m.Index(within...))
				continue
			}
			d := listed(m, what)
			label[d.Digest] = what
			if nested {
				within = append(within, d)
			} else {
				children = append(children, d)
			}
		}
		g, err := image.Read(t.Context(), m, image.Root{Desc: m.Index(children...)}, image.Platforms{All: true}.Select)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, choice := range g.Choices(c.host) {
			what := label[choice.Desc.Digest]
			if choice.Nested {
				what += "*"
			}
			if choice.Beyond {
				what += "!"
			}
			got = append(got, what)
		}
		if s := strings.Join(got, " "); s != c.want {
			t.Errorf("of [%s] %s is given %q, expected %q", c.index, c.host, s, c.want)
		}
	}
}

// TestWithheld: an engine chooses by what the index says, also of what is not
// there.
func TestWithheld(t *testing.T) {
	m := storetest.NewMemory()
	root := image.Root{Desc: m.Index(listed(m, "v3"), listed(m, "amd64"), listed(m, "arm64"))}
	for only, want := range map[string]bool{"linux/amd64/v3": true, "linux/amd64": false} {
		chosen, err := image.ParsePlatforms(only)
		if err != nil {
			t.Fatal(err)
		}
		g, err := image.Read(t.Context(), m, root, chosen.Select)
		if err != nil {
			t.Fatal(err)
		}
		if got := g.Withheld(platform("linux", "amd64", "")); got != want {
			t.Errorf("of a bundle with %s: %t", only, got)
		}
	}
}
