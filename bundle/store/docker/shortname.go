package docker

import (
	"fmt"
	"slices"
	"strings"

	"airgap/bundle/image"
)

// podmanName is the tag by which podman knows the image that it has found by a
// name. A name without a registry is one of localhost for it, where it has
// that, which it calls what it has built; else one of a registry that it is told
// to search. Where several would do, only its configuration says which is meant.
func podmanName(given string, tags []string) (string, error) {
	full, err := image.Normalize(given)
	if err != nil || slices.Contains(tags, full) && !isShort(given, full) {
		return full, err
	}
	short := given
	if !strings.HasSuffix(full, given) {
		short += ":latest"
	}
	var fitting []string
	for _, tag := range tags {
		switch held, err := image.Normalize(tag); {
		case err != nil:
		case held == "localhost/"+short:
			return held, nil
		case strings.HasSuffix(held, "/"+short):
			fitting = append(fitting, held)
		}
	}
	if len(fitting) != 1 {
		return "", fmt.Errorf("image %q: podman has it as %s: which of these is meant?", given, list(tags))
	}
	return fitting[0], nil
}

// isShort says whether a name had no registry before it was normalised.
func isShort(given, full string) bool {
	return strings.HasPrefix(full, "docker.io/") && !strings.HasPrefix(given, "docker.io/") && !strings.HasPrefix(given, "index.docker.io/")
}

// list names what there is, or that there is nothing.
func list(names []string) string {
	if len(names) == 0 {
		return "an image without a name"
	}
	return strings.Join(names, ", ")
}
