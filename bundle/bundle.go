// Package bundle is the file format: what a bundle is made of, how one is
// planned and written, and how any blob of one is read back. FORMAT.md beside
// this file is the normative specification; the two change together.
//
// A bundle is a tar in zstd: a manifest first, then the documents that make
// the tar an OCI layout and a docker-archive, then blobs, each exactly once.
// Equal images give equal tar bytes and an equal bundle id everywhere.
//
// Writing is decide, then do: [NewPlan] reads documents, [Plan.WriteFile] and
// [Plan.WriteTo] move bytes. Reading is random access: [Open] reads the
// manifest and the frame table, [Bundle.Fetch] any blob without the rest, both
// for a bundle and for the plain tar inside it. A *Bundle is deliberately not
// an image.Source: what may be believed of it is decided by package verify.
//
// The errors that callers branch on are [*DamagedError], [*NewerError] and
// [*ForeignError], and [*ReadError] for the medium; when packing, the sources'
// errors come as they are, and [*WrittenError] says that the bundle is there.
package bundle

import (
	"fmt"
	"runtime"
)

// Limits of the format. A bundle that exceeds one is not written, and refused
// when it is read.
const (
	Format = 1 // the version of the format that this package writes

	MaxFrame    = 4 << 20  // bytes of content in a frame, and its window
	MinOwnFrame = 64 << 10 // a blob of this many bytes has frames of its own
	MaxManifest = 32 << 20 // bytes of airgap.json
	MaxDerived  = 16 << 20 // bytes of index.json and of manifest.json
	MaxEntries  = 100_000  // entries of the tar
)

// Names of the entries that are not blobs, in the order in which they occur.
const (
	manifestName  = "airgap.json"
	signatureName = "airgap.json.sig"
	layoutName    = "oci-layout"
	indexName     = "index.json"
	dockerName    = "manifest.json"
	blobPrefix    = "blobs/sha256/"
)

// Level is how hard content is compressed. It changes the bytes of the file,
// but neither the tar inside it nor the bundle id.
type Level int

// The levels, from the fastest to the smallest.
const (
	Fast Level = iota - 1
	Default
	Better
)

// ParseLevel reads "fast", "default" or "better".
func ParseLevel(s string) (Level, error) {
	for _, l := range []Level{Fast, Default, Better} {
		if l.String() == s {
			return l, nil
		}
	}
	return Default, fmt.Errorf("level %q is not one of fast, default, better", s)
}

func (l Level) String() string { return [...]string{"fast", "default", "better"}[l+1] }

// DamagedError says that a bundle is not whole or not what its manifest says.
type DamagedError struct {
	What string // where: "seek table", an entry's name, an image's name
	Err  error
}

func (e *DamagedError) Error() string { return fmt.Sprintf("bundle damaged: %s: %v", e.What, e.Err) }
func (e *DamagedError) Unwrap() error { return e.Err }

func damaged(what, format string, args ...any) error {
	return &DamagedError{What: what, Err: fmt.Errorf(format, args...)}
}

// ReadError says that the medium that holds a bundle could not be read. It
// says nothing about the bundle.
type ReadError struct {
	Off int64 // in the file
	Err error
}

func (e *ReadError) Error() string {
	return fmt.Sprintf("reading the bundle at byte %d: %v", e.Off, e.Err)
}
func (e *ReadError) Unwrap() error { return e.Err }

// NewerError says that a sound bundle needs a later version of airgap.
type NewerError struct {
	Format   int      // the bundle's format
	Requires []string // features that this version does not know
}

func (e *NewerError) Error() string {
	if e.Format > Format {
		return fmt.Sprintf("bundle has format %d, this airgap reads up to %d", e.Format, Format)
	}
	return fmt.Sprintf("bundle requires %q, which this airgap does not know", e.Requires)
}

// ForeignError says that a file is not a bundle at all.
type ForeignError struct {
	Kind string // what it seems to be: KindDockerArchive, KindOCIArchive, KindGzip, or "" if unknown
}

// Kinds of files that people take for bundles.
const (
	KindDockerArchive = "docker-archive"
	KindOCIArchive    = "oci-archive"
	KindGzip          = "gzip"
)

func (e *ForeignError) Error() string {
	if e.Kind == "" {
		return "not an airgap bundle"
	}
	return fmt.Sprintf("not an airgap bundle but a %s file", e.Kind)
}

// defaultJobs is how many things are done side by side unless told otherwise.
func defaultJobs(jobs int) int {
	if jobs > 0 {
		return jobs
	}
	return max(2, min(runtime.GOMAXPROCS(0), 8))
}
