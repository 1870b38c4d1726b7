// Package docker is the Docker engine as a place of images: both of its image
// stores, in both directions, and podman where it speaks Docker's API. It is
// the only door to Docker's client.
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
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/moby/moby/api/types/system"
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
	owner  owner
	// patience is how long an engine is waited for that ends what it was given.
	patience time.Duration

	platform image.Platform
	machine  image.Platform // the same, with the variant where it is known and counts
	store    store
	flat     bool        // it runs nothing from an index within an index
	zstd     bool        // it reads zstd layers
	deaf     atomic.Bool // it does not come to this machine's loopback
	rootDir  string
	identity string

	reloading sync.Mutex
	reload    reload

	mu       sync.Mutex
	chains   map[image.Digest]bool     // of layers that it has; nil: not asked yet
	promised map[image.Digest]*promise // by chain ID, or blob; of images that are planned or being brought
}

// store is which image store an engine has.
type store int

const (
	classic    store = iota // Docker's own: an image is its config, compressed layers are not kept
	containerd              // containerd's: an image is its index or manifest, everything is kept
	podman                  // that of podman: an image is its config, the manifest is kept beside it
)

// Open connects to an engine and asks what it is.
func Open(ctx context.Context, o Options) (*Engine, error) {
	e := &Engine{host: o.Host, patience: time.Minute, jobs: max(1, o.Jobs), promised: map[image.Digest]*promise{}}
	if o.Jobs == 0 {
		e.jobs = 2
	}
	if err := e.connect(o.Host); err != nil {
		return nil, &Error{Host: e.host, Op: "connecting", Kind: Settings, Err: err}
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
	e.rootDir, e.identity = info.DockerRootDir, info.ID
	now, err := time.Parse(time.RFC3339Nano, info.SystemTime)
	if err != nil {
		now = time.Unix(0, 0) // then nothing is old
	}
	e.owner = self(now)
	version, err := e.client.ServerVersion(ctx, client.ServerVersionOptions{})
	if err != nil {
		return e.explain("asking for its version", err)
	}
	switch {
	case slices.ContainsFunc(version.Components, func(c system.ComponentVersion) bool { return c.Name == "Podman Engine" }):
		e.store = podman
		e.identity = info.Name + ":" + info.DockerRootDir // the ID is another each time
	case slices.ContainsFunc(info.DriverStatus, func(s [2]string) bool {
		return s[0] == "driver-type" && strings.HasPrefix(s[1], "io.containerd.snapshotter")
	}):
		e.store = containerd
	}
	release, _, _ := strings.Cut(info.ServerVersion, ".")
	major, _ := strconv.Atoi(release) // 0 for what is no release
	e.zstd = e.store != classic || major >= 23
	e.flat = e.store == podman || e.store == containerd && 0 < major && major < 27
	e.findMachine(major)
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

// Root is the folder on this machine in which the engine keeps its images;
// empty if it is on another, or does not tell.
func (e *Engine) Root() string {
	if !e.local {
		return ""
	}
	return e.rootDir
}

// Parallel is how many images an import should bring side by side: Docker's
// stores take in one while they unpack another, layer after layer with one
// core; podman gains nothing.
func (e *Engine) Parallel() int {
	if e.store != podman {
		return 2
	}
	return 1
}

// ChecksDiffIDs says that the engine compares diffIDs while it unpacks, which
// podman does not.
func (e *Engine) ChecksDiffIDs() bool { return e.store != podman }

// exports is the tar that the engine makes of an image. Podman's own, in the
// form of OCI, would have layers compressed anew.
func (e *Engine) exports() dockertar.Dialect {
	if e.store == containerd {
		return dockertar.OCI
	}
	return dockertar.Docker
}

// imports is the tar that keeps the most of an image in the engine.
func (e *Engine) imports() dockertar.Dialect {
	if e.store == classic {
		return dockertar.Docker
	}
	return dockertar.OCI
}
