package vectors

import (
	"bytes"
	"context"
	"math/rand/v2"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"airgap/bundle"
	"airgap/bundle/image"
	"airgap/bundle/store/storetest"
	"airgap/internal/forge"
	"airgap/internal/seed"
	"airgap/verify"
)

// TestReadersAgree has airgap and the second reader judge bundles whose documents
// have been changed at random, and are sealed again. Where they disagree,
// FORMAT.md does not say it all, or one of them does not follow it.
func TestReadersAgree(t *testing.T) {
	random := seed.Random(t)
	n := 200
	if os.Getenv("AIRGAP_TORTURE") != "" {
		n = 5000
	}
	m := &maker{}
	files, want, count := map[string][]byte{}, map[string]int{}, map[int]int{}
	for i := range n {
		b := m.pack([]func(*images){simple, family}[i%2])
		for range 1 + random.IntN(2) {
			mutate(random, b)
		}
		if i%3 > 0 {
			b = relisted(b)
		}
		name := strconv.Itoa(i)
		files[name] = b.File()
		if !isSound(t.Context(), files[name]) {
			want[name] = damaged
		}
		count[want[name]]++
	}
	if m.err != nil {
		t.Fatal(m.err)
	}
	ReadBy(t, files, want)
	if count[sound] < n/8 || count[damaged] < n/8 {
		t.Errorf("so many bundles have these exit statuses: %v", count)
	}
}

// family is images of each kind.
func family(i *images) {
	a, b := i.image(amd64, i.gzip("one")), i.image(arm64, i.gzip("two"))
	i.name("docker.io/library/a:1", i.Index(a, b, i.Attestation(a)))
	i.name("docker.io/library/b:1", i.Manifest(storetest.Config{Platform: amd64, Docker: true}, i.gzip("one")))
	i.name("", i.sbom(a))
}

var token = regexp.MustCompile(`"(?:[^"\\]|\\.)*"|-?[0-9]+|[\[\]{},:]|null|true`)

// others are what may stand where something else stood.
var others = []string{
	"null", "[]", "{}", `""`, "0", "-1", "1e3", "2.0", "true", `"x"`, `"sha256:"`, "2", "1", "[null]", "[{}]", `{"a":null}`, `"linux"`,
	`"application/vnd.oci.image.layer.v1.tar"`, `"application/vnd.oci.image.index.v1+json"`, `"application/vnd.oci.image.config.v1+json"`,
	" ", "\n", "\u00a0", "\ufeff", "\v", ",", "NaN", "01",
}

// mutate changes a token of a document.
func mutate(random *rand.Rand, b *forge.Bundle) {
	derived := len(b.Contents) - len(b.Manifest.Blobs)
	i := random.IntN(len(b.Manifest.Blobs))
	doc := string(b.Contents[derived+i])
	at := token.FindAllStringIndex(doc, -1)
	if !strings.HasPrefix(doc, "{") || len(at) == 0 {
		return // a layer
	}
	one, two := at[random.IntN(len(at))], at[random.IntN(len(at))]
	text, other := doc[one[0]:one[1]], others[random.IntN(len(others))]
	switch random.IntN(6) {
	case 0:
		text = other
	case 1:
		text += other
	case 2:
		text = ""
	case 3:
		text = doc[two[0]:two[1]]
	case 4:
		text = strings.ToUpper(text)
	default:
		text = strings.Replace(text, "s", "ſ", 1)
	}
	change(b, i, []byte(doc[:one[0]]+text+doc[one[1]:]))
}

// relisted is the bundle with the manifest that its documents give, if there is
// one.
func relisted(b *forge.Bundle) *forge.Bundle {
	blobs := storetest.NewMemory()
	for _, content := range b.Contents[len(b.Contents)-len(b.Manifest.Blobs):] {
		blobs.Put("", content)
	}
	set, err := blobs.Open(context.Background(), nil, image.Platforms{})
	if err != nil {
		return b
	}
	var roots []image.Root
	for _, img := range b.Manifest.Images {
		roots = append(roots, image.Root{Name: img.Name, Desc: img.Root.Descriptor(), Origin: "memory"})
	}
	file, err := forge.Pack(context.Background(), rooted{set, roots}, image.Platforms{All: true})
	if err != nil {
		return b
	}
	if again, err := forge.Open(file); err == nil {
		return again
	}
	return b
}

// isSound says what airgap verify would.
func isSound(ctx context.Context, file []byte) bool {
	b, err := bundle.Open(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		return false
	}
	docs, err := verify.Read(ctx, b)
	if err != nil {
		return false
	}
	_, _, err = verify.Check(ctx, docs, verify.Policy{})
	return err == nil
}
