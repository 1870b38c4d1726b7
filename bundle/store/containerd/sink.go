package containerd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/containerd/v2/pkg/labels"
	"github.com/containerd/containerd/v2/pkg/rootfs"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/identity"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"airgap/bundle/image"
)

// Begin implements image.Sink.
func (c *Containerd) Begin(ctx context.Context, img image.Import) (image.Txn, error) {
	ctx = c.in(ctx)
	root := img.Graph.Root
	choices := img.Graph.Choices(c.platform)
	switch {
	case len(choices) == 0:
		return nil, &image.PlatformError{Image: root.Label(), Want: []image.Platform{c.platform}, Have: img.Graph.Platforms()}
	case len(img.Names) == 0:
		return nil, fmt.Errorf("image %q: %w in containerd", root.Label(), image.ErrUnnamed)
	}
	m := choices[0].Manifest
	t := &txn{c: c, img: img, manifest: m, all: append(img.Graph.Documents(), img.Graph.Layers()...)}
	t.state.ID, t.state.Platform = root.Desc.Digest, m.Platform
	return t, t.look(ctx)
}

// Look implements image.Txn.
func (t *txn) Look(ctx context.Context) error { return t.look(t.c.in(ctx)) }

func (t *txn) look(ctx context.Context) error {
	t.state.Need, t.state.Size = nil, 0
	for _, d := range t.all {
		there, err := t.c.has(ctx, d)
		if err != nil {
			return err
		}
		if !there {
			t.state.Need = append(t.state.Need, d)
			t.state.Size += d.Size
		}
	}
	err := t.findTags(ctx)
	if err == nil {
		t.state.Present, err = t.whole(ctx)
	}
	return err
}

// txn brings one image.
type txn struct {
	c        *Containerd
	img      image.Import
	manifest image.Manifest
	all      []image.Descriptor // documents from the root down, then layers
	state    image.State

	lease     *leases.Lease
	written   bool
	committed bool
}

func (t *txn) State() image.State { return t.state }

// whole says whether all content of the image is there, it is unpacked, and has
// a lease or a name, without which it would be collected.
func (t *txn) whole(ctx context.Context) (bool, error) {
	if len(t.state.Need) > 0 {
		return false, nil
	}
	if t.written {
		return t.unpacked(ctx)
	}
	if named, err := t.named(ctx); err != nil || !named {
		return false, err
	}
	return t.unpacked(ctx)
}

// named says whether anything has the image as its name. Only by its own names
// containerd finds one without looking through all that it has.
func (t *txn) named(ctx context.Context) (bool, error) {
	if slices.ContainsFunc(t.state.Tags, func(tag image.Tag) bool { return tag.Old == t.state.ID }) {
		return true, nil
	}
	found, err := t.c.find(ctx, "target.digest=="+t.state.ID.String())
	return len(found) > 0, t.c.explain("listing images", err)
}

// unpacked says whether the image's layers are snapshots.
func (t *txn) unpacked(ctx context.Context) (bool, error) {
	if len(t.manifest.DiffIDs) == 0 {
		return true, nil
	}
	_, err := t.c.snapshots.Stat(ctx, t.chainID())
	if errdefs.IsNotFound(err) {
		return false, nil
	}
	return err == nil, t.c.explain("looking for snapshots", err)
}

// chainID is the name of the topmost snapshot.
func (t *txn) chainID() string { return identity.ChainID(t.diffIDs()).String() }

func (t *txn) diffIDs() (list []digest.Digest) {
	for _, d := range t.manifest.DiffIDs {
		list = append(list, digest.Digest(d.String()))
	}
	return list
}

func (t *txn) findTags(ctx context.Context) error {
	t.state.Tags = nil
	for _, name := range t.img.Names {
		tag := image.Tag{Name: name, New: t.state.ID}
		var err error
		if tag.Old, err = t.c.tagged(ctx, name); err != nil {
			return t.c.explain(fmt.Sprintf("looking up image %q", name), err)
		}
		t.state.Tags = append(t.state.Tags, tag)
	}
	return nil
}

// leaseTime is how long what was written stays if this process dies.
const leaseTime = 24 * time.Hour

// Write implements image.Txn: layers first and the root last, then what keeps
// them together, then the snapshots.
func (t *txn) Write(ctx context.Context, from image.Fetcher, done func(n int64)) (err error) {
	if t.state.Present {
		return nil
	}
	ctx = t.c.in(ctx)
	t.written = false
	lease, err := t.c.leases.Create(ctx, leases.WithRandomID(), leases.WithExpiration(leaseTime))
	if err != nil {
		return t.c.explain("taking a lease", err)
	}
	before := t.lease
	t.lease = &lease
	defer func() { // until then what an earlier Write has brought stays
		err = errors.Join(err, t.c.giveBack(context.WithoutCancel(ctx), before))
	}()
	ctx = leases.WithLease(ctx, lease.ID)
	for _, d := range slices.Backward(t.all) {
		needed := slices.ContainsFunc(t.state.Need, func(n image.Descriptor) bool { return n.Digest == d.Digest })
		told := &atMost{left: d.Size, tell: done}
		if !needed {
			told.left = 0
		}
		if err := t.c.put(ctx, image.Counting(from, told.add), d); err != nil {
			return err
		}
		told.add(d.Size)
	}
	if err := t.link(ctx); err != nil {
		return err
	}
	if err := t.unpack(ctx); err != nil {
		return t.c.explain("unpacking", err)
	}
	if err := t.check(ctx); err != nil {
		return err
	}
	t.written = true
	return nil
}

// link tells the garbage collection which content needs which other.
func (t *txn) link(ctx context.Context) error {
	carried := map[string]bool{}
	for _, d := range t.all {
		carried[d.Digest.String()] = true
	}
	children := images.HandlerFunc(func(ctx context.Context, d ocispec.Descriptor) ([]ocispec.Descriptor, error) {
		list, err := images.Children(ctx, t.c.content, d)
		return slices.DeleteFunc(list, func(c ocispec.Descriptor) bool { return !carried[c.Digest.String()] }), err
	})
	err := images.Walk(ctx, images.SetChildrenMappedLabels(t.c.content, children, nil), descriptor(t.img.Graph.Root.Desc))
	return t.c.explain("linking the content", err)
}

// unpack makes a snapshot of each layer on that of the layer below, and keeps
// them as long as the config is kept.
func (t *txn) unpack(ctx context.Context) error {
	diffIDs := t.diffIDs()
	for i, l := range t.manifest.Layers {
		layer := rootfs.Layer{
			Blob: descriptor(l), Diff: ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayer, Digest: diffIDs[i]},
		}
		fresh, err := rootfs.ApplyLayerWithOpts(ctx, layer, diffIDs[:i], t.c.snapshots, t.c.diffs, nil, nil)
		if err == nil && fresh { // and compared with its diffID
			err = t.label(ctx, l, labels.LabelUncompressed, diffIDs[i].String())
		}
		if err != nil {
			return fmt.Errorf("layer %s: %w", l.Digest, err)
		}
	}
	if len(diffIDs) == 0 {
		return nil
	}
	return t.label(ctx, t.manifest.Config, "containerd.io/gc.ref.snapshot."+t.c.snapshotter, t.chainID())
}

func (t *txn) label(ctx context.Context, d image.Descriptor, key, value string) error {
	info := content.Info{Digest: digest.Digest(d.Digest.String()), Labels: map[string]string{key: value}}
	_, err := t.c.content.Update(ctx, info, "labels."+key)
	return err
}

// check proves that containerd holds the image and has unpacked it.
func (t *txn) check(ctx context.Context) error {
	mismatch := func(format string, args ...any) error {
		return &Error{t.c.address, "checking the imported image", Mismatch, fmt.Errorf(format, args...)}
	}
	for _, d := range t.all {
		there, err := t.c.has(ctx, d)
		if err != nil {
			return err
		}
		if !there {
			return mismatch("it took %s and does not have it", d.Digest)
		}
	}
	if unpacked, err := t.unpacked(ctx); err != nil || !unpacked {
		return errors.Join(err, mismatch("it is not unpacked"))
	}
	return nil
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
	ctx = t.c.in(ctx)
	if err := t.look(ctx); err != nil {
		return nil, err
	}
	if !t.state.Present {
		return nil, fmt.Errorf("image %q: %w", label, image.ErrGone)
	}
	for i, tag := range t.state.Tags {
		if t.img.NoReplace && tag.Moved() {
			return t.state.Tags[:i], &image.TakenError{Tag: tag}
		}
		if tag.Old == tag.New {
			continue
		}
		if err := t.c.name(ctx, tag.Name, t.img.Graph.Root.Desc); err != nil {
			return t.state.Tags[:i], t.c.explain(fmt.Sprintf("naming %q", tag.Name), err)
		}
	}
	t.committed = true
	return t.state.Tags, t.release(ctx)
}

// Abort implements image.Txn.
func (t *txn) Abort(ctx context.Context) error {
	if t.committed {
		return nil
	}
	t.written = false
	return t.release(t.c.in(ctx), leases.SynchronousDelete)
}

// release gives the lease back; what nothing else needs goes.
func (t *txn) release(ctx context.Context, o ...leases.DeleteOpt) error {
	lease := t.lease
	t.lease = nil
	return t.c.giveBack(ctx, lease, o...)
}

// giveBack deletes a lease, if there is one.
func (c *Containerd) giveBack(ctx context.Context, lease *leases.Lease, o ...leases.DeleteOpt) error {
	if lease == nil {
		return nil
	}
	err := c.leases.Delete(ctx, *lease, o...)
	if errdefs.IsNotFound(err) {
		return nil
	}
	return c.explain("giving the lease back", err)
}

// Flush implements image.Sink.
func (c *Containerd) Flush(ctx context.Context) (durable bool, why string, err error) {
	durable, why = flush()
	return durable, why, context.Cause(ctx)
}

// atMost tells of no more bytes than there are.
type atMost struct {
	left int64
	tell func(n int64)
}

func (a *atMost) add(n int64) {
	n = min(n, a.left)
	a.left -= n
	a.tell(n)
}

// ownError is a reader that remembers its error, so that containerd is not
// blamed for it.
type ownError struct {
	io.Reader
	err error
}

func (r *ownError) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	if err != nil && err != io.EOF {
		r.err = err
	}
	return n, err
}
