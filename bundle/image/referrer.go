package image

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"

	"github.com/distribution/reference"
)

// Referrer is what the root of a signature, an attestation or an SBOM says of
// itself: a manifest that belongs to another one.
type Referrer struct {
	// Subject is the manifest or index that it belongs to.
	Subject Digest
	// Entry describes it as the referrers API of registries does, with its
	// artifact type and annotations.
	Entry Descriptor
}

// Referring is a Set of a place that knows what refers to its images.
type Referring interface {
	Set
	// Referrers lists the roots of what belongs to an image of the Set, or to a
	// part of it: those with a subject, untagged, and those that bear the tags
	// that cosign gives. Fetch gives their blobs too.
	Referrers(ctx context.Context, g *Graph) ([]Root, error)
}

// ReferrerOf reads what the manifest or index of a descriptor says that it
// belongs to; ok is false for one that belongs to nothing.
func ReferrerOf(d Descriptor, raw []byte) (r Referrer, ok bool, err error) {
	var doc struct {
		ArtifactType string            `json:"artifactType"`
		Annotations  map[string]string `json:"annotations"`
		Config       Descriptor        `json:"config"`
		Layers       []Descriptor      `json:"layers"`
		Subject      *Descriptor       `json:"subject"`
	}
	if err := json.Unmarshal(raw, &doc); err != nil {
		return r, false, fmt.Errorf("document %s: %w", d.Digest, err)
	}
	r.Entry = Descriptor{MediaType: d.MediaType, Digest: d.Digest, Size: d.Size, ArtifactType: doc.ArtifactType, Annotations: doc.Annotations}
	switch {
	case r.Entry.ArtifactType != "":
	case isImageConfig(doc.Config.MediaType) && len(doc.Layers) > 0 && !IsLayer(doc.Layers[0].MediaType):
		r.Entry.ArtifactType = string(doc.Layers[0].MediaType) // as cosign has it, which calls all configs an image's
	default:
		r.Entry.ArtifactType = string(doc.Config.MediaType)
	}
	if doc.Subject == nil {
		return r, false, nil
	}
	r.Subject = doc.Subject.Digest
	return r, true, nil
}

// CosignTags are the tags under which cosign keeps what belongs to a digest.
func CosignTags(d Digest) []string {
	tags := make([]string, 0, 3)
	for _, kind := range []string{"sig", "att", "sbom"} {
		tags = append(tags, d.Algorithm+"-"+d.Hex+"."+kind)
	}
	return tags
}

// ReferrersTag is the tag under which registries without the referrers API keep
// an index of what belongs to a digest.
func ReferrersTag(d Digest) string { return d.Algorithm + "-" + d.Hex }

var cosignTag = regexp.MustCompile(`^sha256-([0-9a-f]{64})\.(sig|att|sbom)$`)

// Referrer is what the root says that it belongs to, by its subject or by its
// tag; ok is false for an image of its own.
func (g *Graph) Referrer() (r Referrer, ok bool) {
	return RefersTo(g.Root, g.docs[g.Root.Desc.Digest])
}

// RefersTo is Graph.Referrer for a root of which no more than its own document
// has been read. What cannot be understood belongs to nothing.
func RefersTo(root Root, raw []byte) (r Referrer, ok bool) {
	r, ok, err := ReferrerOf(root.Desc, raw)
	if err != nil {
		return Referrer{}, false
	}
	if ok || root.Name == "" {
		return r, ok
	}
	_, _, tag, err := SplitName(root.Name)
	if m := cosignTag.FindStringSubmatch(tag); err == nil && m != nil {
		r.Subject = Digest{Algorithm: "sha256", Hex: m[1]}
		return r, true
	}
	return r, false
}

// Subjects lists what others may refer to: the root, and the indexes and
// manifests below it that are carried.
func (g *Graph) Subjects() []Digest {
	var list []Digest
	for _, d := range g.Indexes() {
		list = append(list, d.Digest)
	}
	for _, m := range g.Manifests {
		list = append(list, m.Desc.Digest)
	}
	return list
}

// IsArtifact says that nothing of the graph is an image that an engine runs.
func (g *Graph) IsArtifact() bool {
	return !slices.ContainsFunc(g.Manifests, func(m Manifest) bool { return m.Image })
}

// maxReferences bounds the pairs of a referrer and an image that Owners tells of.
const maxReferences = 1 << 18

// Owners says for each graph which others it belongs to as a referrer, through
// referrers of referrers too, as indices in graphs: images of their own, for
// which the answer is empty.
func Owners(graphs []*Graph) ([][]int, error) {
	holders := map[Digest][]int{}
	for i, g := range graphs {
		for _, d := range g.Subjects() {
			holders[d] = append(holders[d], i)
		}
	}
	above := make([][]int, len(graphs)) // of each graph those that it refers to; itself does not count
	for i, g := range graphs {
		if r, ok := g.Referrer(); ok {
			above[i] = holders[r.Subject]
		}
	}
	isOwner := func(j int) bool { return !slices.ContainsFunc(above[j], func(k int) bool { return k != j }) }
	owners, pairs := make([][]int, len(graphs)), 0
	for i := range graphs {
		seen := map[int]bool{i: true}
		for queue := above[i]; len(queue) > 0; queue = queue[1:] {
			if pairs++; pairs > maxReferences {
				return nil, fmt.Errorf("more than %d images refer to each other: %w", maxReferences, errTooLarge)
			}
			j := queue[0]
			if seen[j] {
				continue
			}
			seen[j] = true
			if isOwner(j) {
				owners[i] = append(owners[i], j)
			} else {
				queue = append(slices.Clip(queue), above[j]...)
			}
		}
		slices.Sort(owners[i])
	}
	return owners, nil
}

// Beside is the name that a referrer has beside an image: its own tag in that
// image's repository; without a tag only the repository.
func Beside(name, tag string) (string, error) {
	ref, err := reference.ParseNormalizedNamed(name)
	if err != nil {
		return "", fmt.Errorf("image name %q: %w", name, err)
	}
	repo := reference.TrimNamed(ref)
	if tag == "" {
		return repo.Name(), nil
	}
	tagged, err := reference.WithTag(repo, tag)
	if err != nil {
		return "", fmt.Errorf("image name %q: %w", name, err)
	}
	return tagged.String(), nil
}
