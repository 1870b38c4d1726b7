package main

import (
	"cmp"
	"fmt"
	"strings"

	"airgap/bundle"
	"airgap/bundle/image"
	"airgap/cmd/airgap/internal/ui"
	"airgap/verify"
)

// inspectAnswer is what inspect has found out.
type inspectAnswer struct {
	Command   string           `json:"command"`
	Path      string           `json:"path,omitempty"` // of a bundle
	File      int64            `json:"fileSize,omitempty"`
	Bundle    string           `json:"bundle,omitempty"` // its id
	Format    int              `json:"format,omitempty"`
	Signature verify.Signature `json:"signature,omitempty"`
	Blobs     int              `json:"blobs,omitempty"`
	Size      int64            `json:"size,omitempty"` // of the blobs, each once, in bytes
	Images    []inspectedImage `json:"images"`
	// What belongs to the images.
	Referrers []referrer      `json:"referrers,omitempty"`
	Files     []inspectedFile `json:"files,omitempty"`
}

// inspectedFile is a file that travels with the images.
type inspectedFile struct {
	Name   string       `json:"name"`
	Mode   string       `json:"mode"` // permission bits in octal
	Digest image.Digest `json:"digest"`
	Size   int64        `json:"size"` // in bytes
}

// addFiles lists the files of a bundle.
func (a *inspectAnswer) addFiles(m *bundle.Manifest) {
	sizes := map[image.Digest]int64{}
	for _, b := range m.Blobs {
		sizes[b.Digest] = b.Size
	}
	for _, f := range m.Files {
		a.Files = append(a.Files, inspectedFile{f.Name, fmt.Sprintf("%04o", f.Perm()), f.Digest, sizes[f.Digest]})
	}
}

// printFiles prints a table, if there are any.
func (a *inspectAnswer) printFiles(p *ui.Printer) {
	if len(a.Files) == 0 {
		return
	}
	p.Line("")
	var rows [][]string
	for _, f := range a.Files {
		rows = append(rows, []string{f.Name, f.Mode, ui.Size(f.Size), f.Digest.String()})
	}
	p.Table([]string{"FILE", "MODE", "SIZE", "DIGEST"}, rows)
}

// inspectedImage is an image with its platforms.
type inspectedImage struct {
	Name      string              `json:"name"`
	Digest    string              `json:"digest,omitempty"` // of its root
	MediaType string              `json:"mediaType,omitempty"`
	Platforms []inspectedPlatform `json:"platforms"`
	Left      []left              `json:"leftOut,omitempty"`
}

// inspectedPlatform is one manifest of an image.
type inspectedPlatform struct {
	Platform string           `json:"platform"` // empty for an artifact
	Manifest string           `json:"manifest,omitempty"`
	ID       string           `json:"id,omitempty"` // image ID in a classic engine: the config's digest
	Size     int64            `json:"size"`         // of manifest, config and layers, in bytes
	Count    int              `json:"layerCount"`
	Layers   []inspectedLayer `json:"layers,omitempty"`
}

// inspectedLayer is a layer, or an instruction of the build that made none.
type inspectedLayer struct {
	Digest    string   `json:"digest,omitempty"`
	DiffID    string   `json:"diffID,omitempty"`
	Size      int64    `json:"size"`                     // in bytes; -1 when an engine does not tell
	Share     float64  `json:"share"`                    // of its image's size, 0 to 1
	Shared    []string `json:"sharedWith,omitempty"`     // other images that have it, the first maxShared of them
	More      int      `json:"sharedWithMore,omitempty"` // how many more there are
	CreatedBy string   `json:"createdBy"`
	Empty     bool     `json:"empty,omitempty"`
}

func describeGraph(name string, g *image.Graph) inspectedImage {
	img := inspectedImage{Name: name, Digest: g.Root.Desc.Digest.String(), MediaType: string(g.Root.Desc.MediaType)}
	for _, m := range g.Manifests {
		img.Platforms = append(img.Platforms, describeManifest(m, g.History(m)))
	}
	for _, l := range g.Left {
		out := left{Digest: l.Desc.Digest, Reason: l.Reason}
		if l.Desc.Platform != nil {
			out.Platform = l.Desc.Platform.String()
		}
		img.Left = append(img.Left, out)
	}
	return img
}

func describeReferrer(of []string, g *image.Graph) referrer {
	what, _ := g.Referrer()
	r := referrer{Of: of, Name: image.Familiar(g.Root.Name), Type: what.Entry.ArtifactType, Digest: g.Root.Desc.Digest}
	for _, d := range append(g.Documents(), g.Layers()...) {
		r.Size += d.Size
	}
	return r
}

func describeManifest(m image.Manifest, history []image.History) inspectedPlatform {
	p := inspectedPlatform{Manifest: m.Desc.Digest.String(), Size: m.Desc.Size + m.Config.Size, Count: len(m.Layers)}
	for _, l := range m.Layers {
		p.Size += l.Size
	}
	if m.Image {
		p.Platform, p.ID = m.Platform.String(), m.Config.Digest.String()
	}
	for _, h := range history {
		if h.EmptyLayer {
			p.Layers = append(p.Layers, inspectedLayer{CreatedBy: h.CreatedBy, Empty: true})
		} else if n := layers(p.Layers); n < len(m.Layers) {
			p.Layers = append(p.Layers, describeLayer(m, n, h.CreatedBy))
		}
	}
	for n := layers(p.Layers); n < len(m.Layers); n++ { // a history that is too short, or none
		p.Layers = append(p.Layers, describeLayer(m, n, ""))
	}
	return p.withShares()
}

// layers counts those that are not empty.
func layers(list []inspectedLayer) (n int) {
	for _, l := range list {
		if !l.Empty {
			n++
		}
	}
	return n
}

func describeLayer(m image.Manifest, n int, createdBy string) inspectedLayer {
	l := inspectedLayer{Digest: m.Layers[n].Digest.String(), Size: m.Layers[n].Size, CreatedBy: createdBy}
	if n < len(m.DiffIDs) {
		l.DiffID = m.DiffIDs[n].String()
	}
	return l
}

func describeEstimate(e image.Estimate) inspectedImage {
	p := inspectedPlatform{Platform: e.Platform.String(), Size: e.Size, Count: len(e.Layers)}
	if e.ID != (image.Digest{}) {
		p.ID = e.ID.String()
	}
	for _, l := range e.Layers {
		p.Layers = append(p.Layers, inspectedLayer{DiffID: l.DiffID.String(), Size: l.Size, CreatedBy: l.CreatedBy})
	}
	img := inspectedImage{Name: image.Familiar(e.Name), Platforms: []inspectedPlatform{p.withShares()}}
	if e.Digest != (image.Digest{}) {
		img.Digest = e.Digest.String()
	}
	if img.Name == "" {
		img.Name = untagged(cmp.Or(e.Digest, e.ID))
	}
	return img
}

func (p inspectedPlatform) withShares() inspectedPlatform {
	for i := range p.Layers {
		if p.Size > 0 && p.Layers[i].Size > 0 {
			p.Layers[i].Share = float64(p.Layers[i].Size) / float64(p.Size)
		}
	}
	return p
}

// maxShared is how many images are named that share a layer: a base of thousands
// would be named with each of them, thousands of times.
const maxShared = 10

// share notes on every layer which other images have it. A layer is the same
// if its content is, whether it is compressed or not.
func (a *inspectAnswer) share() {
	type use struct{ layer, image string }
	seen, users := map[use]bool{}, map[string][]string{}
	a.eachLayer(func(img *inspectedImage, l *inspectedLayer) {
		if u := (use{l.key(), img.Name}); !l.Empty && !seen[u] {
			seen[u] = true
			users[u.layer] = append(users[u.layer], img.Name)
		}
	})
	a.eachLayer(func(img *inspectedImage, l *inspectedLayer) {
		if l.Empty {
			return
		}
		all := users[l.key()]
		for _, name := range all[:min(len(all), maxShared+1)] {
			if name != img.Name && len(l.Shared) < maxShared {
				l.Shared = append(l.Shared, name)
			}
		}
		l.More = len(all) - 1 - len(l.Shared)
	})
}

// sharedWith names the images that have a layer too, as far as they are told of.
func (l *inspectedLayer) sharedWith() string {
	text := strings.Join(l.Shared, " ")
	if l.More > 0 {
		text += fmt.Sprintf(" and %d more", l.More)
	}
	return text
}

func (l *inspectedLayer) key() string {
	if l.DiffID != "" {
		return l.DiffID
	}
	return l.Digest
}

func (a *inspectAnswer) eachLayer(do func(*inspectedImage, *inspectedLayer)) {
	for i := range a.Images {
		for j := range a.Images[i].Platforms {
			for k := range a.Images[i].Platforms[j].Layers {
				do(&a.Images[i], &a.Images[i].Platforms[j].Layers[k])
			}
		}
	}
}

func (a *inspectAnswer) dropLayers() {
	for i := range a.Images {
		for j := range a.Images[i].Platforms {
			a.Images[i].Platforms[j].Layers = nil
		}
	}
}

// Text prints a table of the platforms, then the layers of each.
func (a *inspectAnswer) Text(p *ui.Printer) {
	var rows [][]string
	for _, img := range a.Images {
		for _, pl := range img.Platforms {
			rows = append(rows, []string{img.Name, platformName(pl), ui.Count(pl.Count), ui.Size(pl.Size), img.Digest, pl.ID})
		}
	}
	p.Table([]string{"IMAGE", "PLATFORM", "LAYERS", "SIZE", "DIGEST", "ID"}, rows)
	printReferrers(p, a.Referrers)
	a.printFiles(p)
	for _, img := range a.Images {
		for _, pl := range img.Platforms {
			printLayers(p, img.Name, pl)
		}
		for _, l := range img.Left {
			p.Line("%s: without %s: %s", img.Name, strings.TrimSpace(l.Platform+" "+l.Digest.String()), l.Reason)
		}
	}
	printSignature(p, a.Signature)
	if a.Bundle != "" {
		p.Line("%s: %s in %s of %s, file of %s, bundle id %s", a.Path, cargo(len(a.Images), len(a.Referrers), len(a.Files)), ui.Plural(a.Blobs, "blob"), ui.Size(a.Size), ui.Size(a.File), a.Bundle)
	}
}

func platformName(p inspectedPlatform) string {
	if p.Platform == "" {
		return "(artifact)"
	}
	return p.Platform
}

func printLayers(p *ui.Printer, name string, pl inspectedPlatform) {
	if len(pl.Layers) == 0 {
		return
	}
	p.Line("")
	p.Line("%s %s", name, platformName(pl))
	var rows [][]string
	for _, l := range pl.Layers {
		id, size, share := strings.TrimPrefix(l.key(), "sha256:"), ui.Size(l.Size), ui.Percent(l.Size, pl.Size)
		switch {
		case l.Empty:
			id = ""
		case l.Size < 0:
			size, share = "?", "?"
		}
		rows = append(rows, []string{id[:min(12, len(id))], size, share, l.sharedWith(), instruction(l.CreatedBy)})
	}
	p.Table([]string{"LAYER", "SIZE", "SHARE", "ALSO IN", "CREATED BY"}, rows)
}

// shell is what builders put before the command of a RUN.
const shell = "/bin/sh -c "

// instruction shortens what a builder noted to what its author wrote.
func instruction(createdBy string) string {
	s := strings.TrimSpace(createdBy)
	if i := strings.Index(s, shell); strings.HasPrefix(s, "|") && i > 0 {
		s = s[i:] // build arguments stand before it
	}
	if rest, ok := strings.CutPrefix(s, shell+"#(nop)"); ok {
		s = strings.TrimSpace(rest)
	} else if rest, ok := strings.CutPrefix(s, shell); ok {
		s = "RUN " + rest
	}
	s = strings.Join(strings.Fields(strings.TrimSuffix(s, "# buildkit")), " ")
	const most = 100
	if text := []rune(s); len(text) > most {
		return string(text[:most-1]) + "…"
	}
	return s
}
