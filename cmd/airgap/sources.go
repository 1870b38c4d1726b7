package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"airgap/bundle/image"
	"airgap/bundle/store"
	"airgap/cmd/airgap/internal/ui"
)

// sourcesHelp lists the places that images come from.
const sourcesHelp = `  docker-daemon:NAME          the Docker engine of DOCKER_HOST or the current context
  podman:NAME                 podman, on the socket of CONTAINER_HOST or its usual one
  docker://NAME               the registry, with the logins of docker and podman
  oci:DIR[:NAME]              an OCI image layout; without NAME all its images
  oci-archive:FILE[:NAME]     an OCI image layout in a tar
  docker-archive:FILE[:NAME]  a file that docker save made`

// sourceOptions are the flags of all commands that read images from places.
type sourceOptions struct {
	registryOptions
	platform, from string
	noReferrers    bool
}

// registryOptions are the flags of all commands that speak to registries.
type registryOptions struct {
	caFile    string
	plainHTTP []string
}

func (o *registryOptions) flags(flags *pflag.FlagSet) {
	flags.StringVar(&o.caFile, "ca-file", "", "trust the certificates in `FILE` too when speaking to registries")
	flags.StringSliceVar(&o.plainHTTP, "plain-http", nil, "speak HTTP without TLS to the registry `HOST[:PORT]`; loopback needs no such leave")
	environment(flags, "ca-file", "AIRGAP_CA_FILE")
	environment(flags, "plain-http", "AIRGAP_PLAIN_HTTP")
}

// store is what package store wants to know of registries.
func (o *registryOptions) store(env *ui.Env) store.Options {
	return store.Options{CAFile: o.caFile, PlainHTTP: o.plainHTTP, UserAgent: "airgap/" + thisVersion(), Note: env.Note}
}

func (o *sourceOptions) flags(flags *pflag.FlagSet) {
	flags.StringVar(&o.platform, "platform", "", "take the platforms of a `LIST` such as linux/amd64,linux/arm64, or all (default: what an engine has, else linux on this architecture)")
	flags.StringVar(&o.from, "from", "", "take names without a prefix only from here: `engine|registry`")
	flags.BoolVar(&o.noReferrers, "no-referrers", false, "leave out signatures, attestations and SBOMs that a registry or layout keeps beside the images")
	environment(flags, "platform", "AIRGAP_PLATFORM")
	o.registryOptions.flags(flags)
}

// parse checks the flags.
func (o *sourceOptions) parse(cmd *cobra.Command) (image.Platforms, error) {
	want, err := image.ParsePlatforms(o.platform)
	if err != nil {
		return want, usage(cmd, "--platform: %w", err)
	}
	if o.from != "" && o.from != "engine" && o.from != "registry" {
		return want, usage(cmd, "--from %q is neither engine nor registry", o.from)
	}
	return want, nil
}

// store is what package store wants to know.
func (o *sourceOptions) store(env *ui.Env, want image.Platforms, jobs int) store.Options {
	to := o.registryOptions.store(env)
	to.From, to.Want, to.Jobs, to.NoReferrers = o.from, want, jobs, o.noReferrers
	return to
}

// imageID is what engines accept as one.
var imageID = regexp.MustCompile(`^(sha256:)?[0-9a-f]{4,64}$`)

// checkSpec refuses what cannot be a name, before any place is asked for it.
func checkSpec(spec string) error {
	for _, transport := range []string{"oci:", "oci-archive:", "docker-archive:"} {
		if path, ok := strings.CutPrefix(spec, transport); ok {
			if path == "" {
				return fmt.Errorf("%q: the path is missing", spec)
			}
			return nil
		}
	}
	name := strings.TrimPrefix(strings.TrimPrefix(spec, "docker-daemon:"), "podman:")
	if imageID.MatchString(name) {
		return nil
	}
	_, err := image.Normalize(strings.TrimPrefix(spec[len(spec)-len(name):], "docker://"))
	return err
}

// filesOf are the files that a spec may mean, but of a layout's blobs only one of that
// name: both a path and the name behind it can hold colons.
func filesOf(spec, blob string) (files []string) {
	transport, rest, _ := strings.Cut(spec, ":")
	layout := transport == "oci"
	if !layout && !strings.HasSuffix(transport, "-archive") {
		return nil
	}
	for i, c := range rest + ":" {
		switch path := rest[:i]; {
		case c != ':':
		case layout:
			files = append(files, filepath.Join(path, "index.json"), filepath.Join(path, "oci-layout"), filepath.Join(path, "blobs", "sha256", blob))
		default:
			files = append(files, path)
		}
	}
	return files
}

// sameFile says whether two paths are one file that exists.
func sameFile(a, b string) bool {
	if a == "" || b == "" {
		return false
	}
	infoA, errA := os.Stat(a)
	infoB, errB := os.Stat(b)
	return errA == nil && errB == nil && os.SameFile(infoA, infoB)
}
