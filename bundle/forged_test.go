package bundle_test

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/types"

	"airgap/bundle"
	"airgap/bundle/image"
	"airgap/internal/forge"
	"airgap/internal/vectors"
)

// forged opens a sound bundle up for changes.
func forged(t *testing.T, fill func(p *place)) *forge.Bundle {
	t.Helper()
	p := newPlace()
	fill(p)
	f, err := forge.Open(packed(t, p, all, bundle.WriteOptions{}))
	if err != nil {
		t.Fatal(err)
	}
	f.Pack = forge.Compressed
	return f
}

// TestForged seals bundles that break one thing each: the hashes of the file
// are right, and still none is accepted, in either form.
func TestForged(t *testing.T) {
	replace := func(name, old, new string) func(f *forge.Bundle) {
		return func(f *forge.Bundle) {
			i := f.Entry(name)
			changed := strings.Replace(string(f.Contents[i]), old, new, 1)
			if changed == string(f.Contents[i]) {
				panic(fmt.Sprintf("%q does not occur in %s", old, name))
			}
			f.Contents[i] = []byte(changed)
			f.Resize()
		}
	}
	patch := func(name string, at int, b string) func(f *forge.Bundle) {
		return func(f *forge.Bundle) {
			f.Header = func(n string, h []byte) []byte {
				if n == name {
					copy(h[at:], b)
				}
				return h
			}
		}
	}
	cases := map[string]func(f *forge.Bundle){
		"index.json names another image":        replace("index.json", "library/a:1", "library/b:1"),
		"index.json twice the same":             replace("index.json", `"manifests":[`, `"manifests": [`),
		"manifest.json names another":           replace("manifest.json", "a:1", "b:1"),
		"manifest.json swaps config":            replace("manifest.json", `"Config":"blobs`, `"Config":"globs`),
		"oci-layout of another version":         replace("oci-layout", "1.0.0", "1.0.1"),
		"mode in a header":                      patch("index.json", 100, "0000755"),
		"time in a header":                      patch("index.json", 136, "00000000001"),
		"owner's name in a header":              patch("index.json", 265, "root"),
		"checksum in a header":                  patch("index.json", 148, "777777"),
		"other kind of entry":                   patch("index.json", 156, "2"),
		"time in the manifest's header":         patch("airgap.json", 136, "00000000001"),
		"bytes in padding":                      func(f *forge.Bundle) { f.Tar = func(b []byte) []byte { b[len(b)-1025] = 1; return b } },
		"bytes in the tar's end":                func(f *forge.Bundle) { f.Tar = func(b []byte) []byte { b[len(b)-1] = 1; return b } },
		"no end":                                func(f *forge.Bundle) { f.Tar = func(b []byte) []byte { return b[:len(b)-1024] } },
		"one block more":                        func(f *forge.Bundle) { f.Tar = func(b []byte) []byte { return append(b, make([]byte, 512)...) } },
		"another name in a header":              patch("index.json", 0, "Index.json"),
		"platform that the config does not say": func(f *forge.Bundle) { f.Manifest.Images[0].Manifests[0].Platform = "linux/arm64" },
		"diffID that the config does not say": func(f *forge.Bundle) {
			f.Manifest.Images[0].Manifests[0].DiffIDs[0] = image.SHA256([]byte("other"))
		},
		"config that the manifest does not say": func(f *forge.Bundle) {
			f.Manifest.Images[0].Manifests[0].Config = f.Manifest.Blobs[2].Digest
		},
		"media type of the root":     func(f *forge.Bundle) { f.Manifest.Images[0].Root.MediaType = types.DockerManifestSchema2 },
		"image without its manifest": func(f *forge.Bundle) { f.Manifest.Images[0].Manifests = nil },
		"blobs in another order": func(f *forge.Bundle) {
			m := f.Manifest
			n, last := len(m.Blobs), len(m.Entries)
			m.Blobs[n-1], m.Blobs[n-2] = m.Blobs[n-2], m.Blobs[n-1]
			m.Entries[last-1], m.Entries[last-2] = m.Entries[last-2], m.Entries[last-1]
			f.Contents[last-1], f.Contents[last-2] = f.Contents[last-2], f.Contents[last-1]
		},
		"blob that no image needs": func(f *forge.Bundle) {
			extra := []byte("extra")
			d := image.SHA256(extra)
			name := "blobs/sha256/" + d.Hex
			f.Manifest.Blobs = append(f.Manifest.Blobs, bundle.Blob{Digest: d, Stored: bundle.StoredAsIs, Entry: name, Size: 5})
			f.Manifest.Entries = append(f.Manifest.Entries, bundle.Entry{Name: name})
			f.Contents = append(f.Contents, extra)
			f.Resize()
		},
		"layer left out": func(f *forge.Bundle) {
			m := f.Manifest
			m.Blobs, m.Entries = m.Blobs[:len(m.Blobs)-1], m.Entries[:len(m.Entries)-1]
			f.Contents = f.Contents[:len(m.Entries)]
			f.Resize()
		},
		"layer of other bytes": func(f *forge.Bundle) {
			last := len(f.Contents) - 1
			f.Contents[last] = bytes.Repeat([]byte("x"), len(f.Contents[last]))
		},
		"no index.json": func(f *forge.Bundle) {
			f.Manifest.Entries, f.Contents = f.Manifest.Entries[3:], f.Contents[3:]
			f.Resize()
		},
		"no manifest.json": func(f *forge.Bundle) {
			f.Manifest.Entries, f.Contents = slices.Delete(f.Manifest.Entries, 2, 3), slices.Delete(f.Contents, 2, 3)
			f.Resize()
		},
	}
	onlyPacked := map[string]func(f *forge.Bundle){
		"frame with another behind it": func(f *forge.Bundle) {
			f.Frames = func(frames [][]byte) [][]byte {
				frames[1] = append(frames[1], 0x50, 0x2a, 0x4d, 0x18, 0, 0, 0, 0)
				return frames
			}
		},
		"cut elsewhere": func(f *forge.Bundle) {
			f.Cuts = func(cuts []int) []int { return append(cuts[:1:1], append([]int{cuts[1] - 512}, cuts[1:]...)...) }
		},
		"not cut": func(f *forge.Bundle) { f.Cuts = func(cuts []int) []int { return slices.Delete(cuts, 1, 2) } },
		"frame without a checksum": func(f *forge.Bundle) {
			f.Frames = func(frames [][]byte) [][]byte {
				frames[1][4] &^= 4
				frames[1] = frames[1][:len(frames[1])-4]
				return frames
			}
		},
	}
	fill := func(p *place) { p.name("docker.io/library/a:1", p.manifest(amd64, "", p.gzip(1, 600), p.raw(2, 100))) }
	if err := checked(t.Context(), forged(t, fill).File()); err != nil {
		t.Fatal("the forger's own work is not sound: ", err)
	}
	for name, change := range cases {
		t.Run(name, func(t *testing.T) {
			f := forged(t, fill)
			change(f)
			refused(t, "bundle", checked(t.Context(), f.File()))
			refused(t, "tar", checked(t.Context(), f.Plain()))
		})
	}
	for name, change := range onlyPacked {
		t.Run(name, func(t *testing.T) {
			f := forged(t, fill)
			change(f)
			refused(t, "bundle", checked(t.Context(), f.File()))
		})
	}
}

// FuzzManifest: what is accepted is encoded to the same bytes.
func FuzzManifest(f *testing.F) {
	seeds, err := vectors.Entries("{")
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range seeds {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		m, err := bundle.ParseManifest(raw)
		if err != nil {
			return
		}
		again, err := m.Encode()
		if err != nil || !bytes.Equal(again, raw) {
			t.Errorf("%q is encoded as %q, %v", raw, again, err)
		}
	})
}

// TestForgedDocuments are images whose documents two readers could read
// differently: they are sound as blobs, and still refused.
func TestForgedDocuments(t *testing.T) {
	for name, change := range map[string]func(manifest string) string{
		"key twice": func(s string) string {
			return strings.Replace(s, `"schemaVersion"`, `"schemaVersion":2,"schemaVersion"`, 1)
		},
		"key in another case": func(s string) string { return strings.Replace(s, `"schemaVersion"`, `"Layers":[],"schemaVersion"`, 1) },
		"index and manifest": func(s string) string {
			return strings.Replace(s, `"schemaVersion"`, `"manifests":[],"schemaVersion"`, 1)
		},
		"text behind":        func(s string) string { return s + "{}" },
		"another media type": func(s string) string { return strings.Replace(s, "image.manifest", "image.index", 1) },
		"digest in upper case": func(s string) string {
			i := strings.Index(s, "sha256:") + 7
			return s[:i] + strings.ToUpper(s[i:i+64]) + s[i+64:]
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlace()
			root := p.manifest(amd64, "", p.gzip(1, 600))
			changed := change(string(p.blobs[root.Digest]))
			p.name("docker.io/library/a:1", p.add(types.OCIManifestSchema1, []byte(changed)))
			_, err := bundle.NewPlan(t.Context(), []image.Set{p}, all)
			if err == nil || errors.Is(err, image.ErrNotFound) || !strings.Contains(err.Error(), "a:1") {
				t.Errorf("packing it: %v", err)
			}
		})
	}
}
