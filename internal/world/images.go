//go:build linux

package world

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"path/filepath"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"airgap/bundle/image"
)

// days are the layouts that images are packed from: the same names have another
// image every day, but for the base of each, and db, which never changes.
var days = []string{"mon", "tue", "wed"}

// Names of images.
const (
	app = "docker.io/world/app:1"
	db  = "docker.io/world/db:1"
)

// makeDays writes them below dir, and gives the digest of every image by its day
// and name.
func makeDays(t testing.TB, dir string) map[string]map[string]string {
	t.Helper()
	made := map[string]map[string]string{}
	for i, day := range days {
		path, err := layout.Write(filepath.Join(dir, day), empty.Index)
		if err != nil {
			t.Fatal(err)
		}
		made[day] = map[string]string{}
		for name, own := range map[string]uint64{app: uint64(2 + i), db: 1} {
			img := makeImage(t, own)
			err := path.AppendImage(img, layout.WithAnnotations(map[string]string{"org.opencontainers.image.ref.name": name}))
			if err != nil {
				t.Fatal(err)
			}
			digest, err := img.Digest()
			if err != nil {
				t.Fatal(err)
			}
			made[day][name] = digest.String()
		}
	}
	return made
}

// makeImage is an image of two layers, of which one is its own. They do not
// compress, so that some volumes are needed for them.
func makeImage(t testing.TB, own uint64) v1.Image {
	t.Helper()
	p := image.HostPlatform()
	img, err := mutate.ConfigFile(mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON), &v1.ConfigFile{
		OS: p.OS, Architecture: p.Architecture, RootFS: v1.RootFS{Type: "layers"},
	})
	if err == nil {
		img, err = mutate.Append(img, layerOf(t, 0, 700<<10), layerOf(t, own, 500<<10))
	}
	if err != nil {
		t.Fatal(err)
	}
	return img
}

func layerOf(t testing.TB, seed uint64, size int) mutate.Addendum {
	t.Helper()
	content := make([]byte, size)
	_, _ = rand.NewChaCha8([32]byte{byte(seed)}).Read(content) // never fails
	var raw bytes.Buffer
	w := tar.NewWriter(&raw)
	err := w.WriteHeader(&tar.Header{Name: fmt.Sprintf("srv/%d", seed), Mode: 0o644, Size: int64(size)})
	if err == nil {
		_, err = w.Write(content)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	l, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(raw.Bytes())), nil
	}, tarball.WithMediaType(types.OCILayer))
	if err != nil {
		t.Fatal(err)
	}
	return mutate.Addendum{Layer: l, MediaType: types.OCILayer}
}
