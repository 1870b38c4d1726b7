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
	set := &set{Layout: l, index: x}
	var meant *meanings // nil as long as nobody asks for one by name
	for _, name := range names {
		if name != "" {
			if meant == nil {
				meant = newMeanings(x)
			}
			e, err := l.find(meant.entries(name), name, want)
			if err != nil {
				return nil, err
			}
			set.roots = append(set.roots, e.rootFor(name))
			continue
		} else if len(x.manifests) == 0 {
			return nil, fmt.Errorf("images in %q: %w", l.dir, image.ErrNotFound)
		}
		for _, e := range x.manifests {
			set.roots = append(set.roots, e.root())
		}
	}
	return set, nil
}

// root is what an entry says, without what it says of its place in the index.
func (e entry) root() image.Root {
	d := image.Descriptor{MediaType: e.desc.MediaType, Digest: e.desc.Digest, Size: e.desc.Size}
	return image.Root{Name: e.name, Desc: d, Origin: Origin}
}

// rootFor is root by the name that was asked for, where that has the digest.
func (e entry) rootFor(name string) image.Root {
	r := e.root()
	if full, err := image.Normalize(name); err == nil && image.Means(name, r.Name, r.Desc.Digest) {
		r.Name = full
	}
	return r
}

// meanings finds the entries that a user means by a name: one of their
// annotations as it is, their full name in any form, or their digest.
type meanings struct {
	index          *index
	written, meant map[string][]int // places in the index, by what is written there, and by normalised names
}

func newMeanings(x *index) *meanings {
	m := &meanings{x, map[string][]int{}, map[string][]int{}}
	for i, e := range x.manifests {
		for _, as := range []string{e.desc.Digest.String(), e.desc.Annotations[annotationContainerd], e.desc.Annotations[annotationOCI]} {
			m.written[as] = append(m.written[as], i)
		}
		for _, name := range image.Meanings(e.name, e.desc.Digest) {
			m.meant[name] = append(m.meant[name], i)
		}
	}
	return m
}

// entries are those that a name means, in their order.
func (m *meanings) entries(name string) (list []entry) {
	meaning, _ := image.Meaning(name) // what is no name may be written there all the same
	places := slices.Concat(m.written[name], m.meant[meaning])
	slices.Sort(places)
	for _, i := range slices.Compact(places) {
		list = append(list, m.index.manifests[i])
	}
	return list
}

// find chooses the one of the entries of a name that is wanted.
func (l *Layout) find(entries []entry, name string, want image.Platforms) (entry, error) {
	var all, fitting []entry
	for _, e := range entries {
		same := func(other entry) bool { return other.desc.Digest == e.desc.Digest }
		if slices.ContainsFunc(all, same) {
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
	if err := s.findReferrers(ctx); err != nil {
		return nil, err
	}
	var places []int
	for _, subject := range g.Subjects() {
		places = append(places, s.referrers[subject]...)
	}
	slices.Sort(places)
	var list []image.Root
	for _, i := range slices.Compact(places) {
		if root := s.index.manifests[i].root(); root.Desc.Digest != g.Root.Desc.Digest {
			list = append(list, root)
		}
	}
	return list, nil
}

// findReferrers reads the documents that index.json lists, once for all images:
// each may belong to any.
func (s *set) findReferrers(ctx context.Context) error {
	if s.referrers != nil {
		return nil
	}
	found := map[image.Digest][]int{}
	for i, e := range s.index.manifests {
		root := e.root()
		raw, err := image.ReadDocument(ctx, s, root.Desc)
		if err != nil {
			continue // what is wrong with other images is not for here
		}
		r, ok := image.RefersTo(root, raw)
		if !ok {
			continue
		}
		if _, err := image.Read(ctx, s, root, image.SelectPresent(func(image.Digest) bool { return false })); err == nil {
			found[r.Subject] = append(found[r.Subject], i)
		}
	}
	if err := context.Cause(ctx); err != nil {
		return err
	}
	s.referrers = found
	return nil
}

// set is some images of a layout. It is not for several goroutines, but for
// Fetch.
type set struct {
	*Layout
	index     *index
	roots     []image.Root
	referrers map[image.Digest][]int // places in the index, by what they belong to; nil before they are looked for
}

func (s *set) Roots() []image.Root { return s.roots }

// Fetch implements image.Fetcher.
func (s *set) Fetch(ctx context.Context, d image.Descriptor) (io.ReadCloser, error) {
	return s.fetch(ctx, d)
}
