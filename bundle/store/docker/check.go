package docker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	imagetypes "github.com/moby/moby/api/types/image"
	"github.com/moby/moby/client"

	"airgap/bundle/image"
)

// has says whether the engine knows the image's ID, and whether it then holds
// what the graph says.
func (e *Engine) has(ctx context.Context, t *txn) (known, whole bool, err error) {
	held, err := e.inspect(ctx, t.state.ID)
	if errors.Is(err, image.ErrNotFound) {
		return false, false, nil
	}
	if err != nil || t.compare(held) != nil {
		return err == nil, false, err
	}
	whole, told, err := t.content(ctx, held)
	if !whole || told {
		return true, whole, err
	}
	if err = t.probe(ctx); ctx.Err() != nil {
		return true, false, context.Cause(ctx)
	}
	return true, err == nil, nil
}

// content says whether the engine has all content of an image that looks right.
// Containerd's store keeps images without some of their layers. Since API 1.48
// it tells so of each platform; before, all that is told is whether it lists
// the image, as it does if one of the platforms is complete.
func (t *txn) content(ctx context.Context, held imagetypes.InspectResponse) (whole, told bool, err error) {
	if t.engine.store != containerd {
		return true, true, nil
	}
	for _, m := range held.Manifests {
		if m.Descriptor.Digest.String() == t.manifest.Desc.Digest.String() {
			return m.Available, true, nil
		}
	}
	whole, err = t.engine.lists(ctx, held)
	return whole, false, err
}

// lists says whether an image is among those that the engine lists.
func (e *Engine) lists(ctx context.Context, held imagetypes.InspectResponse) (bool, error) {
	var o client.ImageListOptions
	if len(held.RepoTags) > 0 { // else it looks at all of them, which takes its time where there are many
		o.Filters = client.Filters{}.Add("reference", strings.ReplaceAll(held.RepoTags[0], "[", `\[`)) // as a pattern for path.Match
	}
	result, err := e.client.ImageList(ctx, o)
	if err != nil {
		return false, e.explain("listing images", err)
	}
	return slices.ContainsFunc(result.Items, func(i imagetypes.Summary) bool { return i.ID == held.ID }), nil
}

// inspect asks for an image by ID, with its manifests where the engine tells
// of them.
func (e *Engine) inspect(ctx context.Context, id image.Digest) (imagetypes.InspectResponse, error) {
	if e.store == containerd {
		if result, err := e.client.ImageInspect(ctx, id.String(), client.ImageInspectWithManifests(true)); err == nil {
			return result.InspectResponse, nil
		}
	}
	result, err := e.client.ImageInspect(ctx, id.String())
	return result.InspectResponse, e.explain("inspecting image "+id.String(), err)
}

// compare holds what the engine says of an image against the graph, and finds out
// which of its choices it has taken.
func (t *txn) compare(held imagetypes.InspectResponse) error {
	err := t.compareTo(t.manifest, held)
	for _, m := range t.choices {
		if err != nil && t.compareTo(m, held) == nil {
			t.choose(m)
			return nil
		}
	}
	return err
}

func (t *txn) compareTo(m image.Manifest, held imagetypes.InspectResponse) error {
	var want []string
	for _, id := range m.DiffIDs {
		want = append(want, id.String())
	}
	switch p := m.Platform; {
	case held.ID != t.state.ID.String():
		return fmt.Errorf("its ID is %s, expected %s", held.ID, t.state.ID)
	case !slices.Equal(held.RootFS.Layers, want):
		return fmt.Errorf("it has the layers %v, expected %v", held.RootFS.Layers, want)
	case held.Os != p.OS || held.Architecture != p.Architecture:
		return fmt.Errorf("it is for %s/%s, expected %s", held.Os, held.Architecture, p)
	}
	return nil
}

// check proves, after a load, that the engine holds the image and can use it.
// What is seen there once the image is kept stays.
func (t *txn) check(ctx context.Context) error {
	unusable := t.keep(ctx)
	held, err := t.engine.inspect(ctx, t.state.ID)
	if errors.Is(err, image.ErrNotFound) {
		return t.mismatch(fmt.Errorf("it says that it loaded the image, and does not have it: %w", image.ErrGone))
	}
	if err != nil {
		return err
	}
	if err := t.compare(held); err != nil {
		return t.mismatch(err)
	}
	switch whole, _, err := t.content(ctx, held); {
	case err != nil:
		return err
	case !whole:
		return t.mismatch(fmt.Errorf("content of manifest %s is missing: %w", t.manifest.Desc.Digest, image.ErrGone))
	case unusable != nil:
		return t.mismatch(unusable)
	}
	return nil
}

func (t *txn) mismatch(err error) error {
	return &Error{Host: t.engine.host, Op: "checking the loaded image", Kind: Mismatch, Err: err}
}
