// Package serve shows images as a read-only registry, straight from where they
// are packed: nothing is unpacked, blobs are sought out in the file.
//
// It speaks the pull part of the OCI distribution specification, with HEAD,
// ranges, tags, catalog and referrers. A repository goes by its path, such as
// library/postgres, which is what mirrors of docker.io are asked for; images of
// docker.io's library also by the short name, and every image by its full one,
// such as quay.io/team/app. Everything that would write is refused.
package serve

import (
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/types"

	"airgap/bundle/image"
)

// Content gives the bytes of blobs that have been verified.
type Content interface {
	// Section opens a blob from byte off on. The reader yields what was
	// verified, and fails before a byte that is another by now.
	Section(d image.Descriptor, off int64) (io.ReadCloser, error)
}

// Image is an image that is served.
type Image struct {
	Names []string // normalised
	// Repositories hold it by its digest only; normalised.
	Repositories []string
	Graph        *image.Graph
	From         Content
}

// Events are told of what happens; both may be nil.
type Events struct {
	Asked  func(format string, args ...any)         // every request
	Broken func(blob image.Descriptor, cause error) // a blob that could not be sent to its end
}

// Registry is an http.Handler.
type Registry struct {
	repos   map[string]*repository
	catalog []string
	events  Events
	sending slots
	stall   time.Duration // see MaxStall
}

// repository is what goes by one name, or several.
type repository struct {
	tags      map[string]image.Digest
	sorted    []string // the tags
	blobs     map[image.Digest]blob
	referrers map[image.Digest][]image.Descriptor // by what they belong to
}

// blob is a document or a layer, with where it is.
type blob struct {
	image.Descriptor
	manifest bool   // it is asked for as a manifest
	raw      []byte // of a document; else nil
	image    *Image // that it is of
	refers   *image.Referrer
}

// Conflict is a tag that two images would have.
type Conflict struct {
	Name        string // as it is asked for: REPOSITORY:TAG
	Served, Not image.Digest
}

// New makes a registry of images. An image that wants a tag that another has is
// served by its full name and by digest only, and told of as a Conflict.
func New(images []Image, events Events) (*Registry, []Conflict, error) {
	if events.Asked == nil {
		events.Asked = func(string, ...any) {}
	}
	if events.Broken == nil {
		events.Broken = func(image.Descriptor, error) {}
	}
	r := &Registry{repos: map[string]*repository{}, events: events, sending: make(slots, maxSending), stall: MaxStall}
	var conflicts []Conflict
	listed := map[string]bool{}
	for _, img := range images {
		blobs, err := blobsOf(img)
		if err != nil {
			return nil, nil, err
		}
		for _, full := range append(slices.Clone(img.Names), img.Repositories...) {
			host, path, tag, err := image.SplitName(full)
			if err != nil {
				return nil, nil, err
			}
			listed[path] = true
			c := r.add(path, tag, img.Graph.Root.Desc.Digest, blobs)
			if c != nil {
				conflicts = append(conflicts, *c)
			}
			r.add(host+"/"+path, tag, img.Graph.Root.Desc.Digest, blobs)
			if short, ok := strings.CutPrefix(path, "library/"); ok && host == "docker.io" {
				r.add(short, tag, img.Graph.Root.Desc.Digest, blobs)
			}
		}
	}
	r.catalog = slices.Sorted(maps.Keys(listed))
	for _, repo := range r.repos {
		repo.sort()
	}
	return r, conflicts, nil
}

// add puts an image into a repository.
func (r *Registry) add(name, tag string, digest image.Digest, blobs []blob) *Conflict {
	repo := r.repos[name]
	if repo == nil {
		repo = &repository{tags: map[string]image.Digest{}, blobs: map[image.Digest]blob{}, referrers: map[image.Digest][]image.Descriptor{}}
		r.repos[name] = repo
	}
	for _, b := range blobs {
		if held, ok := repo.blobs[b.Digest]; !ok || b.manifest && !held.manifest {
			repo.add(b)
		}
	}
	if tag == "" {
		return nil
	}
	if held, ok := repo.tags[tag]; ok && held != digest {
		return &Conflict{name + ":" + tag, held, digest}
	}
	repo.tags[tag] = digest
	return nil
}

func (r *repository) add(b blob) {
	r.blobs[b.Digest] = b
	if b.refers != nil {
		r.referrers[b.refers.Subject] = append(r.referrers[b.refers.Subject], b.refers.Entry)
	}
}

// sort puts the lists of the repository into the order in which they are given.
func (r *repository) sort() {
	r.sorted = slices.Sorted(maps.Keys(r.tags))
	for _, list := range r.referrers {
		slices.SortFunc(list, func(a, b image.Descriptor) int { return strings.Compare(a.Digest.Hex, b.Digest.Hex) })
	}
}

// blobsOf lists everything of an image.
func blobsOf(img Image) ([]blob, error) {
	var list []blob
	subjects := map[image.Digest]bool{} // what is an index or a manifest, whatever it is called
	for _, d := range img.Graph.Subjects() {
		subjects[d] = true
	}
	for _, d := range img.Graph.Documents() {
		b := blob{Descriptor: d, raw: img.Graph.Document(d.Digest), image: &img, manifest: subjects[d.Digest]}
		if b.manifest {
			r, ok, err := image.ReferrerOf(d, b.raw)
			if err != nil {
				return nil, err
			}
			if ok {
				b.refers = &r
			}
		}
		list = append(list, b)
	}
	for _, d := range img.Graph.Layers() {
		list = append(list, blob{Descriptor: d, image: &img})
	}
	return list, nil
}

// manifest finds a manifest by tag or digest.
func (r *repository) manifest(ref string) (blob, bool) {
	d, ok := r.tags[ref]
	if !ok {
		d = parseDigest(ref)
	}
	b, ok := r.blobs[d]
	return b, ok && b.manifest
}

// referring lists the manifests that belong to another, as an index.
func (r *repository) referring(to image.Digest, artifactType string) any {
	list := []image.Descriptor{}
	for _, d := range r.referrers[to] {
		if artifactType == "" || d.ArtifactType == artifactType {
			list = append(list, d)
		}
	}
	return struct {
		SchemaVersion int                `json:"schemaVersion"`
		MediaType     types.MediaType    `json:"mediaType"`
		Manifests     []image.Descriptor `json:"manifests"`
	}{2, types.OCIImageIndex, list}
}

// parseDigest gives the zero Digest for what is none.
func parseDigest(s string) image.Digest {
	algorithm, hex, _ := strings.Cut(s, ":")
	d := image.Digest{Algorithm: algorithm, Hex: hex}
	if image.CheckDigest(d) != nil {
		return image.Digest{}
	}
	return d
}
