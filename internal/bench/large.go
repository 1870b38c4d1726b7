package main

import (
	"archive/tar"
	"bufio"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"time"
)

// writeLarge writes an OCI layout of one image with a layer of that many bytes:
// a gzip file, as those of registries are, of one file that does not compress.
// Equal sizes give equal images.
func writeLarge(dir string, size int64) error {
	blobs := filepath.Join(dir, "blobs", "sha256")
	if err := os.MkdirAll(blobs, 0o755); err != nil {
		return err
	}
	layer, diffID, err := writeLayer(blobs, size)
	if err != nil {
		return err
	}
	config, err := writeDocument(blobs, map[string]any{
		"os": "linux", "architecture": runtime.GOARCH, "rootfs": map[string]any{"type": "layers", "diff_ids": []string{diffID}},
	})
	if err != nil {
		return err
	}
	config["mediaType"], layer["mediaType"] = "application/vnd.oci.image.config.v1+json", "application/vnd.oci.image.layer.v1.tar+gzip"
	const manifestType = "application/vnd.oci.image.manifest.v1+json"
	root, err := writeDocument(blobs, map[string]any{"schemaVersion": 2, "mediaType": manifestType, "config": config, "layers": []any{layer}})
	if err != nil {
		return err
	}
	root["mediaType"], root["annotations"] = manifestType, map[string]string{"org.opencontainers.image.ref.name": "docker.io/airgap-test/large:1"}
	index, err := json.Marshal(map[string]any{"schemaVersion": 2, "manifests": []any{root}})
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "oci-layout"), []byte(`{"imageLayoutVersion":"1.0.0"}`), 0o644); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "index.json"), index, 0o644)
}

// writeDocument writes a blob and gives its descriptor, without a media type.
func writeDocument(blobs string, v any) (map[string]any, error) {
	raw, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	sum := fmt.Sprintf("%x", sha256.Sum256(raw))
	return map[string]any{"digest": "sha256:" + sum, "size": len(raw)}, os.WriteFile(filepath.Join(blobs, sum), raw, 0o644)
}

// writeLayer writes the layer's blob, in one pass.
func writeLayer(blobs string, size int64) (descriptor map[string]any, diffID string, err error) {
	path := filepath.Join(blobs, "layer")
	f, err := os.Create(path)
	if err != nil {
		return nil, "", err
	}
	defer f.Close()
	packed, content := sha256.New(), sha256.New()
	out := bufio.NewWriterSize(f, 1<<20)
	z, err := gzip.NewWriterLevel(io.MultiWriter(out, packed), gzip.NoCompression)
	if err != nil {
		return nil, "", err
	}
	t := tar.NewWriter(io.MultiWriter(z, content))
	random := rand.NewChaCha8([32]byte{1})
	h := &tar.Header{Typeflag: tar.TypeReg, Name: "srv/large", Mode: 0o644, Size: size, ModTime: time.Unix(1, 0)}
	if err = t.WriteHeader(h); err == nil {
		_, err = io.CopyN(t, random, size)
	}
	for _, end := range []func() error{t.Close, z.Close, out.Flush, f.Close} {
		if err == nil {
			err = end()
		}
	}
	if err != nil {
		return nil, "", err
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, "", err
	}
	d := digest(packed)
	return map[string]any{"digest": "sha256:" + d, "size": info.Size()}, "sha256:" + digest(content), os.Rename(path, filepath.Join(blobs, d))
}

func digest(h hash.Hash) string { return hex.EncodeToString(h.Sum(nil)) }
