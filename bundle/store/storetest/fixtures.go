package storetest

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/types"

	"airgap/bundle/image"
)

// Fixture is some images in memory.
type Fixture struct {
	Label  string
	Images *Memory
	// Names are the images, in the order in which the suites ask for them.
	Names []string
}

// Platforms of the fixtures: Host is that of every fixture image, Other is in
// indexes beside it.
var (
	Host  = image.HostPlatform()
	Other = image.Platform{OS: "linux", Architecture: other()}

	Windows = image.Platform{OS: "windows", Architecture: "amd64", OSVersion: "10.0.20348.2322"}
)

func other() string {
	if runtime.GOARCH == "arm64" {
		return "amd64"
	}
	return "arm64"
}

// Fixtures makes all images that every place has to deal with. Their layers
// are real tars of real files. Two salts (letters and digits in lower case)
// give images that have no digest and no name in common; the names are
// docker.io/airgap-test/KIND:SALT.
func Fixtures(salt string) []Fixture {
	var all []Fixture
	for _, kind := range kinds {
		all = append(all, kind.make(salt))
	}
	return all
}

// NewFixture makes one of the Fixtures.
func NewFixture(t testing.TB, label, salt string) Fixture {
	for _, kind := range kinds {
		if kind.label == label {
			return kind.make(salt)
		}
	}
	t.Fatalf("no fixture is called %q", label)
	return Fixture{}
}

// Graph reads an image of the fixture for all its platforms.
func (f Fixture) Graph(t testing.TB, name string) *image.Graph {
	t.Helper()
	root, ok := f.Images.Find(name)
	if !ok {
		t.Fatalf("fixture %q has no image %q", f.Label, name)
	}
	all := image.Platforms{All: true}
	g, err := image.Read(t.Context(), f.Images, image.Root{Name: name, Desc: root, Origin: "memory"}, all.Select)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// Chosen is the manifest of an image that a machine is given.
func Chosen(g *image.Graph, host image.Platform) (m image.Manifest, ok bool) {
	if choices := g.Choices(host); len(choices) > 0 {
		return choices[0].Manifest, true
	}
	return m, false
}

// kind makes a fixture: build adds images to m by calling name.
type kind struct {
	label string
	build func(b *builder)
}

type builder struct {
	*Memory
	salt  string
	names []string
}

func (k kind) make(salt string) Fixture {
	b := &builder{Memory: NewMemory(), salt: salt}
	k.build(b)
	return Fixture{Label: k.label, Images: b.Memory, Names: b.names}
}

func (b *builder) name(repository string, root image.Descriptor) {
	root.Platform = nil
	name := "docker.io/airgap-test/" + repository + ":" + b.salt
	b.Name(name, root)
	b.names = append(b.names, name)
}

// layer makes a layer whose content depends on what and the salt.
func (b *builder) layer(coding Coding, what string) Layer {
	return b.Layer(coding,
		File{"srv/" + what, what + " of " + b.salt + "\n"},
		File{"srv/" + what + ".data", strings.Repeat(fmt.Sprintf("%s of %s, again and again\n", what, b.salt), 4000)})
}

func (b *builder) image(note string, layers ...Layer) image.Descriptor {
	return b.Manifest(Config{Platform: Host, Note: note + b.salt}, layers...)
}

var kinds = []kind{
	{"single manifest", func(b *builder) { b.name("single", b.image("", b.layer(Gzip, "base"), b.layer(Gzip, "app"))) }},
	{"docker media types", func(b *builder) {
		b.name("docker", b.Manifest(Config{Platform: Host, Note: b.salt, Docker: true}, b.layer(Gzip, "base")))
	}},
	{"index with attestations", func(b *builder) {
		host := b.image("", b.layer(Gzip, "host"))
		other := b.Manifest(Config{Platform: Other, Note: b.salt}, b.layer(Gzip, "other"))
		b.name("index", b.Index(host, other, b.Attestation(host), b.Attestation(other)))
	}},
	{"Windows beside Linux", func(b *builder) {
		// What its vendor also has to offer is carried where the place has it.
		base := b.layer(Gzip, "windows")
		base.Desc.MediaType, base.Desc.URLs = types.DockerForeignLayer, []string{"https://vendor.example/base"}
		windows := b.Manifest(Config{Platform: Windows, Note: b.salt, Docker: true}, base, b.layer(Gzip, "windows app"))
		b.name("windows", b.Index(b.image("", b.layer(Gzip, "linux")), windows))
	}},
	{"variants of a platform", func(b *builder) {
		// No machine has the first one, and the second is only taken where nothing else fits.
		beyond := Host
		beyond.Variant = "v99"
		first := b.Manifest(Config{Platform: beyond, Note: b.salt}, b.layer(Gzip, "variant"))
		nameless := b.image("nameless", b.layer(Gzip, "nameless"))
		nameless.Platform = nil
		b.name("variants", b.Index(first, nameless, b.image("", b.layer(Gzip, "plain"))))
	}},
	{"shared layers", func(b *builder) {
		base := b.layer(Gzip, "base")
		b.name("shared-b", b.image("b", base, b.layer(Gzip, "b")))
		b.name("shared-a", b.image("a", base, b.layer(Gzip, "a"), b.layer(Gzip, "b")))
	}},
	{"same layer twice", func(b *builder) {
		twice := b.layer(Gzip, "twice")
		b.name("twice", b.image("", twice, b.layer(Gzip, "between"), twice))
	}},
	{"no layers", func(b *builder) { b.name("nothing", b.image("")) }},
	{"empty layer", func(b *builder) { b.name("empty", b.image("", b.layer(Gzip, "base"), b.Layer(Gzip))) }},
	{"two images with one config", func(b *builder) {
		b.name("packed", b.image("", b.layer(Gzip, "base")))
		b.name("plain", b.image("", b.layer(Raw, "base")))
	}},
	{"one image under two names", func(b *builder) {
		d := b.image("", b.layer(Gzip, "base"))
		b.name("alias", d)
		b.name("name", d)
	}},
	{"raw layers", func(b *builder) { b.name("raw", b.image("", b.layer(Raw, "base"), b.layer(Raw, "app"))) }},
	{"zstd layers", func(b *builder) { b.name("zstd", b.image("", b.layer(Zstd, "base"), b.layer(Gzip, "app"))) }},
	{"many layers", func(b *builder) {
		var layers []Layer
		for i := range 40 {
			layers = append(layers, b.Layer(Gzip, File{fmt.Sprintf("srv/%d", i), b.salt}))
		}
		b.name("many", b.image("", layers...))
	}},
}
