package docker

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strings"
	"sync"

	"github.com/moby/moby/api/types/jsonstream"

	"airgap/bundle/image"
	"airgap/bundle/image/layer"
)

// readAnswer reads what an engine says to a load. It answers 200 whatever
// happens; errors are in the stream, and containerd's store says some of them
// as if they were none.
func readAnswer(r io.Reader, s *settled) error {
	dec := json.NewDecoder(r)
	for {
		var m struct {
			jsonstream.Message
			ErrorText string `json:"error"` // what engines before API 1.50 say as well
		}
		switch err := dec.Decode(&m); {
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		case m.Error != nil:
			return errors.New(m.Error.Message)
		case m.ErrorText != "":
			return errors.New(m.ErrorText)
		case strings.HasPrefix(m.Stream, "Error unpacking"):
			return errors.New(strings.TrimSpace(m.Stream))
		case m.Status == "Loading layer" && m.Progress != nil:
			s.unpacking(m.ID)
			s.reach(m.ID, m.Progress.Current)
		}
	}
}

// isRemoved says that an import failed because somebody removes images: the
// engine misses a layer that was left out, or what it has just made of the image
// itself.
func isRemoved(err error) bool {
	var known *Error
	if !errors.As(err, &known) || known.Kind == NoSpace || known.Kind == Unreachable {
		return false
	}
	return errors.Is(err, image.ErrGone) || slices.ContainsFunc([]string{
		"no such file or directory",                              // Docker's own store
		"content digest ",                                        // containerd's: … not found
		"committing the finished image", "locating pulled image", // podman
	}, func(text string) bool { return strings.Contains(known.Error(), text) })
}

// settled turns an engine's progress, layer by layer, into bytes that add up
// to the whole.
type settled struct {
	total     int64
	done      func(n int64)
	unpacking func(layer string)

	mu     sync.Mutex
	layers map[string]int64
	sum    int64
}

func (s *settled) reach(layer string, at int64) {
	s.mu.Lock()
	n := at - s.layers[layer]
	if s.layers == nil {
		s.layers = map[string]int64{}
	}
	s.layers[layer] = max(at, s.layers[layer])
	s.mu.Unlock()
	s.add(max(0, n))
}

func (s *settled) add(n int64) {
	s.mu.Lock()
	n = min(n, s.total-s.sum)
	s.sum += n
	s.mu.Unlock()
	s.done(n)
}

func (s *settled) finish() { s.add(s.total) }

// unzstd opens layers for engines that do not know zstd, which is uncompressed
// for them; a tar needs its size first, so such a layer is read twice.
func unzstd(from image.Fetcher) func(context.Context, image.Descriptor) (io.ReadCloser, int64, error) {
	return func(ctx context.Context, d image.Descriptor) (io.ReadCloser, int64, error) {
		if !strings.HasSuffix(string(d.MediaType), "zstd") {
			r, err := from.Fetch(ctx, d)
			return r, d.Size, err
		}
		r, err := openLayer(ctx, from, d)
		if err != nil {
			return nil, 0, err
		}
		size, err := io.Copy(io.Discard, r)
		if err := errors.Join(err, r.Close()); err != nil {
			return nil, 0, err
		}
		r, err = openLayer(ctx, from, d)
		return r, size, err
	}
}

// openLayer gives a layer's content; at its end the blob itself is read to its
// end, where its reader tells whether it was the right one.
func openLayer(ctx context.Context, from image.Fetcher, d image.Descriptor) (io.ReadCloser, error) {
	blob, err := from.Fetch(ctx, d)
	if err != nil {
		return nil, err
	}
	content, err := layer.Open(blob)
	if err != nil {
		return nil, errors.Join(err, blob.Close())
	}
	return &openedLayer{content, blob}, nil
}

type openedLayer struct {
	content io.ReadCloser
	blob    io.ReadCloser
}

func (l *openedLayer) Read(p []byte) (int, error) {
	n, err := l.content.Read(p)
	if err == io.EOF {
		if _, blobErr := io.Copy(io.Discard, l.blob); blobErr != nil {
			err = blobErr
		}
	}
	return n, err
}

func (l *openedLayer) Close() error { return errors.Join(l.content.Close(), l.blob.Close()) }
