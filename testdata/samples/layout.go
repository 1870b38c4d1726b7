package main

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
)

// The media types of the OCI image specification.
const (
	typeIndex    = "application/vnd.oci.image.index.v1+json"
	typeManifest = "application/vnd.oci.image.manifest.v1+json"
	typeConfig   = "application/vnd.oci.image.config.v1+json"
	typeLayer    = "application/vnd.oci.image.layer.v1.tar+gzip"
)

type descriptor struct {
	MediaType   string            `json:"mediaType"`
	Digest      string            `json:"digest"`
	Size        int               `json:"size"`
	Platform    *platform         `json:"platform,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

type platform struct {
	Architecture string `json:"architecture"`
	OS           string `json:"os"`
}

type manifest struct {
	SchemaVersion int          `json:"schemaVersion"`
	MediaType     string       `json:"mediaType"`
	Config        descriptor   `json:"config"`
	Layers        []descriptor `json:"layers"`
}

type index struct {
	SchemaVersion int          `json:"schemaVersion"`
	MediaType     string       `json:"mediaType"`
	Manifests     []descriptor `json:"manifests"`
}

type config struct {
	platform
	Created string    `json:"created"`
	Config  runConfig `json:"config"`
	RootFS  rootFS    `json:"rootfs"`
	History []history `json:"history"`
}

type runConfig struct {
	Env        []string          `json:"Env"`
	Cmd        []string          `json:"Cmd"`
	WorkingDir string            `json:"WorkingDir"`
	Labels     map[string]string `json:"Labels"`
}

type rootFS struct {
	Type    string   `json:"type"`
	DiffIDs []string `json:"diff_ids"`
}

type history struct {
	Created    string `json:"created"`
	CreatedBy  string `json:"created_by"`
	EmptyLayer bool   `json:"empty_layer,omitempty"`
}

// layout is an OCI image layout that is being written.
type layout struct {
	dir   string
	index index
}

func createLayout(dir string) (*layout, error) {
	if err := os.MkdirAll(filepath.Join(dir, "blobs", "sha256"), 0o755); err != nil {
		return nil, err
	}
	l := &layout{dir: dir, index: index{SchemaVersion: 2, MediaType: typeIndex}}
	return l, os.WriteFile(filepath.Join(dir, "oci-layout"), []byte(`{"imageLayoutVersion":"1.0.0"}`), 0o644)
}

// add writes a blob.
func (l *layout) add(mediaType string, b []byte) (descriptor, error) {
	sum := fmt.Sprintf("%x", sha256.Sum256(b))
	d := descriptor{MediaType: mediaType, Digest: "sha256:" + sum, Size: len(b)}
	return d, os.WriteFile(filepath.Join(l.dir, "blobs", "sha256", sum), b, 0o644)
}

func (l *layout) addJSON(mediaType string, v any) (descriptor, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return descriptor{}, err
	}
	return l.add(mediaType, b)
}

// addManifest adds an image of one platform that runs the program of its name.
func (l *layout) addManifest(arch, name string, layers []layer) (descriptor, error) {
	m := manifest{SchemaVersion: 2, MediaType: typeManifest}
	c := imageConfig(arch, name, layers)
	for _, one := range layers {
		b, err := one.compress()
		if err != nil {
			return descriptor{}, err
		}
		d, err := l.add(typeLayer, b)
		if err != nil {
			return descriptor{}, err
		}
		m.Layers = append(m.Layers, d)
	}
	var err error
	if m.Config, err = l.addJSON(typeConfig, c); err != nil {
		return descriptor{}, err
	}
	d, err := l.addJSON(typeManifest, m)
	d.Platform = &c.platform
	return d, err
}

func imageConfig(arch, name string, layers []layer) config {
	when := made.Format("2006-01-02T15:04:05Z")
	c := config{
		platform: platform{Architecture: arch, OS: "linux"},
		Created:  when,
		Config: runConfig{
			Env:        []string{"PATH=/usr/local/bin:/bin"},
			Cmd:        []string{"/usr/local/bin/" + name},
			WorkingDir: "/",
			Labels:     map[string]string{"org.opencontainers.image.version": version},
		},
		RootFS: rootFS{Type: "layers"},
	}
	for _, one := range layers {
		c.RootFS.DiffIDs = append(c.RootFS.DiffIDs, fmt.Sprintf("sha256:%x", sha256.Sum256(one.tar)))
		c.History = append(c.History, history{Created: when, CreatedBy: one.createdBy})
	}
	c.History = append(c.History, history{Created: when, CreatedBy: fmt.Sprintf("CMD [%q]", c.Config.Cmd[0]), EmptyLayer: true})
	return c
}

// addIndex names an image of several platforms.
func (l *layout) addIndex(name string, manifests []descriptor) error {
	d, err := l.addJSON(typeIndex, index{SchemaVersion: 2, MediaType: typeIndex, Manifests: manifests})
	d.Annotations = map[string]string{
		"io.containerd.image.name":          name,
		"org.opencontainers.image.ref.name": name,
	}
	l.index.Manifests = append(l.index.Manifests, d)
	return err
}

// writeIndex makes the images visible.
func (l *layout) writeIndex() error {
	b, err := json.Marshal(l.index)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(l.dir, "index.json"), b, 0o644)
}
