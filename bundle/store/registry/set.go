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

// set is some resolved names. It remembers which repository named a digest, so
// that each blob is asked for where it is.
type set struct {
	roots []image.Root
	repos []*repository
	docs  map[image.Digest][]byte // those of the roots
	jobs  int                     // lookups side by side

	mu    sync.Mutex
	at    map[image.Digest]*repository
	homes map[image.Digest][]*repository // all that gave a root
}

func newSet(roots []root, jobs int) *set {
	s := &set{jobs: jobs, docs: map[image.Digest][]byte{}, at: map[image.Digest]*repository{}, homes: map[image.Digest][]*repository{}}
	for _, r := range roots {
		s.roots = append(s.roots, r.Root)
		s.docs[r.Desc.Digest] = r.raw
		s.learn(r.repo, r.raw)
		s.settle(r.Desc.Digest, r.repo)
		if !slices.Contains(s.repos, r.repo) {
			s.repos = append(s.repos, r.repo)
		}
	}
	return s
}

func (s *set) Roots() []image.Root { return s.roots }
func (s *set) Close() error        { return nil }

// learn notes that a document's blobs are where the document is.
func (s *set) learn(repo *repository, raw []byte) {
	var doc struct {
		Manifests, Layers []image.Descriptor
		Config            image.Descriptor
	}
	if json.Unmarshal(raw, &doc) != nil {
		return // who parses it properly will say so
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, d := range append(append(doc.Manifests, doc.Layers...), doc.Config) {
		if s.at[d.Digest] == nil {
			s.at[d.Digest] = repo
		}
	}
}

// settle notes that a repository has a root.
func (s *set) settle(d image.Digest, repo *repository) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.at[d] == nil {
		s.at[d] = repo
	}
	if !slices.Contains(s.homes[d], repo) {
		s.homes[d] = append(s.homes[d], repo)
	}
}

// candidates lists the repositories that may have a digest, the likeliest first.
func (s *set) candidates(d image.Digest) []*repository {
	s.mu.Lock()
	likely := s.at[d]
	s.mu.Unlock()
	if likely == nil {
		return s.repos
	}
	rest := slices.DeleteFunc(slices.Clone(s.repos), func(r *repository) bool { return r == likely })
	return append([]*repository{likely}, rest...)
}

// Fetch implements image.Fetcher. Other repositories of the set are asked for
// what the likeliest does not have.
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
	s.learn(repo, raw)
	return image.NewReader(io.NopCloser(bytes.NewReader(raw)), d), nil
}
