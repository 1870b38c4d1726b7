package docker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"airgap/bundle/image"
	"airgap/bundle/image/dockertar"
)

// Begin implements image.Sink.
func (e *Engine) Begin(ctx context.Context, img image.Import) (image.Txn, error) {
	choices, err := e.choose(img.Graph)
	if err != nil {
		return nil, err
	}
	for _, name := range img.Names {
		if _, ours := ownerOf(image.Familiar(name)); ours {
			return nil, &image.UnsupportedError{Image: image.Familiar(name), Why: "names of that form are for images that are being imported, and are removed by the next import"}
		}
	}
	t := &txn{engine: e, img: img, choices: choices}
	t.choose(choices[0])
	t.state.ID = t.manifest.Config.Digest
	if e.store == containerd {
		t.state.ID = img.Graph.Root.Desc.Digest
	}
	if img.Reload {
		e.reload.txns = append(e.reload.txns, t)
	}
	return t, t.look(ctx)
}

// Look implements image.Txn.
func (t *txn) Look(ctx context.Context) error {
	t.engine.forgetChains()
	return t.look(ctx)
}

func (t *txn) look(ctx context.Context) error {
	known, whole, err := t.engine.has(ctx, t)
	if err != nil {
		return err
	}
	t.existed = t.existed || known && !t.written
	t.state.Existed = t.state.Existed || t.existed
	whole = whole && (t.written || t.committed || !t.img.Reload)
	t.state.Present, t.state.Need, t.state.Size = whole, nil, 0
	if !whole {
		t.layers.drop()
		if t.layers, err = t.engine.planLayers(ctx, t.manifest, t.img.Reload); err != nil {
			return err
		}
		t.state.Need = t.layers.need
		for _, l := range t.state.Need {
			t.state.Size += l.Size
		}
	}
	return t.findTags(ctx)
}

// txn brings one image into the engine.
type txn struct {
	engine   *Engine
	img      image.Import
	choices  []image.Manifest // that the engine may take, for which only a store that keeps all has a choice
	manifest image.Manifest   // the one of these that it takes
	state    image.State
	layers   layerPlan

	kept      string   // a name that keeps the image until it has its own
	container string   // keeps it too
	existed   bool     // the engine knew the ID before
	cleared   []string // names that it had before it was removed to be brought again
	written   bool
	busy      bool // the engine was still importing when it was waited for no longer
	committed bool
}

// others are the choices that it is not thought to take.
func (t *txn) others() []image.Manifest {
	return slices.DeleteFunc(slices.Clone(t.choices), func(m image.Manifest) bool { return m.Desc.Digest == t.manifest.Desc.Digest })
}

func (t *txn) choose(m image.Manifest) { t.manifest, t.state.Platform = m, m.Platform }

func (t *txn) State() image.State { return t.state }

func (t *txn) findTags(ctx context.Context) error {
	t.state.Tags, t.state.Lost = nil, nil
	for _, name := range t.img.Names {
		if !t.engine.holds(name) {
			t.state.Lost = append(t.state.Lost, name)
			continue
		}
		old, err := t.engine.Tagged(ctx, name)
		if err != nil {
			return err
		}
		if old == (image.Digest{}) && !t.committed && t.had(name) {
			old = t.state.ID // it gets it back
		}
		t.state.Tags = append(t.state.Tags, image.Tag{Name: name, Old: old, New: t.state.ID})
	}
	return nil
}

// Write implements image.Txn.
func (t *txn) Write(ctx context.Context, from image.Fetcher, done func(n int64)) error {
	if t.state.Present {
		return nil
	}
	if t.written { // and removed since
		if err := t.letGo(ctx); err != nil {
			return err
		}
	}
	if t.img.Reload {
		if err := t.engine.clear(ctx); err != nil {
			return err
		}
		t.existed = false
	}
	t.written = true
	if len(t.state.Tags) > 0 {
		t.kept = t.engine.keptName(t.state.ID)
	}
	t.layers.bringing.start()
	err := t.bring(ctx, from, t.layers, done)
	for try := 1; try < tries && ctx.Err() == nil && isRemoved(err); try++ {
		// Others have removed a layer that was there, or the image as soon as it
		// was: give it everything.
		err = t.bring(ctx, from, layerPlan{bringing: t.layers.bringing}, func(int64) {})
	}
	t.layers.bringing.end(err == nil)
	return err
}

// tries is how often an image is brought that others remove at once, which takes
// somebody who does it all the time.
const tries = 5

// bring has the engine import the image, and proves that it did.
func (t *txn) bring(ctx context.Context, from image.Fetcher, layers layerPlan, done func(n int64)) error {
	settled := &settled{total: t.state.Size, done: done, unpacking: layers.bringing.unpacking}
	if t.mayPull() {
		if done, err := t.pull(ctx, from, settled); done || err != nil {
			return err
		}
	}
	if err := t.load(ctx, from, layers, settled); err != nil {
		return err
	}
	t.engine.forgetChains()
	return t.check(ctx)
}

// load streams the image into the engine and hears its answer. What an engine
// has been given whole it imports, whoever listens: so its answer is waited for,
// within bounds, also after the context has ended. A stream that is broken off
// it forgets.
func (t *txn) load(ctx context.Context, from image.Fetcher, layers layerPlan, settled *settled) error {
	request, cancel := outlasting(ctx, t.engine.patience)
	defer cancel()
	content := dockertar.Content{
		Dialect: t.engine.imports(), Graph: t.img.Graph, Manifest: t.manifest, Others: t.others(), Name: t.kept,
		Omit: layers.omit, Late: layers.late,
	}
	if !t.engine.zstd {
		content.Open = unzstd(from)
	}
	if t.engine.store != classic {
		// Such a store says of a wrong byte what it says of a blob that somebody has
		// removed. Whose fault it is must be known: the one is not tried again.
		from = image.Counting(image.Verifying(from), settled.add)
	}
	r, w := io.Pipe()
	wrote := make(chan error, 1)
	go func() {
		defer context.AfterFunc(ctx, func() { w.CloseWithError(context.Cause(ctx)) })()
		err := dockertar.Write(ctx, w, content, from)
		if cause := context.Cause(ctx); err != nil && cause != nil {
			err = cause
		}
		w.CloseWithError(err) // an error breaks the request off: the engine never sees a clean end
		wrote <- err
	}()
	answer, err := t.engine.client.ImageLoad(request, body{r})
	if err == nil {
		err = readAnswer(answer, settled)
		answer.Close()
	}
	body{r}.Close()
	if writeErr := <-wrote; writeErr != nil && !errors.Is(writeErr, errEngineGone) {
		return writeErr
	}
	if t.busy = request.Err() != nil; t.busy {
		return context.Cause(ctx)
	}
	if err != nil {
		return t.engine.explain("loading the image", err)
	}
	settled.finish()
	return nil
}

// outlasting is a context that ends only some time after another.
func outlasting(ctx context.Context, by time.Duration) (context.Context, func()) {
	longer, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(by, cancel) })
	return longer, func() { stop(); cancel() }
}

// body is a request's body. When the HTTP client gives it up the writer hears
// whose fault that is, so that the engine's error is the one that is reported.
type body struct{ *io.PipeReader }

func (b body) Close() error { return b.CloseWithError(errEngineGone) }

var errEngineGone = errors.New("the engine takes no more")

// Commit implements image.Txn.
func (t *txn) Commit(ctx context.Context) ([]image.Tag, error) {
	if t.committed {
		return t.state.Tags, nil
	}
	if err := t.Look(ctx); err != nil {
		return nil, err
	}
	if !t.state.Present {
		return nil, fmt.Errorf("image %q: %w", t.img.Graph.Root.Label(), image.ErrGone)
	}
	if err := t.giveBack(ctx); err != nil {
		return nil, err
	}
	for i, tag := range t.state.Tags {
		if t.img.NoReplace && tag.Moved() {
			return t.state.Tags[:i], &image.TakenError{Tag: tag}
		}
		if tag.Old == tag.New && !t.had(tag.Name) {
			continue
		}
		if err := t.name(ctx, tag.Name); err != nil {
			return t.state.Tags[:i], t.engine.explain(fmt.Sprintf("tagging %q", image.Familiar(tag.Name)), err)
		}
	}
	t.committed = true
	if t.img.Removed != nil {
		if err := t.img.Removed.Forget(t.state.ID); err != nil {
			return t.state.Tags, err
		}
	}
	return t.state.Tags, t.letGo(ctx)
}

// Abort implements image.Txn.
func (t *txn) Abort(ctx context.Context) error {
	if !t.written && len(t.cleared) == 0 {
		return nil
	}
	t.engine.forgetChains()
	err := t.letGo(ctx)
	if err == nil && len(t.cleared) > 0 && !t.committed {
		err = t.restore(ctx)
	}
	if t.busy && err == nil {
		err = &Error{Host: t.engine.host, Op: "taking the image back", Err: fmt.Errorf("it has not ended importing it after %v", t.engine.patience)}
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
