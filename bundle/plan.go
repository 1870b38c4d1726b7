package bundle

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"airgap/bundle/image"
	"airgap/bundle/image/layer"
)

// Plan is what will be packed, decided before a byte of a layer is moved.
type Plan struct {
	Totals
	// Estimate says that an engine's images are in Totals as the engine
	// describes them, uncompressed; their digests come with their bytes.
	Estimate bool

	want      image.Platforms
	known     Totals // without estimates
	streams   []image.Streamer
	library   *image.Library
	graphs    []*image.Graph
	referrers int                      // of the image that is being read
	taken     map[imageKey]bool        // the images of graphs
	diffIDs   map[image.Digest]content // by layer, where it is not the layer's own digest
	files     []localFile
	from      map[image.Digest]source
}

// Totals is what a plan adds up to.
type Totals struct {
	Images []PlannedImage
	Files  int // that travel along
	// LeftFiles are not carried though they are in a folder that was included.
	LeftFiles []LeftFile
	Blobs     int
	Size      int64 // bytes of the blobs, each once
}

// PlannedImage is one image of a Plan.
type PlannedImage struct {
	Name       string // familiar; empty for an untagged image
	Origin     string
	Digest     image.Digest // of the root; zero while only the engine's stream will tell
	DigestLost bool         // the registry's digest is not kept
	Platforms  []string
	Size       int64 // bytes of its blobs
	Left       []image.Left
	Lost       []LostName
	Type       string   // of an artifact
	Of         []string // the images that it is a referrer of, in their familiar names
}

// content is what an image says of a layer.
type content struct {
	id    image.Digest // its diffID
	label string       // the image
}

// source is where a blob comes from, and for whom.
type source struct {
	set   image.Set
	label string // an image that needs it
	raw   []byte // of a document; else nil
}

// imageKey is an image by one of its names.
type imageKey struct {
	name string
	root image.Digest
}

// NewPlan reads the documents of all images in sets and chooses platforms.
// For an image.Streamer, whose documents come with its stream, the plan is an
// estimate. It fails by name on an image that cannot be carried. The sets stay
// the caller's and must be open until the plan has been written.
func NewPlan(ctx context.Context, sets []image.Set, want image.Platforms) (*Plan, error) {
	p := &Plan{want: want, library: image.NewLibrary(), taken: map[imageKey]bool{}, diffIDs: map[image.Digest]content{}, from: map[image.Digest]source{}}
	for _, set := range sets {
		if s, ok := set.(image.Streamer); ok {
			p.streams = append(p.streams, s)
		} else if err := p.read(ctx, set, nil); err != nil {
			return nil, err
		}
	}
	p.known = p.Totals
	p.known.Images = slices.Clip(p.known.Images)
	for _, s := range p.streams {
		p.estimate(s)
	}
	if len(p.Images) == 0 {
		return nil, errors.New("no images to pack")
	}
	return p, p.settle()
}

func (p *Plan) estimate(s image.Streamer) {
	p.Estimate = true
	for _, e := range s.Estimate() {
		img := PlannedImage{Name: image.Familiar(e.Name), Size: e.Size, Left: e.Left, Lost: lost(e.Asked)}
		for _, platform := range append([]image.Platform{e.Platform}, e.Others...) {
			if platform.OS != "" {
				img.Platforms = append(img.Platforms, platform.String())
			}
		}
		p.Images = append(p.Images, img)
		p.Size += e.Size
		p.Blobs += len(e.Layers)
	}
}

// read adds the images of a set whose documents can be had. With a spool, the
// layers are taken from there.
func (p *Plan) read(ctx context.Context, set image.Set, s *spool) error {
	want, choose := p.choice(ctx, set, s)
	for _, root := range set.Roots() {
		if p.has(root) {
			continue // asked for twice, or a referrer of another
		}
		g, err := p.library.Read(ctx, set, root, choose)
		if err != nil {
			return err
		}
		if err := checkPlatforms(g, want); err != nil {
			return err
		}
		if err := p.add(ctx, set, g, s); err != nil {
			return fmt.Errorf("image %q: %w", root.Label(), err)
		}
		p.referrers = 0
		if err := p.addReferrers(ctx, set, g, len(p.Images)-1, 0); err != nil {
			return &image.ReferrersError{Image: root.Label(), Err: err}
		}
	}
	return nil
}

// choice is which platforms are taken from a set, and which of them have to be
// there: of what came as a stream all that is wanted is taken that is whole.
func (p *Plan) choice(ctx context.Context, set image.Set, s *spool) (must image.Platforms, choose image.Select) {
	if s == nil {
		must = p.want.Or(image.HostPlatform())
		return must, must.Select
	}
	choose = p.want.Select
	if p.want.IsDefault() {
		choose = image.Platforms{All: true}.Select
	}
	return p.want, choose.Whole(func(child image.Descriptor) bool { return whole(ctx, set, s, child) })
}

// whole says whether everything of a child of an index has come. One that is not
// sound counts as whole, so that it is refused and not left out.
func whole(ctx context.Context, set image.Set, s *spool, child image.Descriptor) bool {
	g, err := image.Read(ctx, set, image.Root{Desc: child}, image.Platforms{All: true}.Select)
	if err != nil {
		return !errors.Is(err, image.ErrNotFound)
	}
	return !slices.ContainsFunc(g.Layers(), func(d image.Descriptor) bool { return s.get(d.Digest) == nil })
}

// maxReferring bounds how far referrers of referrers are followed: a signature
// of an SBOM's attestation is two.
const maxReferring = 8

// maxReferrers bounds how many are taken for one image, with those of referrers:
// a registry may have more of them without end.
const maxReferrers = 2000

// addReferrers takes in what refers to an image, and to that in turn, where the
// place can tell. What is not complete is left out by name.
func (p *Plan) addReferrers(ctx context.Context, set image.Set, g *image.Graph, owner, depth int) error {
	place, ok := set.(image.Referring)
	if !ok || depth > maxReferring {
		return nil
	}
	roots, err := place.Referrers(ctx, g)
	if err != nil {
		return err
	}
	for _, root := range roots {
		if p.has(root) {
			continue
		}
		referrer, why, err := p.readReferrer(ctx, set, g, root)
		if err != nil {
			return err
		}
		if why != "" {
			p.Images[owner].Left = append(p.Images[owner].Left, image.Left{Desc: root.Desc, Reason: why})
			continue
		}
		if p.referrers++; p.referrers > maxReferrers {
			return fmt.Errorf("it has more than %d, with those of referrers", maxReferrers)
		}
		if err := p.add(ctx, set, referrer, nil); err != nil {
			return err
		}
		if err := p.addReferrers(ctx, set, referrer, owner, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// readReferrer reads the documents of a referrer, or says why it cannot be
// carried.
func (p *Plan) readReferrer(ctx context.Context, set image.Set, of *image.Graph, root image.Root) (g *image.Graph, why string, err error) {
	const incomplete = "referrer that is not complete"
	if !root.Desc.MediaType.IsIndex() && !root.Desc.MediaType.IsImage() {
		return nil, fmt.Sprintf("referrer of the kind %q, which is not carried", root.Desc.MediaType), nil
	}
	g, err = p.library.Read(ctx, set, root, image.Platforms{All: true}.Select)
	switch {
	case errors.Is(err, image.ErrNotFound):
		return nil, incomplete, nil
	case err != nil:
		return nil, "", err
	}
	if r, ok := g.Referrer(); !ok || !slices.Contains(of.Subjects(), r.Subject) {
		return nil, "it is listed as a referrer, and says otherwise", nil
	}
	for _, d := range append(g.Documents(), g.Layers()...) {
		if g.Document(d.Digest) == nil && !exists(ctx, set, d) {
			return nil, incomplete, nil
		}
	}
	return g, "", nil
}

// has says whether the plan has an image by that name already.
func (p *Plan) has(root image.Root) bool { return p.taken[imageKey{root.Name, root.Desc.Digest}] }

// checkPlatforms refuses an image that lacks a platform that is wanted, or of
// which nothing is there. Artifacts, which have no platforms, pass.
func checkPlatforms(g *image.Graph, want image.Platforms) error {
	hollow := g.Hollow()
	missing := &image.PlatformError{Image: g.Root.Label(), Have: slices.DeleteFunc(g.Offered(), func(p image.Platform) bool {
		return slices.ContainsFunc(hollow, p.Equals)
	})}
	for _, w := range want.List {
		if _, ok := g.For(w); !ok && len(missing.Have) > 0 {
			missing.Want = append(missing.Want, w)
		}
	}
	if want.All {
		missing.Want = hollow
	}
	switch {
	case len(missing.Want) > 0:
		return missing
	case len(g.Manifests) == 0:
		return &image.HollowError{Image: g.Root.Label()}
	}
	return nil
}

// add takes in one image and where its blobs come from.
func (p *Plan) add(ctx context.Context, set image.Set, g *image.Graph, s *spool) error {
	has := func(d image.Descriptor) bool {
		if s != nil {
			return s.get(d.Digest) != nil
		}
		return exists(ctx, set, d)
	}
	g.DropIncomplete(has)
	img := PlannedImage{
		Name: image.Familiar(g.Root.Name), Origin: g.Root.Origin, Digest: g.Root.Desc.Digest,
		DigestLost: g.Root.DigestLost, Left: g.Left, Lost: lost(g.Root.Asked),
	}
	for _, platform := range g.Platforms() {
		img.Platforms = append(img.Platforms, platform.String())
	}
	if g.IsArtifact() {
		r, _ := g.Referrer()
		img.Type = r.Entry.ArtifactType
	}
	for _, d := range append(g.Documents(), g.Layers()...) {
		raw := g.Document(d.Digest)
		switch isLayer := raw == nil; {
		case isLayer && s != nil && !has(d):
			return fmt.Errorf("blob %s: %w in the export", d.Digest, image.ErrNotFound)
		case isLayer && len(d.URLs) > 0 && !has(d):
			return &image.UnsupportedError{Image: g.Root.Label(), Why: fmt.Sprintf("layer %s exists only at an address of its vendor", d.Digest)}
		}
		img.Size += d.Size
		from, known := p.from[d.Digest]
		if !known {
			from = source{set: set, label: g.Root.Label()}
			p.Blobs++
			p.Size += d.Size
		}
		if raw != nil { // which may be a layer of another image
			from.raw = raw
		}
		p.from[d.Digest] = from
	}
	p.Images = append(p.Images, img)
	p.graphs = append(p.graphs, g)
	p.taken[imageKey{g.Root.Name, g.Root.Desc.Digest}] = true
	return p.addDiffIDs(g, s)
}

// addDiffIDs notes what the layers of an image have to contain, where that is
// not the layer itself. Of those that are spooled it is seen at once whether
// that can be.
func (p *Plan) addDiffIDs(g *image.Graph, s *spool) error {
	for _, m := range g.Manifests {
		for i, id := range m.DiffIDs {
			l := m.Layers[i].Digest
			if id == l {
				continue
			}
			p.diffIDs[l] = content{id, g.Root.Label()}
			if b := s.get(l); b != nil && b.plain {
				return p.wrongLayer(l)
			}
		}
	}
	return nil
}

// checkPlain refuses a layer that is not compressed, which its first bytes tell,
// and whose image says that it has other content. What is compressed would have
// to be opened, which is left to verification.
func (p *Plan) checkPlain(d image.Digest, head []byte) error {
	if _, other := p.diffIDs[d]; other && layer.IsPlain(head) {
		return p.wrongLayer(d)
	}
	return nil
}

func (p *Plan) wrongLayer(d image.Digest) error {
	want := p.diffIDs[d]
	return &image.WrongLayerError{Images: []string{want.label}, Layer: d, Err: image.OtherContent(d, want.id)}
}

// exists says whether a set can give a blob, without reading it.
func exists(ctx context.Context, set image.Set, d image.Descriptor) bool {
	r, err := set.Fetch(ctx, d)
	if err != nil {
		return false
	}
	defer r.Close()
	if d.Size == 0 {
		return true
	}
	_, err = r.Read(make([]byte, 1))
	return err == nil || err == io.EOF
}

// settle refuses one name for two images, and notes which images refer to others.
func (p *Plan) settle() error {
	owners, err := image.Owners(p.graphs)
	if err != nil {
		return err
	}
	for i := range owners {
		p.Images[i].Of = nil
		for _, o := range owners[i] {
			p.Images[i].Of = append(p.Images[i].Of, p.graphs[o].Root.Label())
		}
	}
	return p.settleNames()
}

// contents streams what only streams into the spool, which turns the estimates
// into facts, and derives what the bundle holds.
func (p *Plan) contents(ctx context.Context, s *spool, progress func(int64)) (*contents, error) {
	p.Totals, p.Estimate = p.known, false
	for _, set := range p.streams {
		put := func(ctx context.Context, key string, size int64, r io.Reader) (image.Digest, error) {
			return s.put(ctx, key, size, image.CountingReader(r, progress))
		}
		if err := set.Stream(ctx, put); err != nil {
			return nil, err
		}
		if err := p.read(ctx, set, s); err != nil {
			return nil, err
		}
	}
	if err := p.settle(); err != nil {
		return nil, err
	}
	files, err := p.spoolFiles(ctx, s, progress)
	if err != nil {
		return nil, err
	}
	c, err := newContents(named(p.graphs), files, func(d image.Digest) int64 { return s.get(d).size })
	if err != nil {
		return nil, err
	}
	c.raw, err = c.manifest.encode()
	return c, err
}

// document is the bytes of an index, a manifest or a config of the plan's
// images, or nil.
func (p *Plan) document(d image.Digest) []byte { return p.from[d].raw }

// fetch opens a blob at its source.
func (p *Plan) fetch(ctx context.Context, d image.Descriptor) (io.ReadCloser, error) {
	from := p.from[d.Digest]
	r, err := from.set.Fetch(ctx, d)
	if err != nil {
		return nil, fmt.Errorf("image %q: %w", from.label, err)
	}
	return r, nil
}
