package storetest

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"encoding/json"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/types"

	"airgap/bundle/image"
)

// Coding is how a layer's blob holds its tar.
type Coding int

const (
	Gzip Coding = iota
	Zstd
	Raw
)

// Layer is a layer that a Memory holds.
type Layer struct {
	Desc   image.Descriptor
	DiffID image.Digest
	Tar    []byte
}

// Put adds a blob.
func (m *Memory) Put(mediaType types.MediaType, b []byte) image.Descriptor {
	d := image.SHA256(b)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.blobs[d] = b
	return image.Descriptor{MediaType: mediaType, Digest: d, Size: int64(len(b))}
}

// PutJSON adds a document.
func (m *Memory) PutJSON(mediaType types.MediaType, v any) image.Descriptor {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // a mistake in a test
	}
	return m.Put(mediaType, b)
}

// Name makes a normalised name point to an image.
func (m *Memory) Name(name string, root image.Descriptor) {
	if err := image.CheckName(name, root.Digest); err != nil {
		panic(err) // a mistake in a test
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.names[name] = root
}

// File is a file of a layer.
type File struct{ Name, Content string }

// Layer adds a layer of real files; without any it is the empty layer of 1024
// zeros.
func (m *Memory) Layer(coding Coding, files ...File) Layer {
	raw := tarOf(files)
	l := Layer{DiffID: image.SHA256(raw), Tar: raw}
	switch coding {
	case Gzip:
		l.Desc = m.Put(types.OCILayer, gzipped(raw))
	case Zstd:
		l.Desc = m.Put(types.OCILayerZStd, zstded(raw))
	case Raw:
		l.Desc = m.Put(types.OCIUncompressedLayer, raw)
	}
	return l
}

func tarOf(files []File) []byte {
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, f := range files {
		h := &tar.Header{Typeflag: tar.TypeReg, Name: f.Name, Mode: 0o644, Size: int64(len(f.Content)), ModTime: time.Unix(1, 0), Format: tar.FormatUSTAR}
		if err := w.WriteHeader(h); err != nil {
			panic(err)
		}
		if _, err := w.Write([]byte(f.Content)); err != nil {
			panic(err)
		}
	}
	if err := w.Close(); err != nil {
		panic(err)
	}
	return buf.Bytes()
}

func gzipped(raw []byte) []byte {
	var buf bytes.Buffer
	w := gzip.NewWriter(&buf)
	if _, err := w.Write(raw); err != nil {
		panic(err)
	}
	if err := w.Close(); err != nil {
		panic(err)
	}
	return buf.Bytes()
}

// zstded wraps raw into one zstd frame of raw blocks (RFC 8878): valid for
// every decoder, made without an encoder.
func zstded(raw []byte) []byte {
	const maxBlock = 128 << 10
	out := binary.LittleEndian.AppendUint32(nil, 0xFD2FB528)
	out = append(out, 0xA0) // single segment, content size of 4 bytes, no checksum
	out = binary.LittleEndian.AppendUint32(out, uint32(len(raw)))
	for {
		n := min(len(raw), maxBlock)
		header := uint32(n) << 3
		if n == len(raw) {
			header |= 1
		}
		out = append(out, byte(header), byte(header>>8), byte(header>>16))
		out = append(out, raw[:n]...)
		if raw = raw[n:]; header&1 == 1 {
			return out
		}
	}
}

// Config says what a manifest made by [Memory.Manifest] is for.
type Config struct {
	Platform image.Platform
	Note     string // makes images with equal layers differ
	Docker   bool   // Docker's media types rather than OCI's
}

// Manifest adds an image's manifest and config; the descriptor bears the
// platform.
func (m *Memory) Manifest(c Config, layers ...Layer) image.Descriptor {
	ids, history, descs := []image.Digest{}, []image.History{}, []image.Descriptor{}
	for _, l := range layers {
		ids, descs = append(ids, l.DiffID), append(descs, dialect(l.Desc, c.Docker))
		history = append(history, image.History{Created: epoch, CreatedBy: "COPY " + l.DiffID.Hex[:8] + " /"})
	}
	says := map[string]any{
		"created": epoch, "os": c.Platform.OS, "architecture": c.Platform.Architecture, "variant": c.Platform.Variant,
		"config":  map[string]any{"Cmd": []string{"/srv/start"}, "Labels": map[string]string{"note": c.Note}},
		"rootfs":  map[string]any{"type": "layers", "diff_ids": ids},
		"history": history,
	}
	if c.Platform.OSVersion != "" {
		says["os.version"] = c.Platform.OSVersion
	}
	config := m.PutJSON(types.OCIConfigJSON, says)
	mediaType := types.OCIManifestSchema1
	if c.Docker {
		mediaType = types.DockerManifestSchema2
	}
	d := m.PutJSON(mediaType, map[string]any{
		"schemaVersion": 2, "mediaType": mediaType, "config": dialect(config, c.Docker), "layers": descs,
	})
	d.Platform = &c.Platform
	return d
}

const epoch = "1970-01-01T00:00:01Z"

func dialect(d image.Descriptor, docker bool) image.Descriptor {
	if docker {
		switch d.MediaType {
		case types.OCIConfigJSON:
			d.MediaType = types.DockerConfigJSON
		case types.OCILayer:
			d.MediaType = types.DockerLayer
		}
	}
	return d
}

// Index adds an index of children.
func (m *Memory) Index(children ...image.Descriptor) image.Descriptor {
	return m.PutJSON(types.OCIImageIndex, map[string]any{
		"schemaVersion": 2, "mediaType": types.OCIImageIndex, "manifests": children,
	})
}

// Attestation adds what BuildKit puts beside an image into an index.
func (m *Memory) Attestation(subject image.Descriptor) image.Descriptor {
	statement := m.Put("application/vnd.in-toto+json", []byte(`{"subject":"`+subject.Digest.Hex+`"}`))
	config := m.PutJSON(types.OCIConfigJSON, map[string]any{
		"os": "unknown", "architecture": "unknown", "rootfs": map[string]any{"type": "layers", "diff_ids": []image.Digest{statement.Digest}},
	})
	d := m.PutJSON(types.OCIManifestSchema1, map[string]any{
		"schemaVersion": 2, "mediaType": types.OCIManifestSchema1, "config": config, "layers": []image.Descriptor{statement},
	})
	d.Platform = &image.Platform{OS: "unknown", Architecture: "unknown"}
	d.Annotations = map[string]string{
		"vnd.docker.reference.type": "attestation-manifest", "vnd.docker.reference.digest": subject.Digest.String(),
	}
	return d
}
