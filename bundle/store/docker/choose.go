package docker

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"airgap/bundle/image"
)

// choose finds the manifests of an image that the engine may take, the one that it
// will take first. A store that keeps the index chooses by it again, whatever it is
// given.
func (e *Engine) choose(g *image.Graph) ([]image.Manifest, error) {
	var taken []image.Manifest
	choices := g.Choices(e.machine)
	beyond, nested := true, false
	for _, c := range choices {
		if e.flat && c.Nested || e.wantsPlain(g) && !c.Plain {
			nested = nested || c.Nested
			continue
		}
		beyond = beyond && c.Beyond
		taken = append(taken, c.Manifest)
	}
	switch {
	case nested && len(taken) == 0:
		return nil, &image.UnsupportedError{Image: g.Root.Label(), Why: fmt.Sprintf("what it holds for %s is in an index within its index, which this engine cannot run", e.platform)}
	case len(taken) == 0, beyond && e.insists(g):
		return nil, &image.PlatformError{Image: g.Root.Label(), Want: []image.Platform{e.platform}, Have: g.Platforms()}
	}
	if e.store == containerd {
		return taken, nil
	}
	return taken[:1], nil
}

// wantsPlain says whether the engine knows no variants of its architecture in an
// index: podman has none for linux/amd64, not even v1.
func (e *Engine) wantsPlain(g *image.Graph) bool {
	return e.store == podman && e.platform.Architecture == "amd64" && g.Root.Desc.MediaType.IsIndex()
}

// insists says whether the engine refuses what asks for more than its platform:
// podman always does, containerd's store where the index lists something for the
// platform itself.
func (e *Engine) insists(g *image.Graph) bool {
	return e.store == podman && g.Root.Desc.MediaType.IsIndex() || e.store == containerd && g.Withheld(e.platform)
}

// findMachine notes what is known of the machine beyond its platform, where the
// engine's own pull goes by that: Docker's own store, since 23.
func (e *Engine) findMachine(major int) {
	e.machine = e.platform
	if e.store != classic || !e.local || major < 23 || e.platform.Architecture != "amd64" {
		return
	}
	if raw, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		e.machine.Variant = amd64Variant(string(raw))
	}
}

// amd64Variant is the variant of a processor that Linux describes; empty if it is
// not described.
func amd64Variant(cpuinfo string) string {
	var flags []string
	for line := range strings.Lines(cpuinfo) {
		if key, value, _ := strings.Cut(line, ":"); strings.TrimSpace(key) == "flags" {
			flags = strings.Fields(value)
			break
		}
	}
	if flags == nil {
		return ""
	}
	variant := "v1"
	for _, step := range []struct{ name, needs string }{
		{"v2", "cx16 lahf_lm popcnt pni sse4_1 sse4_2 ssse3"},
		{"v3", "abm avx avx2 bmi1 bmi2 f16c fma movbe xsave"},
		{"v4", "avx512bw avx512cd avx512dq avx512f avx512vl"},
	} {
		for _, flag := range strings.Fields(step.needs) {
			if !slices.Contains(flags, flag) {
				return variant
			}
		}
		variant = step.name
	}
	return variant
}
