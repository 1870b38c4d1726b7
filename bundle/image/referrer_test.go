package image_test

import (
	"slices"
	"strings"
	"testing"

	"airgap/bundle/image"
	"airgap/bundle/store/storetest"
)

func owners(t *testing.T, graphs []*image.Graph) [][]int {
	t.Helper()
	list, err := image.Owners(graphs)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// TestOwners: a referrer belongs to the image at the end of its chain.
func TestOwners(t *testing.T) {
	graphs := storetest.NewSigned("owners").Graphs(t)
	for i, want := range [][]int{nil, {0}, {0}, {0}} {
		if got := owners(t, graphs)[i]; !slices.Equal(got, want) {
			t.Errorf("%s belongs to %v, want %v", graphs[i].Root.Label(), got, want)
		}
	}
	// Without the image, each is the first of its own chain.
	for i, want := range [][]int{nil, nil, {1}} {
		if got := owners(t, graphs[1:])[i]; !slices.Equal(got, want) {
			t.Errorf("%s belongs to %v, want %v", graphs[i+1].Root.Label(), got, want)
		}
	}
}

// TestOwnersInACircle: tags can say that two images belong to each other; then
// neither does.
func TestOwnersInACircle(t *testing.T) {
	m := storetest.NewMemory()
	a, b := m.Artifact(nil, "a/a", "a"), m.Artifact(nil, "b/b", "b")
	var graphs []*image.Graph
	for _, root := range []image.Root{
		{Name: "docker.io/library/x:" + image.CosignTags(b.Digest)[0], Desc: a},
		{Name: "docker.io/library/x:" + image.CosignTags(a.Digest)[1], Desc: b},
	} {
		g, err := image.Read(t.Context(), m, root, all.Select)
		if err != nil {
			t.Fatal(err)
		}
		graphs = append(graphs, g)
	}
	for i, owners := range owners(t, graphs) {
		if len(owners) > 0 {
			t.Errorf("%d belongs to %v", i, owners)
		}
	}
}

// TestOwnersOfMany: what refers to each other each way is told of only so far.
func TestOwnersOfMany(t *testing.T) {
	m := storetest.NewMemory()
	child := m.Artifact(nil, "a/a", "a")
	var graphs []*image.Graph
	add := func(root image.Descriptor) {
		g, err := image.Read(t.Context(), m, image.Root{Desc: root}, all.Select)
		if err != nil {
			t.Fatal(err)
		}
		for range 600 {
			graphs = append(graphs, g)
		}
	}
	add(m.Index(child))
	add(m.Artifact(&child, "b/b", "b"))
	if _, err := image.Owners(graphs); err == nil {
		t.Error("600 times 600 pass")
	}
}

// TestReferrerOf reads what a manifest is and what it belongs to.
func TestReferrerOf(t *testing.T) {
	subject := image.SHA256([]byte("subject"))
	for name, c := range map[string]struct {
		raw, wantType string
		refers        bool
	}{
		"by its own type":     {`{"artifactType":"a/b","config":{"mediaType":"c/d"},"subject":{"digest":"` + subject.String() + `"}}`, "a/b", true},
		"by its config's":     {`{"config":{"mediaType":"c/d"},"subject":{"digest":"` + subject.String() + `"}}`, "c/d", true},
		"as cosign writes it": {`{"config":{"mediaType":"application/vnd.oci.image.config.v1+json"},"layers":[{"mediaType":"e/f"}]}`, "e/f", false},
		"an image":            {`{"config":{"mediaType":"application/vnd.oci.image.config.v1+json"},"layers":[]}`, "application/vnd.oci.image.config.v1+json", false},
	} {
		t.Run(name, func(t *testing.T) {
			r, ok, err := image.ReferrerOf(image.Descriptor{}, []byte(c.raw))
			if err != nil || ok != c.refers || r.Entry.ArtifactType != c.wantType || ok && r.Subject != subject {
				t.Errorf("got %+v, %v, %v", r, ok, err)
			}
		})
	}
	if _, _, err := image.ReferrerOf(image.Descriptor{}, []byte(`{"subject":{"digest":"sha256"}}`)); err == nil {
		t.Error("a subject without a digest passes")
	}
}

// TestBeside puts a referrer into an image's repository.
func TestBeside(t *testing.T) {
	for _, c := range [][3]string{
		{"docker.io/library/app:v1", "x.sig", "docker.io/library/app:x.sig"},
		{"127.0.0.1:5000/a/app:v1", "", "127.0.0.1:5000/a/app"},
		{"127.0.0.1:5000/app", "t", "127.0.0.1:5000/app:t"},
	} {
		if got, err := image.Beside(c[0], c[1]); err != nil || got != c[2] {
			t.Errorf("beside %q: %q, %v", c[0], got, err)
		}
	}
	if _, err := image.Beside("Not A Name", ""); err == nil || !strings.Contains(err.Error(), "Not A Name") {
		t.Errorf("error %v", err)
	}
}
