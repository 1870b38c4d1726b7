// Package docker is the Docker engine as a place of images: both of its image
// stores, in both directions. It is the only door to Docker's client.
//
// As a source it streams: one export per image, side by side, never a whole
// image in memory. As a sink it believes nothing that an engine says of its own
// success: what was loaded is inspected and probed, and only then named.
//
// It never pulls, never starts a container, and removes only what it brought.
//
// Errors: what is not there wraps image.ErrNotFound, a missing platform is an
// *image.PlatformError, everything that the engine is to blame for an [*Error].
package docker

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"

	"github.com/moby/moby/client"

	"airgap/bundle/image"
	"airgap/bundle/image/dockertar"
)

// Origin is the transport that Roots of this package name.
const Origin = "docker-daemon"

// Options say which engine.
type Options struct {
	// Host is as DOCKER_HOST has it. Empty: $DOCKER_HOST, else the Docker
	// context in use, else the system's default.
	Host string
	Jobs int // exports side by side; 0 for 2
}

// Engine is a Docker engine: an image.Source and an image.Sink.
type Engine struct {
	client *client.Client
	host   string
	local  bool // its files are on this machine
	jobs   int

	platform   image.Platform
	containerd bool // its image store is containerd's
	zstd       bool // it reads zstd layers
	rootDir    string

	mu       sync.Mutex
	chains   map[image.Digest]bool     // of layers that it has; nil: not asked yet
	promised map[image.Digest]*promise // by chain ID, of images that are planned or being brought
}

// Open connects to an engine and asks what it is.
func Open(ctx context.Context, o Options) (*Engine, error) {
	e := &Engine{host: o.Host, jobs: max(1, o.Jobs), promised: map[image.Digest]*promise{}}
	if o.Jobs == 0 {
		e.jobs = 2
	}
	if err := e.connect(o.Host); err != nil {
		return nil, &Error{Host: e.host, Op: "connecting", Kind: Unreachable, Err: err}
	}
	if err := e.ask(ctx); err != nil {
		return nil, errors.Join(err, e.Close())
	}
	return e, nil
}

func (e *Engine) ask(ctx context.Context) error {
	result, err := e.client.Info(ctx, client.InfoOptions{})
	if err != nil {
		return e.explain("connecting", err)
	}
	info := result.Info
	e.platform = platform(info.OSType, info.Architecture)
	e.rootDir = info.DockerRootDir
	e.containerd = slices.ContainsFunc(info.DriverStatus, func(s [2]string) bool {
		return s[0] == "driver-type" && strings.HasPrefix(s[1], "io.containerd.snapshotter")
	})
	major, _, _ := strings.Cut(info.ServerVersion, ".")
	e.zstd = e.containerd || len(major) > 1 && major >= "23"
	return nil
}

// platform turns the kernel's name of an architecture into Go's.
func platform(os, machine string) image.Platform {
	p := image.Platform{OS: os, Architecture: machine}
	switch machine {
	case "x86_64":
		p.Architecture = "amd64"
	case "aarch64":
		p.Architecture = "arm64"
	case "armv7l":
		p.Architecture, p.Variant = "arm", "v7"
	case "armv6l":
		p.Architecture, p.Variant = "arm", "v6"
	case "i386", "i686":
		p.Architecture = "386"
	}
	return p
}

// Close ends the connection.
func (e *Engine) Close() error { return e.client.Close() }

// Platform is what the engine runs.
func (e *Engine) Platform() image.Platform { return e.platform }

// Parallel is how many images an import should bring side by side: the classic
// store unpacks layer after layer with one core, containerd's gains nothing.
func (e *Engine) Parallel() int {
	if e.containerd {
		return 1
	}
	return 2
}

// ChecksDiffIDs says that the engine compares diffIDs while it unpacks.
func (e *Engine) ChecksDiffIDs() bool { return true }

// dialect is the tar that the engine's store speaks.
func (e *Engine) dialect() dockertar.Dialect {
	if e.containerd {
		return dockertar.OCI
	}
	return dockertar.Docker
}
