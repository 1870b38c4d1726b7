package image

import (
	"fmt"
	"runtime"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Platforms is a user's choice of platforms. The zero value leaves the choice
// to the source: what the engine has, or HostPlatform from anywhere else.
type Platforms struct {
	All  bool
	List []Platform
}

// HostPlatform is linux on this machine's architecture.
func HostPlatform() Platform { return Platform{OS: "linux", Architecture: runtime.GOARCH} }

// ParsePlatforms reads a list such as "linux/amd64,linux/arm/v7", or "all", or
// the empty string for the zero value.
func ParsePlatforms(s string) (Platforms, error) {
	switch s {
	case "":
		return Platforms{}, nil
	case "all":
		return Platforms{All: true}, nil
	}
	var want Platforms
	for _, part := range strings.Split(s, ",") {
		p, err := v1.ParsePlatform(strings.TrimSpace(part))
		if err != nil || p.OS == "" || p.Architecture == "" {
			return Platforms{}, fmt.Errorf("platform %q is not of the form os/architecture[/variant]", part)
		}
		want.List = append(want.List, *p)
	}
	return want, nil
}

// IsDefault says that the user made no choice.
func (p Platforms) IsDefault() bool { return !p.All && len(p.List) == 0 }

// Or replaces the zero value by def.
func (p Platforms) Or(def ...Platform) Platforms {
	if p.IsDefault() {
		p.List = def
	}
	return p
}

// Match says whether have is among the wanted platforms.
func (p Platforms) Match(have Platform) bool {
	if p.All {
		return true
	}
	for _, want := range p.List {
		if MatchPlatform(want, have) {
			return true
		}
	}
	return false
}

// MatchPlatform says whether have is what want asks for. A want without a
// variant or version takes any; arm64 and arm64/v8 are one.
func MatchPlatform(want, have Platform) bool {
	return want.OS == have.OS && want.Architecture == have.Architecture &&
		(variant(want) == "" || variant(want) == variant(have)) &&
		(want.OSVersion == "" || want.OSVersion == have.OSVersion)
}

func variant(p Platform) string {
	if p.Architecture == "arm64" && p.Variant == "v8" {
		return ""
	}
	return p.Variant
}
