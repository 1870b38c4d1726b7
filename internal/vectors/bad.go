package vectors

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/v1/types"

	"airgap/bundle"
	"airgap/bundle/image"
	"airgap/internal/forge"
)

// badFiles are wrong before anybody has looked into the tar.
func (m *maker) badFiles() {
	b := m.pack(simple)
	file, plain := b.File(), b.Plain()
	foreign := func(name, about string, content []byte) {
		m.one(name, about, content, damaged, "not an airgap bundle")
	}
	foreign("foreign-empty", "no bytes", nil)
	foreign("foreign-text", "text", []byte(strings.Repeat("These are notes.\n", 64)))
	foreign("foreign-gzip", "a tar in gzip", forge.Gzip(plain))
	foreign("foreign-docker-archive", "a tar as docker save writes it", slices.Concat(forge.Header("manifest.json", 2), []byte("[]"), make([]byte, 510+1024)))
	foreign("foreign-zstd", "another tar in zstd", forge.Frame(slices.Concat(forge.Header("oci-layout", 0), make([]byte, 1024))))
	foreign("foreign-name", "a tar whose first entry is called airgap.json2", slices.Concat(forge.Header("airgap.json2", 0), make([]byte, 1024)))

	end := len(file) - 48 - 17 - 8*(len(cutsOf(b))) // where the trailer begins
	for _, c := range []struct {
		name, about string
		n           int
	}{
		{"cut-in-first-frame", "cut in the first frame", 100},
		{"cut-behind-manifest", "cut behind the first frame", first(b)},
		{"cut-before-trailer", "cut where the trailer begins", end},
		{"cut-before-table", "cut where the seek table begins", end + 48},
		{"cut-last-byte", "without the last byte", len(file) - 1},
	} {
		m.one(c.name, c.about, file[:c.n], damaged, "cut short")
	}
	m.one("cut-plain-in-manifest", "the plain form cut in airgap.json", plain[:600], damaged, "cut short")
	m.one("cut-plain-at-entry", "the plain form cut behind an entry", plain[:len(plain)-1024-2048], damaged, "size: the tar has")
	m.one("cut-plain-before-end", "the plain form without its end", plain[:len(plain)-1024], damaged, "size: the tar has")
	m.one("end-byte-behind", "a byte behind the end", append(slices.Clone(file), 0), damaged, "seek table")
	m.one("end-zeros-behind-plain", "a block of zeros behind the end of the plain form", append(slices.Clone(plain), make([]byte, 512)...), damaged, "size: the tar has")
	m.one("end-twice", "the bundle twice", append(slices.Clone(file), file...), damaged, "seek table")
	m.one("end-recompressed", "the tar in one frame, as zstd would make it", forge.Frame(plain), damaged, "")
	m.one("begin-skippable", "a skippable frame before all", append(forge.Skippable(0, "hello"), file...), damaged, "not an airgap bundle")

	flipped := slices.Clone(file)
	flipped[end-5] ^= 1 // in the last frame's checksum, or before it
	m.one("frame-checksum", "a bit of the last frame is another; trailer and table are not", flipped, damaged, "")
}

// first is the length of the first frame, and cutsOf where the tar is cut.
func first(b *forge.Bundle) (n int) {
	f := *b
	f.Frames = func(frames [][]byte) [][]byte { n = len(frames[0]); return frames }
	f.File()
	return n
}

func cutsOf(b *forge.Bundle) (cuts []int) {
	f := *b
	f.Cuts = func(c []int) []int { cuts = c; return c }
	f.File()
	return cuts
}

// badEnds are trailers and seek tables that are not exact.
func (m *maker) badEnds() {
	at := func(name, about, phrase string, off int, sign string) {
		v := m.bad(name, about, phrase, func(b *forge.Bundle) {
			b.End = func(end []byte) []byte {
				if off < 0 {
					off += len(end)
				}
				copy(end[off:], sign)
				return end
			}
		})
		if off >= 0 && off < 48 {
			v.Inspect = sound // it does not read all that the trailer is about
		}
	}
	at("trailer-hash", "the trailer has another hash", "trailer", 20, "another hash")
	at("trailer-tag", "the trailer says airgap/2", "trailer", 8, "airgap/2")
	at("trailer-magic", "the trailer is a skippable frame of another number", "trailer", 0, "\x5b")
	at("trailer-length", "the trailer says that it is longer", "trailer", 4, "\x29")
	at("table-magic", "the seek table is a skippable frame of another number", "seek table", 48, "\x5d")
	at("table-length", "the seek table says that it is longer", "seek table", 52, "\xff")
	at("table-packed-length", "a row has another packed length", "seek table", 56, "\x01\x00")
	at("table-content-length", "a row has another content length", "seek table", 60, "\x01\x00")
	at("table-count", "the seek table counts a row more", "seek table", -9, "\x04")
	at("table-checksums", "the seek table says that it has checksums", "seek table", -5, "\x80")
	at("table-last-magic", "the file ends in another number", "seek table", -4, "\xb2")
	m.bad("table-row-of-trailer", "the row of the trailer says that it has content", "seek table", func(b *forge.Bundle) {
		b.Rows = func(rows [][2]uint32) [][2]uint32 { rows[len(rows)-1][1] = 40; return rows }
	})
	m.bad("table-no-row-of-trailer", "the seek table has no row for the trailer", "seek table", func(b *forge.Bundle) {
		b.Rows = func(rows [][2]uint32) [][2]uint32 { return rows[:len(rows)-1] }
	})
	m.bad("table-row-too-many", "the seek table has a row of nothing before the trailer's", "seek table", func(b *forge.Bundle) {
		b.Rows = func(rows [][2]uint32) [][2]uint32 { return slices.Insert(rows, len(rows)-1, [2]uint32{}) }
	})
	m.bad("table-before-trailer", "the seek table stands before the trailer", "seek table", func(b *forge.Bundle) {
		b.End = func(end []byte) []byte { return append(end[48:], end[:48]...) }
	})
}

// badFrames are rows that hold something else than one frame of section 3.
func (m *maker) badFrames() {
	const layer = 2 // the row of one
	row := func(name, about, phrase string, i int, change func(frame []byte) []byte) {
		v := m.badOf(large, name, about, phrase, func(b *forge.Bundle) {
			b.Frames = func(frames [][]byte) [][]byte { frames[i] = change(slices.Clone(frames[i])); return frames }
		})
		if i == layer {
			v.Inspect = sound // it does not read layers
		}
	}
	row("row-two-frames", "a row holds a second frame, of no content", "frame", 1, func(f []byte) []byte { return append(f, forge.Frame(nil)...) })
	row("row-hidden-archive", "a row holds another archive behind its frame", "frame", layer, func(f []byte) []byte {
		return append(f, forge.Frame(slices.Concat(forge.Header("manifest.json", 2), []byte("[]"), make([]byte, 510+1024)))...)
	})
	row("row-skippable-behind", "a row holds a skippable frame behind its frame", "frame", 1, func(f []byte) []byte { return append(f, forge.Skippable(0, "x")...) })
	row("row-skippable-before", "a row holds a skippable frame before its frame", "frame", layer, func(f []byte) []byte { return append(forge.Skippable(0, "x"), f...) })
	row("row-garbage-behind", "a row holds bytes behind its frame", "frame", layer, func(f []byte) []byte { return append(f, "garbage"...) })
	row("row-empty", "a row holds nothing", "frame", layer, func([]byte) []byte { return nil })
	row("frame-no-checksum", "a frame has no checksum", "frame", 1, func(f []byte) []byte { f[4] &^= 4; return f[:len(f)-4] })
	row("frame-wrong-checksum", "a frame has another checksum", "frame", layer, func(f []byte) []byte { f[len(f)-1] ^= 1; return f })
	row("frame-reserved-bit", "a frame has the reserved bit of its header", "frame", 1, func(f []byte) []byte { f[4] |= 8; return f })
	row("frame-dictionary", "a frame names a dictionary", "frame", 1, func(f []byte) []byte { f[4] |= 1; return slices.Insert(f, 5, 7) })
	row("frame-no-content-size", "a frame does not say the size of its content", "frame", layer, func(f []byte) []byte {
		header := []byte{0x28, 0xb5, 0x2f, 0xfd, 0x04, 12 << 3}
		return append(header, f[7:]...)
	})
	row("frame-window", "a frame has a window of 8 MiB", "frame", layer, func(f []byte) []byte {
		content := binary.LittleEndian.Uint16(f[5:7])
		header := []byte{0x28, 0xb5, 0x2f, 0xfd, 0x44, 13 << 3, byte(content), byte(content >> 8)}
		return append(header, f[7:]...)
	})
	row("frame-reserved-block", "a frame has a block of the reserved kind", "frame", layer, func(f []byte) []byte { f[7] |= 6; return f })
	cut := func(name, about string, fill func(*images), change func(cuts []int) []int) {
		m.badOf(fill, name, about, "seek table", func(b *forge.Bundle) { b.Cuts = change })
	}
	cut("cuts-one-more", "airgap.json is cut into two frames", simple, func(c []int) []int { return slices.Insert(c, 1, 512) })
	cut("cuts-manifest-shares", "airgap.json shares its frame with what follows", simple, func(c []int) []int { return slices.Delete(c, 1, 2) })
	cut("cuts-layer-shares", "a layer of 70 KiB has no frame of its own", large, func(c []int) []int { return slices.Delete(c, 2, 3) })
	cut("cuts-elsewhere", "the first frame ends a block early", simple, func(c []int) []int { c[1] -= 512; return c })
}

// badTars are tars that other tools would read.
func (m *maker) badTars() {
	for _, c := range []struct {
		name, about, entry string
		at                 int
		text               string
	}{
		{"tar-mode", "an entry has the mode 0755", "index.json", 100, "0000755"},
		{"tar-owner", "an entry has an owner", "index.json", 108, "0001000"},
		{"tar-time", "an entry has a time", "index.json", 136, "00000000001"},
		{"tar-link", "an entry is a link", "index.json", 156, "2"},
		{"tar-owner-name", "an entry has an owner's name", "index.json", 265, "root"},
		{"tar-gnu-magic", "an entry has GNU tar's magic", "index.json", 257, "ustar  \x00"},
		{"tar-prefix", "an entry has a prefix before its name", "index.json", 345, "etc"},
		{"tar-name", "an entry is called otherwise than in the manifest", "index.json", 0, "Index.json"},
		{"tar-size-in-other-digits", "an entry's size has a space for its first digit", "index.json", 124, " "},
		{"tar-manifest-mode", "airgap.json itself has the mode 0755", "airgap.json", 100, "0000755"},
	} {
		phrase := c.entry
		if c.at == 0 {
			phrase = "index.json"
		}
		m.bad(c.name, c.about, phrase, patch(c.entry, c.at, c.text))
		m.badTar(c.name+"-plain", c.about+"; plain form", phrase, patch(c.entry, c.at, c.text))
	}
	m.bad("tar-checksum", "a header has another checksum", "index.json", func(b *forge.Bundle) {
		b.Header = func(name string, h []byte) []byte {
			if name == "index.json" {
				copy(h[148:], "777777")
			}
			return h
		}
	})
	end := func(at int) func(b *forge.Bundle) {
		return func(b *forge.Bundle) { b.Tar = func(t []byte) []byte { t[len(t)-at] = 1; return t } }
	}
	padding := func(b *forge.Bundle) {
		b.Tar = func(t []byte) []byte { t[bytes.Index(t, []byte("index.json\x00"))+2*512-1] = 1; return t }
	}
	m.bad("tar-padding", "a byte of padding is not zero", "not those of the format", padding)
	m.badTar("tar-padding-plain", "a byte of padding is not zero; plain form", "not those of the format", padding)
	m.bad("tar-end", "a byte of the end is not zero", "end of the tar", end(1))
	m.badTar("tar-end-plain", "a byte of the end is not zero; plain form", "end of the tar", end(1))
	m.bad("tar-no-end", "the tar has no end", "", func(b *forge.Bundle) { b.Tar = func(t []byte) []byte { return t[:len(t)-1024] } })
	m.bad("tar-pax-for-nothing", "a small entry has a PAX header, too", "", func(b *forge.Bundle) {
		b.Header = func(name string, h []byte) []byte {
			if name != "index.json" {
				return h
			}
			record := "13 size=1024\n"
			pax := forge.Header("PaxHeaders/"+name, int64(len(record)))
			pax[156] = 'x'
			forge.Reseal(pax)
			return slices.Concat(pax, []byte(record), make([]byte, 512-len(record)), h)
		}
	})
	m.bad("tar-entry-more", "an entry that the manifest does not list", "", func(b *forge.Bundle) {
		b.Tar = func(t []byte) []byte {
			more := append(forge.Header("notes.txt", 3), append([]byte("hi\n"), make([]byte, 509)...)...)
			return slices.Insert(t, len(t)-1024, more...)
		}
	})
	m.bad("tar-signature-last", "airgap.json.sig stands behind all others", "", func(b *forge.Bundle) {
		b.Tar = func(t []byte) []byte {
			more := append(forge.Header("airgap.json.sig", 3), append([]byte("hi\n"), make([]byte, 509)...)...)
			return slices.Insert(t, len(t)-1024, more...)
		}
	})
	m.bad("entry-bytes", "an entry has other bytes than the manifest says", "", func(b *forge.Bundle) {
		last := len(b.Contents) - 1
		b.Contents[last] = bytes.Repeat([]byte("x"), len(b.Contents[last]))
	}).Inspect = sound
	m.badTar("entry-bytes-plain", "an entry has other bytes than the manifest says; plain form", "", func(b *forge.Bundle) {
		last := len(b.Contents) - 1
		b.Contents[last] = bytes.Repeat([]byte("x"), len(b.Contents[last]))
	}).Inspect = sound
	m.bad("entry-document-bytes", "a config has other bytes than its digest says", "digest", func(b *forge.Bundle) {
		i := len(b.Contents) - len(b.Manifest.Blobs) + blob(b, "rootfs")
		b.Contents[i] = bytes.Replace(b.Contents[i], []byte("amd64"), []byte("arm64"), 1)
	})
}

// badDerived are documents for other tools that say something else.
func (m *maker) badDerived() {
	swap := func(name, about, entry, old, changed string) {
		m.bad(name, about, "airgap.json", derived(entry, old, changed))
	}
	swap("layout-version", "oci-layout of another version", "oci-layout", "1.0.0", "1.0.1")
	swap("layout-line-feed", "oci-layout ends in a line feed", "oci-layout", "}", "}\n")
	swap("index-name", "index.json names another image", "index.json", "library/a:1", "library/b:1")
	swap("index-space", "index.json has a space", "index.json", `"manifests":[`, `"manifests": [`)
	swap("index-line-feed", "index.json ends in a line feed", "index.json", "]}", "]}\n")
	swap("index-no-media-type", "index.json does not say its media type", "index.json", `"mediaType":"application/vnd.oci.image.index.v1+json",`, "")
	swap("index-annotations-order", "index.json has an image's annotations in the other order", "index.json",
		`"io.containerd.image.name":"docker.io/library/a:1","org.opencontainers.image.ref.name":"docker.io/library/a:1"`,
		`"org.opencontainers.image.ref.name":"docker.io/library/a:1","io.containerd.image.name":"docker.io/library/a:1"`)
	swap("docker-tag", "manifest.json names another image", "manifest.json", `"a:1"`, `"b:1"`)
	swap("docker-full-name", "manifest.json has the full name", "manifest.json", `"a:1"`, `"docker.io/library/a:1"`)
	swap("docker-no-tags", "manifest.json has no names", "manifest.json", `["a:1"]`, `null`)
	swap("docker-config", "manifest.json names a config that is not there", "manifest.json", `"Config":"blobs`, `"Config":"globs`)
	swap("docker-line-feed", "manifest.json ends in a line feed", "manifest.json", "}]", "}]\n")
	m.badOf(func(i *images) {
		i.name("docker.io/library/a:1", i.Put("application/a&b", bytes.Replace(i.Bytes(i.image(amd64, i.gzip("one")).Digest), []byte(`"mediaType":"application/vnd.oci.image.manifest.v1+json",`), nil, 1)))
	}, "index-escaped", "index.json has & escaped, as it was before the rule", "airgap.json", derived("index.json", "a&b", `a\u0026b`))
	m.badOf(func(i *images) { i.name("", i.image(amd64, i.gzip("one"))) },
		"docker-empty-tags", "manifest.json has an empty array for the names of an untagged image", "airgap.json", derived("manifest.json", "null", "[]"))
	m.badOf(func(i *images) {
		i.name("docker.io/library/a:1", i.Index(i.image(amd64, i.gzip("one")), i.image(arm64, i.gzip("two"))))
	}, "docker-other-platform", "manifest.json speaks of linux/arm64/v8, though linux/amd64 is there", "airgap.json", func(b *forge.Bundle) {
		other := b.Manifest.Images[0].Manifests[1]
		i := b.Entry("manifest.json")
		layer := image.SHA256(forge.Gzip(text("two")))
		b.Contents[i] = []byte(fmt.Sprintf(`[{"Config":"blobs/sha256/%s","RepoTags":["a:1"],"Layers":["blobs/sha256/%s"]}]`, other.Config.Hex, layer.Hex))
		b.Resize()
	})
	leave := func(name, about string, entries ...string) {
		m.bad(name, about, "", func(b *forge.Bundle) {
			for _, e := range entries {
				i := b.Entry(e)
				b.Manifest.Entries, b.Contents = slices.Delete(b.Manifest.Entries, i, i+1), slices.Delete(b.Contents, i, i+1)
			}
			b.Resize()
		})
	}
	leave("no-docker-manifest", "there is no manifest.json, though one platform is there", "manifest.json")
	leave("no-documents", "there is neither oci-layout nor index.json nor manifest.json", "oci-layout", "index.json", "manifest.json")
	leave("no-layout", "there is an index.json, and no oci-layout", "oci-layout")
	m.bad("documents-order", "index.json stands before oci-layout", "", func(b *forge.Bundle) {
		b.Manifest.Entries[0], b.Manifest.Entries[1] = b.Manifest.Entries[1], b.Manifest.Entries[0]
		b.Contents[0], b.Contents[1] = b.Contents[1], b.Contents[0]
	})
}

// badGraphs are images that do not hold together, in bundles that do.
func (m *maker) badGraphs() {
	doc := func(name, about, phrase, old, changed string) *Vector {
		return m.bad(name, about, phrase, edit(old, changed))
	}
	doc("document-member-twice", "a manifest has a member twice", "twice", `"schemaVersion"`, `"schemaVersion":2,"schemaVersion"`)
	doc("document-member-twice-in-cases", "a config has a member in two cases", "twice", `"os":"linux"`, `"os":"linux","OS":"windows"`)
	doc("document-long-s", "a manifest has layers and layerſ, which some decoders take for one", "twice", `"layers"`, `"layerſ":[],"layers"`)
	doc("document-kelvin", "a config has a member twice, once with the sign of Kelvin for k", "twice", `"os":"linux"`, `"os":"linux","to\u212aen":1,"token":2`)
	doc("document-label-twice", "a config has a label twice", "twice", `"note":""`, `"note":"","note":"x"`)
	doc("document-text-behind", "a config has text behind it", "text after", `"variant":""}`, `"variant":""}{}`)
	doc("document-not-json", "a config is no JSON", "config", `"variant":""}`, `"variant":"",}`)
	doc("document-not-utf8", "a config is no UTF-8", "UTF-8", `"note":""`, "\"note\":\"\xff\"")
	doc("document-deep", "a config is nested 33 deep", "nested", `"note":""`, `"note":`+strings.Repeat("[", 30)+strings.Repeat("]", 30))
	doc("manifest-and-index", "a manifest is an index, too", "either", `"schemaVersion"`, `"manifests":[],"schemaVersion"`)
	doc("manifest-media-type", "a manifest says that it is an index", "says it is", "image.manifest", "image.index")
	doc("manifest-schema-1", "a manifest of schema 1", "schema 1", `"schemaVersion":2`, `"schemaVersion":1`)
	doc("manifest-size-no-integer", "a descriptor's size is 1e3", "document", `"size":`, `"size":1e3,"x":`)
	doc("manifest-digest-in-capitals", "a descriptor's digest is in upper case", "document", `"digest":"sha256:`, `"digest":"SHA256:`)
	doc("manifest-artifact-type", "a manifest's artifactType is a number", "document", `"schemaVersion"`, `"artifactType":5,"schemaVersion"`)
	doc("manifest-subject", "a manifest's subject is a string", "document", `"schemaVersion"`, `"subject":"sha256","schemaVersion"`)
	doc("manifest-subject-no-digest", "a manifest's subject has no digest", "subject", `"schemaVersion"`, `"subject":{},"schemaVersion"`)
	doc("descriptor-urls", "a descriptor's urls are an object", "document", `"size":`, `"urls":{},"size":`).Unseen = "it makes no use of urls, and takes any"
	doc("config-diffids-too-few", "a config has a diffID too few", "diffIDs", `"diff_ids":["sha256:`, `"diff_ids":["sha256:0000000000000000000000000000000000000000000000000000000000000000"],"x":["sha256:`)
	m.bad("layer-left-out", "a layer is not there", "", func(b *forge.Bundle) {
		n := len(b.Contents) - 1
		b.Manifest.Blobs, b.Manifest.Entries, b.Contents = b.Manifest.Blobs[:len(b.Manifest.Blobs)-1], b.Manifest.Entries[:n], b.Contents[:n]
		b.Resize()
	})
	m.bad("config-left-out", "a config is not there", "", func(b *forge.Bundle) {
		i, n := blob(b, "rootfs"), len(b.Contents)-len(b.Manifest.Blobs)
		b.Manifest.Blobs = slices.Delete(b.Manifest.Blobs, i, i+1)
		b.Manifest.Entries, b.Contents = slices.Delete(b.Manifest.Entries, n+i, n+i+1), slices.Delete(b.Contents, n+i, n+i+1)
		b.Resize()
	})
	m.bad("blob-too-many", "a blob that nothing needs", "", func(b *forge.Bundle) { addBlob(b, []byte("extra")) })
	m.bad("blobs-order", "two layers in the other order", "", func(b *forge.Bundle) {
		n, last := len(b.Manifest.Blobs)-1, len(b.Contents)-1
		b.Manifest.Blobs[n], b.Manifest.Blobs[n-1] = b.Manifest.Blobs[n-1], b.Manifest.Blobs[n]
		b.Manifest.Entries[last], b.Manifest.Entries[last-1] = b.Manifest.Entries[last-1], b.Manifest.Entries[last]
		b.Contents[last], b.Contents[last-1] = b.Contents[last-1], b.Contents[last]
	})
	two := func(i *images) {
		l := i.gzip("one")
		i.name("docker.io/library/a:1", i.image(amd64, l))
		i.name("docker.io/library/b:1", i.image(arm64, l))
	}
	m.badOf(two, "layer-of-two-sizes", "a second image says another size of a layer than the first", "elsewhere", func(b *forge.Bundle) {
		size := b.Manifest.Blobs[len(b.Manifest.Blobs)-1].Size
		second := len(b.Contents) - len(b.Manifest.Blobs) + 2
		change(b, 2, []byte(strings.Replace(string(b.Contents[second]), fmt.Sprintf(`"size":%d,`, size), fmt.Sprintf(`"size":%d,`, size+1), 1)))
	})
	nested := func(i *images) {
		d := i.image(amd64, i.gzip("one"))
		for range 8 {
			d = i.Index(d)
		}
		i.name("docker.io/library/a:1", d)
	}
	m.badOf(nested, "index-nine-deep", "indexes nine deep", "nested too deep", func(b *forge.Bundle) {
		n := len(b.Contents) - len(b.Manifest.Blobs)
		old := b.Manifest.Images[0].Root
		outer := []byte(fmt.Sprintf(`{"manifests":[{"mediaType":"%s","size":%d,"digest":"%s"}]}`, old.MediaType, old.Size, old.Digest))
		d := image.SHA256(outer)
		b.Contents[1] = bytes.ReplaceAll(b.Contents[1], []byte(fmt.Sprintf(`"digest":"%s","size":%d`, old.Digest, old.Size)), []byte(fmt.Sprintf(`"digest":"%s","size":%d`, d, len(outer))))
		b.Manifest.Images[0].Root = bundle.Ref{MediaType: old.MediaType, Digest: d, Size: int64(len(outer))}
		b.Contents = slices.Insert(b.Contents, n, outer)
		b.Manifest.Entries = slices.Insert(b.Manifest.Entries, n, bundle.Entry{Name: "blobs/sha256/" + d.Hex})
		b.Manifest.Blobs = slices.Insert(b.Manifest.Blobs, 0, bundle.Blob{Digest: d, Size: int64(len(outer)), Stored: bundle.StoredAsIs, Entry: "blobs/sha256/" + d.Hex})
		b.Resize()
	})
	left := func(i *images) {
		i.want = image.Platforms{List: []image.Platform{amd64}}
		i.name("docker.io/library/a:1", i.Index(i.image(amd64, i.gzip("one")), i.image(arm64, i.gzip("two"))))
	}
	m.badOf(left, "index-no-digest", "an index has a descriptor without a digest", "index", edit(`"manifests":[`, `"manifests":[{},`))
	m.badOf(func(i *images) {
		a := i.image(amd64, i.gzip("one"))
		i.name("docker.io/library/a:1", i.Index(a, i.Attestation(a)))
	}, "attestation-not-whole", "an attestation of which the statement is not there", "", func(b *forge.Bundle) {
		i, n := blob(b, `{"subject"`), len(b.Contents)-len(b.Manifest.Blobs)
		b.Manifest.Blobs = slices.Delete(b.Manifest.Blobs, i, i+1)
		b.Manifest.Entries, b.Contents = slices.Delete(b.Manifest.Entries, n+i, n+i+1), slices.Delete(b.Contents, n+i, n+i+1)
		b.Resize()
	})
	m.badOf(func(i *images) {
		i.name("docker.io/library/a:1", i.PutJSON(types.OCIManifestSchema1, map[string]any{
			"schemaVersion": 2, "config": i.Put(types.OCIEmptyJSON, []byte(`{}`)), "layers": []image.Descriptor{i.Put("application/spdx+json", []byte(`{"spdxVersion":"SPDX-2.3"}`))},
		}))
		i.name("docker.io/library/b:1", i.image(amd64, i.gzip("one")))
	}, "artifact-config-first", "the config of an artifact stands among the documents", "", func(b *forge.Bundle) {
		// It belongs behind the other image's documents.
		from, n := blob(b, `{}`), len(b.Contents)-len(b.Manifest.Blobs)
		for i := from; i > 1; i-- {
			b.Manifest.Blobs[i], b.Manifest.Blobs[i-1] = b.Manifest.Blobs[i-1], b.Manifest.Blobs[i]
			b.Manifest.Entries[n+i], b.Manifest.Entries[n+i-1] = b.Manifest.Entries[n+i-1], b.Manifest.Entries[n+i]
			b.Contents[n+i], b.Contents[n+i-1] = b.Contents[n+i-1], b.Contents[n+i]
		}
	})
	m.badOf(func(i *images) {
		a := i.image(amd64, i.gzip("one"))
		i.name("docker.io/library/a:1", i.Index(a, i.Attestation(a)))
	}, "artifact-config-types", "the config of an attestation has an array for os", "config", edit(`"os":"unknown","rootfs"`, `"os":[],"rootfs"`))
	m.badOf(func(i *images) {
		i.name("docker.io/library/a:1", i.PutJSON(types.OCIManifestSchema1, map[string]any{"schemaVersion": 2, "config": i.Put(types.OCIConfigJSON, []byte(`{}`))}))
	}, "config-null", "a config that is null", "no JSON object", edit(`{}`, `null`))
	m.wrongImages()
}

// wrongImages are wrong in bundles that are whole: nothing was damaged on the way.
func (m *maker) wrongImages() {
	b := m.pack(simple)
	id := image.SHA256(text("one")).Hex
	other := image.SHA256([]byte("other"))
	edit(id, other.Hex)(b)
	b.Manifest.Images[0].Manifests[0].DiffIDs[0] = other
	m.one("wrong-diffid", "a config names another diffID than its layer has", b.File(), wrong, "is whole, and not what its config says").Inspect = sound
	b = m.pack(func(i *images) {
		broken := func(b []byte) []byte { z := forge.Gzip(b); z[len(z)-1] ^= 1; return z }
		i.name("docker.io/library/a:1", i.image(amd64, i.layer(types.OCILayer, text("one"), broken)))
	})
	m.one("wrong-gzip", "a layer's gzip ends in another size", b.File(), wrong, "is whole, and not what its config says").Inspect = sound
	m.list[len(m.list)-1].Reader, m.list[len(m.list)-2].Reader = damaged, damaged // which has one word for both
}
