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
		p, err := v1.ParsePlatform(usual(strings.TrimSpace(part)))
		if err != nil || p.OS == "" || p.Architecture == "" {
			return Platforms{}, fmt.Errorf("platform %q is not of the form os/architecture[/variant]", part)
		}
		want.List = append(want.List, *p)
	}
	return want, nil
}

// architectures are what stands for one, as Docker and compose take it.
var architectures = map[string]string{
	"amd64": "amd64", "x86_64": "amd64", "x86-64": "amd64", "386": "386", "i386": "386",
	"arm64": "arm64", "aarch64": "arm64", "arm": "arm", "armhf": "arm/v7", "armel": "arm/v6",
	"ppc64le": "ppc64le", "s390x": "s390x", "riscv64": "riscv64", "mips64le": "mips64le", "loong64": "loong64",
}

// usual is a platform in the usual form: an architecture alone is one of Linux.
func usual(platform string) string {
	os, rest, ok := strings.Cut(strings.ToLower(platform), "/")
	if !ok {
		os, rest = "linux", os
		if architectures[rest] == "" {
			return platform
		}
	}
	architecture, variant, _ := strings.Cut(rest, "/")
	if known := architectures[architecture]; known != "" {
		architecture = known
	}
	if variant == "" {
		return os + "/" + architecture
	}
	architecture, _, _ = strings.Cut(architecture, "/")
	return os + "/" + architecture + "/" + variant
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
