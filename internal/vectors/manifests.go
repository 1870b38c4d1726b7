package vectors

import (
	"fmt"
	"slices"
	"strings"

	"airgap/bundle"
	"airgap/bundle/image"
	"airgap/internal/forge"
)

// badManifests are airgap.json in another form, or with other content.
func (m *maker) badManifests() {
	form := func(name, about, old, changed string) { m.bad(name, about, "airgap.json", manifest(old, changed)) }
	form("manifest-member-twice", "a member twice", `"files": [],`, "\"files\": [],\n \"files\": [],")
	form("manifest-member-in-capitals", "a member in another case", `"files"`, `"Files"`)
	form("manifest-member-unknown", "a member that nobody knows", `"files": [],`, "\"files\": [],\n \"more\": [],")
	form("manifest-member-missing", "a member is missing", "\n \"files\": [],", "")
	form("manifest-members-order", "two members in the other order", "\"format\": 1,\n \"requires\": [],", "\"requires\": [],\n \"format\": 1,")
	form("manifest-indentation", "a line is indented by two spaces", "\n \"files\"", "\n  \"files\"")
	form("manifest-one-line", "an empty array on two lines", `"files": [],`, "\"files\": [\n ],")
	form("manifest-space", "no space behind a colon", `"files": []`, `"files":[]`)
	form("manifest-crlf", "a line ends as Windows has it", "\n \"files\"", "\r\n \"files\"")
	form("manifest-no-line-feed", "no line feed at the end", "\n}\n", "\n}")
	form("manifest-text-behind", "text behind the closing brace", "\n}\n", "\n}\n\n")
	form("manifest-bom", "a byte order mark", "{\n \"format\"", "\ufeff{\n \"format\"")
	form("manifest-escaped", "a character escaped that need not be", "docker.io/library", `docker.io\/library`)
	form("manifest-no-utf8", "a name that is no UTF-8", "library/a:1", "library/a:1\xff")
	form("manifest-number", "a number with a fraction", `"format": 1,`, `"format": 1.0,`)
	form("manifest-null", "null for an empty array", `"files": []`, `"files": null`)
	form("format-0", "a format that there never was", `"format": 1`, `"format": 0`)
	form("requires-for-nothing", "a feature that is not made use of", `"requires": []`, "\"requires\": [\n  \"file-modes\"\n ]")
	form("name-no-tag", "a name without a tag", `library/a:1"`, `library/a"`)
	form("name-short", "a name that is not full", `docker.io/library/a:1`, `a:1`)
	form("name-one-part", "docker.io with one part behind it", `docker.io/library/a:1`, `docker.io/a:1`)
	form("name-index-docker-io", "Docker Hub's old name", `docker.io/library/a:1`, `index.docker.io/library/a:1`)
	form("name-upper-case", "upper case in a path", `library/a:1`, `library/A:1`)
	form("name-underscores", "three underscores", `library/a:1`, `library/a___b:1`)
	form("name-long", "a path of 256 bytes", `library/a:1`, `library/`+strings.Repeat("a", 248)+`:1`)
	form("name-long-tag", "a tag of 129 characters", `library/a:1`, `library/a:`+strings.Repeat("t", 129))
	form("name-control", "a control character in a name", `library/a:1`, `library/a\u001b:1`)
	form("name-string-too-long", "a string of more than 4096 bytes", `library/a:1`, `library/a:`+strings.Repeat("t", 4100))
	form("stored-otherwise", "a blob that is stored in a way that nobody knows", `"stored": "as-is"`, `"stored": "zstd"`)
	form("size-negative", "a negative size", `"size": 30,`, `"size": -30,`)
	form("entry-path", "an entry outside", `"name": "oci-layout"`, `"name": "../oci-layout"`)

	later := func(name, about, old, changed string) {
		b := m.pack(simple)
		manifest(old, changed)(b)
		m.one(name, about, b.File(), newer, "")
		m.list[len(m.list)-1].Phrase = "format 2"
		if strings.HasPrefix(name, "newer-feature") {
			m.list[len(m.list)-1].Phrase = "delta"
		}
	}
	later("newer-format", "format 2", `"format": 1`, `"format": 2`)
	later("newer-format-with-more", "format 2, with members that nobody knows yet", "\"format\": 1,\n \"requires\": [],", "\"format\": 2,\n \"requires\": [],\n \"seal\": {\"a\": 1},")
	later("newer-feature", "a feature that nobody knows yet", `"requires": []`, "\"requires\": [\n  \"delta\"\n ]")

	m.listed()
	m.badFileNames()
}

// listed are manifests in canonical form that list something else.
func (m *maker) listed() {
	list := func(name, about, phrase string, sin func(m *bundle.Manifest)) {
		m.bad(name, about, phrase, func(b *forge.Bundle) { sin(b.Manifest) })
	}
	list("images-none", "no images", "no images", func(m *bundle.Manifest) { m.Images = []bundle.Image{} })
	list("images-twice", "an image twice", "twice", func(m *bundle.Manifest) { m.Images = append(m.Images, m.Images[0]) })
	m.badOf(func(i *images) {
		i.name("docker.io/library/a:1", i.image(amd64, i.gzip("one")))
		i.name("docker.io/library/b:1", i.image(arm64, i.gzip("two")))
	}, "images-order", "images out of order", "sorted", func(b *forge.Bundle) { slices.Reverse(b.Manifest.Images) })
	list("image-nothing-carried", "an image of which nothing is carried", "no manifest is carried", func(m *bundle.Manifest) { m.Images[0].Manifests = []bundle.ImageManifest{} })
	list("image-platform", "a platform that the config does not say", "does not list", func(m *bundle.Manifest) { m.Images[0].Manifests[0].Platform = "linux/arm64" })
	list("image-no-platform", "no platform, though the config says one", "does not list", func(m *bundle.Manifest) { m.Images[0].Manifests[0].Platform = "" })
	list("image-diffid", "a diffID that the config does not say", "does not list", func(m *bundle.Manifest) {
		m.Images[0].Manifests[0].DiffIDs[0] = image.SHA256([]byte("other"))
	})
	list("image-config", "a config that the manifest does not name", "does not list", func(m *bundle.Manifest) { m.Images[0].Manifests[0].Config = m.Blobs[2].Digest })
	list("image-root-media-type", "a root's media type that is another than the manifest's own", "says it is", func(m *bundle.Manifest) {
		m.Images[0].Root.MediaType = "application/vnd.docker.distribution.manifest.v2+json"
	})
	list("image-root-size", "a root of another size", "not among the blobs", func(m *bundle.Manifest) { m.Images[0].Root.Size++ })
	list("image-root-missing", "a root that is not there", "not among the blobs", func(m *bundle.Manifest) { m.Images[0].Root.Digest = image.SHA256([]byte("other")) })
	list("size-sum", "another sum of sizes", "add up", func(m *bundle.Manifest) { m.Size++ })
	list("entry-sha256", "another sha256 of an entry", "", func(m *bundle.Manifest) { m.Entries[1].SHA256 = image.SHA256([]byte("other")).Hex })
	list("entry-size", "another size of an entry", "", func(m *bundle.Manifest) { m.Entries[1].Size++; m.Size++ })
	list("entry-and-blob", "a blob and its entry disagree", "disagree", func(m *bundle.Manifest) { m.Blobs[0].Size++ })
	list("blob-twice", "a blob twice", "", func(m *bundle.Manifest) { m.Blobs[1] = m.Blobs[0]; m.Entries[4] = m.Entries[3] })
	m.badOf(func(i *images) {
		d := i.image(amd64, i.gzip("one"))
		i.name("docker.io/library/a@"+d.Digest.String(), d)
	}, "name-other-digest", "a name with another digest than the root's", "another digest", func(b *forge.Bundle) {
		b.Manifest.Images[0].Name = "docker.io/library/a@" + image.SHA256([]byte("other")).String()
	})
	m.badOf(func(i *images) {
		d := i.image(amd64, i.gzip("one"))
		i.name("docker.io/library/a@"+d.Digest.String(), d)
	}, "requires-nothing", "a name with a digest, without the feature", "requires", func(b *forge.Bundle) { b.Manifest.Requires = []string{} })
	m.bad("name-tag-and-digest", "a name with a tag and a digest", "image name", func(b *forge.Bundle) {
		b.Manifest.Images[0].Name += "@" + b.Manifest.Images[0].Root.Digest.String()
		b.Manifest.Requires = []string{"names-by-digest"}
	})
}

// badFileNames are files that some system would put elsewhere.
func (m *maker) badFileNames() {
	files := func(name, about, phrase string, list ...bundle.File) {
		m.bad(name, about, phrase, func(b *forge.Bundle) {
			d := addBlob(b, []byte("content\n"))
			for i := range list {
				list[i].Digest = d
			}
			b.Manifest.Files, b.Manifest.Requires = list, []string{"file-modes"}
		})
	}
	for _, c := range [][2]string{
		{"up", "../a"}, {"up-inside", "a/../../b"}, {"absolute", "/etc/passwd"}, {"here", "./a"}, {"empty-part", "a//b"}, {"folder", "a/"}, {"backslash", `a\b`}, {"drive", "C:a"},
		{"control", "a\nb"}, {"c1-control", "a\u0085b"}, {"long-part", strings.Repeat("x", 256)}, {"long", strings.Repeat("x/", 512) + "x"}, {"empty", ""},
	} {
		files("file-name-"+c[0], fmt.Sprintf("a file whose name is %.20q", c[1]), "file name", bundle.File{Name: c[1], Mode: "0644"})
	}
	files("files-order", "files out of order", "out of order", bundle.File{Name: "b", Mode: "0644"}, bundle.File{Name: "a", Mode: "0644"})
	files("files-twice", "a file twice", "out of order", bundle.File{Name: "a", Mode: "0644"}, bundle.File{Name: "a", Mode: "0644"})
	files("file-and-folder", "a file that is a folder, too", "also a folder", bundle.File{Name: "a", Mode: "0644"}, bundle.File{Name: "a.b", Mode: "0644"}, bundle.File{Name: "a/b", Mode: "0644"})
	files("file-set-user-id", "a file with more than permission bits", "mode", bundle.File{Name: "a", Mode: "4755"})
	files("file-mode-digits", "a mode of three digits", "mode", bundle.File{Name: "a", Mode: "755"})
	yes := true
	files("file-mode-and-executable", "a file with a mode and executable", "mode", bundle.File{Name: "a", Mode: "0755", Executable: &yes})
	m.bad("file-not-there", "a file whose content is not there", "not among the blobs", func(b *forge.Bundle) {
		b.Manifest.Files, b.Manifest.Requires = []bundle.File{{Name: "a", Mode: "0644", Digest: image.SHA256([]byte("other"))}}, []string{"file-modes"}
	})
}
