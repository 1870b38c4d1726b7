// Package dockertar is the tar dialect of engines and archives, read and
// written in one place: what `docker save` and `docker load` exchange, and OCI
// layouts in a tar.
//
// [Read] takes a stream in whatever order its writer chose, and re-reads
// nothing: content goes to an image.Put as it comes, small documents are kept.
// [Write] makes a stream for one image from blobs that verify themselves.
//
// A stream that is not sound (cut short, entries twice, names that leave the
// archive, layers that are not what the config says) is an error about the
// image or the entry. Nothing in it is ever a path of this machine.
package dockertar

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/v1/types"

	"airgap/bundle/image"
)

// Dialect is which of a stream's documents decide. An archive may hold those of
// both, and they may disagree.
type Dialect int

const (
	// Docker: manifest.json decides, as on Docker's classic store. It keeps no
	// manifests, so these are made by image.ClassicManifest.
	Docker Dialect = iota
	// OCI: index.json decides; manifests and digests are those of the source.
	OCI
)

// Names of the documents.
const (
	dockerName = "manifest.json"
	layoutName = "oci-layout"
	indexName  = "index.json"
	blobPrefix = "blobs/sha256/"
)

// Annotations of index.json that hold a name, the one to prefer first.
const (
	annotationContainerd = "io.containerd.image.name"
	annotationOCI        = "org.opencontainers.image.ref.name"
)

// maxDocuments bounds the documents of a stream that are kept, in bytes.
const maxDocuments = 64 << 20

// Archive is what a stream held.
type Archive struct {
	Images []Image
	at     map[image.Digest]int // places in Images
	docs   map[image.Digest][]byte
}

// Image is an image of an archive.
type Image struct {
	Names []string // normalised; none for an untagged image
	Desc  image.Descriptor
}

// Documents lists those that Fetch gives.
func (a *Archive) Documents() []image.Digest { return slices.Collect(maps.Keys(a.docs)) }

// Find finds an image by its root.
func (a *Archive) Find(root image.Digest) (img Image, ok bool) {
	if i, ok := a.at[root]; ok {
		return a.Images[i], true
	}
	return Image{}, false
}

// Fetch gives the archive's documents; everything else went to Put.
func (a *Archive) Fetch(_ context.Context, d image.Descriptor) (io.ReadCloser, error) {
	raw, ok := a.docs[d.Digest]
	if !ok {
		return nil, fmt.Errorf("document %s: %w in the archive", d.Digest, image.ErrNotFound)
	}
	return image.NewReader(io.NopCloser(bytes.NewReader(raw)), d), nil
}

// Read reads a stream to its end and hands its blobs to put.
func Read(ctx context.Context, r io.Reader, dialect Dialect, put image.Put) (*Archive, error) {
	s, err := scan(ctx, r, put)
	if err != nil {
		return nil, err
	}
	a := &Archive{at: map[image.Digest]int{}, docs: map[image.Digest][]byte{}}
	if dialect == OCI {
		err = a.resolveOCI(s)
	} else {
		err = a.resolveDocker(s)
	}
	return a, err
}

// resolveOCI takes the images of index.json.
func (a *Archive) resolveOCI(s *scanner) error {
	var index struct {
		Manifests []image.Descriptor `json:"manifests"`
	}
	if err := s.document(indexName, &index); err != nil {
		return err
	}
	for name, b := range s.blobs {
		hex, ok := strings.CutPrefix(name, blobPrefix)
		if ok && hex != b.digest.Hex {
			return fmt.Errorf("entry %q: its bytes have the digest %s", name, b.digest)
		}
		if raw, isDoc := s.docs[name]; isDoc && ok {
			a.docs[b.digest] = raw
		}
	}
	for _, d := range index.Manifests {
		names, err := ociNames(d)
		if err != nil {
			return err
		}
		d.Annotations, d.Platform = nil, nil
		a.add(names, d)
	}
	return nil
}

// ociNames reads a name from the annotations of containerd and of OCI layouts.
// What is a tag alone names nothing, and neither does another image's digest.
func ociNames(d image.Descriptor) ([]string, error) {
	for _, key := range []string{annotationContainerd, annotationOCI} {
		name := d.Annotations[key]
		if !strings.ContainsAny(name, "/:") {
			continue
		}
		full, err := image.Normalize(name)
		if err != nil {
			return nil, err
		}
		if tagged, _, digest, pinned := image.Pin(full); pinned && digest != d.Digest {
			return image.Names(tagged), nil
		}
		return image.Names(full), nil
	}
	return nil, nil
}

func (a *Archive) add(names []string, d image.Descriptor) {
	i, known := a.at[d.Digest]
	if !known {
		i = len(a.Images)
		a.at[d.Digest] = i
		a.Images = append(a.Images, Image{Desc: d})
	}
	a.Images[i].Names = append(a.Images[i].Names, names...)
}

// resolveDocker takes the images of manifest.json.
func (a *Archive) resolveDocker(s *scanner) error {
	var list []struct {
		Config   string
		RepoTags []string
		Layers   []string
	}
	if err := s.document(dockerName, &list); err != nil {
		return err
	}
	for _, item := range list {
		label := item.Config
		if len(item.RepoTags) > 0 {
			label = item.RepoTags[0]
		}
		d, err := a.classic(s, item.Config, item.Layers)
		if err != nil {
			return fmt.Errorf("image %q: %w", label, err)
		}
		var names []string
		for _, tag := range item.RepoTags {
			name, err := image.Normalize(tag)
			if err != nil {
				return err
			}
			if tagged, _, _, _ := image.Pin(name); tagged != "" { // a digest is not that of the manifest made here
				names = append(names, tagged)
			}
		}
		a.add(names, d)
	}
	return nil
}

// classic makes the manifest of an image that has only config and layers.
func (a *Archive) classic(s *scanner, configName string, layerNames []string) (image.Descriptor, error) {
	raw, ok := s.docs[path.Clean(configName)]
	if !ok {
		return image.Descriptor{}, fmt.Errorf("config %q: %w in the archive", configName, image.ErrNotFound)
	}
	diffIDs, err := configDiffIDs(raw)
	if err != nil {
		return image.Descriptor{}, fmt.Errorf("config %q: %w", configName, err)
	}
	if len(diffIDs) != len(layerNames) {
		return image.Descriptor{}, fmt.Errorf("%d layers for %d diffIDs", len(layerNames), len(diffIDs))
	}
	var layers []image.Descriptor
	for i, name := range layerNames {
		b, err := s.blob(name)
		if err != nil {
			return image.Descriptor{}, err
		}
		if b.coding == "" && b.digest != diffIDs[i] {
			return image.Descriptor{}, fmt.Errorf("layer %q has the diffID %s, the config says %s", name, b.digest, diffIDs[i])
		}
		layers = append(layers, image.Descriptor{MediaType: types.OCIUncompressedLayer + types.MediaType(b.coding), Digest: b.digest, Size: b.size})
	}
	config := a.keep(types.OCIConfigJSON, raw)
	return a.keep(types.OCIManifestSchema1, image.ClassicManifest(config, layers)), nil
}

func (a *Archive) keep(t types.MediaType, raw []byte) image.Descriptor {
	d := image.Descriptor{MediaType: t, Digest: image.SHA256(raw), Size: int64(len(raw))}
	a.docs[d.Digest] = raw
	return d
}

func configDiffIDs(raw []byte) ([]image.Digest, error) {
	var config struct {
		RootFS struct {
			DiffIDs []image.Digest `json:"diff_ids"`
		} `json:"rootfs"`
	}
	err := errors.Join(image.CheckJSON(raw), json.Unmarshal(raw, &config))
	return config.RootFS.DiffIDs, err
}
