package vectors

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/v1/types"

	"airgap/bundle"
	"airgap/bundle/image"
	"airgap/bundle/store/storetest"
	"airgap/internal/forge"
)

// maker collects vectors. The first error stays.
type maker struct {
	list []made
	err  error
}

func (m *maker) fail(err error) {
	if m.err == nil && err != nil {
		m.err = err
	}
}

// Exit statuses that vectors have.
const (
	sound   = 0
	newer   = 1
	failed  = 1
	damaged = 3
	wrong   = 4
)

// one adds a vector of one file. All readers say the same.
func (m *maker) one(name, about string, content []byte, code int, phrase string) *Vector {
	file := "bundle.tar.zst"
	if !bytes.HasPrefix(content, []byte{0x28, 0xb5, 0x2f, 0xfd}) {
		file = "bundle.tar"
	}
	m.list = append(m.list, made{
		Vector{Name: name, About: about, Arg: file, Verify: code, Inspect: code, Serve: code, Unpack: code, Reader: code, Phrase: phrase},
		map[string][]byte{file: content},
	})
	return &m.list[len(m.list)-1].Vector
}

// images are what bundles of vectors are made of.
type images struct {
	*storetest.Memory
	roots []image.Root
	want  image.Platforms
}

// name gives an image a name; empty for none.
func (i *images) name(name string, d image.Descriptor) {
	d.Platform, d.Annotations = nil, nil
	i.roots = append(i.roots, image.Root{Name: name, Desc: d, Origin: "memory"})
}

var (
	amd64 = image.Platform{OS: "linux", Architecture: "amd64"}
	arm64 = image.Platform{OS: "linux", Architecture: "arm64", Variant: "v8"}
)

// text is a layer's tar, of one small file.
func text(content string) []byte {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: "text", Mode: 0o644, Size: int64(len(content)), Format: tar.FormatUSTAR})
	if err == nil {
		_, err = w.Write([]byte(content))
	}
	if err != nil || w.Close() != nil {
		panic(err) // nothing of it can fail in memory
	}
	return b.Bytes()
}

// layer adds a layer as pack makes it of its tar.
func (i *images) layer(mediaType types.MediaType, raw []byte, pack func([]byte) []byte) storetest.Layer {
	return storetest.Layer{Desc: i.Put(mediaType, pack(raw)), DiffID: image.SHA256(raw), Tar: raw}
}

func (i *images) gzip(content string) storetest.Layer {
	return i.layer(types.OCILayer, text(content), forge.Gzip)
}

func (i *images) raw(content string) storetest.Layer {
	return i.layer(types.OCIUncompressedLayer, text(content), slices.Clone[[]byte])
}

func (i *images) image(p image.Platform, layers ...storetest.Layer) image.Descriptor {
	return i.Manifest(storetest.Config{Platform: p}, layers...)
}

// sbom is an artifact with a subject.
func (i *images) sbom(subject image.Descriptor) image.Descriptor {
	return i.PutJSON(types.OCIManifestSchema1, map[string]any{
		"schemaVersion": 2, "mediaType": types.OCIManifestSchema1, "artifactType": "application/spdx+json", "subject": subject,
		"config": i.Put(types.OCIEmptyJSON, []byte(`{}`)), "layers": []image.Descriptor{i.Put("application/spdx+json", []byte(`{"spdxVersion":"SPDX-2.3"}`))},
	})
}

// rooted is a set of images with roots of ours.
type rooted struct {
	image.Set
	roots []image.Root
}

func (r rooted) Roots() []image.Root { return r.roots }

// pack makes a bundle of images. Where they would not be packed, it is made of
// others and changed.
func (m *maker) pack(fill func(i *images)) *forge.Bundle {
	i := &images{Memory: storetest.NewMemory(), want: image.Platforms{All: true}}
	fill(i)
	set, err := i.Open(context.Background(), nil, image.Platforms{})
	m.fail(err)
	file, err := forge.Pack(context.Background(), rooted{set, i.roots}, i.want)
	m.fail(err)
	b, err := forge.Open(file)
	if err != nil {
		m.fail(err)
		return &forge.Bundle{Manifest: &bundle.Manifest{}}
	}
	return b
}

// simple is the image that most sins are committed on.
func simple(i *images) {
	i.name("docker.io/library/a:1", i.image(amd64, i.gzip("one"), i.raw("two")))
}

// bad adds a bundle with one sin.
func (m *maker) bad(name, about, phrase string, sin func(b *forge.Bundle)) *Vector {
	return m.badOf(simple, name, about, phrase, sin)
}

func (m *maker) badOf(fill func(i *images), name, about, phrase string, sin func(b *forge.Bundle)) *Vector {
	b := m.pack(fill)
	sin(b)
	return m.one(name, about, b.File(), damaged, phrase)
}

// badTar adds one in its plain form.
func (m *maker) badTar(name, about, phrase string, sin func(b *forge.Bundle)) *Vector {
	b := m.pack(simple)
	sin(b)
	return m.one(name, about, b.Plain(), damaged, phrase)
}

// good adds a sound bundle.
func (m *maker) good(name, about string, fill func(i *images)) *forge.Bundle {
	b := m.pack(fill)
	m.one(name, about, b.File(), sound, "")
	return b
}

// addBlob adds a blob behind all others.
func addBlob(b *forge.Bundle, content []byte) image.Digest {
	d := image.SHA256(content)
	entry := "blobs/sha256/" + d.Hex
	b.Manifest.Blobs = append(b.Manifest.Blobs, bundle.Blob{Digest: d, Size: int64(len(content)), Stored: bundle.StoredAsIs, Entry: entry})
	b.Manifest.Entries = append(b.Manifest.Entries, bundle.Entry{Name: entry})
	b.Contents = append(b.Contents, content)
	b.Resize()
	return d
}

// blob is the index among the blobs of the one that has text in it.
func blob(b *forge.Bundle, text string) int {
	derived := len(b.Contents) - len(b.Manifest.Blobs)
	i := slices.IndexFunc(b.Contents[derived:], func(c []byte) bool { return bytes.Contains(c, []byte(text)) })
	if i < 0 {
		panic(fmt.Sprintf("%q is in no blob", text)) // a mistake here
	}
	return i
}

// change gives a document other bytes, and all that refer to it the new digest:
// what is wrong then is only what it says.
func change(b *forge.Bundle, i int, content []byte) {
	derived := len(b.Contents) - len(b.Manifest.Blobs)
	old := &b.Manifest.Blobs[i]
	was, now := old.Digest, image.SHA256(content)
	before := []string{
		fmt.Sprintf(`"size":%d,"digest":"sha256:%s"`, old.Size, was.Hex), fmt.Sprintf(`"digest":"sha256:%s","size":%d`, was.Hex, old.Size), was.Hex,
	}
	after := []string{
		fmt.Sprintf(`"size":%d,"digest":"sha256:%s"`, len(content), now.Hex), fmt.Sprintf(`"digest":"sha256:%s","size":%d`, now.Hex, len(content)), now.Hex,
	}
	*old = bundle.Blob{Digest: now, Size: int64(len(content)), Stored: bundle.StoredAsIs, Entry: "blobs/sha256/" + now.Hex}
	b.Contents[derived+i], b.Manifest.Entries[derived+i].Name = content, old.Entry
	for j := range b.Manifest.Images {
		img := &b.Manifest.Images[j]
		if img.Root.Digest == was {
			img.Root.Digest, img.Root.Size = now, int64(len(content))
		}
		for k := range img.Manifests {
			for _, d := range []*image.Digest{&img.Manifests[k].Manifest, &img.Manifests[k].Config} {
				if *d == was {
					*d = now
				}
			}
		}
	}
	for j, c := range b.Contents {
		if !bytes.Contains(c, []byte(was.Hex)) {
			continue
		}
		s := string(c)
		for k := range before {
			s = strings.ReplaceAll(s, before[k], after[k])
		}
		if j < derived {
			b.Contents[j] = []byte(s)
		} else {
			change(b, j-derived, []byte(s))
		}
	}
	b.Resize()
}

// edit changes the text of the document that has old in it.
func edit(old, changed string) func(b *forge.Bundle) {
	return func(b *forge.Bundle) {
		i := blob(b, old)
		derived := len(b.Contents) - len(b.Manifest.Blobs)
		change(b, i, []byte(strings.Replace(string(b.Contents[derived+i]), old, changed, 1)))
	}
}

// derived changes the text of an entry, and the manifest's numbers with it.
func derived(name, old, changed string) func(b *forge.Bundle) {
	return func(b *forge.Bundle) {
		i := b.Entry(name)
		if !bytes.Contains(b.Contents[i], []byte(old)) {
			panic(fmt.Sprintf("%q is not in %s", old, name)) // a mistake here
		}
		b.Contents[i] = bytes.Replace(b.Contents[i], []byte(old), []byte(changed), 1)
		b.Resize()
	}
}

// manifest changes the text of airgap.json.
func manifest(old, changed string) func(b *forge.Bundle) {
	return func(b *forge.Bundle) {
		raw := b.RawManifest()
		if !bytes.Contains(raw, []byte(old)) {
			panic(fmt.Sprintf("%q is not in airgap.json", old)) // a mistake here
		}
		b.Raw = bytes.Replace(raw, []byte(old), []byte(changed), 1)
	}
}

// patch changes bytes of a header; its checksum is right then.
func patch(entry string, at int, text string) func(b *forge.Bundle) {
	return func(b *forge.Bundle) {
		b.Header = func(name string, h []byte) []byte {
			if name == entry {
				copy(h[at:], text)
				forge.Reseal(h)
			}
			return h
		}
	}
}
