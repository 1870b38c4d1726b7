package vectors

import (
	"bytes"
	"slices"
	"strings"
	"sync"

	"github.com/google/go-containerregistry/pkg/v1/types"

	"airgap/bundle"
	"airgap/bundle/image"
	"airgap/bundle/store/storetest"
	"airgap/internal/forge"
)

// goodBundles are sound: all that the format has.
func (m *maker) goodBundles() {
	b := m.good("good", "an image of a gzip layer and a raw one", simple)
	m.one("good-plain", "the same in its plain form", b.Plain(), sound, "")
	b.Signature = []byte("-----BEGIN SSH SIGNATURE-----\nnobody looks at it yet\n-----END SSH SIGNATURE-----\n")
	m.one("good-signed", "with an entry airgap.json.sig", b.File(), sound, "")
	m.one("good-signed-plain", "with an entry airgap.json.sig, in its plain form", b.Plain(), sound, "")
	b.Signature = []byte{}
	m.one("good-signed-with-nothing", "with an airgap.json.sig of no bytes", b.File(), sound, "")

	m.good("good-untagged", "an image without a name", func(i *images) { i.name("", i.image(amd64, i.gzip("one"))) })
	m.good("good-names", "one image by three names, of which one has an underscore in its host and one a port", func(i *images) {
		d := i.image(amd64, i.gzip("one"))
		for _, name := range []string{"docker.io/team/sub/a:1", "my_host.internal/a:1", "Registry:5000/a:1"} {
			i.name(name, d)
		}
	})
	m.good("good-name-by-digest", "a name with a digest, beside one with a tag", func(i *images) {
		d := i.image(amd64, i.gzip("one"))
		i.name("docker.io/library/a@"+d.Digest.String(), d)
		i.name("docker.io/library/a:1", d)
	})
	m.good("good-platforms", "an index of two platforms with their attestations", func(i *images) {
		a, b := i.image(amd64, i.gzip("one")), i.image(arm64, i.gzip("two"))
		i.name("docker.io/library/a:1", i.Index(a, b, i.Attestation(a), i.Attestation(b)))
	})
	m.good("good-platform-left-out", "an index of which one platform is carried", func(i *images) {
		i.want = image.Platforms{List: []image.Platform{amd64}}
		i.name("docker.io/library/a:1", i.Index(i.image(amd64, i.gzip("one")), i.image(arm64, i.gzip("two"))))
	})
	m.good("good-child-twice", "an index that lists a manifest twice", func(i *images) {
		a := i.image(amd64, i.gzip("one"))
		i.name("docker.io/library/a:1", i.Index(a, a))
	})
	m.good("good-nested", "an index in an index, eight deep", func(i *images) {
		d := i.image(amd64, i.gzip("one"))
		for range 8 {
			d = i.Index(d)
		}
		i.name("docker.io/library/a:1", d)
	})
	m.good("good-no-common-platform", "two images without a platform in common: no manifest.json", func(i *images) {
		i.name("docker.io/library/a:1", i.image(amd64, i.gzip("one")))
		i.name("docker.io/library/b:1", i.image(arm64, i.gzip("two")))
	})
	m.good("good-other-platform", "two images with two platforms in common, neither linux/amd64", func(i *images) {
		windows := image.Platform{OS: "windows", Architecture: "amd64", OSVersion: "10.0.20348.2322"}
		for _, name := range []string{"a", "b"} {
			i.name("docker.io/library/"+name+":1", i.Index(i.image(windows, i.gzip("w"+name)), i.image(arm64, i.gzip("l"+name))))
		}
	})
	m.good("good-no-platform", "a config without os: no platform", func(i *images) {
		i.name("docker.io/library/a:1", i.image(image.Platform{Architecture: "amd64"}, i.gzip("one")))
	})
	m.good("good-platform-strings", "a config with everything in os that is, or is not, escaped in strings", func(i *images) {
		i.name("docker.io/library/a:1", i.image(image.Platform{OS: "\"<l>&\\\b\f\n\r\t\x00\x1f\x7f\u0080\u2028\u2029\ufffdü\U0001fae9", Architecture: "amd64"}, i.gzip("one")))
	})
	m.good("good-artifact", "an SBOM with a subject, beside its image; its config is no document", func(i *images) {
		d := i.image(amd64, i.gzip("one"))
		i.name("docker.io/library/a:1", d)
		i.name("", i.sbom(d))
	})
	m.good("good-only-artifact", "a cosign signature by its tag and nothing else: no manifest.json", func(i *images) {
		layer := i.Put("application/vnd.dev.cosign.simplesigning.v1+json", []byte(`{"critical":{}}`))
		config := i.PutJSON(types.OCIConfigJSON, map[string]any{"os": "", "architecture": "", "rootfs": map[string]any{"diff_ids": []string{layer.Digest.String()}}})
		tag := "sha256-" + layer.Digest.Hex + ".sig"
		i.name("docker.io/library/a:"+tag, i.PutJSON(types.OCIManifestSchema1, map[string]any{
			"schemaVersion": 2, "mediaType": types.OCIManifestSchema1, "config": config, "layers": []image.Descriptor{layer},
		}))
	})
	m.good("good-docker-types", "Docker's media types", func(i *images) {
		i.name("docker.io/library/a:1", i.Manifest(storetest.Config{Platform: amd64, Docker: true}, i.gzip("one")))
	})
	m.goodLayers()
	m.goodDocuments()
	m.goodFiles()
	m.goodFrames()
}

func (m *maker) goodLayers() {
	halves := func(pack func([]byte) []byte) func([]byte) []byte {
		return func(b []byte) []byte { return append(pack(b[:700]), pack(b[700:])...) }
	}
	m.good("good-layers", "layers of zstd, of several members and frames, with a skippable frame first, and empty ones", func(i *images) {
		skipped := func(b []byte) []byte { return append(forge.Skippable(3, "passed over"), forge.Frame(b)...) }
		i.name("docker.io/library/a:1", i.image(amd64,
			i.layer(types.OCILayerZStd, text("frame"), forge.Frame),
			i.layer(types.OCILayerZStd, text("frames"), halves(forge.Frame)),
			i.layer(types.OCILayerZStd, text("skippable"), skipped),
			i.layer(types.OCILayer, text("members"), halves(forge.Gzip)),
			i.layer(types.OCILayer, make([]byte, 1024), forge.Gzip),
			i.layer(types.OCIUncompressedLayer, nil, slices.Clone[[]byte])))
	})
	m.good("good-layer-not-as-it-says", "a raw layer that is called gzip", func(i *images) {
		i.name("docker.io/library/a:1", i.image(amd64, i.layer(types.OCILayer, text("one"), slices.Clone[[]byte])))
	})
	m.good("good-layer-twice", "a layer that an image has twice, and another image too", func(i *images) {
		l := i.gzip("one")
		i.name("docker.io/library/a:1", i.image(amd64, l, i.gzip("two"), l))
		i.name("docker.io/library/b:1", i.Manifest(storetest.Config{Platform: amd64, Note: "b"}, l))
	})
	m.good("good-no-layers", "an image without layers", func(i *images) { i.name("docker.io/library/a:1", i.image(amd64)) })
	m.good("good-one-config", "two images with one config: one element of manifest.json", func(i *images) {
		i.name("docker.io/library/a:1", i.image(amd64, i.gzip("one")))
		i.name("docker.io/library/b:1", i.image(amd64, i.raw("one")))
	})
}

func (m *maker) goodDocuments() {
	for _, c := range []struct{ name, about, old, changed string }{
		{"good-member-in-capitals", "a manifest with LAYERS for layers: found without regard to case", `"layers"`, `"LAYERS"`},
		{"good-labels-in-two-cases", "a config with labels that differ in case only", `"note":""`, `"note":"","NOTE":"","ﬀ":"","\u0001":"\u2028"`},
		{"good-members-that-unicode-folds", "a config with two members that only tables of Unicode take for one", `"os":"linux"`, `"os":"linux","É":1,"é":2`},
		{"good-white-space", "a manifest with white space around it", `{"config":`, "\n\t{ \"config\" :"},
		{"good-null", "a manifest with a member that is null: as if it were not there", `"schemaVersion"`, `"manifests":null,"schemaVersion"`},
		{"good-no-media-type", "a manifest that does not say its media type", `"mediaType":"application/vnd.oci.image.manifest.v1+json",`, ``},
	} {
		b := m.pack(simple)
		edit(c.old, c.changed)(b)
		m.one(c.name, c.about, b.File(), sound, "")
	}
	// What an index describes is not carried under media types of others: the root
	// may bear any.
	strange := types.MediaType("application/vnd.example+json;a=\"<b>&\\\u2028ü")
	m.good("good-strings", "a root's media type with everything that is, or is not, escaped in strings", func(i *images) {
		d := i.image(amd64, i.gzip("one"))
		raw := bytes.Replace(i.Bytes(d.Digest), []byte(`"mediaType":"application/vnd.oci.image.manifest.v1+json",`), nil, 1)
		d = i.Put(strange, raw)
		i.name("docker.io/library/a:1", d)
	})
}

func (m *maker) goodFiles() {
	names := []string{"-x", "a b/c", "a.b", "a/b", "ü/…" + strings.Repeat("/"+strings.Repeat("x", 255), 3)}
	b := m.pack(simple)
	d := addBlob(b, []byte("#!/bin/sh\n"))
	for i, name := range names {
		b.Manifest.Files = append(b.Manifest.Files, bundle.File{Name: name, Mode: []string{"0000", "0644", "0755", "0777", "0600"}[i], Digest: d})
	}
	b.Manifest.Requires = []string{"file-modes"}
	m.one("good-files", "files that travel along", b.File(), sound, "")

	b = m.pack(simple)
	d = addBlob(b, nil)
	yes, no := true, false
	b.Manifest.Files = []bundle.File{{Name: "a", Executable: &yes, Digest: d}, {Name: "b", Executable: &no, Digest: d}}
	m.one("good-files-executable", "files of bundles without the feature file-modes", b.File(), sound, "")

	b = m.pack(simple)
	b.Manifest.Files, b.Manifest.Requires = []bundle.File{{Name: "layer.tar", Mode: "0644", Digest: b.Manifest.Blobs[3].Digest}}, []string{"file-modes"}
	m.one("good-file-that-is-a-layer", "a file with the content of a layer: one blob", b.File(), sound, "")
}

// large is an image with a layer that has frames of its own, and of a size that
// little of is left in by compression.
func large(i *images) {
	i.name("docker.io/library/a:1", i.image(amd64, i.layer(types.OCILayer, make([]byte, 70*1024), forge.Gzip), i.gzip("one")))
}

func (m *maker) goodFrames() {
	b := m.pack(large)
	m.one("good-compressed-where-raw", "a gzip layer with frames of its own that are compressed: no writer's, and every reader's", b.File(), sound, "")
	b.Pack = asWritten
	m.one("good-raw-frames", "a gzip layer in raw frames, as writers write it", b.File(), sound, "")
	b = m.pack(simple)
	b.Pack = windowed
	m.one("good-windowed-frames", "frames with a window of 4 MiB and a content size of 8 bytes", b.File(), sound, "")

	content, err := large8GiB()
	m.fail(err)
	m.one("good-large-entry", "a file of 8 GiB, whose size stands in a PAX header", content, sound, "").Large = true
}

// large8GiB is a bundle with an entry of 8 GiB. Whatever is in one, its header is
// two; zeros are the cheapest.
var large8GiB = sync.OnceValues(func() ([]byte, error) {
	const size = 8 << 30
	m := &maker{}
	b := m.pack(simple)
	d := image.Digest{Algorithm: "sha256", Hex: zeros8GiB}
	entry := "blobs/sha256/" + d.Hex
	b.Manifest.Files, b.Manifest.Requires = []bundle.File{{Name: "large", Mode: "0644", Digest: d}}, []string{"file-modes"}
	b.Manifest.Blobs = append(b.Manifest.Blobs, bundle.Blob{Digest: d, Size: size, Stored: bundle.StoredAsIs, Entry: entry})
	b.Manifest.Entries = append(b.Manifest.Entries, bundle.Entry{Name: entry, Size: size, SHA256: d.Hex})
	b.Manifest.Size += size
	return b.Zeros(), m.err
})

// zeros8GiB is the sha256 of 8 GiB of zeros.
const zeros8GiB = "ebfb4ef19ae410f190327b5ebd312711263bc7579970e87d9c1e2d84e06b3c25"

// asWritten makes the frames that a writer has to make.
func asWritten(content []byte) []byte {
	if bytes.HasPrefix(content, []byte{0x1f, 0x8b}) {
		return forge.RawFrame(content)
	}
	return forge.Frame(content)
}

// windowed is a frame with everything in its header that it need not have.
func windowed(content []byte) []byte {
	frame := forge.Frame(content)
	header := []byte{0x28, 0xb5, 0x2f, 0xfd, 0xc4, 12 << 3, 0, 0, 0, 0, 0, 0, 0, 0}
	for i := range 8 {
		header[6+i] = byte(uint64(len(content)) >> (8 * i))
	}
	return append(header, frame[len(forge.FrameHeader(len(content))):]...)
}
