package bundle

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/v1/types"

	"airgap/bundle/image"
)

// contents is what the bundle of some images holds, apart from the bytes of
// their layers: it follows from the images' documents alone, so that writer
// and verifier make it by the same rules.
type contents struct {
	manifest *Manifest
	raw      []byte             // the manifest's bytes, when it is to be written
	derived  [][]byte           // content of the entries that are not blobs
	blobs    []image.Descriptor // in the order of the entries
	graphs   []*image.Graph     // sorted as the manifest's images
}

// newContents derives manifest and documents. The order of graphs does not
// matter; graphs of one root under several names are several graphs.
// The content of files is told of by size.
func newContents(graphs []*image.Graph, files []File, size func(image.Digest) int64) (*contents, error) {
	graphs = slices.Clone(graphs)
	slices.SortStableFunc(graphs, compareGraphs)
	graphs = slices.CompactFunc(graphs, func(a, b *image.Graph) bool { return compareGraphs(a, b) == 0 })
	c := &contents{manifest: &Manifest{Format: Format, Files: []File{}, Blobs: []Blob{}}, graphs: graphs}
	c.manifest.Files = append(c.manifest.Files, files...)
	for _, g := range graphs {
		c.manifest.Images = append(c.manifest.Images, newImage(g))
	}
	c.manifest.Requires = c.manifest.required()
	if err := c.addDerived(); err != nil {
		return nil, err
	}
	if err := c.addBlobs(size); err != nil {
		return nil, err
	}
	for _, e := range c.manifest.Entries {
		c.manifest.Size += e.Size
	}
	return c, errors.Join(c.manifest.checkUses(), c.manifest.check())
}

func compareGraphs(a, b *image.Graph) int {
	return cmp.Or(strings.Compare(a.Root.Name, b.Root.Name), strings.Compare(a.Root.Desc.Digest.Hex, b.Root.Desc.Digest.Hex))
}

func newImage(g *image.Graph) Image {
	img := Image{Name: g.Root.Name, Root: newRef(g.Root.Desc), Manifests: []ImageManifest{}}
	for _, m := range g.Manifests {
		im := ImageManifest{Manifest: m.Desc.Digest, Config: m.Config.Digest, DiffIDs: m.DiffIDs}
		if m.Image {
			im.Platform = m.Platform.String()
		}
		if im.DiffIDs == nil {
			im.DiffIDs = []image.Digest{}
		}
		img.Manifests = append(img.Manifests, im)
	}
	return img
}

func newRef(d image.Descriptor) Ref { return Ref{d.MediaType, d.Digest, d.Size} }

// addBlobs lists manifests and configs of all images, then their layers, then
// the files, each once, in order of first use. All have to agree on its size.
func (c *contents) addBlobs(size func(image.Digest) int64) (err error) {
	seen := map[image.Digest]int64{}
	add := func(list []image.Descriptor) {
		for _, d := range list {
			if size, known := seen[d.Digest]; known {
				if size != d.Size {
					err = fmt.Errorf("blob %s: is said to have %d bytes, and elsewhere %d", d.Digest, size, d.Size)
				}
				continue
			}
			seen[d.Digest] = d.Size
			name := blobPrefix + d.Digest.Hex
			c.blobs = append(c.blobs, d)
			c.manifest.Blobs = append(c.manifest.Blobs, Blob{d.Digest, d.Size, StoredAsIs, name})
			c.manifest.Entries = append(c.manifest.Entries, Entry{name, d.Size, d.Digest.Hex})
		}
	}
	for _, g := range c.graphs {
		add(g.Documents())
	}
	for _, g := range c.graphs {
		add(g.Layers())
	}
	for _, f := range c.manifest.Files {
		add([]image.Descriptor{{Digest: f.Digest, Size: size(f.Digest)}})
	}
	return err
}

func (c *contents) addDerived() error {
	index, err := ociIndex(c.graphs)
	if err != nil {
		return err
	}
	docs := []struct {
		name    string
		content []byte
	}{
		{layoutName, []byte(`{"imageLayoutVersion":"1.0.0"}`)},
		{indexName, index},
	}
	if platform, ok := dockerPlatform(c.graphs); ok {
		list, err := dockerManifest(c.graphs, platform)
		if err != nil {
			return err
		}
		docs = append(docs, struct {
			name    string
			content []byte
		}{dockerName, list})
	}
	for _, d := range docs {
		c.derived = append(c.derived, d.content)
		c.manifest.Entries = append(c.manifest.Entries, Entry{d.name, int64(len(d.content)), image.SHA256(d.content).Hex})
	}
	return nil
}

// ociIndex is index.json: one descriptor per image, an index nested. Both
// annotations hold the whole normalised name, for containerd and for others.
func ociIndex(graphs []*image.Graph) ([]byte, error) {
	type annotations struct {
		Containerd string `json:"io.containerd.image.name"`
		OCI        string `json:"org.opencontainers.image.ref.name"`
	}
	type descriptor struct {
		Ref
		Annotations *annotations `json:"annotations,omitempty"`
	}
	index := struct {
		SchemaVersion int             `json:"schemaVersion"`
		MediaType     types.MediaType `json:"mediaType"`
		Manifests     []descriptor    `json:"manifests"`
	}{SchemaVersion: 2, MediaType: types.OCIImageIndex}
	size := 0
	for _, g := range graphs {
		if size += 2 * len(g.Root.Name); size > MaxDerived {
			return nil, fmt.Errorf("%s is over the limit of %d bytes", indexName, MaxDerived)
		}
		d := descriptor{Ref: newRef(g.Root.Desc)}
		if g.Root.Name != "" {
			d.Annotations = &annotations{g.Root.Name, g.Root.Name}
		}
		index.Manifests = append(index.Manifests, d)
	}
	return encodeJSON(index, nil)
}

// dockerPlatform is the platform that manifest.json speaks of: one that every
// image has, linux/amd64 before the first by name. Artifacts do not count.
func dockerPlatform(graphs []*image.Graph) (string, bool) {
	count, images := map[string]int{}, 0
	for _, g := range graphs {
		if g.IsArtifact() {
			continue
		}
		images++
		var names []string
		for _, p := range g.Platforms() {
			names = append(names, p.String())
		}
		slices.Sort(names)
		for _, name := range slices.Compact(names) {
			count[name]++
		}
	}
	var common []string
	for name, n := range count {
		if n == images {
			common = append(common, name)
		}
	}
	const preferred = "linux/amd64"
	switch {
	case len(common) == 0:
		return "", false
	case slices.Contains(common, preferred):
		return preferred, true
	}
	return slices.Min(common), true
}

// dockerManifest is manifest.json of `docker save`: one item per config, with
// all the tags that it has.
func dockerManifest(graphs []*image.Graph, platform string) ([]byte, error) {
	type item struct {
		Config   string
		RepoTags []string
		Layers   []string
	}
	var list []*item
	at, layers := map[image.Digest]*item{}, 0 // by config
	for _, g := range graphs {
		if g.IsArtifact() {
			continue
		}
		i := slices.IndexFunc(g.Manifests, func(m image.Manifest) bool { return m.Image && m.Platform.String() == platform })
		if i < 0 {
			return nil, fmt.Errorf("image %q has no %s", g.Root.Label(), platform)
		}
		m := g.Manifests[i]
		it := at[m.Config.Digest]
		if it == nil {
			if layers += len(m.Layers); layers*pathLength > MaxDerived {
				return nil, fmt.Errorf("%s is over the limit of %d bytes", dockerName, MaxDerived)
			}
			it = &item{Config: blobPrefix + m.Config.Digest.Hex, Layers: layerPaths(m.Layers)}
			at[m.Config.Digest], list = it, append(list, it)
		}
		// Engines that read this document know no names by digest.
		if tagged, _, _, _ := image.Pin(g.Root.Name); tagged != "" {
			it.RepoTags = append(it.RepoTags, image.Familiar(tagged))
		}
	}
	return encodeJSON(list, nil)
}

// pathLength is that of a blob's name in manifest.json.
const pathLength = len(blobPrefix) + 64 + len(`"",`)

func layerPaths(layers []image.Descriptor) []string {
	paths := []string{}
	for _, l := range layers {
		paths = append(paths, blobPrefix+l.Digest.Hex)
	}
	return paths
}
