package storetest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"

	"airgap/bundle/image"
)

// Memory is a place in memory, both an image.Source and an image.Sink: what
// the other places are compared with. Its zero value is not usable.
type Memory struct {
	// Platform makes it an engine that runs one platform only. Zero: it takes
	// images for any.
	Platform image.Platform

	mu    sync.Mutex
	blobs map[image.Digest][]byte
	users map[image.Digest]int // transactions that rely on a blob
	names map[string]image.Descriptor
}

// NewMemory makes an empty place.
func NewMemory() *Memory {
	return &Memory{blobs: map[image.Digest][]byte{}, users: map[image.Digest]int{}, names: map[string]image.Descriptor{}}
}

// Close does nothing.
func (m *Memory) Close() error { return nil }

// Names lists the names that point to images, sorted.
func (m *Memory) Names() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Sorted(maps.Keys(m.names))
}

// Find tells what a name points to.
func (m *Memory) Find(name string) (image.Descriptor, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	d, ok := m.names[name]
	return d, ok
}

// Digests lists the blobs, sorted.
func (m *Memory) Digests() []image.Digest {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.SortedFunc(maps.Keys(m.blobs), func(a, b image.Digest) int { return bytes.Compare([]byte(a.Hex), []byte(b.Hex)) })
}

// Bytes is the content of a blob, or nil.
func (m *Memory) Bytes(d image.Digest) []byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.blobs[d]
}

// Spoil flips one bit of a blob.
func (m *Memory) Spoil(d image.Digest) {
	m.mu.Lock()
	defer m.mu.Unlock()
	b := bytes.Clone(m.blobs[d])
	b[len(b)/2] ^= 1
	m.blobs[d] = b
}

// Lose forgets a blob.
func (m *Memory) Lose(d image.Digest) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.blobs, d)
}

// Open implements image.Source.
func (m *Memory) Open(ctx context.Context, names []string, _ image.Platforms) (image.Set, error) {
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	set := &memorySet{Memory: m}
	for _, given := range names {
		name, err := image.Normalize(given)
		if err != nil {
			return nil, err
		}
		d, ok := m.find(name)
		if !ok {
			return nil, fmt.Errorf("image %q: %w", given, image.ErrNotFound)
		}
		set.roots = append(set.roots, image.Root{Name: name, Desc: d, Origin: "memory"})
	}
	return set, nil
}

// find tells what a name means, which may be by digest.
func (m *Memory) find(name string) (image.Descriptor, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if d, ok := m.names[name]; ok {
		return d, true
	}
	for held, d := range m.names {
		if image.Means(name, held, d.Digest) {
			return d, true
		}
	}
	return image.Descriptor{}, false
}

type memorySet struct {
	*Memory
	roots []image.Root
}

func (s *memorySet) Roots() []image.Root { return s.roots }

// Fetch implements image.Fetcher.
func (m *Memory) Fetch(ctx context.Context, d image.Descriptor) (io.ReadCloser, error) {
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	if err := image.CheckDigest(d.Digest); err != nil {
		return nil, err
	}
	m.mu.Lock()
	b, ok := m.blobs[d.Digest]
	m.mu.Unlock()
	if !ok {
		return nil, fmt.Errorf("blob %s: %w", d.Digest, image.ErrNotFound)
	}
	return image.NewReader(&memoryBlob{ctx, bytes.NewReader(b)}, d), nil
}

// memoryBlob ends with its context.
type memoryBlob struct {
	ctx context.Context
	r   *bytes.Reader
}

func (b *memoryBlob) Read(p []byte) (int, error) {
	if err := context.Cause(b.ctx); err != nil {
		return 0, err
	}
	return b.r.Read(p)
}

func (b *memoryBlob) Close() error { return nil }

// Begin implements image.Sink.
func (m *Memory) Begin(ctx context.Context, img image.Import) (image.Txn, error) {
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	g := img.Graph
	if _, ok := g.For(m.Platform); !ok && m.Platform.OS != "" {
		return nil, &image.PlatformError{Image: g.Root.Label(), Want: []image.Platform{m.Platform}, Have: g.Platforms()}
	}
	txn := &memoryTxn{m: m, img: img}
	return txn, txn.Look(ctx)
}

// Flush implements image.Sink.
func (m *Memory) Flush(ctx context.Context) (bool, string, error) {
	return false, "it is only in memory", context.Cause(ctx)
}

type memoryTxn struct {
	m         *Memory
	img       image.Import
	state     image.State
	held      []image.Digest
	committed bool
}

func (t *memoryTxn) State() image.State { return t.state }

func (t *memoryTxn) Look(ctx context.Context) error {
	t.m.mu.Lock()
	defer t.m.mu.Unlock()
	t.look()
	return context.Cause(ctx)
}

func (t *memoryTxn) look() {
	g := t.img.Graph
	t.state = image.State{ID: g.Root.Desc.Digest, Platform: t.m.Platform}
	for _, d := range append(g.Documents(), g.Layers()...) {
		if _, ok := t.m.blobs[d.Digest]; !ok {
			t.state.Need = append(t.state.Need, d)
			t.state.Size += d.Size
		}
	}
	t.state.Present = len(t.state.Need) == 0
	for _, name := range t.img.Names {
		t.state.Tags = append(t.state.Tags, image.Tag{Name: name, Old: t.m.names[name].Digest, New: t.state.ID})
	}
}

func (t *memoryTxn) Write(ctx context.Context, from image.Fetcher, done func(n int64)) error {
	for _, d := range t.state.Need {
		if err := t.write(ctx, from, d); err != nil {
			return err
		}
		done(d.Size)
	}
	return nil
}

func (t *memoryTxn) write(ctx context.Context, from image.Fetcher, d image.Descriptor) error {
	r, err := from.Fetch(ctx, d)
	if err != nil {
		return err
	}
	b, err := io.ReadAll(image.NewReader(r, d))
	if err := closeWith(r, err); err != nil {
		return err
	}
	t.m.mu.Lock()
	defer t.m.mu.Unlock()
	t.m.blobs[d.Digest] = b
	t.m.users[d.Digest]++
	t.held = append(t.held, d.Digest)
	return nil
}

func closeWith(c io.Closer, err error) error {
	if closeErr := c.Close(); err == nil {
		return closeErr
	}
	return err
}

func (t *memoryTxn) Commit(ctx context.Context) ([]image.Tag, error) {
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	t.m.mu.Lock()
	defer t.m.mu.Unlock()
	if t.look(); !t.state.Present {
		return nil, fmt.Errorf("image %q: %w", t.img.Graph.Root.Label(), image.ErrGone)
	}
	for i, tag := range t.state.Tags {
		if t.img.NoReplace && tag.Moved() {
			return t.state.Tags[:i], &image.TakenError{Tag: tag}
		}
		t.m.names[tag.Name] = t.img.Graph.Root.Desc
	}
	t.committed = true
	return t.state.Tags, nil
}

func (t *memoryTxn) Abort(context.Context) error {
	t.m.mu.Lock()
	defer t.m.mu.Unlock()
	if t.committed {
		return nil
	}
	for _, d := range t.held {
		if t.m.users[d]--; t.m.users[d] == 0 {
			delete(t.m.blobs, d)
		}
	}
	t.held = nil
	return nil
}
