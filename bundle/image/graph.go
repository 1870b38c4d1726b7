package image

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/v1/types"
)

// Graph is what an image's documents say. It holds no layer bytes.
type Graph struct {
	Root Root
	// Manifests are those that are carried, in the order of the index.
	Manifests []Manifest
	// Left are the index's children that are not carried.
	Left []Left

	docs  map[Digest][]byte
	order []Descriptor     // documents and layers, in order of first use
	used  map[Digest]int64 // sizes of those in order
	seen  map[Digest]bool  // children of indexes that have been read

	listed []listing // the same as often as they are listed
}

// Manifest is one manifest of a graph with what its config says.
type Manifest struct {
	Desc   Descriptor
	Config Descriptor
	Layers []Descriptor
	// Image says that the config is an image's: Platform and DiffIDs are set, one
	// diffID per layer. Other manifests are artifacts (attestations among them),
	// which no engine runs.
	Image    bool
	Platform Platform
	DiffIDs  []Digest
}

// History is one entry of a config's history, as `docker history` shows it.
type History struct {
	Created    string `json:"created"`
	CreatedBy  string `json:"created_by"`
	Comment    string `json:"comment"`
	EmptyLayer bool   `json:"empty_layer"`
}

// Left is a child of an index that is not carried.
type Left struct {
	Desc   Descriptor
	Reason string
}

// Select chooses the children of an index that are carried.
type Select func(children []Descriptor) (keep []Descriptor, left []Left)

// Documents lists index, manifests and configs, each once, in order of first use.
func (g *Graph) Documents() []Descriptor {
	return slices.DeleteFunc(slices.Clone(g.order), func(d Descriptor) bool { return g.docs[d.Digest] == nil })
}

// Layers lists the layers and other content, each once, in order of first use.
func (g *Graph) Layers() []Descriptor {
	return slices.DeleteFunc(slices.Clone(g.order), func(d Descriptor) bool { return g.docs[d.Digest] != nil })
}

// Indexes lists the root and those below it that are indexes.
func (g *Graph) Indexes() []Descriptor {
	other := map[Digest]bool{}
	for _, m := range g.Manifests {
		other[m.Desc.Digest], other[m.Config.Digest] = true, true
	}
	return slices.DeleteFunc(g.Documents(), func(d Descriptor) bool { return other[d.Digest] })
}

// Document is the bytes of one of Documents, or nil.
func (g *Graph) Document(d Digest) []byte { return g.docs[d] }

// History is what the config of an image says of how it was built.
func (g *Graph) History(m Manifest) []History {
	var c struct {
		History []History `json:"history"`
	}
	if json.Unmarshal(g.docs[m.Config.Digest], &c) != nil || !m.Image {
		return nil
	}
	return c.History
}

// Platforms lists the platforms of the images carried, in order.
func (g *Graph) Platforms() []Platform {
	var list []Platform
	for _, m := range g.Manifests {
		if m.Image {
			list = append(list, m.Platform)
		}
	}
	return list
}

// For finds the first image manifest for a platform: see [MatchPlatform]. What a
// machine is given of several is for [Graph.Choices].
func (g *Graph) For(p Platform) (Manifest, bool) {
	for _, m := range g.Manifests {
		if m.Image && MatchPlatform(p, m.Platform) {
			return m, true
		}
	}
	return Manifest{}, false
}

// Offered lists the platforms that the image has, carried or not.
func (g *Graph) Offered() []Platform {
	list := g.Platforms()
	for _, l := range g.Left {
		if l.Desc.Platform != nil && l.Desc.Platform.OS != "unknown" {
			list = append(list, *l.Desc.Platform)
		}
	}
	return list
}

// Hollow lists the platforms that are left out because not all of them is there.
func (g *Graph) Hollow() []Platform {
	var list []Platform
	for _, l := range g.Left {
		if l.Reason == NotWhole && l.Desc.Platform != nil {
			list = append(list, *l.Desc.Platform)
		}
	}
	return list
}

// DropIncomplete leaves out those artifacts of an index (attestations) that
// have content which has says is not there.
func (g *Graph) DropIncomplete(has func(Descriptor) bool) {
	used := map[Digest]bool{}
	dropped := map[Digest]bool{}
	g.Manifests = slices.DeleteFunc(g.Manifests, func(m Manifest) bool {
		blobs := append([]Descriptor{m.Desc, m.Config}, m.Layers...)
		whole := m.Image || m.Desc.Digest == g.Root.Desc.Digest || !slices.ContainsFunc(blobs, func(d Descriptor) bool {
			return g.docs[d.Digest] == nil && !has(d)
		})
		for _, d := range blobs {
			used[d.Digest] = used[d.Digest] || whole
			dropped[d.Digest] = true
		}
		if !whole {
			g.Left = append(g.Left, Left{m.Desc, "attestation that is not complete"})
		}
		return !whole
	})
	g.order = slices.DeleteFunc(g.order, func(d Descriptor) bool { return dropped[d.Digest] && !used[d.Digest] })
}

// Label names the image in messages: its familiar name or its digest.
func (r Root) Label() string {
	if r.Name == "" {
		return r.Desc.Digest.String()
	}
	return Familiar(r.Name)
}

// Read reads the documents of one image: see [Library.Read].
func Read(ctx context.Context, from Fetcher, root Root, sel Select) (*Graph, error) {
	return NewLibrary().Read(ctx, from, root, sel)
}

// Read reads the documents below root and refuses what is not sound: media
// types that disagree, documents that are two things at once, configs whose
// layers are not the manifest's. Errors that wrap ErrNotFound name the image;
// attestations that are not complete are left out instead. A child that is
// listed twice is carried once. Layers are not read.
func (l *Library) Read(ctx context.Context, from Fetcher, root Root, sel Select) (*Graph, error) {
	g := &Graph{Root: root, docs: map[Digest][]byte{}, used: map[Digest]int64{}, seen: map[Digest]bool{}}
	r := &reading{Graph: g, library: l, from: from, sel: sel}
	if err := r.read(ctx, root.Desc, 0); err != nil {
		return nil, fmt.Errorf("image %q: %w", root.Label(), err)
	}
	return g, nil
}

// reading is a Graph that is being read.
type reading struct {
	*Graph
	library *Library
	from    Fetcher
	sel     Select
}

func (g *reading) read(ctx context.Context, d Descriptor, depth int) error {
	if depth > maxNesting {
		return fmt.Errorf("index %s: nested too deep", d.Digest)
	}
	doc, err := g.parsed(ctx, d)
	if err != nil {
		return err
	}
	if doc.Manifests == nil {
		return g.manifest(ctx, d, doc)
	}
	keep, left := g.sel(*doc.Manifests)
	if err := g.library.count(len(left)); err != nil {
		return err
	}
	for _, l := range left {
		g.leave(l.Desc, l.Reason)
	}
	for _, child := range keep {
		g.listed = append(g.listed, listing{child.Digest, child.Platform, depth > 0})
		if g.seen[child.Digest] {
			continue // it would be carried twice, or many times many
		}
		g.seen[child.Digest] = true
		_, isAttestation := attested(child, nil)
		used, manifests := len(g.order), len(g.Manifests)
		switch err := g.read(ctx, child, depth+1); {
		case isAttestation && errors.Is(err, ErrNotFound):
			g.forget(used)
			g.Manifests = g.Manifests[:manifests]
			g.leave(child, "attestation that is not complete")
		case err != nil:
			return err
		}
	}
	return nil
}

// leave notes a child that is not carried.
func (g *Graph) leave(d Descriptor, reason string) {
	d.Annotations, d.Data, d.URLs = nil, nil, nil
	g.Left = append(g.Left, Left{d, reason})
}

// forget takes back what has been used since there were n.
func (g *Graph) forget(n int) {
	for _, d := range g.order[n:] {
		delete(g.docs, d.Digest)
		delete(g.used, d.Digest)
	}
	g.order = g.order[:n]
}

func (g *reading) manifest(ctx context.Context, d Descriptor, doc *document) error {
	m := Manifest{Desc: d, Config: *doc.Config, Layers: doc.Layers}
	if err := g.library.count(2 + len(m.Layers)); err != nil {
		return err
	}
	for _, blob := range append([]Descriptor{m.Config}, m.Layers...) {
		if err := checkDescriptor(blob); err != nil {
			return fmt.Errorf("manifest %s: %w", d.Digest, err)
		}
	}
	if isImageConfig(m.Config.MediaType) {
		held, err := g.document(ctx, m.Config)
		if err != nil {
			return err
		}
		if err := m.readConfig(held); err != nil {
			return fmt.Errorf("config %s: %w", m.Config.Digest, err)
		}
	} else if err := g.use(m.Config); err != nil {
		return err
	}
	for _, l := range m.Layers {
		if err := g.use(l); err != nil {
			return err
		}
	}
	g.Manifests = append(g.Manifests, m)
	return nil
}

// use notes a blob at its first use. At others, its size must be the same.
func (g *Graph) use(d Descriptor) error {
	if size, known := g.used[d.Digest]; known {
		if size != d.Size {
			return fmt.Errorf("blob %s: is said to have %d bytes, and elsewhere %d", d.Digest, size, d.Size)
		}
		return nil
	}
	g.used[d.Digest] = d.Size
	g.order = append(g.order, bare(d))
	return nil
}

// bare is a descriptor without what is said of the blob beside what it is.
func bare(d Descriptor) Descriptor {
	d.Annotations, d.Platform, d.Data, d.ArtifactType = nil, nil, nil, ""
	return d
}

// document fetches a document and keeps it.
func (g *reading) document(ctx context.Context, d Descriptor) (*held, error) {
	h, err := g.library.document(ctx, g.from, d)
	if err != nil {
		return nil, err
	}
	g.docs[d.Digest] = h.raw
	return h, g.use(d)
}

// parsed is what an index or a manifest says. Of a manifest that is kept, since
// a graph needs it as long; an index only tells what to read next.
func (g *reading) parsed(ctx context.Context, d Descriptor) (*document, error) {
	if d.MediaType.IsSchema1() {
		return nil, errSchema1
	}
	h, err := g.document(ctx, d)
	if err != nil {
		return nil, err
	}
	doc := h.doc
	if doc == nil {
		if doc, err = parseDocument(h.raw, d); err != nil {
			return nil, err
		}
	}
	if err := doc.check(d); err != nil {
		return nil, err
	}
	if doc.Manifests == nil {
		h.doc = doc
	}
	return doc, nil
}

func (m *Manifest) readConfig(h *held) error {
	c := h.config
	if c == nil {
		var err error
		if c, err = parseConfig(h.raw); err != nil {
			return err
		}
	}
	// An attestation's config has no diffIDs of its layers, or repeats their
	// digests; its layers are in-toto statements, not file systems.
	if !isFileSystem(m.Layers) {
		return nil
	}
	if len(c.RootFS.DiffIDs) != len(m.Layers) {
		return fmt.Errorf("it has %d diffIDs for %d layers", len(c.RootFS.DiffIDs), len(m.Layers))
	}
	for _, id := range c.RootFS.DiffIDs {
		if err := CheckDigest(id); err != nil {
			return err
		}
	}
	h.config = c
	m.Image = true
	m.Platform = Platform{OS: c.OS, Architecture: c.Architecture, Variant: c.Variant, OSVersion: c.OSVersion}
	m.DiffIDs = c.RootFS.DiffIDs
	return nil
}

func isFileSystem(layers []Descriptor) bool {
	return !slices.ContainsFunc(layers, func(d Descriptor) bool { return !IsLayer(d.MediaType) })
}

// IsLayer says whether a media type is that of a file system layer.
func IsLayer(t types.MediaType) bool {
	switch t {
	case types.OCILayer, types.OCILayerZStd, types.OCIUncompressedLayer, types.OCIRestrictedLayer, types.OCIUncompressedRestrictedLayer,
		types.DockerLayer, types.DockerUncompressedLayer, types.DockerForeignLayer, MediaTypeDockerLayerZstd:
		return true
	}
	return false
}

// IsPacked says whether blobs of a media type are compressed already.
func IsPacked(t types.MediaType) bool {
	return strings.HasSuffix(string(t), "gzip") || strings.HasSuffix(string(t), "zstd")
}

// MediaTypeDockerLayerZstd is what some builders call a zstd layer.
const MediaTypeDockerLayerZstd types.MediaType = "application/vnd.docker.image.rootfs.diff.tar.zstd"

// ClassicManifest makes the manifest of an image whose engine has none, from
// its config and its layers, by the fixed recipe of FORMAT.md: equal config
// and layers give equal bytes on every machine.
func ClassicManifest(config Descriptor, layers []Descriptor) []byte {
	type descriptor struct {
		MediaType types.MediaType `json:"mediaType"`
		Digest    Digest          `json:"digest"`
		Size      int64           `json:"size"`
	}
	doc := struct {
		SchemaVersion int             `json:"schemaVersion"`
		MediaType     types.MediaType `json:"mediaType"`
		Config        descriptor      `json:"config"`
		Layers        []descriptor    `json:"layers"`
	}{2, types.OCIManifestSchema1, descriptor{types.OCIConfigJSON, config.Digest, config.Size}, []descriptor{}}
	for _, l := range layers {
		doc.Layers = append(doc.Layers, descriptor{l.MediaType, l.Digest, l.Size})
	}
	raw, err := json.Marshal(doc)
	if err != nil {
		panic(err) // strings and numbers always marshal
	}
	return bytes.TrimSpace(raw)
}
