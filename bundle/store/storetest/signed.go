package storetest

import (
	"context"
	"slices"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/types"

	"airgap/bundle/image"
)

// Signed is an image with what can belong to one: a signature under the tag
// that cosign gives, an SBOM that says so by its subject, and a report on that
// SBOM. Its names are those of the image and of the signature.
type Signed struct {
	Fixture
	Signature    image.Root
	SBOM, Report image.Root // untagged
}

// NewSigned makes a Signed.
func NewSigned(salt string) Signed {
	b := &builder{Memory: NewMemory(), salt: salt}
	host := b.image("", b.layer(Gzip, "base"))
	root := b.Index(host, b.Manifest(Config{Platform: Other, Note: salt}, b.layer(Gzip, "other")))
	b.name("signed", root)
	signature := b.Artifact(nil, "application/vnd.dev.cosign.simplesigning.v1+json", "signature of "+salt)
	name := "docker.io/airgap-test/signed:" + image.CosignTags(root.Digest)[0]
	b.Name(name, signature)
	b.names = append(b.names, name)
	sbom := b.Artifact(&host, "application/spdx+json", "SBOM of "+salt)
	report := b.Artifact(&sbom, "application/vnd.example.report", "report on "+salt)
	return Signed{
		Fixture: Fixture{Label: "signed", Images: b.Memory, Names: b.names}, Signature: image.Root{Name: name, Desc: signature},
		SBOM: image.Root{Desc: sbom}, Report: image.Root{Desc: report},
	}
}

// Graphs reads the image and then its referrers.
func (s Signed) Graphs(t testing.TB) []*image.Graph {
	t.Helper()
	graphs := []*image.Graph{s.Graph(t, s.Names[0])}
	for _, root := range []image.Root{s.Signature, s.SBOM, s.Report} {
		g, err := image.Read(t.Context(), s.Images, root, image.Platforms{All: true}.Select)
		if err != nil {
			t.Fatal(err)
		}
		graphs = append(graphs, g)
	}
	return graphs
}

// CheckReferrers wants a place to know what refers to the image, and to the
// SBOM, and to give all of it.
func (s Signed) CheckReferrers(t *testing.T, set image.Set) {
	t.Helper()
	place, ok := set.(image.Referring)
	if !ok {
		t.Fatal("the place tells of no referrers")
	}
	graphs := s.Graphs(t)
	for i, want := range [][]image.Root{{s.Signature, s.SBOM}, {}, {s.Report}, {}} {
		roots, err := place.Referrers(t.Context(), graphs[i])
		if err != nil {
			t.Fatal(err)
		}
		if len(roots) != len(want) {
			t.Errorf("%d referrers of %s, want %d", len(roots), graphs[i].Root.Label(), len(want))
		}
		for _, w := range want {
			at := slices.IndexFunc(roots, func(r image.Root) bool { return r.Desc.Digest == w.Desc.Digest })
			if at < 0 {
				t.Errorf("%s is not among the referrers of %s", w.Label(), graphs[i].Root.Label())
				continue
			}
			if named := roots[at].Name != ""; named != (w.Name != "") {
				t.Errorf("%s is called %q", w.Label(), roots[at].Name)
			}
			g, err := image.Read(t.Context(), set, roots[at], image.Platforms{All: true}.Select)
			if err != nil {
				t.Fatal(err)
			}
			sameBlobs(t, set, s.Fixture, g)
		}
	}
}

// Artifact adds a manifest that is no image, of something or of nothing.
func (m *Memory) Artifact(subject *image.Descriptor, artifactType, content string) image.Descriptor {
	says := map[string]any{
		"schemaVersion": 2, "mediaType": types.OCIManifestSchema1, "artifactType": artifactType,
		"config": m.Put("application/vnd.oci.empty.v1+json", []byte("{}")),
		"layers": []image.Descriptor{m.Put(types.MediaType(artifactType), []byte(content))},
	}
	if subject != nil {
		says["subject"] = image.Descriptor{MediaType: subject.MediaType, Digest: subject.Digest, Size: subject.Size}
	}
	return m.PutJSON(types.OCIManifestSchema1, says)
}

// Referrers implements image.Referring.
func (s *memorySet) Referrers(ctx context.Context, g *image.Graph) ([]image.Root, error) {
	var roots []image.Root
	for _, name := range s.Names() {
		d, _ := s.Find(name)
		roots = append(roots, image.Root{Name: name, Desc: d, Origin: "memory"})
	}
	for _, digest := range s.Digests() {
		raw := s.Bytes(digest)
		d := image.Descriptor{MediaType: types.OCIManifestSchema1, Digest: digest, Size: int64(len(raw))}
		if _, ok, err := image.ReferrerOf(d, raw); ok && err == nil {
			roots = append(roots, image.Root{Desc: d, Origin: "memory"})
		}
	}
	var list []image.Root
	for _, root := range roots {
		r, err := image.Read(ctx, s, root, image.Platforms{All: true}.Select)
		if err != nil {
			return nil, err
		}
		if says, ok := r.Referrer(); ok && slices.Contains(g.Subjects(), says.Subject) {
			list = append(list, root)
		}
	}
	return list, nil
}
