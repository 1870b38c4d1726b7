package image

import (
	"context"
	"fmt"
)

// Bounds of what the graphs of a Library may hold, against indexes that name
// ever more.
const (
	MaxDocuments = 64 << 20 // bytes of all documents together
	MaxUses      = 1 << 17  // blobs that images consist of, anew for each image
	MaxChildren  = 1 << 12  // of an index
	maxNesting   = 8        // indexes within indexes
)

// Library reads the documents of several images within one budget, each
// document once. It is not for several goroutines.
type Library struct {
	docs map[Digest]*held
	size int64 // of docs, in bytes
	uses int
}

// held is a document and, where it is worth keeping, what it says.
type held struct {
	raw    []byte
	doc    *document
	config *config
}

// NewLibrary makes a Library that holds nothing yet.
func NewLibrary() *Library { return &Library{docs: map[Digest]*held{}} }

// document is a document of the library, fetched if it is not there yet.
func (l *Library) document(ctx context.Context, from Fetcher, d Descriptor) (*held, error) {
	if h, ok := l.docs[d.Digest]; ok {
		if d.Size != int64(len(h.raw)) {
			return nil, fmt.Errorf("blob %s: is said to have %d bytes, and has %d", d.Digest, d.Size, len(h.raw))
		}
		return h, nil
	}
	if l.size+d.Size > MaxDocuments {
		return nil, fmt.Errorf("indexes, manifests and configs have more than %d bytes: %w", MaxDocuments, errTooLarge)
	}
	raw, err := ReadDocument(ctx, from, d)
	if err != nil {
		return nil, err
	}
	l.size += d.Size
	l.docs[d.Digest] = &held{raw: raw}
	return l.docs[d.Digest], nil
}

// count takes in blobs that an image consists of.
func (l *Library) count(n int) error {
	if l.uses += n; l.uses > MaxUses {
		return fmt.Errorf("images consist of more than %d blobs: %w", MaxUses, errTooLarge)
	}
	return nil
}
