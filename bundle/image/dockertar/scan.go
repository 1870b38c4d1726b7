package dockertar

import (
	"archive/tar"
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"airgap/bundle/image"
)

// scanner is what is kept of a stream while it passes.
type scanner struct {
	blobs map[string]blob   // by the entry's name
	docs  map[string][]byte // entries that look like JSON, by name
	links map[string]string // to the name of another entry
	kept  int               // bytes of docs
}

// blob is an entry's content that went to Put.
type blob struct {
	digest image.Digest
	size   int64
	coding string // "", "+gzip" or "+zstd": what a media type adds for it
}

// maxEntries bounds the entries of a stream.
const maxEntries = 100_000

func scan(ctx context.Context, r io.Reader, put image.Put) (*scanner, error) {
	s := &scanner{blobs: map[string]blob{}, docs: map[string][]byte{}, links: map[string]string{}}
	t := tar.NewReader(bufio.NewReaderSize(r, 256<<10))
	for n := 0; ; n++ {
		h, err := t.Next()
		if err == io.EOF {
			// Whatever is behind the end has to be read, or its writer waits.
			_, err = io.Copy(io.Discard, r)
			return s, err
		}
		if err != nil {
			return nil, fmt.Errorf("archive: %w", err)
		}
		if n == maxEntries {
			return nil, fmt.Errorf("archive has more than %d entries", maxEntries)
		}
		if err := s.entry(ctx, h, t, put); err != nil {
			return nil, err
		}
	}
}

// entry takes in one entry.
func (s *scanner) entry(ctx context.Context, h *tar.Header, r io.Reader, put image.Put) error {
	name, err := cleanName(h.Name)
	if err != nil {
		return err
	}
	_, isBlob := s.blobs[name]
	_, isLink := s.links[name]
	if isBlob || isLink || s.docs[name] != nil {
		return fmt.Errorf("entry %q is there twice", h.Name)
	}
	for key := range h.PAXRecords {
		if strings.HasPrefix(key, "GNU.sparse.") {
			return fmt.Errorf("entry %q is sparse", h.Name)
		}
	}
	switch h.Typeflag {
	case tar.TypeDir:
		return nil
	case tar.TypeReg:
		if err := s.content(ctx, name, h.Size, r, put); err != nil {
			return fmt.Errorf("entry %q: %w", h.Name, err)
		}
		return nil
	case tar.TypeSymlink:
		s.links[name] = path.Join(path.Dir(name), h.Linkname)
		return nil
	case tar.TypeLink:
		s.links[name] = path.Clean(h.Linkname)
		return nil
	}
	return fmt.Errorf("entry %q is of a kind (%q) that no image archive needs", h.Name, h.Typeflag)
}

// cleanName accepts names that stay within the archive.
func cleanName(name string) (string, error) {
	clean := path.Clean(name)
	if path.IsAbs(name) || clean == ".." || strings.HasPrefix(clean, "../") || strings.ContainsAny(name, "\\\x00") {
		return "", fmt.Errorf("entry %q: its name leaves the archive", name)
	}
	return clean, nil
}

// content keeps an entry that may be a document, and hands on one that may be
// a blob; in an OCI layout a document is both.
func (s *scanner) content(ctx context.Context, name string, size int64, r io.Reader, put image.Put) error {
	buffered := bufio.NewReaderSize(r, 512)
	head, err := buffered.Peek(4)
	if err != nil && err != io.EOF {
		return err
	}
	var content io.Reader = buffered
	if size <= image.MaxDocument && looksLikeJSON(head) {
		raw := make([]byte, size)
		if _, err := io.ReadFull(buffered, raw); err != nil {
			return err
		}
		if s.kept += len(raw); s.kept > maxDocuments {
			return fmt.Errorf("its documents have more than %d bytes", maxDocuments)
		}
		s.docs[name] = raw
		content = bytes.NewReader(raw)
	}
	if isMetadata(name) {
		_, err := io.Copy(io.Discard, content)
		return err
	}
	b := blob{size: size, coding: codingOf(head)}
	if b.digest, err = put(ctx, name, size, content); err != nil {
		return err
	}
	s.blobs[name] = b
	return nil
}

func looksLikeJSON(head []byte) bool {
	trimmed := bytes.TrimSpace(head)
	return len(trimmed) > 0 && (trimmed[0] == '{' || trimmed[0] == '[')
}

// isMetadata says that an entry is none of an image's blobs.
func isMetadata(name string) bool {
	switch name {
	case dockerName, layoutName, indexName, "repositories":
		return true
	}
	base := path.Base(name)
	return base == "json" || base == "VERSION"
}

func codingOf(head []byte) string {
	switch {
	case bytes.HasPrefix(head, []byte{0x1f, 0x8b}):
		return "+gzip"
	case bytes.HasPrefix(head, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		return "+zstd"
	}
	return ""
}

// blob finds the content that a name stands for. A link to another layer is
// what docker save makes of a layer that several images share.
func (s *scanner) blob(name string) (blob, error) {
	name = path.Clean(name)
	if target, ok := s.links[name]; ok {
		name = target
	}
	b, ok := s.blobs[name]
	if !ok {
		return blob{}, fmt.Errorf("layer %q: %w in the archive", name, image.ErrNotFound)
	}
	return b, nil
}

// document parses a document that the archive must have.
func (s *scanner) document(name string, v any) error {
	raw, ok := s.docs[name]
	if !ok {
		return fmt.Errorf("the archive has no %s: it is of another kind, or cut short", name)
	}
	if err := errors.Join(image.CheckJSON(raw), json.Unmarshal(raw, v)); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}
