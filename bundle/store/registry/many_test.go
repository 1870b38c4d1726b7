package registry

import (
	"net/http"
	"strings"
	"testing"

	"airgap/bundle/image"
	"airgap/bundle/store/storetest"
)

// openAll opens all images of a fixture that are in a registry.
func openAll(t *testing.T, host string, f storetest.Fixture) image.Set {
	t.Helper()
	var names []string
	for _, name := range f.Names {
		names = append(names, at(host)(name))
	}
	set, err := open(t, Options{}).Open(t.Context(), names, image.Platforms{})
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// TestAskedWhereItIs: of many repositories those are asked for a blob that have
// named it, also where none has it.
func TestAskedWhereItIs(t *testing.T) {
	f := storetest.Many(60, "asked") // in six repositories
	m, host := start(t, f)
	set := openAll(t, host, f)
	layers := f.Graph(t, f.Names[25]).Layers()
	own, base := layers[len(layers)-1], layers[0]
	m.hook(func(w http.ResponseWriter, req *http.Request) bool {
		lost := strings.HasSuffix(req.URL.Path, own.Digest.String()) || strings.HasSuffix(req.URL.Path, base.Digest.String())
		if lost {
			http.NotFound(w, req)
		}
		return lost
	})
	for what, c := range map[string]struct {
		blob image.Descriptor
		asks int
	}{"the layer of one image": {own, 1}, "the layer of all": {base, 6}} {
		m.requests()
		if _, err := set.Fetch(t.Context(), c.blob); err == nil {
			t.Errorf("%s: it is there", what)
		}
		asks := 0
		for _, asked := range m.requests() {
			if strings.HasSuffix(asked, c.blob.Digest.String()) {
				asks++
			}
		}
		if asks != c.asks {
			t.Errorf("%s: %d repositories were asked, expected %d", what, asks, c.asks)
		}
	}
}

// TestManyNamesOfOne: what belongs to an image is asked once in each repository,
// however many of its tags are packed.
func TestManyNamesOfOne(t *testing.T) {
	const n = 20
	f := storetest.NewFixture(t, "single manifest", "tag0")
	root, _ := f.Images.Find(f.Names[0])
	for i := range n - 1 {
		f.Images.Name(f.Names[0]+strings.Repeat("x", i+1), root)
	}
	f.Names = f.Images.Names()
	m, host := start(t, f)
	set := openAll(t, host, f)
	m.requests()
	for _, root := range set.Roots() {
		g, err := image.Read(t.Context(), set, root, image.Platforms{All: true}.Select)
		if err == nil {
			_, err = set.(image.Referring).Referrers(t.Context(), g)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	asks := 0
	for _, asked := range m.requests() {
		if strings.Contains(asked, "/referrers/") {
			asks++
		}
	}
	if asks != 1 {
		t.Errorf("the referrers of one image with %d tags were asked for %d times", n, asks)
	}
}
