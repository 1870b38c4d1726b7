package docker

import (
	"context"
	"fmt"
	"maps"
	"slices"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/moby/moby/client"

	"airgap/bundle/image"
)

// An engine does not read again what it has: a layer that its disk has damaged
// stays as it is, whatever is loaded. So images that are to be brought again are
// removed first, all of them, for they share layers. Nothing is removed if some
// layer would stay.

// reload is what becomes of images that are brought again.
type reload struct {
	txns    []*txn
	cleared bool
}

// RemovedError says that an image was removed so that it could be brought
// again, which has failed.
type RemovedError struct{ Names []string }

func (e *RemovedError) Error() string {
	return fmt.Sprintf("it was removed to be brought again, and is gone, with its names %v", e.Names)
}

// clear removes what is to be brought again, once.
func (e *Engine) clear(ctx context.Context) error {
	e.reloading.Lock()
	defer e.reloading.Unlock()
	if e.reload.cleared {
		return nil
	}
	if err := e.Sweep(ctx); err != nil { // or what a killed run has left would count as use
		return err
	}
	ids := map[string]*txn{}
	for _, t := range e.reload.txns {
		ids[t.state.ID.String()] = t
	}
	if err := e.mayClear(ctx, ids); err != nil {
		return err
	}
	for _, id := range slices.Sorted(maps.Keys(ids)) {
		if err := ids[id].removeAll(ctx); err != nil {
			return err
		}
	}
	e.reload.cleared = true
	e.forgetChains()
	return nil
}

// mayClear refuses if a container uses one of the images, or another image one
// of their layers.
func (e *Engine) mayClear(ctx context.Context, ids map[string]*txn) error {
	containers, err := e.client.ContainerList(ctx, client.ContainerListOptions{All: true})
	if err != nil {
		return e.explain("listing containers", err)
	}
	for _, c := range containers.Items {
		if ids[c.ImageID] != nil {
			return fmt.Errorf("image %q cannot be brought again: container %.12s uses it: %w", ids[c.ImageID].img.Graph.Root.Label(), c.ID, image.ErrInUse)
		}
	}
	needs := map[image.Digest]*txn{} // by the chain IDs of their layers
	for _, t := range ids {
		for _, chain := range chainIDs(t.manifest.DiffIDs) {
			needs[chain] = t
		}
	}
	images, err := e.client.ImageList(ctx, client.ImageListOptions{})
	if err != nil {
		return e.explain("listing images", err)
	}
	for _, own := range images.Items {
		if t := ids[own.ID]; t != nil && e.store == classic && len(own.RepoDigests) > 0 && own.RepoDigests[0] != noDigest {
			return fmt.Errorf("image %q cannot be brought again: its name by digest, %s, %w", t.img.Graph.Root.Label(), own.RepoDigests[0], image.ErrPinned)
		}
	}
	for _, other := range images.Items {
		if ids[other.ID] != nil {
			continue
		}
		held, err := e.client.ImageInspect(ctx, other.ID)
		if cerrdefs.IsNotFound(err) {
			continue // it is gone, or what it needs is
		}
		if err != nil {
			return e.explain("inspecting image "+other.ID, err)
		}
		chains := map[image.Digest]bool{}
		addChains(chains, held.RootFS.Layers)
		for chain := range chains {
			if t := needs[chain]; t != nil {
				return fmt.Errorf("image %q cannot be brought again: image %s has layers of it: %w", t.img.Graph.Root.Label(), nameOr(held.RepoTags, other.ID), image.ErrInUse)
			}
		}
	}
	return nil
}

// noDigest is what older engines list for an image that has a tag and no digest.
const noDigest = "<none>@<none>"

func nameOr(names []string, id string) string {
	if len(names) > 0 {
		return names[0]
	}
	return id
}

// removeAll removes the image with all its names, which it gets back when it is
// there again.
func (t *txn) removeAll(ctx context.Context) error {
	held, err := t.engine.inspect(ctx, t.state.ID)
	if err != nil {
		return ignoreAbsent(err)
	}
	t.cleared = slices.DeleteFunc(slices.Clone(held.RepoTags), func(name string) bool { _, ok := ownerOf(name); return ok })
	if t.img.Removed != nil {
		if err := t.img.Removed.Keep(t.state.ID, t.cleared); err != nil {
			return err
		}
	}
	for _, name := range held.RepoTags {
		if err := t.engine.unkeep(ctx, name); err != nil {
			return err
		}
	}
	return t.engine.RemoveUnused(ctx, t.state.ID)
}

// had says whether a name was the image's before it was removed, by this run or by
// one that was broken off.
func (t *txn) had(name string) bool {
	names := t.cleared
	if t.img.Removed != nil {
		kept, _ := t.img.Removed.Names(t.state.ID) // who gives them back says why not
		names = slices.Concat(names, kept)
	}
	return slices.ContainsFunc(names, func(held string) bool {
		full, err := image.Normalize(held)
		return err == nil && full == name
	})
}

// giveBack gives the image the names of before it was removed, in this run or in
// one that was broken off, but for those that others have taken since. The
// bundle's come after these: while they are missing, there is something to do.
func (t *txn) giveBack(ctx context.Context) error {
	names := t.cleared
	if t.img.Removed != nil {
		kept, err := t.img.Removed.Names(t.state.ID)
		if err != nil {
			return err
		}
		names = slices.Concat(names, kept)
	}
	for _, name := range names {
		if full, err := image.Normalize(name); err != nil || slices.Contains(t.img.Names, full) {
			continue
		}
		if _, err := t.nameIfFree(ctx, name); err != nil {
			return err
		}
	}
	return nil
}

// nameIfFree gives the image a name that is nobody's.
func (t *txn) nameIfFree(ctx context.Context, name string) (named bool, err error) {
	full, err := image.Normalize(name)
	if err != nil {
		return false, nil //nolint:nilerr // an engine has had it, but would not give it again
	}
	now, err := t.engine.Tagged(ctx, name)
	if named = err == nil && now == (image.Digest{}); named {
		err = t.name(ctx, full)
	}
	return named, t.engine.explain(fmt.Sprintf("tagging %q", name), err)
}

// restore gives the image the names of before that are free, if it is still there
// or there again. An image that the engine cannot use is as good as missing: whoever
// loaded it has not proven it.
func (t *txn) restore(ctx context.Context) error {
	if t.probe(ctx) != nil {
		return &RemovedError{t.cleared}
	}
	_, err := t.nameAll(ctx, t.cleared)
	if err == nil && t.img.Removed != nil {
		err = t.img.Removed.Forget(t.state.ID)
	}
	return err
}

// nameAll gives the image all names that are free, and answers those. Names by digest
// go with their tags.
func (t *txn) nameAll(ctx context.Context, names []string) (given []string, err error) {
	for _, name := range names {
		if image.Pinned(name) {
			continue
		}
		named, err := t.nameIfFree(ctx, name)
		if err != nil {
			return given, err
		}
		if named {
			given = append(given, name)
		}
	}
	return given, nil
}

// GiveBack implements image.Reloader.
func (e *Engine) GiveBack(ctx context.Context, r image.Removed) (given []string, err error) {
	ids, err := r.All()
	if err != nil {
		return nil, err
	}
	for _, id := range ids {
		t := &txn{engine: e, state: image.State{ID: id}}
		if t.probe(ctx) != nil {
			continue
		}
		names, err := r.Names(id)
		if err == nil {
			names, err = t.nameAll(ctx, names)
			given = append(given, names...)
		}
		if err == nil {
			err = r.Forget(id)
		}
		if err != nil {
			return given, err
		}
	}
	return given, context.Cause(ctx)
}
