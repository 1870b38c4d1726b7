package bundle

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/v1/types"

	"airgap/bundle/image"
)

// Manifest is airgap.json: everything that a bundle holds. Its encoding is
// canonical (see [Manifest.encode]): equal manifests are equal bytes, whose
// sha256 is the bundle's id.
type Manifest struct {
	Format   int      `json:"format"`
	Requires []string `json:"requires"`
	Images   []Image  `json:"images"`
	Files    []File   `json:"files"`
	Blobs    []Blob   `json:"blobs"`
	Entries  []Entry  `json:"entries"`
	// Size is the sum of the sizes of Entries, in bytes.
	Size int64 `json:"size"`
}

// Image is one named (or untagged) image of a bundle.
type Image struct {
	Name      string          `json:"name,omitempty"`
	Root      Ref             `json:"root"`
	Manifests []ImageManifest `json:"manifests"`
}

// Ref is a descriptor without its optional parts.
type Ref struct {
	MediaType types.MediaType `json:"mediaType"`
	Digest    image.Digest    `json:"digest"`
	Size      int64           `json:"size"`
}

// ImageManifest is a manifest below a root that the bundle carries whole.
type ImageManifest struct {
	// Platform is os/architecture[/variant][:version]; empty for an artifact.
	Platform string       `json:"platform,omitempty"`
	Manifest image.Digest `json:"manifest"`
	Config   image.Digest `json:"config"`
	// DiffIDs are the digests of the uncompressed layers, from the bottom.
	DiffIDs []image.Digest `json:"diffIDs"`
}

// Blob is a blob of the images and where its bytes are.
type Blob struct {
	Digest image.Digest `json:"digest"`
	Size   int64        `json:"size"`
	// Stored is how: StoredAsIs.
	Stored string `json:"stored"`
	Entry  string `json:"entry"`
}

// namesByDigest is the feature of a bundle in which an image has a name like
// docker.io/library/postgres@sha256:….
const namesByDigest = "names-by-digest"

// fileModes is the feature of a bundle with files that have a File.Mode.
const fileModes = "file-modes"

// features are those that this version knows, sorted.
var features = []string{fileModes, namesByDigest}

// required are the features that a reader of the manifest must know, sorted:
// those that it makes use of, and no others.
func (m *Manifest) required() []string {
	list := []string{}
	if slices.ContainsFunc(m.Files, func(f File) bool { return f.Mode != "" }) {
		list = append(list, fileModes)
	}
	if slices.ContainsFunc(m.Images, func(img Image) bool { return image.Pinned(img.Name) }) {
		list = append(list, namesByDigest)
	}
	return list
}

// StoredAsIs says that an entry holds the blob's own bytes.
const StoredAsIs = "as-is"

// Entry is an entry of the tar after the manifest and its signature.
type Entry struct {
	Name   string `json:"name"`
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"` // of the content, 64 hexadecimal digits
}

// Descriptor is the descriptor of a blob, as a Fetcher takes it.
func (b Blob) Descriptor() image.Descriptor {
	return image.Descriptor{Digest: b.Digest, Size: b.Size}
}

// Descriptor is the whole descriptor again.
func (r Ref) Descriptor() image.Descriptor {
	return image.Descriptor{MediaType: r.MediaType, Digest: r.Digest, Size: r.Size}
}

// encode gives the canonical bytes: members in the order of the types above,
// indented by one space, ended by a line feed.
func (m *Manifest) encode() ([]byte, error) {
	var buf bytes.Buffer
	if err := m.write(&buf); err != nil {
		return nil, err
	}
	if buf.Len() > MaxManifest {
		return nil, fmt.Errorf("manifest of %d bytes is over the limit of %d", buf.Len(), MaxManifest)
	}
	return buf.Bytes(), nil
}

// isEncoded says whether encode would give these bytes, which it does not make
// once more for that.
func (m *Manifest) isEncoded(raw []byte) bool {
	left := remainder(raw)
	return m.write(&left) == nil && len(left) == 0
}

// remainder takes only the bytes that it starts with, and keeps what follows.
type remainder []byte

var errOtherBytes = errors.New("other bytes")

func (r *remainder) Write(p []byte) (int, error) {
	if !bytes.HasPrefix(*r, p) {
		return 0, errOtherBytes
	}
	*r = (*r)[len(p):]
	return len(p), nil
}

// write writes the canonical bytes, the elements of lists one by one: all at
// once they would be in memory several times while they are encoded.
func (m *Manifest) write(w io.Writer) error {
	hull := *m
	hull.Images, hull.Files, hull.Blobs, hull.Entries = []Image{}, []File{}, []Blob{}, []Entry{}
	text, err := indented(hull, "")
	for _, list := range []struct {
		name    string
		n       int
		element func(i int) any
	}{
		{"images", len(m.Images), func(i int) any { return m.Images[i] }},
		{"files", len(m.Files), func(i int) any { return m.Files[i] }},
		{"blobs", len(m.Blobs), func(i int) any { return m.Blobs[i] }},
		{"entries", len(m.Entries), func(i int) any { return m.Entries[i] }},
	} {
		open := `"` + list.name + `": [`
		before, after, _ := strings.Cut(text, open)
		text = before + open
		for i := 0; i < list.n && err == nil; i++ {
			if _, err = io.WriteString(w, text+"\n  "); err == nil {
				text, err = indented(list.element(i), "  ")
			}
			if i+1 < list.n {
				text += ","
			} else {
				text += "\n "
			}
		}
		text += after
	}
	if err == nil {
		_, err = io.WriteString(w, text+"\n")
	}
	return err
}

// indented encodes a value in the form of the manifest, where its lines but
// the first begin with indent.
func indented(v any, indent string) (string, error) {
	raw, err := encodeJSON(v, func(enc *json.Encoder) { enc.SetIndent(indent, " ") })
	return string(raw), err
}

// encodeJSON encodes a value with the only escapes that the format has, on one
// line unless form, which may be nil, has it otherwise.
func encodeJSON(v any, form func(*json.Encoder)) ([]byte, error) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if form != nil {
		form(enc)
	}
	err := enc.Encode(v)
	return bytes.TrimSuffix(buf.Bytes(), []byte("\n")), err
}

// Bounds of what a manifest in canonical form can hold, which are looked at
// before it is decoded: other JSON takes many times its length in memory.
const (
	minElement = 64   // bytes that an element of a list has at least
	maxString  = 4096 // bytes of the longest string, with escapes
)

// checkExtent refuses what would be large and no manifest.
func checkExtent(raw []byte) error {
	n := image.CountJSON(raw)
	if n.Elements > 16+len(raw)/minElement || n.Longest > maxString {
		return damaged(manifestName, "%d elements in %d bytes, and strings of %d", n.Elements, len(raw), n.Longest)
	}
	return nil
}

// head is what tells whether the rest can be understood.
type head struct {
	Format   int
	Requires []string
}

// readHead reads the members that a manifest of any version begins with.
func readHead(raw []byte) (h head, err error) {
	const most = 64 << 10
	dec := json.NewDecoder(bytes.NewReader(raw[:min(len(raw), most)]))
	for more := true; more && err == nil; more = dec.More() {
		var token json.Token
		switch token, err = dec.Token(); token {
		case json.Delim('{'):
		case "format":
			err = dec.Decode(&h.Format)
		case "requires":
			err = dec.Decode(&h.Requires)
		default:
			return h, noEOF(err)
		}
	}
	return h, noEOF(err)
}

// noEOF says that a text which ends is not a whole one.
func noEOF(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// parseManifest accepts exactly the bytes that encode makes of a sound
// manifest. What a later airgap wrote is a NewerError.
func parseManifest(raw []byte) (*Manifest, error) {
	head, err := readHead(raw)
	if err != nil {
		return nil, damaged(manifestName, "%w", err)
	}
	unknown := slices.DeleteFunc(head.Requires, func(feature string) bool { return slices.Contains(features, feature) })
	if head.Format > Format || len(unknown) > 0 {
		return nil, &NewerError{Format: head.Format, Requires: unknown}
	}
	if err := checkExtent(raw); err != nil {
		return nil, err
	}
	m := new(Manifest)
	if err := json.Unmarshal(raw, m); err != nil {
		return nil, damaged(manifestName, "%w", err)
	}
	if err := m.checkUses(); err != nil {
		return nil, damaged(manifestName, "%w", err)
	}
	// Encoding it again refuses repeated and unknown keys, keys in another
	// case and text after the value, all at once.
	if !m.isEncoded(raw) {
		return nil, damaged(manifestName, "not in canonical form")
	}
	if err := m.check(); err != nil {
		return nil, damaged(manifestName, "%w", err)
	}
	return m, nil
}

// checkUses bounds the blobs that images consist of, counted anew for each, but
// not for its other names.
func (m *Manifest) checkUses() error {
	roots, all := map[Ref]bool{}, 0
	for _, img := range m.Images {
		n := 0
		for _, im := range img.Manifests {
			n += 2 + len(im.DiffIDs)
		}
		if !roots[img.Root] {
			roots[img.Root] = true
			all += n
		}
		if max(n, all) > image.MaxUses {
			return fmt.Errorf("images consist of more than %d blobs", image.MaxUses)
		}
	}
	return nil
}

// check holds what must be true of every manifest, before its content is seen.
func (m *Manifest) check() error {
	if m.Format != Format {
		return fmt.Errorf("format %d", m.Format)
	}
	if want := m.required(); !slices.Equal(m.Requires, want) {
		return fmt.Errorf("requires %q, expected %q", m.Requires, want)
	}
	if len(m.Images) == 0 {
		return fmt.Errorf("no images")
	}
	if !slices.IsSortedFunc(m.Images, compareImages) {
		return fmt.Errorf("images are not sorted")
	}
	blobs, err := m.checkBlobs()
	if err != nil {
		return err
	}
	for i, img := range m.Images {
		if i > 0 && img.Name == m.Images[i-1].Name && (img.Name != "" || img.Root.Digest == m.Images[i-1].Root.Digest) {
			return fmt.Errorf("image %q is there twice", img.Name)
		}
		if err := img.check(blobs); err != nil {
			return fmt.Errorf("image %q: %w", img.Name, err)
		}
	}
	return m.checkFiles(blobs)
}

func compareImages(a, b Image) int {
	if c := strings.Compare(a.Name, b.Name); c != 0 {
		return c
	}
	return strings.Compare(a.Root.Digest.Hex, b.Root.Digest.Hex)
}

func (img Image) check(blobs map[image.Digest]int64) error {
	if img.Name != "" {
		if err := image.CheckName(img.Name, img.Root.Digest); err != nil {
			return err
		}
	}
	if size, ok := blobs[img.Root.Digest]; !ok || size != img.Root.Size {
		return fmt.Errorf("its root %s is not among the blobs", img.Root.Digest)
	}
	if len(img.Manifests) == 0 {
		return fmt.Errorf("no manifest is carried")
	}
	return nil
}

// checkBlobs checks entries and blobs against each other and gives the size of
// every blob.
func (m *Manifest) checkBlobs() (map[image.Digest]int64, error) {
	if len(m.Entries) > MaxEntries {
		return nil, fmt.Errorf("%d entries, at most %d are allowed", len(m.Entries), MaxEntries)
	}
	derived := len(m.Entries) - len(m.Blobs)
	if err := checkDerived(m.Entries[:max(0, derived)]); err != nil || derived < 0 {
		return nil, fmt.Errorf("entries and blobs do not belong together: %w", err)
	}
	blobs := make(map[image.Digest]int64, len(m.Blobs))
	for i, b := range m.Blobs {
		e := m.Entries[derived+i]
		if err := image.CheckDigest(b.Digest); err != nil {
			return nil, err
		}
		if b.Stored != StoredAsIs || b.Entry != blobPrefix+b.Digest.Hex || e != (Entry{b.Entry, b.Size, b.Digest.Hex}) {
			return nil, fmt.Errorf("blob %s and its entry %q disagree", b.Digest, e.Name)
		}
		if _, twice := blobs[b.Digest]; twice {
			return nil, fmt.Errorf("blob %s is there twice", b.Digest)
		}
		blobs[b.Digest] = b.Size
	}
	return blobs, m.checkSize()
}

func (m *Manifest) checkSize() error {
	var sum int64
	for _, e := range m.Entries {
		if e.Size < 0 || e.Size > maxBundle-sum {
			return fmt.Errorf("entry %q: size %d is out of range", e.Name, e.Size)
		}
		sum += e.Size
	}
	if sum != m.Size {
		return fmt.Errorf("the sizes of the entries add up to %d, not %d", sum, m.Size)
	}
	return nil
}

// checkDerived accepts the documents for other tools: none, the layout's two,
// or those with Docker's, in their order.
func checkDerived(entries []Entry) error {
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = e.Name
		if e.Size > MaxDerived {
			return fmt.Errorf("entry %q of %d bytes is over the limit of %d", e.Name, e.Size, MaxDerived)
		}
		if err := image.CheckDigest(image.Digest{Algorithm: "sha256", Hex: e.SHA256}); err != nil {
			return err
		}
	}
	switch all := []string{layoutName, indexName, dockerName}; {
	case len(names) == 0, slices.Equal(names, all), slices.Equal(names, all[:2]):
		return nil
	}
	return fmt.Errorf("unexpected entries %q", names)
}
