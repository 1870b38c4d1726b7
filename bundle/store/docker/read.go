package docker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	imagetypes "github.com/moby/moby/api/types/image"
	"github.com/moby/moby/client"
	"golang.org/x/sync/errgroup"

	"airgap/bundle/image"
	"airgap/bundle/image/dockertar"
)

// Open implements image.Source. Names are references or image IDs, as the
// docker command takes them. The Set is an image.Streamer.
func (e *Engine) Open(ctx context.Context, names []string, want image.Platforms) (image.Set, error) {
	s := &set{engine: e, exported: make([]exported, len(names))}
	for _, name := range names {
		img, err := e.find(ctx, name, want)
		if err != nil {
			return nil, err
		}
		s.images = append(s.images, img)
	}
	return s, nil
}

// found is an image of the engine, as it was when it was looked up.
type found struct {
	id       image.Digest
	name     string // normalised; empty for an ID
	asked    string // for, if that is more than name
	tagged   bool   // it has a name, perhaps another
	estimate image.Estimate
}

func (e *Engine) find(ctx context.Context, name string, want image.Platforms) (found, error) {
	op := fmt.Sprintf("looking up image %q", name)
	// Which platforms are there whole is told by containerd's store alone, and
	// not by its first versions.
	var options []client.ImageInspectOption
	if e.store == containerd {
		options = append(options, client.ImageInspectWithManifests(true))
	}
	result, err := e.client.ImageInspect(ctx, name, options...)
	if err != nil && e.store == containerd {
		result, err = e.client.ImageInspect(ctx, name)
	}
	if err != nil {
		return found{}, e.explain(op, err)
	}
	id, err := parseID(result.ID)
	if err != nil {
		return found{}, &Error{Host: e.host, Op: op, Err: err}
	}
	if e.store == classic && len(result.RootFS.Layers) == 0 {
		return found{}, &image.UnsupportedError{Image: name, Why: "it has no layers, and Docker's classic store exports no such image"}
	}
	have, gone := platforms(result.InspectResponse)
	if len(have) == 0 || e.store == containerd && have[0].OS == "" { // nothing of it could be read
		return found{}, &image.HollowError{Image: name}
	}
	missing := slices.DeleteFunc(slices.Clone(want.List), func(p image.Platform) bool {
		return slices.ContainsFunc(have, func(h image.Platform) bool { return image.MatchPlatform(p, h) })
	})
	for _, l := range gone {
		if want.All {
			missing = append(missing, *l.Desc.Platform)
		}
	}
	if len(missing) > 0 {
		return found{}, &image.PlatformError{Image: name, Want: missing, Have: have}
	}
	f := found{id: id, tagged: len(result.RepoTags) > 0}
	if f.name, f.asked, err = e.nameOf(name, result.InspectResponse); err != nil {
		return found{}, err
	}
	f.estimate, err = e.estimate(ctx, f, result.InspectResponse)
	if want.IsDefault() {
		f.estimate.Left = gone
	} else {
		have = slices.DeleteFunc(have, func(p image.Platform) bool { return !want.Match(p) })
	}
	f.estimate.Platform, f.estimate.Others = have[0], have[1:]
	return f, err
}

// nameOf is the name that the user means, as far as it is one of the image's:
// an ID names no tag, and a digest only an image of which the engine has kept
// it. What is not kept of the name is in asked.
func (e *Engine) nameOf(given string, i imagetypes.InspectResponse) (name, asked string, err error) {
	full, err := image.Normalize(given)
	if err != nil {
		return "", "", nil // an ID
	}
	tagged, _, digest, pinned := image.Pin(full)
	switch {
	case pinned && e.store == containerd && digest.String() == i.ID:
		return full, "", nil
	case pinned:
		asked = full
	}
	short, _, _ := strings.Cut(given, "@")
	held := slices.ContainsFunc(i.RepoTags, func(tag string) bool {
		full, err := image.Normalize(tag)
		return err == nil && full == tagged
	})
	switch {
	case tagged == "", e.store != podman && (pinned || held):
		return tagged, asked, nil
	case e.store == podman && !isID(given, i.ID):
		name, err = podmanName(short, i.RepoTags)
		return name, asked, err
	}
	return "", asked, nil
}

// isID says whether a name is an ID of an image, or begins it.
func isID(given, id string) bool {
	return strings.HasPrefix(id, given) || strings.HasPrefix(strings.TrimPrefix(id, "sha256:"), given)
}

func parseID(s string) (image.Digest, error) { return image.ParseDigest(s) }

// platforms lists those that are there whole, and those that are not.
func platforms(i imagetypes.InspectResponse) (whole []image.Platform, gone []image.Left) {
	for _, m := range i.Manifests {
		if m.ImageData == nil {
			continue // an attestation
		}
		p := m.ImageData.Platform
		ours := image.Platform{OS: p.OS, Architecture: p.Architecture, Variant: p.Variant, OSVersion: p.OSVersion}
		if m.Available {
			whole = append(whole, ours)
		} else if id, err := parseID(m.Descriptor.Digest.String()); err == nil {
			gone = append(gone, image.Left{Desc: image.Descriptor{Digest: id, Platform: &ours}, Reason: image.NotWhole})
		}
	}
	if whole == nil && gone == nil { // the engine does not tell
		whole = []image.Platform{{OS: i.Os, Architecture: i.Architecture, Variant: i.Variant, OSVersion: i.OsVersion}}
	}
	return whole, gone
}

// estimate joins what inspect and history say: diffIDs from the one, sizes and
// commands from the other.
func (e *Engine) estimate(ctx context.Context, f found, i imagetypes.InspectResponse) (image.Estimate, error) {
	est := image.Estimate{Name: f.name, Asked: f.asked, ID: f.id, Size: i.Size}
	for _, s := range i.RootFS.Layers {
		id, err := parseID(s)
		if err != nil {
			return est, &Error{Host: e.host, Op: "inspecting image " + i.ID, Err: err}
		}
		est.Layers = append(est.Layers, image.EstimatedLayer{DiffID: id, Size: -1})
	}
	history, err := e.client.ImageHistory(ctx, i.ID)
	if err = e.explain("reading the history of image "+i.ID, err); errors.Is(err, image.ErrNotFound) {
		return est, nil // as on Docker 26 after an export was broken off: only the estimate is poorer
	}
	if err != nil {
		return est, err
	}
	steps := history.Items
	slices.Reverse(steps)
	withLayer := slices.DeleteFunc(slices.Clone(steps), func(h imagetypes.HistoryResponseItem) bool { return h.Size == 0 })
	if len(steps) == len(est.Layers) {
		withLayer = steps
	}
	if len(withLayer) == len(est.Layers) { // else layers of no bytes make it a guess
		for n, h := range withLayer {
			est.Layers[n].Size, est.Layers[n].CreatedBy = h.Size, h.CreatedBy
		}
	}
	return est, nil
}

// set is some images of an engine.
type set struct {
	engine   *Engine
	images   []found
	exported []exported                     // of each image, once it has been streamed
	docs     map[image.Digest]image.Fetcher // that has the document, once all have
}

// exported is an image that came from the engine.
type exported struct {
	root image.Descriptor
	docs documents
}

// documents are those of one image or more.
type documents interface {
	image.Fetcher
	Documents() []image.Digest
}

func (s *set) Close() error { return nil }

// Estimate implements image.Streamer.
func (s *set) Estimate() []image.Estimate {
	var list []image.Estimate
	for _, img := range s.images {
		list = append(list, img.estimate)
	}
	return list
}

// Stream implements image.Streamer: a push or an export per image, side by side.
func (s *set) Stream(ctx context.Context, put image.Put) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(s.engine.jobs)
	var pushed *inbox
	if slices.ContainsFunc(s.images, s.engine.pushes) {
		err := s.engine.dropExports(ctx)
		if err != nil {
			return err
		}
		if pushed, err = openInbox(ctx, put); err != nil {
			return err
		}
		defer pushed.close()
	}
	for i, img := range s.images {
		group.Go(func() (err error) {
			s.exported[i], err = s.engine.fetch(ctx, img, pushed, put)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	s.findDocuments()
	return nil
}

// findDocuments notes where each document is.
func (s *set) findDocuments() {
	s.docs = map[image.Digest]image.Fetcher{}
	seen := map[documents]bool{} // what is pushed is all in one
	for _, x := range s.exported {
		if seen[x.docs] {
			continue
		}
		seen[x.docs] = true
		for _, d := range x.docs.Documents() {
			s.docs[d] = x.docs
		}
	}
}

// fetch brings an image in the quickest way that there is.
func (e *Engine) fetch(ctx context.Context, img found, pushed *inbox, put image.Put) (exported, error) {
	if e.pushes(img) {
		root, err := e.push(ctx, img, pushed)
		switch {
		case err == nil:
			return exported{root, pushed}, nil
		case pushed.failed() != nil:
			return exported{}, pushed.failed()
		case ctx.Err() != nil:
			return exported{}, context.Cause(ctx)
		}
		// It is in a network of its own, or lacks a platform of the index.
	}
	archive, err := e.export(ctx, img, put)
	if err != nil {
		return exported{}, err
	}
	return exported{archive.Images[0].Desc, archive}, nil
}

// export streams one image, by its ID: a tag that moves meanwhile changes
// nothing, and a repository's other tags do not come along.
func (e *Engine) export(ctx context.Context, img found, put image.Put) (*dockertar.Archive, error) {
	op := fmt.Sprintf("exporting image %q", img.label())
	body, err := e.client.ImageSave(ctx, []string{img.id.String()})
	if err != nil {
		return nil, e.explain(op, err)
	}
	defer body.Close()
	reader := &exportReader{r: body}
	archive, err := dockertar.Read(ctx, reader, e.exports(), put)
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			return nil, cause
		}
		if reader.err != nil {
			return nil, e.explain(op, reader.err)
		}
		return nil, fmt.Errorf("%s: %w", op, err)
	}
	if len(archive.Images) != 1 || !e.isExport(archive, img) {
		return nil, &Error{Host: e.host, Op: op, Kind: Mismatch, Err: errors.New("the engine exported another image")}
	}
	return archive, nil
}

// isExport compares the identity of what came with what was asked for.
func (e *Engine) isExport(a *dockertar.Archive, img found) bool {
	d := a.Images[0].Desc
	if e.store == containerd {
		return d.Digest == img.id
	}
	g, err := image.Read(context.Background(), a, image.Root{Desc: d}, image.Platforms{All: true}.Select)
	return err == nil && len(g.Manifests) == 1 && g.Manifests[0].Config.Digest == img.id
}

func (f found) label() string {
	if f.name == "" {
		return f.id.String()
	}
	return image.Familiar(f.name)
}

// exportReader remembers the engine's own error.
type exportReader struct {
	r   io.Reader
	err error
}

func (r *exportReader) Read(p []byte) (int, error) {
	n, err := r.r.Read(p)
	if err != nil && err != io.EOF {
		r.err = err
	}
	return n, err
}

// Roots implements image.Set.
func (s *set) Roots() []image.Root {
	var roots []image.Root
	for i, img := range s.images {
		if x := s.exported[i]; x.docs != nil {
			roots = append(roots, image.Root{
				Name: img.name, Asked: img.asked, Desc: x.root, Origin: Origin, DigestLost: s.engine.store != containerd,
			})
		}
	}
	return roots
}

// Fetch implements image.Fetcher, for documents.
func (s *set) Fetch(ctx context.Context, d image.Descriptor) (io.ReadCloser, error) {
	if from := s.docs[d.Digest]; from != nil {
		return from.Fetch(ctx, d)
	}
	return nil, fmt.Errorf("document %s: %w in the exports", d.Digest, image.ErrNotFound)
}
