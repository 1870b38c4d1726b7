//go:build linux

package world

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/klauspost/compress/zstd"
)

// Bundle is what a pack has put together. Equal ones are one.
type Bundle struct {
	ID     string            // as airgap calls it
	SHA256 string            // of the whole file
	Day    string            // the layout that the images are from
	Images map[string]string // digests by name
	Files  map[string]string // of files that travel along: mode and sum by name
}

func (b *Bundle) String() string {
	if b == nil {
		return "nothing"
	}
	var names []string
	for _, name := range slices.Sorted(maps.Keys(b.Images)) {
		names = append(names, strings.TrimPrefix(name, "docker.io/world/"))
	}
	text := fmt.Sprintf("%s's %s", b.Day, strings.Join(names, "+"))
	if len(b.Files) > 0 {
		text += fmt.Sprintf(" with %d files", len(b.Files))
	}
	return text
}

// hex is the bundle's id as footers of volumes have it.
func (b *Bundle) hex() string { return strings.TrimPrefix(b.ID, "sha256:") }

// Kind is what a file is.
type Kind string

// The kinds. Everything that airgap did not write is Foreign.
const (
	Foreign Kind = "foreign"
	Whole   Kind = "whole"
	Volume  Kind = "volume"
	Parity  Kind = "parity"
	Sums    Kind = "sums"
	Debris  Kind = "what a killed airgap was writing"
)

// Content is what the bytes of a file are.
type Content struct {
	Kind    Kind
	Bundle  *Bundle
	Cut     int    // of Volume and Parity: the step that made it; 0 of parity for a whole file, which is always the same
	Name    string // of Volume and Parity: what the whole file was called then; of Debris: see owner
	Number  int    // of Volume
	Of      int    // of Volume and Parity: how many volumes the cut has; 0: it is not cut
	Damaged bool   // it was this, until somebody damaged it
}

func (c *Content) String() string {
	switch {
	case c == nil:
		return "nothing"
	case c.Damaged:
		sound := *c
		sound.Damaged = false
		return "damaged " + sound.String()
	case c.Kind == Volume:
		return fmt.Sprintf("volume %d of %d of %q, step %d, %s", c.Number, c.Of, c.Name, c.Cut, c.Bundle)
	case c.Kind == Parity && c.Cut == 0:
		return fmt.Sprintf("parity of %q, whole, %s", c.Name, c.Bundle)
	case c.Kind == Parity:
		return fmt.Sprintf("parity of %q, step %d, %s", c.Name, c.Cut, c.Bundle)
	case c.Kind == Whole:
		return c.Bundle.String()
	}
	return string(c.Kind)
}

// sound says that a content is a whole kind and not damaged.
func (c *Content) sound(k Kind) bool { return c != nil && c.Kind == k && !c.Damaged }

// is says that a content is of a kind, damaged or not.
func (c *Content) is(kinds ...Kind) bool { return c != nil && slices.Contains(kinds, c.Kind) }

// proveBundle reads a bundle with plain tools, as it were: it holds its images,
// each under its name, blob by blob, and its files.
func proveBundle(raw []byte, b *Bundle) error {
	dec, err := zstd.NewReader(bytes.NewReader(raw))
	if err != nil {
		return err
	}
	defer dec.Close()
	entries := map[string][]byte{}
	for archive := tar.NewReader(dec); ; {
		h, err := archive.Next()
		if err == io.EOF {
			break
		}
		if err == nil {
			entries[h.Name], err = io.ReadAll(archive)
		}
		if err != nil {
			return err
		}
	}
	names, err := readLayout(func(name string) ([]byte, error) {
		if content, ok := entries[name]; ok {
			return content, nil
		}
		return nil, fmt.Errorf("no entry %q", name)
	})
	switch {
	case err != nil:
		return err
	case !maps.Equal(names, b.Images):
		return fmt.Errorf("it holds %v, expected %v", names, b.Images)
	}
	return proveFiles(entries, b)
}

// proveFiles compares the files that travel along in a bundle.
func proveFiles(entries map[string][]byte, b *Bundle) error {
	var manifest struct {
		Files []struct{ Name, Mode, Digest string }
	}
	if err := json.Unmarshal(entries["airgap.json"], &manifest); err != nil {
		return err
	}
	found := map[string]string{}
	for _, f := range manifest.Files {
		content := entries["blobs/"+strings.Replace(f.Digest, ":", "/", 1)]
		if f.Digest != "sha256:"+sum(content) {
			return fmt.Errorf("file %q has other bytes", f.Name)
		}
		found[f.Name] = f.Mode + " " + sum(content)
	}
	if !maps.Equal(found, b.Files) {
		return fmt.Errorf("it holds the files %v, expected %v", found, b.Files)
	}
	return nil
}

// descriptor is as much of one as is needed.
type descriptor struct {
	Digest      string            `json:"digest"`
	Size        int               `json:"size"`
	Annotations map[string]string `json:"annotations"`
}

// readLayout reads an OCI layout and proves every blob of it that an image needs.
// It gives the digests by name.
func readLayout(read func(name string) ([]byte, error)) (map[string]string, error) {
	raw, err := read("index.json")
	if err != nil {
		return nil, err
	}
	var index struct{ Manifests []descriptor }
	if err := json.Unmarshal(raw, &index); err != nil {
		return nil, err
	}
	names := map[string]string{}
	for _, d := range index.Manifests {
		name := d.Annotations["io.containerd.image.name"]
		if name == "" {
			name = d.Annotations["org.opencontainers.image.ref.name"]
		}
		if names[name] != "" && names[name] != d.Digest {
			return nil, fmt.Errorf("%q stands for two images", name)
		}
		names[name] = d.Digest
		if err := proveImage(read, d); err != nil {
			return nil, fmt.Errorf("image %q: %w", name, err)
		}
	}
	return names, nil
}

// proveImage proves the blobs of an image of one platform.
func proveImage(read func(name string) ([]byte, error), root descriptor) error {
	raw, err := blob(read, root)
	if err != nil {
		return err
	}
	var manifest struct {
		Config descriptor
		Layers []descriptor
	}
	if err := json.Unmarshal(raw, &manifest); err != nil {
		return err
	}
	if manifest.Config.Digest == "" || len(manifest.Layers) == 0 {
		return errors.New("its manifest has no config or no layers")
	}
	for _, d := range append(manifest.Layers, manifest.Config) {
		if _, err := blob(read, d); err != nil {
			return err
		}
	}
	return nil
}

func blob(read func(name string) ([]byte, error), d descriptor) ([]byte, error) {
	raw, err := read("blobs/" + strings.Replace(d.Digest, ":", "/", 1))
	if err == nil && (len(raw) != d.Size || "sha256:"+sum(raw) != d.Digest) {
		err = fmt.Errorf("blob %s has other bytes", d.Digest)
	}
	return raw, err
}

func sum(b []byte) string { return fmt.Sprintf("%x", sha256.Sum256(b)) }
