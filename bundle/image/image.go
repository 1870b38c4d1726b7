// Package image is the vocabulary of container images: roots, the graph of
// blobs below a root, and the places that images come from and go to.
//
// It is a leaf: it knows neither the bundle format nor any place. A place (a
// registry, an engine, a folder) speaks this vocabulary as a [Source], a
// [Sink], or both; package storetest holds the suite that every place passes.
//
// Blobs are named by digest and come through readers that verify: a reader
// given out by a [Fetcher] fails before io.EOF unless size and digest agree
// with the descriptor (see [NewReader]). No caller has to remember to check.
//
// The errors that callers branch on are [ErrNotFound], [ErrUnnamed], [ErrGone],
// [*TakenError], [*DigestError], [*HollowError], [*PlatformError],
// [*ReferrersError] and [*UnsupportedError].
package image

import (
	"context"
	"io"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Digest, Descriptor and Platform are the field's own types.
type (
	Digest     = v1.Hash
	Descriptor = v1.Descriptor
	Platform   = v1.Platform
)

// Root is a named image: the descriptor of its index or manifest, byte for
// byte as the place has it.
type Root struct {
	// Name is the normalised full reference, such as
	// docker.io/library/postgres:15-alpine; empty for an untagged image. A
	// digest in it is that of Desc.
	Name string
	// Asked is the name that was asked for, if it is more than Name: Origin
	// does not keep the digest in it.
	Asked string
	Desc  Descriptor
	// Origin is the transport that gave the root: "docker-daemon",
	// "docker" (a registry), "oci", "oci-archive" or "docker-archive".
	Origin string
	// DigestLost says that Origin does not keep the registry's digest, so
	// Desc is a manifest made by [ClassicManifest].
	DigestLost bool
}

// Fetcher gives the bytes of any blob of the images that it holds.
type Fetcher interface {
	// Fetch opens a blob. The reader verifies size and digest. A blob that
	// the place does not have is an error that wraps ErrNotFound, here or at
	// the latest from the first Read.
	Fetch(ctx context.Context, d Descriptor) (io.ReadCloser, error)
}

// Source is a place that images come from.
type Source interface {
	// Open resolves names, given as the user wrote them after the transport's
	// prefix, to a Set. A name that the place does not have is an error that
	// wraps ErrNotFound and quotes the name. The Set belongs to the caller,
	// who closes it.
	Open(ctx context.Context, names []string, want Platforms) (Set, error)
	Close() error
}

// Set is some opened images of one Source.
//
// A Set whose digests are known in advance gives its Roots at once. One that
// learns them only from the engine's stream is a [Streamer] as well: its Roots
// and Fetch are valid after Stream has returned, Fetch for documents only
// (indexes, manifests, configs).
type Set interface {
	Fetcher
	// Roots lists one root per name, in the order of the names.
	Roots() []Root
	Close() error
}

// Streamer is a Set that yields its blobs in an order of its own and knows
// digests only from the bytes: an engine's export, a docker-archive.
type Streamer interface {
	Set
	// Estimate tells what is known before the stream, for a plan.
	Estimate() []Estimate
	// Stream reads everything once and hands each candidate blob to put, which
	// may be called from several goroutines at once. It must be called once.
	Stream(ctx context.Context, put Put) error
}

// Put takes size bytes of a blob whose digest is not known yet from r and
// answers with their digest. Blobs that bear the same non-empty key are the
// same blob: the receiver may drop all but the first.
type Put func(ctx context.Context, key string, size int64, r io.Reader) (Digest, error)

// Estimate is what a Streamer knows of an image before its bytes come.
type Estimate struct {
	Name     string
	Asked    string   // as of a Root
	ID       Digest   // as the place's own commands show it; zero if not known
	Digest   Digest   // of the root; zero if not known, or not kept
	Platform Platform // that of Layers
	// Others are further platforms that are there whole and wanted, and Left
	// those that are wanted and are not.
	Others []Platform
	Left   []Left
	// Size is the sum of the layers as the place counts them, in bytes,
	// mostly uncompressed; 0 when it is not known.
	Size   int64
	Layers []EstimatedLayer
}

// EstimatedLayer is a layer of an Estimate, from the bottom.
type EstimatedLayer struct {
	DiffID    Digest
	Size      int64 // bytes, uncompressed; -1 when it is not known
	CreatedBy string
}

// Sink is a place that images go to.
type Sink interface {
	// Begin compares the place with the image and writes nothing. The graph
	// must hold at least one platform that the place can use: otherwise the
	// error is a *PlatformError. A place that holds no image without a name
	// answers with an error that wraps ErrUnnamed.
	Begin(ctx context.Context, img Import) (Txn, error)
	// Flush makes everything written so far durable, as far as the place can:
	// durable is false, and why says so, where it cannot be confirmed.
	Flush(ctx context.Context) (durable bool, why string, err error)
	Close() error
}

// Tidier is a Sink in which names can be moved to images that it has, and
// images be removed.
type Tidier interface {
	Sink
	// Address says which place of its kind it is.
	Address() string
	// Identity says the same whatever the address is, and something else when
	// another answers there; empty if that cannot be told.
	Identity() string
	// Tagged is what a name points to; the zero Digest for nothing.
	Tagged(ctx context.Context, name string) (Digest, error)
	// TakesAlong says whether a name by digest that others have given would go with
	// a tag when all of some names are taken away, where the place tells that.
	TakesAlong(ctx context.Context, name string, going []string) (bool, error)
	// Retag makes a name point to an image that the place has, else to
	// nothing: with its last name an image goes too.
	Retag(ctx context.Context, name string, to Digest) error
	// Untag takes a name away and keeps the image, also if that was its last.
	Untag(ctx context.Context, name string) error
	// RemoveUnused removes an image. One that has a name or that a container
	// uses stays: the error wraps ErrInUse.
	RemoveUnused(ctx context.Context, id Digest) error
	// Usage is how many bytes of disk all images take.
	Usage(ctx context.Context) (int64, error)
}

// Sweeper is a Sink in which an import that is killed leaves something behind.
type Sweeper interface {
	Sink
	// Sweep removes what imports have left that run no more.
	Sweep(ctx context.Context) error
}

// Import is one image on its way into a Sink.
type Import struct {
	Graph *Graph
	// Names are the normalised references that shall point to it; none for an
	// untagged image.
	Names []string
	// Repositories are the normalised repositories that hold it by its digest
	// although it has no name: those of the images that it is a referrer of.
	// Places without repositories take no notice.
	Repositories []string
	// NoReplace keeps names where they are that point to another image by the
	// time they would be moved.
	NoReplace bool
	// Reload brings the image again although it is there, where what a place has
	// may be damaged without its knowing. Places that read what they have take
	// no notice.
	Reload bool
	// Removed remembers the names of images that Reload removes; nil for none.
	Removed Removed
}

// Removed remembers which names images had that were removed to be brought
// again, also when that is broken off. Who brings such an image gives it the
// names that are free, whether he removed it or not.
type Removed interface {
	Names(id Digest) ([]string, error)
	Keep(id Digest, names []string) error
	Forget(id Digest) error
	// All are the images of which something is remembered.
	All() ([]Digest, error)
}

// Reloader is a Sink that removes images to bring them again.
type Reloader interface {
	Tidier
	// GiveBack gives images their names that somebody has brought again who was
	// broken off before he could do that, and answers those names.
	GiveBack(ctx context.Context, r Removed) (names []string, err error)
}

// Txn brings one image into a Sink: Begin decided, Write does, Commit shows.
//
// Others change the place meanwhile: they remove what Begin has found, or what
// Write has brought, and move names. Look finds that out, and Write brings again
// what is not there any more.
type Txn interface {
	// State is what Begin found, or the last Look or Commit since.
	State() State
	// Write brings what the place lacks, without any name of the image's, and
	// proves that the place then holds what the graph says. The place keeps it
	// until Commit or Abort, as far as it can be told to. done hears of bytes of
	// blobs as they are settled in the place (their sum is State().Size); it may
	// be called from several goroutines.
	Write(ctx context.Context, from Fetcher, done func(n int64)) error
	// Look compares the place with the image once more and writes nothing. What
	// Write has brought is Present then.
	Look(ctx context.Context) error
	// Commit makes the names point to the image and tells what each pointed to
	// just before; with an error, it tells of those that it has set. An image
	// that is not there whole any more gets no name: the error wraps ErrGone. A
	// name that Import.NoReplace keeps from being moved is a *TakenError.
	Commit(ctx context.Context) ([]Tag, error)
	// Abort takes back what Write brought, but for what others may rely on by
	// now: what has a name, or is used. After Commit it does nothing.
	Abort(ctx context.Context) error
}

// Joint is a Txn of a place that looks at several images, and sets the names of
// several, at the cost of one. They are transactions of the same Sink, t among
// them.
type Joint interface {
	Txn
	// LookAll is Look for all of them.
	LookAll(ctx context.Context, all []Txn) error
	// CommitAll is Commit for all of them at once: with an error no name has been
	// set. It tells of the names of each.
	CommitAll(ctx context.Context, all []Txn) ([][]Tag, error)
}

// State is what a Sink found of an image.
type State struct {
	// ID is the identity that the image has or will have in the place, as the
	// place's own commands show it.
	ID Digest
	// Platform is the one that the place will run; zero where it takes all.
	Platform Platform
	// Present says that all content is there already: Write does nothing.
	Present bool
	// Existed says that the place had the image before it was brought, be it in
	// part or under no name. A Tidier tells; others need not.
	Existed bool
	// Need lists the blobs that Write will ask the Fetcher for, and Size is
	// the sum of their sizes in bytes.
	Need []Descriptor
	Size int64
	// Lost are names by digest that the place cannot hold; they are not in Tags.
	Lost []string
	// Tags tells where each name points now. Tags whose Old equals ID need no
	// change.
	Tags []Tag
}

// Tag is a name in a place, with what it pointed to before (the zero Digest
// for nothing) and points to afterwards.
type Tag struct {
	Name string
	Old  Digest
	New  Digest
}

// Moved says that the name pointed to something else before.
func (t Tag) Moved() bool { return t.Old != (Digest{}) && t.Old != t.New }
