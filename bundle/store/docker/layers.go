package docker

import (
	"context"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/moby/moby/client"

	"airgap/bundle/image"
)

// layerPlan says how the engine comes by each layer of an image. The classic
// store looks a layer up by its chain ID before it opens the file; containerd's
// has to have all blobs, or it makes images that cannot be exported.
type layerPlan struct {
	need     []image.Descriptor // given by this image
	omit     map[image.Digest]bool
	late     map[image.Digest]func(context.Context) (there bool) // given by an image planned before
	bringing *bringing
}

// drop says that another plan takes the place of this one.
func (p layerPlan) drop() {
	if p.bringing != nil {
		p.bringing.end(false)
	}
}

// planLayers decides for an image, and promises what it will bring to those
// that are planned after it.
func (e *Engine) planLayers(ctx context.Context, m image.Manifest, all bool) (layerPlan, error) {
	p := layerPlan{bringing: newBringing(m.DiffIDs)}
	if e.store == podman || all { // podman wants all layers with each image
		p.give(m.Layers, func(image.Digest) bool { return true })
		return p, nil
	}
	held, keys, err := e.layerKeys(ctx, m)
	if err != nil {
		return layerPlan{}, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	p.omit, p.late = map[image.Digest]bool{}, map[image.Digest]func(context.Context) bool{}
	need := map[image.Digest]bool{}
	for i, key := range keys {
		l := m.Layers[i].Digest
		switch before := e.promised[key]; {
		case held[key]:
			p.omit[l] = true
		case before != nil && before.bringing == p.bringing:
			// The same layer twice.
		case before != nil && before.bringing.pending():
			p.late[l] = before.wait
		default:
			need[l] = true
			e.promised[key] = &promise{p.bringing, i}
		}
	}
	p.give(m.Layers, func(d image.Digest) bool { return need[d] })
	return p, nil
}

// layerKeys are by what the engine's store finds the layers of an image, and
// which of these it has.
func (e *Engine) layerKeys(ctx context.Context, m image.Manifest) (held map[image.Digest]bool, keys []image.Digest, err error) {
	if e.store == classic {
		held, err = e.layerChains(ctx)
		return held, chainIDs(m.DiffIDs), err
	}
	// Containerd's store does not tell which blobs it has; what another image
	// brings just before this one, it has.
	for _, l := range m.Layers {
		keys = append(keys, l.Digest)
	}
	return nil, keys, nil
}

// give chooses the layers that the image itself brings.
func (p *layerPlan) give(layers []image.Descriptor, need func(image.Digest) bool) {
	given := map[image.Digest]bool{}
	for _, l := range layers {
		if need(l.Digest) && !given[l.Digest] {
			given[l.Digest] = true
			p.need = append(p.need, l)
			delete(p.omit, l.Digest)
			delete(p.late, l.Digest)
		}
	}
}

// bringing is how far the engine is with the layers of an image. A classic
// store unpacks a layer for every stream that holds it, also if another stream
// has just brought it; so of the images that come side by side only the first
// brings what they share, and the streams of the others end when it is there.
type bringing struct {
	diffIDs  []image.Digest
	started  atomic.Bool
	ended    chan struct{}
	ending   sync.Once
	unpacked []chan struct{} // closed when the store has the layer

	mu sync.Mutex
	at int // layers that the store has
}

func newBringing(diffIDs []image.Digest) *bringing {
	b := &bringing{diffIDs: diffIDs, ended: make(chan struct{})}
	for range diffIDs {
		b.unpacked = append(b.unpacked, make(chan struct{}))
	}
	return b
}

// start says that the image is on its way: it is worth waiting for.
func (b *bringing) start() { b.started.Store(true) }

// unpacking hears that the engine has come to a layer, named by the first
// digits of its diffID: it has those below.
func (b *bringing) unpacking(short string) {
	b.reach(slices.IndexFunc(b.diffIDs, func(d image.Digest) bool { return strings.HasPrefix(d.Hex, short) }))
}

// end says that no more will come.
func (b *bringing) end(whole bool) {
	if whole {
		b.reach(len(b.diffIDs))
	}
	b.ending.Do(func() { close(b.ended) })
}

func (b *bringing) reach(n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for ; b.at < n; b.at++ {
		close(b.unpacked[b.at])
	}
}

// pending says that the image may still come.
func (b *bringing) pending() bool {
	select {
	case <-b.ended:
		return false
	default:
		return true
	}
}

// promise is one layer of an image that is being brought.
type promise struct {
	bringing *bringing
	layer    int
}

// wait returns when the store has the layer, or will not have it from there.
func (p *promise) wait(ctx context.Context) (there bool) {
	if !p.bringing.started.Load() {
		return false
	}
	select {
	case <-p.bringing.unpacked[p.layer]:
		return true
	case <-p.bringing.ended:
	case <-ctx.Done():
	}
	select {
	case <-p.bringing.unpacked[p.layer]:
		return true
	default:
		return false
	}
}

// chainIDs are the names by which the classic store knows layers: each stands
// for a layer and all below it.
func chainIDs(diffIDs []image.Digest) []image.Digest {
	var chain []image.Digest
	for i, id := range diffIDs {
		if i > 0 {
			id = image.SHA256([]byte(chain[i-1].String() + " " + id.String()))
		}
		chain = append(chain, id)
	}
	return chain
}

// layerChains are the chain IDs of all layers of the images that the engine
// lists, asked for once.
func (e *Engine) layerChains(ctx context.Context) (map[image.Digest]bool, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.chains != nil {
		return e.chains, nil
	}
	list, err := e.client.ImageList(ctx, client.ImageListOptions{})
	if err != nil {
		return nil, e.explain("listing images", err)
	}
	chains := map[image.Digest]bool{}
	for _, item := range list.Items {
		result, err := e.client.ImageInspect(ctx, item.ID)
		if err != nil && ctx.Err() == nil {
			continue // it is being removed; at worst a layer comes once more than it need
		}
		if err != nil {
			return nil, e.explain("inspecting image "+item.ID, err)
		}
		addChains(chains, result.RootFS.Layers)
	}
	e.chains = chains
	return chains, nil
}

func addChains(chains map[image.Digest]bool, layers []string) {
	var ids []image.Digest
	for _, s := range layers {
		id, err := parseID(s)
		if err != nil {
			return
		}
		ids = append(ids, id)
	}
	for _, chain := range chainIDs(ids) {
		chains[chain] = true
	}
}

func (e *Engine) forgetChains() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.chains = nil
}
