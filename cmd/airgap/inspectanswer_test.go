package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"airgap/cmd/airgap/internal/ui"
)

// sharing describes n images that have a layer in common, and one of their own.
func sharing(n int) *inspectAnswer {
	a := &inspectAnswer{}
	for i := range n {
		layers := []inspectedLayer{{Digest: "sha256:base", Size: 1}, {Digest: fmt.Sprintf("sha256:%06d", i), Size: 1}, {Empty: true}}
		a.Images = append(a.Images, inspectedImage{Name: fmt.Sprintf("app:%06d", i), Platforms: []inspectedPlatform{{Count: 2, Size: 2, Layers: layers}}})
	}
	a.share()
	return a
}

// TestShareGrows: of thousands of images on one base not each is named with each.
func TestShareGrows(t *testing.T) {
	size := func(n int) int {
		raw, err := json.Marshal(sharing(n))
		if err != nil {
			t.Fatal(err)
		}
		return len(raw)
	}
	if small, large := size(100), size(1000); large > 11*small {
		t.Errorf("%d bytes for 100 images, %d for 1,000", small, large)
	}
	base := sharing(100).Images[3].Platforms[0].Layers[0]
	if len(base.Shared) != maxShared || base.Shared[3] != "app:000004" || base.More != 99-maxShared {
		t.Errorf("the base is in %v and %d more", base.Shared, base.More)
	}
	env, out, _ := newEnv()
	if err := env.Report("summary", sharing(100)); err != nil {
		t.Fatal(err)
	}
	if want := "app:000010 and 89 more"; !strings.Contains(out.String(), want) {
		t.Errorf("the table does not say %q:\n%s", want, out)
	}
	few := sharing(3).Images[0].Platforms[0].Layers
	if got := few[0].sharedWith(); got != "app:000001 app:000002" || few[1].sharedWith() != "" || few[2].Shared != nil {
		t.Errorf("the base is in %q, the layer of one image in %q", got, few[1].sharedWith())
	}
}

var _ ui.Answer = (*inspectAnswer)(nil)
