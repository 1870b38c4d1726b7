// Package store picks the places that images come from and go to by the names
// that users of skopeo and podman know:
//
//	docker-daemon:NAME          the Docker engine
//	podman:NAME                 podman, on its socket
//	docker://NAME               a registry
//	oci:DIR[:NAME]              a folder in the OCI layout; without NAME, all its images
//	oci-archive:FILE[:NAME]     an OCI layout in a tar
//	docker-archive:FILE[:NAME]  what docker save wrote
//	NAME or ID                  the engine if it has it for the wanted platform,
//	                            else the registry
//
// The names of one place are opened together, so that a place that streams
// does it once. This package knows places and nothing of what is done with
// them; it reads no image itself.
//
// Errors: a spec that cannot be understood is a [*SpecError]; all others are
// those of the place.
package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"airgap/bundle/image"
)

// Options say how places are opened.
type Options struct {
	// From forces where names without a prefix come from: "engine" or
	// "registry". Empty: the engine if it has them, else the registry.
	From string
	Want image.Platforms

	CAFile    string   // certificates trusted for registries beside the system's
	PlainHTTP []string // registries (host or host:port) that may be reached without TLS
	Jobs      int      // requests side by side; 0 for what suits the place
	// NoReferrers leaves out the signatures, attestations and SBOMs that places
	// keep beside their images.
	NoReferrers bool
	UserAgent   string

	// Note hears what a user should know, such as which place was used.
	Note func(format string, args ...any)
}

// SpecError says that a spec cannot be understood.
type SpecError struct {
	Spec string
	Why  string
}

func (e *SpecError) Error() string { return fmt.Sprintf("%q: %s", e.Spec, e.Why) }

// Opened is what OpenAll has opened.
type Opened struct {
	Sets []image.Set // one per place, in the order in which places are first named

	sources []image.Source
}

// Close closes all sets and their places.
func (o Opened) Close() error {
	var errs []error
	for _, set := range o.Sets {
		errs = append(errs, set.Close())
	}
	for _, source := range o.sources {
		errs = append(errs, source.Close())
	}
	return errors.Join(errs...)
}

// OpenAll opens the images that specs name.
func OpenAll(ctx context.Context, specs []string, o Options) (Opened, error) {
	p := &picker{Options: o, openers: realOpeners, at: map[place]image.Source{}}
	if p.Note == nil {
		p.Note = func(string, ...any) {}
	}
	err := p.pickAll(ctx, specs)
	if err == nil {
		err = p.openSets(ctx)
	}
	if err != nil {
		p.opened.Close()
		return Opened{}, err
	}
	return p.opened, nil
}

// OpenSink opens the place that images go to:
//
//	docker (or nothing)                 the Docker engine
//	podman                              podman, on its socket
//	containerd[:NAMESPACE]              containerd
//	docker://HOST[:PORT][/FOLDER]       a registry, under the names that images
//	                                    are given, which are below it; see Under
//	oci:DIR                             a folder in the OCI layout
func OpenSink(ctx context.Context, spec string, o Options) (image.Sink, error) {
	if o.Note == nil {
		o.Note = func(string, ...any) {}
	}
	t, arg, err := parseSink(spec)
	switch {
	case err != nil:
		return nil, err
	case t == transportRegistry:
		return realOpeners.registry(o, true)
	case t == transportLayout:
		return realOpeners.create(arg)
	case t == transportContainerd:
		return realOpeners.node(ctx, arg)
	}
	source, err := realOpeners.source(ctx, place{transport: t}, o)
	if err != nil {
		return nil, err
	}
	return source.(image.Sink), nil // an engine is both
}

// withoutReferrers is a set that does not tell what refers to its images.
type withoutReferrers struct{ image.Set }

// CheckSink says whether OpenSink understands a spec.
func CheckSink(spec string) error {
	_, _, err := parseSink(spec)
	return err
}

// parseSink takes the spec of a place that images go to apart.
func parseSink(spec string) (t transport, arg string, err error) {
	switch spec {
	case "", "docker", string(transportEngine):
		return transportEngine, "", nil
	case "podman", string(transportPodman):
		return transportPodman, "", nil
	case "containerd":
		return transportContainerd, "", nil
	}
	for _, t := range []transport{transportRegistry, transportLayout, transportContainerd} {
		if arg, ok := strings.CutPrefix(spec, string(t)); ok && arg != "" {
			_, err := Under(spec)
			return t, arg, err
		}
	}
	return "", "", &SpecError{spec, "not a place that images go to: docker, podman, containerd[:NAMESPACE], docker://HOST[:PORT][/FOLDER] or oci:DIR"}
}

// Under is the registry, or the folder of one, below which images have their
// names in the place of a spec; empty for places that are no registry.
func Under(spec string) (string, error) {
	under, ok := strings.CutPrefix(spec, string(transportRegistry))
	if !ok {
		return "", nil
	}
	under = strings.TrimSuffix(under, "/")
	if name, err := image.Normalize(under + "/name"); err != nil || !image.IsUnder(under, name) {
		return "", &SpecError{spec, "not a registry: docker://HOST:PORT or docker://HOST.DOMAIN, perhaps with a folder behind it"}
	}
	return under, nil
}

// transport is the prefix of a spec.
type transport string

const (
	transportEngine   transport = "docker-daemon:"
	transportPodman   transport = "podman:"
	transportRegistry transport = "docker://"
	transportLayout   transport = "oci:"
	transportOCI      transport = "oci-archive:"
	transportDocker   transport = "docker-archive:"
	transportNone     transport = ""

	// Only to.
	transportContainerd transport = "containerd:"
)

var transports = []transport{transportEngine, transportPodman, transportRegistry, transportLayout, transportOCI, transportDocker}

// place is where images are: a transport and, for files, a path.
type place struct {
	transport transport
	path      string
}

// wanted is a place with the names that are wanted from it.
type wanted struct {
	place
	names []string
	has   map[string]bool // the names
}

// parse takes a spec apart.
func parse(spec string) (place, string, error) {
	for _, t := range transports {
		rest, ok := strings.CutPrefix(spec, string(t))
		if !ok {
			continue
		}
		if rest == "" {
			return place{}, "", &SpecError{spec, fmt.Sprintf("nothing follows %q", t)}
		}
		if t == transportEngine || t == transportPodman || t == transportRegistry {
			return place{transport: t}, rest, nil
		}
		path, name := splitPath(rest)
		return place{t, filepath.Clean(path)}, name, nil
	}
	if spec == "" {
		return place{}, "", &SpecError{spec, "the name is empty"}
	}
	return place{}, spec, nil
}

// splitPath splits PATH[:NAME]. Both may hold colons: the first prefix that
// exists is the path, else what is before the first colon.
func splitPath(s string) (path, name string) {
	if exists(s) {
		return s, ""
	}
	first := -1
	for i, c := range s {
		if c != ':' || isDrive(s, i) {
			continue
		}
		if exists(s[:i]) {
			return s[:i], s[i+1:]
		}
		if first < 0 {
			first = i
		}
	}
	if first < 0 {
		return s, ""
	}
	return s[:first], s[first+1:]
}

// isDrive says whether the colon at i ends a drive of Windows, as in C:\images.
func isDrive(s string, i int) bool {
	return i == 1 && len(s) > 2 && (s[2] == '\\' || s[2] == '/')
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
