package storetest

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"

	"github.com/google/go-containerregistry/pkg/v1/types"

	"airgap/bundle/image"
)

// Many makes n small images, to see how work grows with their number: each has
// five layers of 1 to 4 KiB, of which the lowest is in all of them, the second
// in ten, and the others in no other. Ten images are the tags of one
// repository. Equal n and salt give equal images, and those of a smaller n are
// the first of a larger one.
func Many(n int, salt string) Fixture {
	b := &builder{Memory: NewMemory(), salt: salt}
	base := b.smallLayer("base")
	for i := 0; i < n; i += manyTags {
		runtime := b.smallLayer(fmt.Sprintf("runtime %d", i))
		for j := i; j < min(i+manyTags, n); j++ {
			layers := []Layer{base, runtime}
			for part := range 3 {
				layers = append(layers, b.smallLayer(fmt.Sprintf("image %d part %d", j, part)))
			}
			name := "docker.io/airgap-test/" + ManyName(salt, j)
			root := b.Manifest(Config{Platform: Host, Note: fmt.Sprintf("%s %d", salt, j)}, layers...)
			root.Platform = nil
			b.Name(name, root)
			b.names = append(b.names, name)
		}
	}
	return Fixture{Label: fmt.Sprintf("%d images", n), Images: b.Memory, Names: b.names}
}

// ManyName is the end of the name of the nth image of Many, from 0.
func ManyName(salt string, n int) string {
	return fmt.Sprintf("many-%05d:%s-%d", n/manyTags, salt, n%manyTags)
}

// manyTags is how many images share a repository in Many.
const manyTags = 10

// smallLayer makes a layer of one file that does not compress, of a size that
// follows from what it is.
func (b *builder) smallLayer(what string) Layer {
	random := rand.NewChaCha8(sha256.Sum256([]byte(b.salt + " " + what)))
	content := make([]byte, 1<<10+random.Uint64()%(3<<10))
	_, _ = random.Read(content) // never fails
	return b.Layer(Gzip, File{"srv/" + image.SHA256(content).Hex[:16], string(content)})
}

// WriteLayout writes the images of a fixture into a new folder as an OCI layout.
// It flushes nothing, so that thousands are there in no time.
func (f Fixture) WriteLayout(dir string) error {
	blobs := filepath.Join(dir, "blobs", "sha256")
	if err := os.MkdirAll(blobs, 0o755); err != nil {
		return err
	}
	for _, d := range f.Images.Digests() {
		if err := os.WriteFile(filepath.Join(blobs, d.Hex), f.Images.Bytes(d), 0o644); err != nil {
			return err
		}
	}
	index := struct {
		SchemaVersion int                `json:"schemaVersion"`
		MediaType     types.MediaType    `json:"mediaType"`
		Manifests     []image.Descriptor `json:"manifests"`
	}{SchemaVersion: 2, MediaType: types.OCIImageIndex}
	for _, name := range f.Names {
		root, _ := f.Images.Find(name)
		root.Annotations = map[string]string{"io.containerd.image.name": name, "org.opencontainers.image.ref.name": name}
		index.Manifests = append(index.Manifests, root)
	}
	raw, err := json.Marshal(index)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "oci-layout"), []byte(`{"imageLayoutVersion":"1.0.0"}`), 0o644); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "index.json"), raw, 0o644)
}
