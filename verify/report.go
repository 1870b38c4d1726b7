package verify

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"airgap/bundle"
	"airgap/bundle/image"
)

// Report is what has been found out about a bundle: for people as a table, for
// machines as JSON, for a program as an error.
type Report struct {
	Bundle    image.Digest    `json:"bundle"` // its id
	Format    int             `json:"format"`
	Signature Signature       `json:"signature"`
	Images    []ReportedImage `json:"images"`
	Files     []string        `json:"files,omitempty"` // their names
	Blobs     int             `json:"blobs"`
	Size      int64           `json:"size"`    // of the blobs, in bytes
	DiffIDs   bool            `json:"diffIDs"` // whether layers were opened and their diffIDs proven
	Findings  []Finding       `json:"findings"`
}

// Signature is what is known of a bundle's signature.
type Signature string

// What can be known as long as nobody checks signatures.
const (
	Unsigned  Signature = "none"
	Unchecked Signature = "present, not checked"
)

// ReportedImage is one image of a report.
type ReportedImage struct {
	Names     []string     `json:"names"`
	Digest    image.Digest `json:"digest"`
	Platforms []string     `json:"platforms"`
	Layers    int          `json:"layers"`
	Size      int64        `json:"size"`                   // of its blobs, in bytes
	Of        []string     `json:"referrerOf,omitempty"`   // images, if it is no image of its own
	Type      string       `json:"artifactType,omitempty"` // of an artifact
}

// Finding is something that is wrong.
type Finding struct {
	What string
	Err  error
}

// MarshalText gives the finding as one line.
func (f Finding) MarshalText() ([]byte, error) { return []byte(f.Err.Error()), nil }

// Err joins the first findings, which are sorted: damage before what else is
// wrong, and by what they concern. It is nil if there are none.
func (r *Report) Err() error {
	isDamage := func(f Finding) bool { return errors.As(f.Err, new(*bundle.DamagedError)) }
	slices.SortFunc(r.Findings, func(a, b Finding) int {
		if damage := isDamage(a); damage != isDamage(b) {
			if damage {
				return -1
			}
			return 1
		}
		return strings.Compare(a.What, b.What)
	})
	const most = 3
	var errs []error
	for _, f := range r.Findings[:min(most, len(r.Findings))] {
		errs = append(errs, f.Err)
	}
	if more := len(r.Findings) - most; more > 0 {
		errs = append(errs, fmt.Errorf("and %d more", more))
	}
	return errors.Join(errs...)
}

func newReport(d *Documents, level Level) *Report {
	m := d.bundle.Manifest()
	r := &Report{
		Bundle: d.bundle.ID(), Format: m.Format, Signature: d.Signature(), Blobs: len(m.Blobs), Size: d.Total(),
		DiffIDs: level == Full, Findings: []Finding{},
	}
	for _, f := range m.Files {
		r.Files = append(r.Files, f.Name)
	}
	for _, img := range d.images {
		out := reportImage(img)
		for _, owner := range img.Of {
			out.Of = append(out.Of, d.images[owner].Label())
		}
		r.Images = append(r.Images, out)
	}
	return r
}

func reportImage(img Image) ReportedImage {
	r := ReportedImage{Names: img.Names, Digest: img.Graph.Root.Desc.Digest, Layers: len(img.Graph.Layers())}
	if img.Graph.IsArtifact() {
		what, _ := img.Graph.Referrer()
		r.Type = what.Entry.ArtifactType
	}
	for _, p := range img.Graph.Platforms() {
		r.Platforms = append(r.Platforms, p.String())
	}
	for _, d := range append(img.Graph.Documents(), img.Graph.Layers()...) {
		r.Size += d.Size
	}
	return r
}
