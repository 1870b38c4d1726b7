package docker

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/moby/moby/client"

	"airgap/bundle/image"
	"airgap/bundle/image/dockertar"
)

// Begin implements image.Sink.
func (e *Engine) Begin(ctx context.Context, img image.Import) (image.Txn, error) {
	m, ok := img.Graph.For(e.platform)
	if !ok {
		return nil, &image.PlatformError{Image: img.Graph.Root.Label(), Want: []image.Platform{e.platform}, Have: img.Graph.Platforms()}
	}
	t := &txn{engine: e, img: img, manifest: m}
	t.state.Platform = m.Platform
	t.state.ID = m.Config.Digest
	if e.store == containerd {
		t.state.ID = img.Graph.Root.Desc.Digest
	}
	known, whole, err := e.has(ctx, t)
	if err != nil {
		return nil, err
	}
	t.existed, t.state.Present = known, whole
	if !whole {
		if t.layers, err = e.planLayers(ctx, m); err != nil {
			return nil, err
		}
		t.state.Need = t.layers.need
		for _, l := range t.state.Need {
			t.state.Size += l.Size
		}
	}
	return t, t.findTags(ctx)
}

// txn brings one image into the engine.
type txn struct {
	engine   *Engine
	img      image.Import
	manifest image.Manifest
	state    image.State
	layers   layerPlan

	existed   bool // the engine knew the ID before
	written   bool
	committed bool
}

func (t *txn) State() image.State { return t.state }

func (t *txn) findTags(ctx context.Context) error {
	for _, name := range t.img.Names {
		if !t.engine.holds(name) {
			t.state.Lost = append(t.state.Lost, name)
			continue
		}
		tag := image.Tag{Name: name, New: t.state.ID}
		result, err := t.engine.client.ImageInspect(ctx, name)
		if err = t.engine.explain(fmt.Sprintf("looking up image %q", image.Familiar(name)), err); err == nil {
			tag.Old, err = parseID(result.ID)
		}
		if err != nil && !errors.Is(err, image.ErrNotFound) {
			return err
		}
		t.state.Tags = append(t.state.Tags, tag)
	}
	return nil
}

// Write implements image.Txn.
func (t *txn) Write(ctx context.Context, from image.Fetcher, done func(n int64)) error {
	if t.state.Present {
		return nil
	}
	t.written = true
	t.layers.bringing.start()
	err := t.load(ctx, from, t.layers, done)
	if err != nil && t.layers.leavesOut() && ctx.Err() == nil && isMissingLayer(err) {
		// A layer that was there is gone: give it everything.
		err = t.load(ctx, from, layerPlan{bringing: t.layers.bringing}, func(int64) {})
	}
	t.layers.bringing.end(err == nil)
	if err != nil {
		return err
	}
	t.engine.forgetChains()
	return t.check(ctx)
}

// load streams the image into the engine and hears its answer.
func (t *txn) load(ctx context.Context, from image.Fetcher, layers layerPlan, done func(n int64)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	settled := &settled{total: t.state.Size, done: done, unpacking: layers.bringing.unpacking}
	content := dockertar.Content{
		Dialect: t.engine.imports(), Graph: t.img.Graph, Manifest: t.manifest,
		Omit: layers.omit, Late: layers.late,
	}
	if !t.engine.zstd {
		content.Open = unzstd(from)
	}
	if t.engine.store != classic {
		from = image.Counting(from, settled.add)
	}
	r, w := io.Pipe()
	wrote := make(chan error, 1)
	go func() {
		err := dockertar.Write(ctx, w, content, from)
		w.CloseWithError(err) // an error breaks the request off: the engine never sees a clean end
		wrote <- err
	}()
	answer, err := t.engine.client.ImageLoad(ctx, body{r})
	if err == nil {
		err = readAnswer(answer, settled)
		answer.Close()
	}
	body{r}.Close()
	if writeErr := <-wrote; writeErr != nil && !errors.Is(writeErr, errEngineGone) {
		return writeErr
	}
	if err != nil {
		return t.engine.explain("loading the image", err)
	}
	settled.finish()
	return nil
}

// body is a request's body. When the HTTP client gives it up the writer hears
// whose fault that is, so that the engine's error is the one that is reported.
type body struct{ *io.PipeReader }

func (b body) Close() error { return b.CloseWithError(errEngineGone) }

var errEngineGone = errors.New("the engine takes no more")

// Commit implements image.Txn.
func (t *txn) Commit(ctx context.Context) ([]image.Tag, error) {
	for _, tag := range t.state.Tags {
		if tag.Old == tag.New {
			continue
		}
		if err := t.name(ctx, tag.Name); err != nil {
			return nil, t.engine.explain(fmt.Sprintf("tagging %q", image.Familiar(tag.Name)), err)
		}
		t.committed = true
	}
	t.committed = true
	return t.state.Tags, nil
}

// Abort implements image.Txn. An image that was there before stays.
func (t *txn) Abort(ctx context.Context) error {
	if t.committed || t.existed || !t.written {
		return nil
	}
	t.engine.forgetChains()
	_, err := t.engine.client.ImageRemove(ctx, t.state.ID.String(), client.ImageRemoveOptions{PruneChildren: true})
	if err = t.engine.explain("removing the image again", err); errors.Is(err, image.ErrNotFound) {
		return nil
	}
	return err
}

// Flush implements image.Sink.
func (e *Engine) Flush(context.Context) (durable bool, why string, err error) {
	if !e.local {
		return false, "the engine is on another machine", nil
	}
	return flush(e.rootDir)
}
