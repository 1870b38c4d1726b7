// Package registry reads images from registries that speak the distribution
// protocol, and pushes them there. It is the only door to ggcr's remote:
// connecting and logging in are ggcr's transport, the requests and what is made
// of their answers are here.
//
// A name is taken over HTTPS unless its host is a loopback address or listed in
// [Options.PlainHTTP]; nothing else ever falls back to HTTP. Credentials are
// those of Docker and of the containers tools, and go to the host that they are
// for, never to where it redirects. Addresses in layer descriptors (urls) are
// not followed.
//
// What fails for a while is tried again: connections that break, server errors,
// and limits, with the pause that the registry asks for. A blob that is cut off
// goes on where it stopped.
//
// As a sink it pushes what a repository lacks, manifests by digest, reads them
// back, and sets tags last. It moves no other tag and deletes nothing: what a
// push that failed has brought has no tag and is left to the registry's own
// garbage collection.
//
// Errors: a name or blob that is not there wraps image.ErrNotFound; everything
// else that the registry or the way to it is to blame for is an [*Error]; wrong
// bytes are an *image.DigestError; an index that a registry does not take without
// all its platforms is a [*SparseError].
package registry

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"golang.org/x/sync/errgroup"

	"airgap/bundle/image"
)

// Origin is the transport that Roots of this package name.
const Origin = "docker"

// Options say how registries are reached.
type Options struct {
	CAFile    string   // PEM certificates that are trusted beside the system's
	PlainHTTP []string // hosts (host or host:port) that may be reached without TLS
	Jobs      int      // names looked up side by side; 0 for 4
	UserAgent string   // goes before ggcr's own
	Push      bool     // ask for leave to push at every login
	// Note hears of pauses that a user should know about; may be nil.
	Note func(format string, args ...any)
}

// Registry is an image.Source and an image.Sink for names of any registry.
type Registry struct {
	base  *http.Transport
	via   http.RoundTripper // base with all that is true for every request
	plain plainHosts
	keys  authn.Keychain
	scope string // of logins
	jobs  int
	pause pause
	note  func(format string, args ...any)

	idle     time.Duration // without a byte, after which a transfer counts as cut
	patience time.Duration // for an answer that is no blob

	listing sync.Mutex // held while a list of referrers is changed

	mu    sync.Mutex
	repos map[string]*repository
	known map[holding]*repository // the first that has a blob, as far as pushing has shown

	expected map[subject][]image.Descriptor // what lists of referrers have to have in the end
	added    map[subject]bool               // those that have been seen to
}

// Open prepares to reach registries. It reads CAFile and makes no connection.
func Open(o Options) (*Registry, error) {
	base, err := newTransport(o)
	if err != nil {
		return nil, err
	}
	r := &Registry{
		base: base, plain: o.PlainHTTP, keys: authn.NewMultiKeychain(authn.DefaultKeychain, containersKeychain{}),
		jobs: o.Jobs, pause: sleep, note: o.Note, idle: time.Minute, patience: maxAnswer, repos: map[string]*repository{}, known: map[holding]*repository{},
		expected: map[subject][]image.Descriptor{}, added: map[subject]bool{}, scope: transport.PullScope,
	}
	if o.Push {
		r.scope = transport.PushScope
	}
	if r.jobs <= 0 {
		r.jobs = 4
	}
	if r.note == nil {
		r.note = func(string, ...any) {}
	}
	r.via = r.wrap(base, o)
	return r, nil
}

// Close drops idle connections.
func (r *Registry) Close() error {
	r.base.CloseIdleConnections()
	return nil
}

// Open gets the manifest or index of each name, given with or without
// "docker://". Of a name with a tag and a digest only the digest is looked up.
// Platforms are chosen by who reads the Set.
func (r *Registry) Open(ctx context.Context, names []string, _ image.Platforms) (image.Set, error) {
	roots := make([]root, len(names))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(r.jobs)
	for i, given := range names {
		group.Go(func() (err error) {
			roots[i], err = r.resolve(ctx, given)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	return newSet(roots, r.jobs), nil
}

// root is a resolved name: where it is and the document that it names.
type root struct {
	image.Root
	repo *repository
	raw  []byte
}

func (r *Registry) resolve(ctx context.Context, given string) (root, error) {
	full, err := image.Normalize(strings.TrimPrefix(given, "docker://"))
	if err != nil {
		return root{}, err
	}
	repo, id, err := r.find(full)
	if err != nil {
		return root{}, err
	}
	out := root{repo: repo, Root: image.Root{Name: full, Origin: Origin}}
	out.Desc, out.raw, err = repo.manifest(ctx, id)
	if err != nil {
		return root{}, fmt.Errorf("image %q: %w", given, err)
	}
	return out, nil
}

// find takes a normalised name apart: id is its digest, if it has one, else its
// tag.
func (r *Registry) find(full string) (repo *repository, id string, err error) {
	ref, err := name.ParseReference(full)
	if err != nil {
		return nil, "", fmt.Errorf("image name %q: %w", full, err)
	}
	if repo, err = r.repository(ref.Context()); err != nil {
		return nil, "", fmt.Errorf("image name %q: %w", full, err)
	}
	return repo, ref.Identifier(), nil
}

// repository is the one connection to a repository.
func (r *Registry) repository(ref name.Repository) (*repository, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if repo := r.repos[ref.Name()]; repo != nil {
		return repo, nil
	}
	host := ref.RegistryStr()
	if r.plain.allow(host) {
		reg, err := name.NewRegistry(host, name.Insecure)
		if err != nil {
			return nil, err
		}
		ref = reg.Repo(ref.RepositoryStr())
	}
	repo := &repository{Repository: ref, from: r}
	r.repos[ref.Name()] = repo
	return repo, nil
}
