package bundle

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"sync"

	"airgap/bundle/image"
	"airgap/bundle/image/layer"
	"airgap/internal/scratch"
)

// spool keeps the finished frames of blobs whose digests are known only after
// their last byte, until the bundle can be put together. It is one unnamed
// file; content that compresses is never on disk uncompressed.
type spool struct {
	framer *framer
	file   *scratch.File

	mu    sync.Mutex
	end   int64
	keys  map[string]*spooling
	blobs map[image.Digest]*spooled
}

// spooled is a blob in the spool.
type spooled struct {
	size   int64  // of the blob
	plain  bool   // nothing of it is compressed
	small  span   // its content, when it has no frames of its own
	frames []span // packed frames, in order
}

// spooling is a blob on its way in; done is closed when digest or err is set.
type spooling struct {
	done   chan struct{}
	digest image.Digest
	err    error
}

func newSpool(dir string, f *framer) (*spool, error) {
	file, err := scratch.New(dir, ".airgap-spool-*")
	if err != nil {
		return nil, err
	}
	return &spool{framer: f, file: file, keys: map[string]*spooling{}, blobs: map[image.Digest]*spooled{}}, nil
}

func (s *spool) close() error { return s.file.Close() }

// put is an image.Put.
func (s *spool) put(ctx context.Context, key string, size int64, r io.Reader) (image.Digest, error) {
	if key == "" {
		return s.store(ctx, size, r)
	}
	s.mu.Lock()
	first, known := s.keys[key]
	if !known {
		first = &spooling{done: make(chan struct{})}
		s.keys[key] = first
	}
	s.mu.Unlock()
	if known {
		return s.skip(ctx, first, key, r)
	}
	defer close(first.done)
	first.digest, first.err = s.store(ctx, size, r)
	return first.digest, first.err
}

// skip reads past a blob that is in the spool already, and proves that it is.
func (s *spool) skip(ctx context.Context, first *spooling, key string, r io.Reader) (image.Digest, error) {
	h := sha256.New()
	if _, err := io.Copy(h, r); err != nil {
		return image.Digest{}, err
	}
	select {
	case <-first.done:
	case <-ctx.Done():
		return image.Digest{}, context.Cause(ctx)
	}
	if got := image.HashDigest(h); first.err == nil && got != first.digest {
		return got, fmt.Errorf("the engine gave %s and %s under one name, %q", first.digest, got, key)
	}
	return first.digest, first.err
}

// store frames a blob into the file.
func (s *spool) store(ctx context.Context, size int64, r io.Reader) (image.Digest, error) {
	h := sha256.New()
	r = io.TeeReader(r, h)
	b := &spooled{size: size}
	var err error
	if size < MinOwnFrame {
		small := make([]byte, size)
		if _, err = io.ReadFull(r, small); err == nil || size == 0 {
			err = expectEOF(r)
		}
		if err == nil {
			b.small, err = s.write(small)
		}
		b.plain = layer.IsPlain(small)
	} else {
		accept := func(head []byte) error { b.plain = layer.IsPlain(head); return nil }
		err = s.framer.frames(ctx, r, size, accept, func(packed []byte) error { return s.append(b, packed) })
	}
	if err != nil {
		return image.Digest{}, short(err)
	}
	d := image.HashDigest(h)
	s.mu.Lock()
	s.blobs[d] = b
	s.mu.Unlock()
	return d, nil
}

// append adds a packed frame to a blob.
func (s *spool) append(b *spooled, packed []byte) error {
	at, err := s.write(packed)
	b.frames = append(b.frames, at)
	return err
}

// write keeps bytes, and says where.
func (s *spool) write(content []byte) (span, error) {
	s.mu.Lock()
	at := span{s.end, int64(len(content))}
	s.end = at.end()
	s.mu.Unlock()
	_, err := s.file.WriteAt(content, at.off)
	return at, err
}

// content is that of a blob without frames of its own.
func (s *spool) content(b *spooled) ([]byte, error) {
	raw := make([]byte, b.small.size)
	if _, err := s.file.ReadAt(raw, b.small.off); err != nil {
		return nil, fmt.Errorf("reading the spool: %w", err)
	}
	return raw, nil
}

// get finds a blob in a spool; a nil spool holds nothing.
func (s *spool) get(d image.Digest) *spooled {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.blobs[d]
}

// copyFrames emits a blob's frames in order and forgets them.
func (s *spool) copyFrames(ctx context.Context, b *spooled, emit func([]byte) error) error {
	mem, err := s.framer.take(ctx) // nothing is packed any more: no memory of its own
	if err != nil {
		return err
	}
	defer s.framer.give(mem)
	for _, at := range b.frames {
		mem.packed = room(mem.packed, at.size)
		if _, err := s.file.ReadAt(mem.packed, at.off); err != nil {
			return errors.Join(fmt.Errorf("reading the spool"), err)
		}
		release(s.file.File, at.off, at.size)
		if err := emit(mem.packed); err != nil {
			return err
		}
	}
	return nil
}

// packedSize is the length of the blob's frames.
func (b *spooled) packedSize() int64 {
	var n int64
	for _, at := range b.frames {
		n += at.size
	}
	return n
}
