package registry

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"airgap/bundle/image"
)

// Begin implements image.Sink. The names say which registry and repository
// they are in; a registry takes images for any platform.
func (r *Registry) Begin(ctx context.Context, img image.Import) (image.Txn, error) {
	root := img.Graph.Root
	if len(img.Names)+len(img.Repositories) == 0 {
		return nil, fmt.Errorf("image %q: %w in a registry", root.Label(), image.ErrUnnamed)
	}
	t := &txn{from: r, img: img, all: append(img.Graph.Documents(), img.Graph.Layers()...)}
	t.state.ID = root.Desc.Digest
	for _, name := range img.Names {
		repo, id, err := t.from.find(name)
		if err != nil {
			return nil, err
		}
		t.addTarget(repo)
		t.names = append(t.names, named{repo, id})
	}
	for _, name := range img.Repositories {
		repo, _, err := t.from.find(name)
		if err != nil {
			return nil, err
		}
		t.addTarget(repo)
	}
	if err := t.compare(ctx); err != nil {
		return nil, err
	}
	return t, t.findTags(ctx)
}

// compare finds out what of the image its repositories lack.
func (t *txn) compare(ctx context.Context) error {
	for _, target := range t.targets {
		if err := target.compare(ctx, t.all); err != nil {
			return err
		}
	}
	if err := t.findListed(ctx); err != nil {
		return err
	}
	t.state.Need, t.state.Size = nil, 0
	for _, d := range t.all {
		if slices.ContainsFunc(t.targets, func(g *target) bool { return g.lacks(d) }) {
			t.state.Need = append(t.state.Need, d)
			t.state.Size += d.Size
		}
	}
	t.state.Present = len(t.state.Need)+len(t.unlisted) == 0
	return nil
}

// Flush implements image.Sink: what was listed is so yet.
func (r *Registry) Flush(ctx context.Context) (durable bool, why string, err error) {
	if err := context.Cause(ctx); err != nil {
		return false, "", err
	}
	return false, "a registry does not tell when its disk has it", r.relist(ctx)
}

// txn brings one image into the repositories of its names.
type txn struct {
	from    *Registry
	img     image.Import
	all     []image.Descriptor // documents from the root down, then layers
	targets []*target
	names   []named // of state.Tags
	state   image.State

	inTags   []listed // in lists that clients keep
	unlisted []listed // and of those, what is not there

	written   bool
	committed bool
}

// target is a repository that the image goes to.
type target struct {
	*repository
	lack []image.Descriptor // of txn.all, in that order
}

// named is where one of the image's names is.
type named struct {
	repo *repository
	id   string // tag or digest
}

func (t *txn) State() image.State { return t.state }

func (t *txn) addTarget(repo *repository) {
	if !slices.ContainsFunc(t.targets, func(g *target) bool { return g.repository == repo }) {
		t.targets = append(t.targets, &target{repository: repo})
	}
}

// findTags finds out what the names point to. A digest is a name as soon as
// Write has put the manifest, which is no name of others.
func (t *txn) findTags(ctx context.Context) error {
	before := t.state.Tags
	t.state.Tags = nil
	for i, at := range t.names {
		if at.id == t.state.ID.String() && t.written && !t.committed {
			t.state.Tags = append(t.state.Tags, before[i])
			continue
		}
		tag := image.Tag{Name: t.img.Names[i], New: t.state.ID}
		old, _, err := at.repo.manifest(ctx, at.id)
		switch {
		case err == nil:
			tag.Old = old.Digest
		case !errors.Is(err, image.ErrNotFound):
			return err
		}
		t.state.Tags = append(t.state.Tags, tag)
	}
	return nil
}

// compare finds out what of an image the repository lacks.
func (g *target) compare(ctx context.Context, all []image.Descriptor) error {
	there := make([]bool, len(all))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(g.from.jobs)
	for i, d := range all {
		group.Go(func() (err error) {
			there[i], err = g.has(ctx, d)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	g.lack = nil
	for i, d := range all {
		if !there[i] {
			g.lack = append(g.lack, d)
		}
	}
	return nil
}

func (g *target) has(ctx context.Context, d image.Descriptor) (bool, error) {
	if isManifest(d.MediaType) {
		return g.hasManifest(ctx, d)
	}
	there, err := g.hasBlob(ctx, d)
	if there {
		g.from.learn(d.Digest, g.repository)
	}
	return there, err
}

func (g *target) lacks(d image.Descriptor) bool {
	return slices.ContainsFunc(g.lack, func(l image.Descriptor) bool { return l.Digest == d.Digest })
}

// holding is a blob in a registry, in whichever repository.
type holding struct {
	registry string
	blob     image.Digest
}

// learn notes a repository that has a blob; holder finds one of the same registry,
// for mounting.
func (r *Registry) learn(d image.Digest, repo *repository) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if at := (holding{repo.RegistryStr(), d}); r.known[at] == nil {
		r.known[at] = repo
	}
}

func (r *Registry) holder(d image.Digest, beside *repository) *repository {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.known[holding{beside.RegistryStr(), d}]
}

// Write implements image.Txn: blobs side by side, then manifests from the
// leaves to the root, all by digest, then a look at whether all of it is there.
func (t *txn) Write(ctx context.Context, from image.Fetcher, done func(n int64)) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	settled := newProgress(t.state.Need, done)
	for _, g := range t.targets {
		if len(g.lack) == 0 {
			continue
		}
		if err := t.writeBlobs(ctx, g, from, settled); err != nil {
			return err
		}
		if err := t.writeManifests(ctx, g, settled); err != nil {
			return err
		}
		if err := g.compare(ctx, t.all); err != nil {
			return err
		}
		if len(g.lack) > 0 {
			return &Error{g.host(), "checking what was pushed", Failed, fmt.Errorf("it took %s and does not have it", g.lack[0].Digest)}
		}
	}
	for _, u := range t.inTags {
		t.from.expect(u)
	}
	t.written = true
	return nil
}

func (t *txn) writeBlobs(ctx context.Context, g *target, from image.Fetcher, settled *progress) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(t.from.jobs)
	for _, d := range slices.Backward(g.lack) {
		if isManifest(d.MediaType) {
			continue
		}
		group.Go(func() error {
			if err := context.Cause(ctx); err != nil {
				return err
			}
			if err := g.putBlob(ctx, settled.counted(from, d.Digest), d, t.from.holder(d.Digest, g.repository)); err != nil {
				return err
			}
			settled.finish(d)
			t.from.learn(d.Digest, g.repository)
			return nil
		})
	}
	return group.Wait()
}

func (t *txn) writeManifests(ctx context.Context, g *target, settled *progress) error {
	for _, d := range slices.Backward(g.lack) {
		if !isManifest(d.MediaType) {
			continue
		}
		err := g.putManifest(ctx, d.Digest.String(), d, t.img.Graph.Document(d.Digest))
		var known *Error
		if d.MediaType.IsIndex() && len(t.img.Graph.Left) > 0 && (errors.Is(err, image.ErrNotFound) || errors.As(err, &known) && known.Kind == Failed) {
			return &SparseError{t.img.Graph.Root.Label(), t.img.Graph.Platforms(), err}
		}
		if errors.As(err, &known) && known.Kind == Failed && t.hasAddresses(d) {
			known.Err = fmt.Errorf("%w; perhaps it does not allow layers with addresses of their vendor (docker-registry: validation.manifests.urls.allow)", known.Err)
		}
		if err != nil {
			return err
		}
		settled.finish(d)
	}
	return nil
}

// hasAddresses says whether a manifest has layers that their vendor offers too,
// as images for Windows have.
func (t *txn) hasAddresses(d image.Descriptor) bool {
	for _, m := range t.img.Graph.Manifests {
		if m.Desc.Digest == d.Digest {
			return slices.ContainsFunc(m.Layers, func(l image.Descriptor) bool { return len(l.URLs) > 0 })
		}
	}
	return false
}

// Look implements image.Txn. Where a manifest is, the registry has kept what it
// needs.
func (t *txn) Look(ctx context.Context) error {
	whole := t.written || t.state.Present
	for _, d := range t.all {
		for _, g := range t.targets {
			if !whole || !isManifest(d.MediaType) {
				continue
			}
			var err error
			if whole, err = g.hasManifest(ctx, d); err != nil {
				return err
			}
		}
	}
	if t.state.Present = whole; !whole {
		if err := t.compare(ctx); err != nil {
			return err
		}
	} else if err := t.findUnlisted(ctx); err != nil {
		return err
	}
	if t.committed && len(t.unlisted) > 0 {
		t.state.Present = false
	}
	return t.findTags(ctx)
}

// Commit implements image.Txn.
func (t *txn) Commit(ctx context.Context) ([]image.Tag, error) {
	if t.committed {
		return t.state.Tags, nil
	}
	label := t.img.Graph.Root.Label()
	if !t.written && !t.state.Present {
		return nil, fmt.Errorf("image %q was not written", label)
	}
	if err := t.Look(ctx); err != nil {
		return nil, err
	}
	if !t.state.Present {
		return nil, fmt.Errorf("image %q: %w", label, image.ErrGone)
	}
	for _, u := range t.inTags {
		t.from.expect(u)
	}
	for _, u := range t.unlisted {
		if err := u.about().list(ctx); err != nil {
			return nil, err
		}
	}
	root := t.img.Graph.Root.Desc
	for i, tag := range t.state.Tags {
		at := t.names[i]
		if t.img.NoReplace && tag.Moved() {
			return t.state.Tags[:i], &image.TakenError{Tag: tag}
		}
		if tag.Old == tag.New || at.id == root.Digest.String() {
			continue
		}
		if err := at.repo.putManifest(ctx, at.id, root, t.img.Graph.Document(root.Digest)); err != nil {
			return t.state.Tags[:i], err
		}
	}
	t.committed = true
	return t.state.Tags, nil
}

// Abort implements image.Txn. Nothing is deleted: with a manifest all its tags
// would go, and who else relies on it by now nobody can tell.
func (t *txn) Abort(context.Context) error {
	t.written = false
	return nil
}

// progress tells of each blob's bytes once, however many repositories it goes
// to and however often its upload starts over.
type progress struct {
	done func(n int64)
	mu   sync.Mutex
	left map[image.Digest]int64 // bytes not told of yet
}

func newProgress(need []image.Descriptor, done func(n int64)) *progress {
	p := &progress{done: done, left: map[image.Digest]int64{}}
	for _, d := range need {
		p.left[d.Digest] = d.Size
	}
	return p
}

func (p *progress) add(d image.Digest, n int64) {
	p.mu.Lock()
	n = min(n, p.left[d])
	p.left[d] -= n
	p.mu.Unlock()
	p.done(n)
}

// finish tells of all that is left of a blob.
func (p *progress) finish(d image.Descriptor) { p.add(d.Digest, d.Size) }

// counted is a fetcher whose readers tell how far they are.
func (p *progress) counted(from image.Fetcher, d image.Digest) image.Fetcher {
	return image.Counting(from, func(n int64) { p.add(d, n) })
}
