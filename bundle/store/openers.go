package store

import (
	"context"

	"airgap/bundle/image"
	"airgap/bundle/store/archive"
	"airgap/bundle/store/containerd"
	"airgap/bundle/store/docker"
	"airgap/bundle/store/layout"
	"airgap/bundle/store/registry"
)

// both is a place that images come from and go to.
type both interface {
	image.Source
	image.Sink
}

// openers open the places; tests bring their own.
type openers struct {
	engine   func(ctx context.Context, host string, o Options) (both, error)
	registry func(o Options, push bool) (both, error)
	layout   func(dir string) (image.Source, error)
	archive  func(path string, t transport) (image.Source, error)
	create   func(dir string) (image.Sink, error)
	node     func(ctx context.Context, namespace string) (image.Sink, error)
}

var realOpeners = openers{
	engine: func(ctx context.Context, host string, o Options) (both, error) {
		e, err := docker.Open(ctx, docker.Options{Host: host, Jobs: o.Jobs})
		if err != nil {
			return nil, err // not a nil engine in an interface
		}
		return e, nil
	},
	registry: func(o Options, push bool) (both, error) {
		r, err := registry.Open(registry.Options{
			CAFile: o.CAFile, PlainHTTP: o.PlainHTTP, Jobs: o.Jobs, UserAgent: o.UserAgent, Note: o.Note, Push: push,
		})
		if err != nil {
			return nil, err
		}
		return r, nil
	},
	layout: func(dir string) (image.Source, error) { return layout.Open(dir) },
	archive: func(path string, t transport) (image.Source, error) {
		dialect := archive.Docker
		if t == transportOCI {
			dialect = archive.OCI
		}
		return archive.Open(path, dialect)
	},
	create: func(dir string) (image.Sink, error) { return layout.Create(dir) },
	node: func(ctx context.Context, namespace string) (image.Sink, error) {
		c, err := containerd.Open(ctx, containerd.Options{Namespace: namespace})
		if err != nil {
			return nil, err
		}
		return c, nil
	},
}

// source opens a place to read from.
func (o openers) source(ctx context.Context, at place, options Options) (image.Source, error) {
	switch at.transport {
	case transportEngine:
		return o.engine(ctx, "", options)
	case transportPodman:
		return o.engine(ctx, docker.PodmanHost(), options)
	case transportRegistry:
		return o.registry(options, false)
	case transportLayout:
		return o.layout(at.path)
	}
	return o.archive(at.path, at.transport)
}
