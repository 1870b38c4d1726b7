// Package layout is a folder in the OCI image layout, as a place that images
// come from and go to.
//
// Paths are made from checked digests and fixed names only; nothing that a
// document says becomes a path. Blobs that are not regular files are refused.
// Everything written goes to a temporary name first, is synced and renamed:
// index.json comes last and makes the images visible, and what it said about
// other images is kept as it was. An existing blob is taken over only when its
// bytes have been read and are right.
//
// A layout has one index.json: who writes takes the folder's lock first
// ([Layout.Lock]). Tools that know no such lock are not kept out; what they have
// made of index.json meanwhile stays, with all blobs that may be theirs.
//
// Errors: a name or blob that is not there wraps image.ErrNotFound; what is no
// layout is an [*Error]; wrong bytes are an *image.DigestError.
package layout

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/google/go-containerregistry/pkg/v1/types"

	"airgap/bundle/image"
	"airgap/internal/durable"
)

// Origin is the transport that Roots of this package name.
const Origin = "oci"

// Annotations of index.json that hold a name, the one to prefer first.
const (
	annotationContainerd = "io.containerd.image.name"
	annotationOCI        = "org.opencontainers.image.ref.name"
)

const (
	markerName = "oci-layout"
	indexName  = "index.json"
	blobsName  = "blobs"
	version    = "1.0.0"
)

// Error says that a folder is not an OCI layout, and why.
type Error struct {
	Dir string
	Why string
}

func (e *Error) Error() string { return fmt.Sprintf("folder %q is no OCI layout: %s", e.Dir, e.Why) }

// Layout is an OCI layout, an image.Source and an image.Sink.
type Layout struct {
	dir    string
	open   func(path string) (*os.File, error)                                // openRegular
	create func(path string, noClobber bool, fill func(*os.File) error) error // durable.CreateFile

	held     *os.File // the lock; nil until it is taken
	heldMade []string // folders made to take it, outermost first

	mu     sync.Mutex
	blobs  map[image.Digest]*stored
	made   []string // folders made for transactions that are open, outermost first
	active int      // transactions that have written and are open
	index  []byte   // index.json as the first Begin has read it, or Commit has written it
	looked bool     // index is known; nil stands for none

	reading  sync.Mutex  // held while index.json is read
	last     *index      // as it was read last; nil before
	lastInfo fs.FileInfo // of its file then
}

func newLayout(dir string) *Layout {
	return &Layout{dir: dir, open: openRegular, create: durable.CreateFile, blobs: map[image.Digest]*stored{}}
}

// Root is the folder.
func (l *Layout) Root() string { return l.dir }

// Open opens an existing layout.
func Open(dir string) (*Layout, error) {
	l := newLayout(dir)
	if err := l.checkMarker(); err != nil {
		return nil, err
	}
	_, err := l.readIndex()
	return l, err
}

// Create opens a layout to write to, which need not exist: nothing is made
// before the first write. A folder that holds other things is refused.
func Create(dir string) (*Layout, error) {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if slices.ContainsFunc(entries, func(e fs.DirEntry) bool { return !isBeginning(e.Name()) }) {
		return Open(dir)
	}
	l := newLayout(dir)
	if slices.ContainsFunc(entries, func(e fs.DirEntry) bool { return e.Name() == markerName }) {
		return l, l.checkMarker()
	}
	return l, nil
}

// isBeginning says whether a name is of what is written before index.json.
// Where there is no more than that, a first import is at work, or was killed.
func isBeginning(name string) bool {
	return name == blobsName || name == markerName || isPartial(name)
}

// Close gives the lock back.
func (l *Layout) Close() error { return l.unlock() }

func (l *Layout) checkMarker() error {
	raw, _, err := l.readFile(markerName)
	if errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Stat(l.dir); err != nil {
			return err
		}
		return &Error{l.dir, "it has no file oci-layout"}
	}
	if err != nil {
		return err
	}
	var marker struct {
		Version string `json:"imageLayoutVersion"`
	}
	if err := json.Unmarshal(raw, &marker); err != nil {
		return &Error{l.dir, "oci-layout: " + err.Error()}
	}
	if !strings.HasPrefix(marker.Version, "1.") {
		return &Error{l.dir, fmt.Sprintf("it is of version %q", marker.Version)}
	}
	return nil
}

// readFile reads a document that is no blob; info is of the file before its
// bytes were read.
func (l *Layout) readFile(name string) (raw []byte, info fs.FileInfo, err error) {
	path := filepath.Join(l.dir, name)
	f, err := l.open(path)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	if info, err = f.Stat(); err != nil {
		return nil, nil, err
	}
	raw, err = io.ReadAll(io.LimitReader(f, image.MaxDocument+1))
	if err == nil && len(raw) > image.MaxDocument {
		err = fmt.Errorf("%q has more than %d bytes", path, image.MaxDocument)
	}
	return raw, info, err
}

// openRegular opens a regular file, and nothing that a link points to.
func openRegular(path string) (*os.File, error) {
	before, err := os.Lstat(path)
	if err != nil {
		return nil, err
	}
	if !before.Mode().IsRegular() {
		return nil, fmt.Errorf("%q is not a regular file", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	if after, err := f.Stat(); err != nil || !os.SameFile(before, after) {
		f.Close()
		return nil, errors.Join(err, fmt.Errorf("%q was replaced while it was opened", path))
	}
	return f, nil
}

// index is index.json, and is not changed once it is read. What is not
// understood is kept.
type index struct {
	raw       []byte // as it was read; nil where there is none
	fields    map[string]json.RawMessage
	manifests []entry

	named map[string]image.Digest // what names point to
	shown map[shown]bool          // which images it lists, and by which names
}

// shown is an image that an index lists. Without a name it stands for all names.
type shown struct {
	name string
	root image.Digest
}

// entry is a descriptor of index.json, as written and as understood.
type entry struct {
	raw  json.RawMessage
	desc image.Descriptor
	name string // normalised; empty if it has none, see nameOf
}

// readIndex reads index.json.
func (l *Layout) readIndex() (*index, error) {
	l.reading.Lock()
	defer l.reading.Unlock()
	x, err := l.parseIndex()
	if errors.Is(err, fs.ErrNotExist) {
		err = &Error{l.dir, "it has no file index.json"}
	}
	return x, err
}

// parseIndex reads index.json, and takes it apart unless it says what it said the
// last time. The caller has locked l.reading.
func (l *Layout) parseIndex() (*index, error) {
	raw, info, err := l.readFile(indexName)
	if err != nil {
		return nil, err
	}
	if l.last != nil && bytes.Equal(l.last.raw, raw) {
		l.lastInfo = info
		return l.last, nil
	}
	x := index{raw: raw}
	if err := x.parse(raw); err != nil {
		return nil, &Error{l.dir, "index.json: " + err.Error()}
	}
	l.last, l.lastInfo = &x, info
	return &x, nil
}

func (x *index) parse(raw []byte) error {
	if err := image.CheckJSON(raw); err != nil {
		return err
	}
	if err := json.Unmarshal(raw, &x.fields); err != nil {
		return err
	}
	var list []json.RawMessage
	if err := json.Unmarshal(x.fields["manifests"], &list); err != nil {
		return fmt.Errorf("manifests: %w", err)
	}
	for _, raw := range list {
		e := entry{raw: raw}
		if err := json.Unmarshal(raw, &e.desc); err != nil {
			return fmt.Errorf("manifests: %w", err)
		}
		if err := image.CheckDigest(e.desc.Digest); err != nil {
			return err
		}
		e.name = nameOf(e.desc)
		x.manifests = append(x.manifests, e)
	}
	x.note()
	return nil
}

// note makes what the entries are found by.
func (x *index) note() {
	x.named, x.shown = map[string]image.Digest{}, map[shown]bool{}
	for _, e := range x.manifests {
		if _, twice := x.named[e.name]; e.name != "" && !twice {
			x.named[e.name] = e.desc.Digest
		}
		x.shown[shown{e.name, e.desc.Digest}], x.shown[shown{"", e.desc.Digest}] = true, true
	}
}

func newIndex() *index {
	x := &index{fields: map[string]json.RawMessage{
		"schemaVersion": json.RawMessage("2"),
		"mediaType":     json.RawMessage(`"` + types.OCIImageIndex + `"`),
	}}
	x.note()
	return x
}

func (x *index) bytes() ([]byte, error) {
	list := []json.RawMessage{}
	for _, e := range x.manifests {
		list = append(list, e.raw)
	}
	raw, err := json.Marshal(list)
	if err != nil {
		return nil, err
	}
	fields := maps.Clone(x.fields)
	fields["manifests"] = raw
	return json.Marshal(fields)
}

// nameOf is the normalised name of an entry; empty if it has none, or one that
// names no repository, such as a bare tag, or another image's digest.
func nameOf(entry image.Descriptor) string {
	for _, key := range []string{annotationContainerd, annotationOCI} {
		given := entry.Annotations[key]
		if !strings.ContainsAny(given, ":/") {
			continue
		}
		full, err := image.Normalize(given)
		if _, _, d, pinned := image.Pin(full); err == nil && (!pinned || d == entry.Digest) {
			return full
		}
	}
	return ""
}

// blobPath is where a blob is. The digest is checked: it becomes a path.
func (l *Layout) blobPath(d image.Digest) (string, error) {
	if err := image.CheckDigest(d); err != nil {
		return "", err
	}
	return filepath.Join(l.dir, blobsName, d.Algorithm, d.Hex), nil
}

// fetch opens a blob. Its reader verifies and ends with the context.
func (l *Layout) fetch(ctx context.Context, d image.Descriptor) (io.ReadCloser, error) {
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	path, err := l.blobPath(d.Digest)
	if err != nil {
		return nil, err
	}
	f, err := l.open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("blob %s in %q: %w", d.Digest, l.dir, image.ErrNotFound)
	}
	if err != nil {
		return nil, err
	}
	return image.NewReader(file{f, ctx}, d), nil
}

type file struct {
	*os.File
	ctx context.Context
}

func (f file) Read(p []byte) (int, error) {
	if err := context.Cause(f.ctx); err != nil {
		return 0, err
	}
	return f.File.Read(p)
}
