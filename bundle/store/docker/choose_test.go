package docker

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"airgap/bundle/image"
	"airgap/bundle/store/storetest"
)

// TestChoose: which manifest of an index an engine is given, and what is refused
// before anything is brought. Brackets are an index within the index; what stands
// behind a bar is not in the bundle.
func TestChoose(t *testing.T) {
	amd64 := image.Platform{OS: "linux", Architecture: "amd64"}
	v3 := image.Platform{OS: "linux", Architecture: "amd64", Variant: "v3"}
	engines := map[string]*Engine{
		"classic":    {platform: amd64, machine: amd64},
		"classic v3": {platform: amd64, machine: v3},
		"podman":     {platform: amd64, machine: amd64, store: podman, flat: true},
		"docker 26":  {platform: amd64, machine: amd64, store: containerd, flat: true},
		"docker 28":  {platform: amd64, machine: amd64, store: containerd},
	}
	const none, nested = "none", "nested"
	for _, c := range []struct {
		index string
		want  map[string]string
	}{
		{"v3 v1", map[string]string{"classic": "v1", "classic v3": "v3", "podman": none, "docker 26": "v1 v3", "docker 28": "v1 v3"}},
		{"v3 plain", map[string]string{"classic": "plain", "classic v3": "v3", "podman": "plain", "docker 26": "plain v3", "docker 28": "plain v3"}},
		{"v1 plain", map[string]string{"classic": "v1", "podman": "plain", "docker 26": "v1 plain"}},
		{"v1", map[string]string{"classic": "v1", "podman": none, "docker 26": "v1"}},
		{"v2 v4 v3 v1", map[string]string{"classic": "v1", "classic v3": "v3", "podman": none, "docker 26": "v1 v2 v3 v4"}},
		{"v4", map[string]string{"classic": "v4", "classic v3": none, "podman": none, "docker 28": "v4"}},
		{"v3 | v1", map[string]string{"classic": "v3", "classic v3": "v3", "podman": none, "docker 26": none, "docker 28": none}},
		{"[ v1 ] v5", map[string]string{"classic": "v1", "podman": nested, "docker 26": "v5", "docker 28": "v1 v5"}},
		{"[ v1 ]", map[string]string{"classic": "v1", "podman": nested, "docker 26": nested, "docker 28": "v1"}},
		{"[ v3 ] v1", map[string]string{"classic": "v1", "podman": nested, "docker 26": "v1", "docker 28": "v1 v3"}},
		{"[ v3 ] plain", map[string]string{"podman": "plain"}},
	} {
		for name, want := range c.want {
			g, label := read(t, c.index)
			got, err := engines[name].choose(g)
			var missing *image.PlatformError
			var unsupported *image.UnsupportedError
			var list []string
			for _, m := range got {
				list = append(list, label[m.Desc.Digest])
			}
			s := strings.Join(list, " ")
			switch {
			case errors.As(err, &missing):
				s = none
			case errors.As(err, &unsupported):
				s = nested
			case err != nil:
				t.Fatal(err)
			}
			if s != want {
				t.Errorf("of [%s] %s is given %q (%v), expected %q", c.index, name, s, err, want)
			}
		}
	}
}

func read(t *testing.T, index string) (g *image.Graph, label map[image.Digest]string) {
	t.Helper()
	m := storetest.NewMemory()
	label = map[image.Digest]string{}
	var children, within, left []image.Descriptor
	to := &children
	for _, what := range strings.Fields(index) {
		switch what {
		case "[":
			to = &within
		case "]":
			to = &children
			children = append(children, m.Index(within...))
		case "|":
			to = &left
		default:
			p := image.Platform{OS: "linux", Architecture: "amd64", Variant: strings.TrimPrefix(what, "plain")}
			d := m.Manifest(storetest.Config{Platform: p, Note: what})
			label[d.Digest] = what
			*to = append(*to, d)
		}
	}
	g, err := image.Read(t.Context(), m, image.Root{Desc: m.Index(append(children, left...)...)}, image.SelectPresent(func(d image.Digest) bool {
		return !slices.ContainsFunc(left, func(l image.Descriptor) bool { return l.Digest == d })
	}))
	if err != nil {
		t.Fatal(err)
	}
	return g, label
}

// TestVariant reads what Linux says of a processor.
func TestVariant(t *testing.T) {
	const v2 = "fpu pni ssse3 cx16 sse4_1 sse4_2 popcnt lahf_lm"
	const v3 = v2 + " fma movbe xsave avx f16c abm bmi1 avx2 bmi2"
	const v4 = v3 + " avx512f avx512dq avx512cd avx512bw avx512vl"
	for flags, want := range map[string]string{
		"fpu": "v1", v2: "v2", v3: "v3", v4: "v4",
		strings.Replace(v4, "f16c ", "", 1):    "v2", // as a virtual machine may hide it
		strings.Replace(v4, "avx512bw", "", 1): "v3",
	} {
		if got := amd64Variant("processor\t: 0\nflags\t\t: " + flags + "\nbugs\t\t:\n"); got != want {
			t.Errorf("%s: %s, expected %s", flags, got, want)
		}
	}
	if got := amd64Variant("processor : 0\nFeatures : half thumb\n"); got != "" {
		t.Errorf("not described: %s", got)
	}
}
