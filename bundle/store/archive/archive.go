// Package archive is image archives as places that images come from: what
// `docker save` writes and OCI layouts in a tar, plain or compressed by gzip or
// zstd. An archive is read once, from start to end, as an image.Streamer; what
// it holds is re-serialised, never passed through.
//
// Errors: a name that the archive does not have wraps image.ErrNotFound and
// tells what it has.
package archive

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"airgap/bundle/image"
	"airgap/bundle/image/dockertar"
	"airgap/bundle/image/layer"
)

// Dialect is which documents of an archive decide.
type Dialect = dockertar.Dialect

// The dialects.
const (
	OCI    = dockertar.OCI
	Docker = dockertar.Docker
)

// Archive is an image.Source.
type Archive struct {
	path    string
	dialect Dialect
}

// Open finds an archive. It is read when a Set of it is streamed.
func Open(path string, dialect Dialect) (*Archive, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		return nil, fmt.Errorf("archive %q is a folder", path)
	}
	return &Archive{path, dialect}, nil
}

// Close does nothing.
func (a *Archive) Close() error { return nil }

// Origin is the transport that Roots name.
func (a *Archive) Origin() string {
	if a.dialect == OCI {
		return "oci-archive"
	}
	return "docker-archive"
}

// Open implements image.Source. A name is a reference or a digest; the empty
// one stands for all images of the archive. A first pass over the headers and
// documents finds what is there, so that an estimate can be given and a wrong
// name is refused before anything is packed.
func (a *Archive) Open(ctx context.Context, names []string, _ image.Platforms) (image.Set, error) {
	s := &set{archive: a}
	var err error
	if s.held, err = a.read(ctx, skim); err != nil {
		return nil, err
	}
	if s.roots, err = a.choose(s.held, names); err != nil {
		return nil, err
	}
	return s, nil
}

// skim hashes a blob and keeps nothing.
func skim(_ context.Context, _ string, _ int64, r io.Reader) (image.Digest, error) {
	return image.HashReader(r)
}

// read passes over the archive once.
func (a *Archive) read(ctx context.Context, put image.Put) (*dockertar.Archive, error) {
	f, err := os.Open(a.path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	content, err := layer.Open(image.ContextReader(ctx, f))
	if err != nil {
		return nil, fmt.Errorf("archive %q: %w", a.path, err)
	}
	defer content.Close()
	held, err := dockertar.Read(ctx, content, a.dialect, put)
	if err != nil {
		return nil, fmt.Errorf("archive %q: %w", a.path, err)
	}
	return held, nil
}

// choose finds the roots for names, in their order.
func (a *Archive) choose(held *dockertar.Archive, names []string) ([]image.Root, error) {
	var roots []image.Root
	meant := newMeanings(held)
	for _, name := range names {
		found := a.find(held, meant, name)
		if len(found) == 0 {
			return nil, fmt.Errorf("image %q: %w in %q, which holds %s", name, image.ErrNotFound, a.path, list(held))
		}
		roots = append(roots, found...)
	}
	return roots, nil
}

// meanings finds images by what users call them: places in dockertar.Archive.Images.
type meanings map[string][]int

func newMeanings(held *dockertar.Archive) meanings {
	m := meanings{}
	for i, img := range held.Images {
		for _, name := range img.Names {
			for _, meaning := range image.Meanings(name, img.Desc.Digest) {
				if n := len(m[meaning]); n == 0 || m[meaning][n-1] != i { // all tags of a repository mean the same digest
					m[meaning] = append(m[meaning], i)
				}
			}
		}
	}
	return m
}

// find lists what a name means; the empty one means everything, and a digest an
// image without a name.
func (a *Archive) find(held *dockertar.Archive, meant meanings, name string) []image.Root {
	root := func(img dockertar.Image, name string) image.Root {
		return image.Root{Name: name, Desc: img.Desc, Origin: a.Origin(), DigestLost: a.dialect == Docker}
	}
	var roots []image.Root
	if name == "" {
		for _, img := range held.Images {
			for _, name := range img.Names {
				roots = append(roots, root(img, name))
			}
			if len(img.Names) == 0 {
				roots = append(roots, root(img, ""))
			}
		}
		return roots
	}
	full, _ := image.Normalize(name) // or it means nothing
	meaning, _ := image.Meaning(name)
	for _, i := range meant[meaning] {
		roots = append(roots, root(held.Images[i], full))
	}
	d, err := image.ParseDigest(name)
	if img, ok := held.Find(d); ok && err == nil && len(roots) == 0 {
		roots = append(roots, root(img, ""))
	}
	return roots
}

// list names what an archive holds.
func list(held *dockertar.Archive) string {
	var names []string
	for _, img := range held.Images {
		for _, name := range img.Names {
			names = append(names, image.Familiar(name))
		}
		if len(img.Names) == 0 {
			names = append(names, img.Desc.Digest.String())
		}
	}
	if len(names) == 0 {
		return "no image"
	}
	return strings.Join(names, ", ")
}

// set is some images of an archive.
type set struct {
	archive *Archive
	held    *dockertar.Archive
	roots   []image.Root
}

func (s *set) Close() error        { return nil }
func (s *set) Roots() []image.Root { return s.roots }

// Fetch implements image.Fetcher, for documents.
func (s *set) Fetch(ctx context.Context, d image.Descriptor) (io.ReadCloser, error) {
	return s.held.Fetch(ctx, d)
}

// Estimate implements image.Streamer.
func (s *set) Estimate() []image.Estimate {
	var estimates []image.Estimate
	for _, root := range s.roots {
		e := image.Estimate{Name: root.Name}
		if !root.DigestLost {
			e.Digest = root.Desc.Digest
		}
		g, err := image.Read(context.Background(), s.held, root, image.Platforms{All: true}.Select)
		if err == nil && len(g.Platforms()) > 0 {
			e.Platform = g.Platforms()[0]
			m, _ := g.For(e.Platform)
			e.ID = m.Config.Digest
			for i, l := range m.Layers {
				e.Size += l.Size
				e.Layers = append(e.Layers, image.EstimatedLayer{DiffID: m.DiffIDs[i], Size: -1})
			}
		}
		estimates = append(estimates, e)
	}
	return estimates
}

// Stream implements image.Streamer. What the archive holds must still be what
// it held when it was opened.
func (s *set) Stream(ctx context.Context, put image.Put) error {
	again, err := s.archive.read(ctx, put)
	if err != nil {
		return err
	}
	for _, root := range s.roots {
		if _, ok := again.Find(root.Desc.Digest); !ok {
			return errors.New("archive changed while it was read: " + s.archive.path)
		}
	}
	return nil
}
