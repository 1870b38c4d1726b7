package main

import (
	"strings"

	"airgap/bundle"
	"airgap/bundle/image"
	"airgap/cmd/airgap/internal/ui"
)

// packedImage is an image in the answers of pack.
type packedImage struct {
	Name      string   `json:"name"`
	Digest    string   `json:"digest,omitempty"` // of its root
	Origin    string   `json:"origin,omitempty"`
	Kept      bool     `json:"digestKept"` // whether the digest is the registry's
	Platforms []string `json:"platforms"`
	Size      int64    `json:"size"` // of its blobs, in bytes
	Left      []left   `json:"leftOut"`
	Lost      []lost   `json:"notKept,omitempty"`
}

// lost is a name that was asked for and is not in the bundle.
type lost struct {
	Name   string `json:"name"`
	Reason string `json:"reason"`
}

// left is a part of an image that is not carried.
type left struct {
	Digest   image.Digest `json:"digest"`
	Platform string       `json:"platform,omitempty"`
	Reason   string       `json:"reason"`
}

// leftFile is a file, or a folder if its name ends in a slash, that is not
// carried though it is in a folder that is.
type leftFile struct {
	Name   string `json:"name"`
	Reason string `json:"reason"`
}

func leftFiles(t bundle.Totals) (list []leftFile) {
	for _, f := range t.LeftFiles {
		list = append(list, leftFile(f))
	}
	return list
}

func newPackedImages(t bundle.Totals) (list []packedImage, referrers []referrer) {
	for _, img := range t.Images {
		if len(img.Of) > 0 {
			referrers = append(referrers, referrer{img.Of, img.Name, img.Type, img.Digest, img.Size})
			continue
		}
		p := packedImage{
			Name: img.Name, Origin: img.Origin, Kept: !img.DigestLost, Platforms: img.Platforms, Size: img.Size, Left: []left{},
		}
		if img.Digest != (image.Digest{}) {
			p.Digest = img.Digest.String()
		}
		for _, l := range img.Left {
			out := left{Digest: l.Desc.Digest, Reason: l.Reason}
			if l.Desc.Platform != nil {
				out.Platform = l.Desc.Platform.String()
			}
			p.Left = append(p.Left, out)
		}
		for _, l := range img.Lost {
			p.Lost = append(p.Lost, lost(l))
		}
		list = append(list, p)
	}
	return list, referrers
}

func printPackedImages(p *ui.Printer, images []packedImage) {
	var rows [][]string
	for _, img := range images {
		name := img.Name
		if name == "" {
			name = "<untagged>"
		}
		digest := img.Digest
		switch {
		case digest == "":
			digest = "known when packed"
		case !img.Kept:
			digest += " (registry digest not kept)"
		}
		rows = append(rows, []string{name, strings.Join(img.Platforms, " "), originName(img.Origin), ui.Size(img.Size), digest})
	}
	p.Table([]string{"IMAGE", "PLATFORMS", "FROM", "SIZE", "DIGEST"}, rows)
}

// originName is what people call a place.
func originName(transport string) string {
	switch transport {
	case "docker-daemon":
		return "engine"
	case "docker":
		return "registry"
	}
	return transport
}

// planAnswer is what --dry-run prints.
type planAnswer struct {
	Command   string        `json:"command"`
	Path      string        `json:"path"`
	Images    []packedImage `json:"images"`
	Referrers []referrer    `json:"referrers,omitempty"`
	Files     int           `json:"files,omitempty"` // that travel along
	LeftFiles []leftFile    `json:"filesLeftOut,omitempty"`
	Blobs     int           `json:"blobs"`
	Size      int64         `json:"size"` // of the blobs, each once, in bytes
	Estimate  bool          `json:"estimate"`
}

func newPlanAnswer(p *bundle.Plan, path string) planAnswer {
	images, referrers := newPackedImages(p.Totals)
	return planAnswer{"pack", path, images, referrers, p.Files, leftFiles(p.Totals), p.Blobs, p.Size, p.Estimate}
}

func (a planAnswer) Text(p *ui.Printer) {
	printPackedImages(p, a.Images)
	printReferrers(p, a.Referrers)
	size := "at most " + ui.Size(a.Size)
	if a.Estimate {
		size = "about " + ui.Size(a.Size) + " before compression, as the engine tells it"
	}
	p.Line("would write %s: %s, %s, %s; nothing has been written", a.Path, cargo(len(a.Images), len(a.Referrers), a.Files), ui.Plural(a.Blobs, "blob"), size)
}

// packAnswer is what pack has done.
type packAnswer struct {
	Command   string        `json:"command"`
	Path      string        `json:"path"` // empty for standard output
	Bundle    image.Digest  `json:"bundle"`
	SHA256    string        `json:"sha256"`   // of the file
	File      int64         `json:"fileSize"` // in bytes
	Images    []packedImage `json:"images"`
	Referrers []referrer    `json:"referrers,omitempty"`
	Files     int           `json:"files,omitempty"` // that travel along
	LeftFiles []leftFile    `json:"filesLeftOut,omitempty"`
	Blobs     int           `json:"blobs"`
	Size      int64         `json:"size"` // of the blobs, each once, in bytes
	Replaced  bool          `json:"replaced"`
	Verified  bool          `json:"verified"`
}

func newPackAnswer(s bundle.Summary, verified bool) packAnswer {
	images, referrers := newPackedImages(s.Totals)
	return packAnswer{
		"pack", s.Path, s.ID, s.SHA256, s.Size, images, referrers, s.Files, leftFiles(s.Totals), s.Blobs, s.Totals.Size, s.Replaced, verified,
	}
}

func (a packAnswer) Text(p *ui.Printer) {
	printPackedImages(p, a.Images)
	printReferrers(p, a.Referrers)
	did := "packed"
	if a.Verified {
		did = "packed and verified"
	}
	if a.Replaced {
		did += ", replacing an older file"
	}
	p.Line("%s: %s: %s, %s, bundle id %s", place(a.Path), did, cargo(len(a.Images), len(a.Referrers), a.Files), ui.Size(a.File), a.Bundle)
}
