package image

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
)

// Choice is an image manifest that a machine may be given.
type Choice struct {
	Manifest
	// Nested says that it stands in an index within the index, and nowhere else.
	Nested bool
	// Beyond says that it asks for more than the machine is known to have, such
	// as linux/amd64/v3 where only linux/amd64 is known.
	Beyond bool
	// Plain says that no variant is asked for.
	Plain bool

	level    float64
	unlisted bool // its index does not say what it is for
}

// Choices lists the image manifests for a machine, the one that engines take of
// several first: what runs there, the most demanding first, before what the index
// gives no platform; then what is Beyond, the least demanding first, if the host's
// variant is not known. Engines go by what the index says of a manifest, and by
// its config only where that is nothing.
func (g *Graph) Choices(host Platform) []Choice {
	listed := map[Digest][]listing{}
	for _, l := range g.listed {
		listed[l.Digest] = append(listed[l.Digest], l)
	}
	var list []Choice
	for _, m := range g.Manifests {
		if !m.Image || !runs(host, m.Platform) {
			continue
		}
		if c := best(m, host, listed[m.Desc.Digest]); host.Variant == "" || !c.Beyond {
			list = append(list, c)
		}
	}
	slices.SortStableFunc(list, compareChoices)
	return list
}

// best is what a manifest is of all that indexes say of it.
func best(m Manifest, host Platform, listed []listing) Choice {
	choices := []Choice{}
	nested := len(listed) > 0
	for _, l := range listed {
		nested = nested && l.nested
		if l.Platform == nil || runs(host, *l.Platform) {
			choices = append(choices, newChoice(m, host, l.Platform))
		}
	}
	if len(choices) == 0 {
		choices = append(choices, newChoice(m, host, nil))
	}
	c := slices.MinFunc(choices, compareChoices)
	c.Nested = nested
	return c
}

func compareChoices(a, b Choice) int {
	if a.Beyond || b.Beyond {
		return cmp.Or(compareBool(a.Beyond, b.Beyond), cmp.Compare(a.level, b.level), compareBool(a.unlisted, b.unlisted))
	}
	return cmp.Or(compareBool(a.unlisted, b.unlisted), cmp.Compare(b.level, a.level))
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}

func newChoice(m Manifest, host Platform, listed *Platform) Choice {
	p := m.Platform
	if listed != nil {
		p = *listed
	}
	c := Choice{Manifest: m, Plain: p.Variant == "", level: level(p), unlisted: listed == nil}
	c.Beyond = c.level > level(host)
	return c
}

// Withheld says whether the index lists, of what is not carried, something that
// a machine would be given by an engine.
func (g *Graph) Withheld(host Platform) bool {
	return slices.ContainsFunc(g.Left, func(l Left) bool {
		return l.Desc.Platform != nil && runs(host, *l.Desc.Platform) && level(*l.Desc.Platform) <= level(host)
	})
}

// runs says whether a machine may run what is for a platform, variants aside.
func runs(host, p Platform) bool {
	return host.OS == p.OS && host.Architecture == p.Architecture && (host.OSVersion == "" || host.OSVersion == p.OSVersion)
}

// level orders the variants of an architecture: each runs what those below it do.
func level(p Platform) float64 {
	const unknown = 1000
	v := p.Variant
	if v == "" {
		v = commonVariant[p.Architecture]
	}
	if v == "" {
		return 0
	}
	n, err := strconv.ParseFloat(strings.TrimPrefix(v, "v"), 64)
	if err != nil {
		return unknown
	}
	return n
}

// commonVariant is what everybody means by an architecture alone.
var commonVariant = map[string]string{"amd64": "v1", "arm": "v7", "arm64": "v8"}

// listing is how an index lists one of its children.
type listing struct {
	Digest
	*Platform
	nested bool
}
