package registry

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"

	"airgap/bundle/image"
)

// set is some resolved names. It remembers which repositories have named a digest,
// so that each blob is asked for where it is.
type set struct {
	roots []image.Root
	docs  map[image.Digest][]byte // those of the roots
	jobs  int                     // lookups side by side

	mu     sync.Mutex
	at     map[image.Digest][]*repository // that named a digest, in a document or as a root; the first is the likeliest
	homes  map[image.Digest][]*repository // that gave a root
	listed map[subject][]image.Root       // what belongs to what, as far as it has been asked for
}

// subject is something that others may belong to, in one repository.
type subject struct {
	repo   *repository
	digest image.Digest
}

func newSet(roots []root, jobs int) *set {
	s := &set{
		jobs: jobs, docs: map[image.Digest][]byte{}, at: map[image.Digest][]*repository{}, homes: map[image.Digest][]*repository{},
		listed: map[subject][]image.Root{},
	}
	for _, r := range roots {
		s.roots = append(s.roots, r.Root)
		s.docs[r.Desc.Digest] = r.raw
		s.settle(r.Desc.Digest, r.repo)
	}
	for _, r := range roots {
		s.learn(r.Desc.Digest, r.raw)
	}
	return s
}

func (s *set) Roots() []image.Root { return s.roots }
func (s *set) Close() error        { return nil }

// learn notes that a document's blobs are where the document is.
func (s *set) learn(d image.Digest, raw []byte) {
	var doc struct {
		Manifests, Layers []image.Descriptor
		Config            image.Descriptor
	}
	if json.Unmarshal(raw, &doc) != nil {
		return // who parses it properly will say so
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, child := range append(append(doc.Manifests, doc.Layers...), doc.Config) {
		for _, repo := range s.at[d] {
			s.at[child.Digest] = addOnce(s.at[child.Digest], repo)
		}
	}
}

// settle notes that a repository has a root.
func (s *set) settle(d image.Digest, repo *repository) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.at[d], s.homes[d] = addOnce(s.at[d], repo), addOnce(s.homes[d], repo)
}

func addOnce(list []*repository, repo *repository) []*repository {
	if slices.Contains(list, repo) {
		return list
	}
	return append(list, repo)
}

// candidates are the repositories that may have a digest, the likeliest first.
func (s *set) candidates(d image.Digest) []*repository {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clip(s.at[d]) // what comes to it later is not for who has asked
}

// Fetch implements image.Fetcher. The repositories that have named a blob are
// asked for it, and no others.
func (s *set) Fetch(ctx context.Context, d image.Descriptor) (io.ReadCloser, error) {
	if err := image.CheckDigest(d.Digest); err != nil {
		return nil, err
	}
	if raw, ok := s.docs[d.Digest]; ok {
		return image.NewReader(io.NopCloser(bytes.NewReader(raw)), d), context.Cause(ctx)
	}
	var missing error = image.ErrNotFound
	for _, repo := range s.candidates(d.Digest) {
		r, err := s.fetch(ctx, repo, d)
		if !errors.Is(err, image.ErrNotFound) {
			return r, err
		}
		missing = err
	}
	return nil, fmt.Errorf("blob %s: %w", d.Digest, missing)
}

// fetch opens a blob, and reads a manifest to learn from it.
func (s *set) fetch(ctx context.Context, repo *repository, d image.Descriptor) (io.ReadCloser, error) {
	if !isManifest(d.MediaType) {
		return openBlob(ctx, repo, d)
	}
	got, raw, err := repo.manifest(ctx, d.Digest.String())
	if err != nil {
		return nil, err
	}
	if got.Size != d.Size {
		return nil, &image.DigestError{Want: d, GotSize: min(got.Size, d.Size+1)}
	}
	s.learn(d.Digest, raw)
	return image.NewReader(io.NopCloser(bytes.NewReader(raw)), d), nil
}
