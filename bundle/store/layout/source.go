package layout

import (
	"context"
	"fmt"
	"io"
	"slices"

	"airgap/bundle/image"
)

// Open resolves names to images of the layout: tags or full references as
// index.json has them, or digests that it lists. The empty name stands for all
// images, in the order of index.json. Where several entries have one name, as
// tools write that know no nested index, want chooses among them.
func (l *Layout) Open(ctx context.Context, names []string, want image.Platforms) (image.Set, error) {
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	x, err := l.readIndex()
	if err != nil {
		return nil, err
	}
	set := &set{Layout: l}
	for _, name := range names {
		entries := x.manifests
		if name != "" {
			e, err := l.find(x, name, want)
			if err != nil {
				return nil, err
			}
			set.roots = append(set.roots, e.rootFor(name))
			continue
		} else if len(entries) == 0 {
			return nil, fmt.Errorf("images in %q: %w", l.dir, image.ErrNotFound)
		}
		for _, e := range entries {
			set.roots = append(set.roots, e.root())
		}
	}
	return set, nil
}

// root is what an entry says, without what it says of its place in the index.
func (e entry) root() image.Root {
	d := image.Descriptor{MediaType: e.desc.MediaType, Digest: e.desc.Digest, Size: e.desc.Size}
	return image.Root{Name: e.name(), Desc: d, Origin: Origin}
}

// rootFor is root by the name that was asked for, where that has the digest.
func (e entry) rootFor(name string) image.Root {
	r := e.root()
	if full, err := image.Normalize(name); err == nil && image.Means(name, r.Name, r.Desc.Digest) {
		r.Name = full
	}
	return r
}

// find looks for the one entry that a name means.
func (l *Layout) find(x *index, name string, want image.Platforms) (entry, error) {
	var all, fitting []entry
	for _, e := range x.manifests {
		same := func(other entry) bool { return other.desc.Digest == e.desc.Digest }
		if !e.goesBy(name) || slices.ContainsFunc(all, same) {
			continue
		}
		all = append(all, e)
		if p := e.desc.Platform; p != nil && want.Or(image.HostPlatform()).Match(*p) {
			fitting = append(fitting, e)
		}
	}
	switch {
	case len(all) == 0:
		return entry{}, fmt.Errorf("image %q in %q: %w", name, l.dir, image.ErrNotFound)
	case len(all) == 1:
		return all[0], nil
	case len(fitting) == 1:
		return fitting[0], nil
	}
	return entry{}, fmt.Errorf("image %q in %q: %d entries of index.json have this name", name, l.dir, len(all))
}

// Referrers implements image.Referring: what index.json lists that belongs to
// the image.
func (s *set) Referrers(ctx context.Context, g *image.Graph) ([]image.Root, error) {
	x, err := s.readIndex()
	if err != nil {
		return nil, err
	}
	subjects := g.Subjects()
	var list []image.Root
	for _, e := range x.manifests {
		root := e.root()
		if root.Desc.Digest == g.Root.Desc.Digest {
			continue
		}
		candidate, err := image.Read(ctx, s, root, image.SelectPresent(func(image.Digest) bool { return false }))
		if err != nil {
			continue // what is wrong with other images is not for here
		}
		if r, ok := candidate.Referrer(); ok && slices.Contains(subjects, r.Subject) {
			list = append(list, root)
		}
	}
	return list, context.Cause(ctx)
}

// set is some images of a layout.
type set struct {
	*Layout
	roots []image.Root
}

func (s *set) Roots() []image.Root { return s.roots }

// Fetch implements image.Fetcher.
func (s *set) Fetch(ctx context.Context, d image.Descriptor) (io.ReadCloser, error) {
	return s.fetch(ctx, d)
}
