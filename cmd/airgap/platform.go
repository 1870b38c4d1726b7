package main

import (
	"context"

	"airgap/bundle/image"
)

// onlyPlatforms narrows what a place is given to the platforms that a user
// chose. Documents come from from, whose documents are proven.
func onlyPlatforms(sink image.Sink, from image.Fetcher, want image.Platforms) image.Sink {
	if want.IsDefault() || want.All {
		return sink
	}
	return narrowSink{sink, from, want}
}

type narrowSink struct {
	image.Sink
	from image.Fetcher
	want image.Platforms
}

// Begin gives the place a graph that holds nothing else.
func (s narrowSink) Begin(ctx context.Context, img image.Import) (image.Txn, error) {
	var err error
	whole := img.Graph
	carried := map[image.Digest]bool{}
	for _, d := range whole.Documents() {
		carried[d.Digest] = true
	}
	choose := func(children []image.Descriptor) (keep []image.Descriptor, left []image.Left) {
		wanted, left := s.want.Select(children)
		keep, absent := image.SelectPresent(func(d image.Digest) bool { return carried[d] })(wanted)
		return keep, append(left, absent...)
	}
	if img.Graph, err = image.Read(ctx, s.from, whole.Root, choose); err != nil {
		return nil, err
	}
	for _, p := range s.want.List {
		if _, ok := img.Graph.For(p); !ok {
			return nil, &image.PlatformError{Image: whole.Root.Label(), Want: []image.Platform{p}, Have: whole.Platforms()}
		}
	}
	return s.Sink.Begin(ctx, img)
}
