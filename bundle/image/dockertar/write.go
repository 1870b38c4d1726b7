package dockertar

import (
	"archive/tar"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/google/go-containerregistry/pkg/v1/types"

	"airgap/bundle/image"
)

// Content is what Write puts into the stream for one image.
type Content struct {
	Dialect  Dialect
	Graph    *image.Graph
	Manifest image.Manifest // the one platform
	// Others are manifests that a reader of OCI's dialect may prefer.
	Others []image.Manifest
	// Name is what the stream calls the image; empty for nothing.
	Name string
	// Omit are layers that the reader of the stream has already.
	Omit map[image.Digest]bool
	// Late are layers that may reach the reader by another way meanwhile. Each
	// is asked after all other layers are written, may wait, and says whether
	// it did; if not, the layer is written. May be nil.
	Late map[image.Digest]func(context.Context) (there bool)
	// Open replaces from.Fetch for layers, and may give other bytes of another
	// size than the descriptor's, such as a layer uncompressed. May be nil.
	Open func(ctx context.Context, d image.Descriptor) (r io.ReadCloser, size int64, err error)
}

// Write streams an image. Layers come first and the documents
// that make them an image last, so that a stream that breaks off is none.
func Write(ctx context.Context, w io.Writer, c Content, from image.Fetcher) error {
	t := &writer{ctx: ctx, tar: tar.NewWriter(w), from: from, written: map[string]bool{}}
	layers := c.Manifest.Layers
	for _, m := range c.Others {
		layers = slices.Concat(layers, m.Layers)
	}
	for _, l := range layers {
		if !c.Omit[l.Digest] && c.Late[l.Digest] == nil {
			if err := t.layer(l, c.Open); err != nil {
				return err
			}
		}
	}
	for _, l := range layers {
		if there := c.Late[l.Digest]; there != nil && !there(ctx) {
			if err := t.layer(l, c.Open); err != nil {
				return err
			}
		}
	}
	var err error
	if c.Dialect == OCI {
		err = t.oci(c)
	} else {
		err = t.docker(c)
	}
	return errors.Join(err, t.tar.Close())
}

type writer struct {
	ctx     context.Context
	tar     *tar.Writer
	from    image.Fetcher
	written map[string]bool
}

// layer copies a layer; the second time a manifest lists it, it is there.
func (t *writer) layer(d image.Descriptor, open func(context.Context, image.Descriptor) (io.ReadCloser, int64, error)) error {
	if t.written[blobName(d.Digest)] {
		return nil
	}
	r, size, err := t.open(d, open)
	if err != nil {
		return err
	}
	defer r.Close()
	if err := t.header(blobName(d.Digest), size); err != nil {
		return err
	}
	if _, err := io.CopyBuffer(struct{ io.Writer }{t.tar}, struct{ io.Reader }{r}, make([]byte, 256<<10)); err != nil {
		return fmt.Errorf("layer %s: %w", d.Digest, err)
	}
	return nil
}

func (t *writer) open(d image.Descriptor, open func(context.Context, image.Descriptor) (io.ReadCloser, int64, error)) (io.ReadCloser, int64, error) {
	if open != nil {
		return open(t.ctx, d)
	}
	r, err := t.from.Fetch(t.ctx, d)
	return r, d.Size, err
}

func (t *writer) header(name string, size int64) error {
	t.written[name] = true
	return t.tar.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Size: size, Mode: 0o644})
}

func (t *writer) document(name string, raw []byte) error {
	if t.written[name] {
		return nil
	}
	if err := t.header(name, int64(len(raw))); err != nil {
		return err
	}
	_, err := t.tar.Write(raw)
	return err
}

func (t *writer) json(name string, v any) error {
	raw, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return t.document(name, raw)
}

// docker writes config and manifest.json.
func (t *writer) docker(c Content) error {
	config := c.Manifest.Config.Digest
	layers := []string{}
	for _, l := range c.Manifest.Layers {
		layers = append(layers, blobName(l.Digest))
	}
	type item struct {
		Config   string
		RepoTags []string
		Layers   []string
	}
	var names []string
	if c.Name != "" {
		names = []string{c.Name}
	}
	return errors.Join(
		t.document(blobName(config), c.Graph.Document(config)),
		t.json(dockerName, []item{{Config: blobName(config), RepoTags: names, Layers: layers}}))
}

// oci writes the documents from the platforms' configs up to the root, and
// index.json.
func (t *writer) oci(c Content) error {
	root := image.Descriptor{MediaType: c.Graph.Root.Desc.MediaType, Digest: c.Graph.Root.Desc.Digest, Size: c.Graph.Root.Desc.Size}
	if c.Name != "" {
		root.Annotations = map[string]string{annotationContainerd: c.Name, annotationOCI: c.Name}
	}
	for _, m := range append([]image.Manifest{c.Manifest}, c.Others...) {
		for _, d := range []image.Digest{m.Config.Digest, m.Desc.Digest} {
			if err := t.document(blobName(d), c.Graph.Document(d)); err != nil {
				return err
			}
		}
	}
	for _, d := range c.Graph.Indexes() {
		if err := t.document(blobName(d.Digest), c.Graph.Document(d.Digest)); err != nil {
			return err
		}
	}
	index := struct {
		SchemaVersion int                `json:"schemaVersion"`
		MediaType     types.MediaType    `json:"mediaType"`
		Manifests     []image.Descriptor `json:"manifests"`
	}{2, types.OCIImageIndex, []image.Descriptor{root}}
	return errors.Join(
		t.document(layoutName, []byte(`{"imageLayoutVersion":"1.0.0"}`)),
		t.json(indexName, index))
}

func blobName(d image.Digest) string { return blobPrefix + d.Hex }
