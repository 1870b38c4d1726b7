package image_test

import (
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/types"

	"airgap/bundle/image"
)

func platform(os, arch, variant string) image.Platform {
	return image.Platform{OS: os, Architecture: arch, Variant: variant}
}

func TestMatchPlatform(t *testing.T) {
	for _, c := range []struct {
		want, have image.Platform
		match      bool
	}{
		{platform("linux", "amd64", ""), platform("linux", "amd64", ""), true},
		{platform("linux", "amd64", ""), platform("linux", "arm64", ""), false},
		{platform("linux", "amd64", ""), platform("windows", "amd64", ""), false},
		{platform("linux", "arm", ""), platform("linux", "arm", "v7"), true},
		{platform("linux", "arm", "v7"), platform("linux", "arm", "v7"), true},
		{platform("linux", "arm", "v6"), platform("linux", "arm", "v7"), false},
		{platform("linux", "arm", "v7"), platform("linux", "arm", ""), false},
		{platform("linux", "arm64", "v8"), platform("linux", "arm64", ""), true},
		{platform("linux", "arm64", ""), platform("linux", "arm64", "v8"), true},
		{platform("windows", "amd64", ""), image.Platform{OS: "windows", Architecture: "amd64", OSVersion: "10.0.1"}, true},
		{image.Platform{OS: "windows", Architecture: "amd64", OSVersion: "10.0.2"}, image.Platform{OS: "windows", Architecture: "amd64", OSVersion: "10.0.1"}, false},
		{platform("linux", "amd64", ""), platform("unknown", "unknown", ""), false},
	} {
		if got := image.MatchPlatform(c.want, c.have); got != c.match {
			t.Errorf("%s for %s: %t", c.have, c.want, got)
		}
	}
}

func TestParsePlatforms(t *testing.T) {
	if p, err := image.ParsePlatforms(""); err != nil || !p.IsDefault() {
		t.Errorf("empty: %+v, %v", p, err)
	}
	if p, err := image.ParsePlatforms("all"); err != nil || !p.All || p.IsDefault() || !p.Match(platform("plan9", "mips", "")) {
		t.Errorf("all: %+v, %v", p, err)
	}
	p, err := image.ParsePlatforms("linux/amd64, linux/arm/v7")
	if err != nil || len(p.List) != 2 || !p.Match(platform("linux", "arm", "v7")) || p.Match(platform("linux", "arm", "v6")) {
		t.Errorf("list: %+v, %v", p, err)
	}
	for given, want := range map[string]image.Platform{
		"arm64": platform("linux", "arm64", ""), "aarch64": platform("linux", "arm64", ""), "linux/aarch64": platform("linux", "arm64", ""), "Linux/X86_64": platform("linux", "amd64", ""),
		"armhf": platform("linux", "arm", "v7"), "linux/armhf/v6": platform("linux", "arm", "v6"), "s390x": platform("linux", "s390x", ""), "linux/arm/v7": platform("linux", "arm", "v7"),
		"windows/amd64": platform("windows", "amd64", ""), "linux/new64": platform("linux", "new64", ""),
	} {
		if p, err := image.ParsePlatforms(given); err != nil || len(p.List) != 1 || !p.List[0].Equals(want) {
			t.Errorf("%s: %+v, %v", given, p, err)
		}
	}
	for _, bad := range []string{"linux", "windows", "new64", "linux/", "/amd64", "linux/amd64,", ",", "all,linux/amd64", "linux/arm/v7/x"} {
		if p, err := image.ParsePlatforms(bad); err == nil {
			t.Errorf("%q is %+v, want an error", bad, p)
		}
	}
}

func TestPlatformsOr(t *testing.T) {
	if p := (image.Platforms{}).Or(image.HostPlatform()); !p.Match(image.HostPlatform()) {
		t.Errorf("%+v", p)
	}
	if p := (image.Platforms{All: true}).Or(image.HostPlatform()); !p.All || len(p.List) > 0 {
		t.Errorf("%+v", p)
	}
}

func TestSelect(t *testing.T) {
	amd, arm := platform("linux", "amd64", ""), platform("linux", "arm64", "v8")
	child := func(what string, p *image.Platform, annotations map[string]string) image.Descriptor {
		d := describe([]byte(what))
		d.MediaType, d.Platform, d.Annotations = types.OCIManifestSchema1, p, annotations
		return d
	}
	attests := func(d image.Digest) map[string]string {
		return map[string]string{"vnd.docker.reference.type": "attestation-manifest", "vnd.docker.reference.digest": d.String()}
	}
	none := image.Platform{OS: "unknown", Architecture: "unknown"}
	a, b := child("amd", &amd, nil), child("arm", &arm, nil)
	ofA, ofB := child("of amd", &none, attests(a.Digest)), child("of arm", &none, attests(b.Digest))
	orphan := child("of nobody", &none, attests(image.SHA256([]byte("gone"))))
	artifact, nested := child("artifact", nil, nil), child("nested", &arm, nil)
	nested.MediaType = types.OCIImageIndex
	children := []image.Descriptor{a, b, ofA, ofB, orphan, artifact, nested}

	for what, c := range map[string]struct {
		want image.Platforms
		keep []image.Descriptor
	}{
		"all":   {image.Platforms{All: true}, []image.Descriptor{a, b, ofA, ofB, artifact, nested}},
		"amd64": {image.Platforms{List: []image.Platform{amd}}, []image.Descriptor{a, ofA, artifact, nested}},
		"none":  {image.Platforms{List: []image.Platform{platform("plan9", "mips", "")}}, []image.Descriptor{artifact, nested}},
	} {
		keep, left := c.want.Select(children)
		if !equalDigests(keep, c.keep) || len(keep)+len(left) != len(children) {
			t.Errorf("%s: kept %d, left %v", what, len(keep), left)
		}
		for _, l := range left {
			if l.Reason == "" {
				t.Errorf("%s: %s is left out without a reason", what, l.Desc.Digest)
			}
		}
	}

	keep, left := image.SelectPresent(func(d image.Digest) bool { return d == a.Digest || d == ofB.Digest })(children)
	if !equalDigests(keep, []image.Descriptor{a, ofB}) || len(left) != len(children)-2 {
		t.Errorf("present: kept %v, left %v", keep, left)
	}
}
