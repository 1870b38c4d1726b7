package image

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/google/go-containerregistry/pkg/v1/types"
)

// ReadDocument reads a whole blob of at most MaxDocument bytes. It verifies what
// it gets once more: everything else follows from documents.
func ReadDocument(ctx context.Context, from Fetcher, d Descriptor) ([]byte, error) {
	if err := checkDescriptor(d); err != nil {
		return nil, err
	}
	if d.Size > MaxDocument {
		return nil, fmt.Errorf("document %s has %d bytes: %w (at most %d)", d.Digest, d.Size, errTooLarge, MaxDocument)
	}
	r, err := from.Fetch(ctx, d)
	if err != nil {
		return nil, err
	}
	r = NewReader(r, d)
	defer r.Close()
	return io.ReadAll(r)
}

func checkDescriptor(d Descriptor) error {
	if err := CheckDigest(d.Digest); err != nil {
		return err
	}
	if d.Size < 0 {
		return fmt.Errorf("blob %s: negative size", d.Digest)
	}
	return nil
}

// document is an index or a manifest, whichever its keys make it.
type document struct {
	SchemaVersion int             `json:"schemaVersion"`
	MediaType     types.MediaType `json:"mediaType"`
	Manifests     *[]Descriptor   `json:"manifests"`
	Config        *Descriptor     `json:"config"`
	Layers        []Descriptor    `json:"layers"`
	FSLayers      json.RawMessage `json:"fsLayers"`
	Subject       *Descriptor     `json:"subject"`

	// Only their types matter here: ReferrerOf reads them.
	ArtifactType string            `json:"artifactType"`
	Annotations  map[string]string `json:"annotations"`
}

// decode reads a document, which is an object.
func decode(raw []byte, into any) error {
	if err := CheckJSON(raw); err != nil {
		return err
	}
	if !bytes.HasPrefix(bytes.TrimLeft(raw, " \t\r\n"), []byte("{")) {
		return errors.New("it is no JSON object")
	}
	return json.Unmarshal(raw, into)
}

// parseDocument reads an index or a manifest. Of what a manifest consists of it
// keeps only what a graph is about.
func parseDocument(raw []byte, d Descriptor) (*document, error) {
	var doc document
	if err := decode(raw, &doc); err != nil {
		return nil, fmt.Errorf("document %s: %w", d.Digest, err)
	}
	if doc.FSLayers != nil || doc.SchemaVersion == 1 {
		return nil, errSchema1
	}
	doc.FSLayers, doc.Annotations = nil, nil
	for i, l := range doc.Layers {
		doc.Layers[i] = bare(l)
	}
	if doc.Config != nil {
		*doc.Config = bare(*doc.Config)
	}
	return &doc, nil
}

// check compares a document with its descriptor.
func (doc *document) check(d Descriptor) error {
	isIndex, isManifest := doc.Manifests != nil, doc.Config != nil || doc.Layers != nil
	switch {
	case doc.MediaType != "" && d.MediaType != "" && doc.MediaType != d.MediaType:
		return fmt.Errorf("document %s: says it is %q, its descriptor says %q", d.Digest, doc.MediaType, d.MediaType)
	case isIndex == isManifest:
		return fmt.Errorf("document %s is not either an index or a manifest", d.Digest)
	case isIndex && len(*doc.Manifests) > MaxChildren:
		return fmt.Errorf("index %s has %d manifests, at most %d are allowed", d.Digest, len(*doc.Manifests), MaxChildren)
	case isManifest && doc.Config == nil:
		return fmt.Errorf("manifest %s has no config", d.Digest)
	case isIndex && d.MediaType.IsImage(), isManifest && d.MediaType.IsIndex():
		return fmt.Errorf("document %s: is not the %q that its descriptor says", d.Digest, d.MediaType)
	}
	if doc.Subject != nil {
		if err := checkDescriptor(*doc.Subject); err != nil {
			return fmt.Errorf("subject of document %s: %w", d.Digest, err)
		}
	}
	if !isIndex {
		return nil
	}
	for _, child := range *doc.Manifests { // those that are left out as well
		if err := checkDescriptor(child); err != nil {
			return fmt.Errorf("index %s: %w", d.Digest, err)
		}
	}
	return nil
}

var errSchema1 = errors.New("it is of the old schema 1, which has no digests for its layers: pull and push it with a current Docker")

func isImageConfig(t types.MediaType) bool {
	return t == types.DockerConfigJSON || t == types.OCIConfigJSON
}

// config is the part of an image's config that airgap relies on.
type config struct {
	OS           string `json:"os"`
	Architecture string `json:"architecture"`
	Variant      string `json:"variant"`
	OSVersion    string `json:"os.version"`
	RootFS       struct {
		DiffIDs []Digest `json:"diff_ids"`
	} `json:"rootfs"`
}

func parseConfig(raw []byte) (*config, error) {
	c := new(config)
	return c, decode(raw, c)
}
