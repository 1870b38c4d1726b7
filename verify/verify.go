// Package verify decides what may be believed of a bundle.
//
// [Read] proves the documents: that the manifest is one, that the graph of
// every image is closed, that configs, diffIDs and layers belong together, and
// that what the bundle tells other tools says the same. It reads no layer.
// [Check] then proves every byte, and only it makes a [*Verified], which is
// what package load imports. It finds out everything that can be known without
// a network and without an engine; it changes nothing.
//
// What is wrong with a bundle is a *bundle.DamagedError; what is wrong with an
// image in a bundle that is whole, an *image.WrongLayerError. All of it is in
// the [Report]. Other errors are those of the medium.
package verify

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"airgap/bundle"
	"airgap/bundle/image"
	"airgap/bundle/image/layer"
)

// Documents is a bundle whose documents are proven.
type Documents struct {
	bundle *bundle.Bundle
	images []Image
}

// Image is an image of a bundle with all its names.
type Image struct {
	Names []string // normalised; none for an untagged image
	Graph *image.Graph
	// Of lists the images that it is a referrer of, as indices in Images; empty
	// for an image of its own. See image.Owners.
	Of []int
}

// Label names the image in messages.
func (i Image) Label() string { return i.Graph.Root.Label() }

// Images lists the images, sorted by their first name.
func (d *Documents) Images() []Image { return d.images }

// Signature says whether somebody has signed the bundle. Who that is, and
// whether it is a signature at all, is not looked at.
func (d *Documents) Signature() Signature {
	if d.bundle.Signature() == nil {
		return Unsigned
	}
	return Unchecked
}

// Bundle is the bundle that they are in.
func (d *Documents) Bundle() *bundle.Bundle { return d.bundle }

// Read proves the documents of a bundle.
func Read(ctx context.Context, b *bundle.Bundle) (*Documents, error) {
	d := &Documents{bundle: b}
	library := image.NewLibrary()
	at := map[bundle.Ref]int{} // of an image in d.images, by its root
	var graphs []*image.Graph
	for _, img := range b.Manifest().Images {
		i, known := at[img.Root]
		if !known {
			g, err := library.Read(ctx, b, image.Root{Name: img.Name, Desc: img.Root.Descriptor()}, image.SelectPresent(b.Has))
			if err != nil {
				return nil, asDamage(img.Name, err)
			}
			i = len(d.images)
			at[img.Root] = i
			d.images = append(d.images, Image{Graph: g})
		}
		if img.Name != "" {
			d.images[i].Names = append(d.images[i].Names, img.Name)
		}
		g := *d.images[i].Graph // the same image by another name
		g.Root.Name = img.Name
		graphs = append(graphs, &g)
	}
	if err := d.findOwners(); err != nil {
		return nil, err
	}
	return d, b.CheckContents(graphs)
}

// asDamage says that an unsound document is damage, where the medium is not to
// blame: a document was read, and is not what it should be.
func asDamage(name string, err error) error {
	var damage *bundle.DamagedError
	if errors.As(err, &damage) {
		return err
	}
	return &bundle.DamagedError{What: fmt.Sprintf("image %q", image.Familiar(name)), Err: err}
}

func (d *Documents) findOwners() error {
	graphs := make([]*image.Graph, len(d.images))
	for i, img := range d.images {
		graphs[i] = img.Graph
	}
	owners, err := image.Owners(graphs)
	if err != nil {
		return &bundle.DamagedError{What: "images", Err: err}
	}
	for i := range owners {
		d.images[i].Of = owners[i]
	}
	return nil
}

// Level is how far Check goes.
type Level int

const (
	// Full proves every digest and the diffID of every layer.
	Full Level = iota
	// Digests proves every digest. The diffIDs are left to an engine that is
	// known to check them while it unpacks.
	Digests
)

// Policy says what Check demands.
type Policy struct {
	Level Level
	Jobs  int // layers side by side; 0 for what suits the machine
	// InOrder reads from start to end, and does that twice, rather than once in
	// several places: on a set of discs every step back is a change of discs.
	InOrder  bool
	Progress func(n int64) // hears of bytes of blobs; may be called from several goroutines
}

// maxJobs is how many layers are worth being read side by side: each takes
// three cores and some 10 MB, and eight are faster than disks are.
const maxJobs = 8

// Verified is a bundle of which every byte is proven. Only Check makes one
// that holds anything.
type Verified struct {
	docs *Documents
}

// Images lists the images.
func (v *Verified) Images() []Image {
	if v.docs == nil {
		return nil
	}
	return v.docs.images
}

var errUnverified = errors.New("the bundle has not been verified")

// Fetch opens a blob. It is verified once more while it is read, so that a
// medium that changes its mind is caught.
func (v *Verified) Fetch(ctx context.Context, d image.Descriptor) (io.ReadCloser, error) {
	if v.docs == nil {
		return nil, errUnverified
	}
	return v.docs.bundle.Fetch(ctx, d)
}

// Section opens a blob from byte off on. What it reads is what Check has
// proven, or an error.
func (v *Verified) Section(d image.Descriptor, off int64) (io.ReadCloser, error) {
	if v.docs == nil {
		return nil, errUnverified
	}
	return v.docs.bundle.Section(d, off)
}

// Total is the number of bytes that Check's progress adds up to.
func (d *Documents) Total() int64 {
	var n int64
	for _, b := range d.bundle.Manifest().Blobs {
		n += b.Size
	}
	return n
}

// Check proves every byte of a bundle. It reads the file once, in order, and
// goes on after damage to find all of it; Report.Err joins what it found.
func Check(ctx context.Context, d *Documents, p Policy) (*Verified, *Report, error) {
	if p.Progress == nil {
		p.Progress = func(int64) {}
	}
	if p.Jobs <= 0 {
		p.Jobs = min(runtime.GOMAXPROCS(0), maxJobs)
	}
	c := &checker{Policy: p, docs: d, report: newReport(d, p.Level), claims: claims(d), room: layer.NewAllowance(d.bundle.Size())}
	if err := c.run(ctx, d.bundle); err != nil {
		return nil, c.report, err
	}
	if err := c.report.Err(); err != nil {
		return nil, c.report, err
	}
	return &Verified{docs: d}, c.report, nil
}

// claim is what an image says of a layer.
type claim struct {
	diffID image.Digest
	image  int // its place in Documents.images
}

// claims lists, in the order of the images, what they say of every layer. That
// one layer cannot have two diffIDs is for the hash to find out: each is compared.
func claims(d *Documents) map[image.Digest][]claim {
	all := map[image.Digest][]claim{}
	for at, img := range d.images {
		for _, m := range img.Graph.Manifests {
			for i, id := range m.DiffIDs {
				l := m.Layers[i].Digest
				all[l] = append(all[l], claim{id, at})
			}
		}
	}
	return all
}

// checker is a Check under way.
type checker struct {
	Policy
	docs   *Documents
	claims map[image.Digest][]claim
	room   *layer.Allowance

	mu     sync.Mutex
	report *Report
}

func (c *checker) run(ctx context.Context, b *bundle.Bundle) error {
	if c.InOrder {
		return c.inOrder(ctx, b)
	}
	view, prove := b.Prove(func(int64) {})
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(c.Jobs + 1)
	group.Go(func() error { return c.found("file", prove(ctx)) })
	for _, blob := range inReadingOrder(b.Manifest().Blobs) {
		group.Go(func() error {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return c.found(blob.Entry, c.blob(ctx, view, blob))
		})
	}
	return group.Wait()
}

// inOrder is run for media on which only one place can be read at a time.
func (c *checker) inOrder(ctx context.Context, b *bundle.Bundle) error {
	_, prove := b.Prove(func(int64) {})
	if err := c.found("file", prove(ctx)); err != nil {
		return err
	}
	for _, blob := range b.Manifest().Blobs {
		if err := c.found(blob.Entry, c.blob(ctx, b, blob)); err != nil {
			return err
		}
	}
	return nil
}

// readingWindow is the stretch of a bundle, in bytes, within which blobs are
// not checked in the order of the file.
const readingWindow = 2 << 30

// inReadingOrder sorts blobs so that the longest work starts first, but not so
// far from the order of the file that a slow medium would be read twice. Small
// blobs come last, in the order of the file: of those that share a frame the
// first one opens it for all.
func inReadingOrder(blobs []bundle.Blob) []bundle.Blob {
	type placed struct {
		bundle.Blob
		window, work int64
	}
	var at int64
	list := make([]placed, len(blobs))
	for i, b := range blobs {
		list[i] = placed{b, at / readingWindow, b.Size}
		if b.Size < bundle.MinOwnFrame {
			list[i].work = 0
		}
		at += b.Size
	}
	slices.SortStableFunc(list, func(a, b placed) int {
		return cmp.Or(cmp.Compare(a.window, b.window), cmp.Compare(b.work, a.work))
	})
	sorted := make([]bundle.Blob, len(blobs))
	for i, p := range list {
		sorted[i] = p.Blob
	}
	return sorted
}

// blob proves one blob.
func (c *checker) blob(ctx context.Context, from image.Fetcher, blob bundle.Blob) error {
	r, err := from.Fetch(ctx, blob.Descriptor())
	if err != nil {
		return err
	}
	defer r.Close()
	counted := image.CountingReader(r, c.Progress)
	said := c.claims[blob.Digest]
	if c.Level != Full || len(said) == 0 {
		_, err = io.Copy(io.Discard, counted)
		return err
	}
	got, err := layer.DiffID(ctx, counted, c.room)
	if ended := context.Cause(ctx); ended != nil {
		return ended
	}
	if err != nil {
		// Whose fault it is the blob's own bytes tell, when all have been read.
		if _, readErr := io.Copy(io.Discard, counted); readErr != nil {
			return readErr
		}
		return c.wrongLayer(blob.Digest, image.Digest{}, err)
	}
	for _, s := range said {
		if got != s.diffID {
			return c.wrongLayer(blob.Digest, got, image.OtherContent(got, s.diffID))
		}
	}
	return nil
}

// wrongLayer says which images are wrong because a layer has that diffID.
func (c *checker) wrongLayer(blob, got image.Digest, err error) error {
	wrong, last := &image.WrongLayerError{Layer: blob, Err: err}, -1
	for _, s := range c.claims[blob] {
		if s.diffID != got && s.image != last {
			wrong.Images, last = append(wrong.Images, c.docs.images[s.image].Label()), s.image
		}
	}
	return wrong
}

// found notes what is wrong and goes on; other errors end the check.
func (c *checker) found(what string, err error) error {
	var damage *bundle.DamagedError
	var wrong *image.WrongLayerError
	if !errors.As(err, &damage) && !errors.As(err, &wrong) {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.report.Findings = append(c.report.Findings, Finding{What: what, Err: err})
	return nil
}
