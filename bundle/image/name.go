package image

import (
	"fmt"
	"strings"

	"github.com/distribution/reference"
)

// Normalize turns what a user writes (postgres, my-app:v1) into a full
// reference (docker.io/library/postgres:latest). A name with a digest keeps it
// and gets no tag.
func Normalize(name string) (string, error) {
	ref, err := reference.ParseDockerRef(name)
	if err != nil {
		return "", fmt.Errorf("image name %q: %w", name, err)
	}
	return ref.String(), nil
}

// CheckName accepts only a name that Normalize leaves as it is and that has a
// tag: what may stand in a bundle as an image's name.
func CheckName(name string) error {
	ref, err := reference.ParseNormalizedNamed(name)
	if err != nil {
		return fmt.Errorf("image name %q: %w", name, err)
	}
	tagged, ok := ref.(reference.NamedTagged)
	if !ok || tagged.String() != name {
		return fmt.Errorf("image name %q is not a normalised name with a tag", name)
	}
	if _, ok := ref.(reference.Digested); ok {
		return fmt.Errorf("image name %q has a digest", name)
	}
	return nil
}

// Under puts a normalised name below another registry, or a folder of one:
// docker.io/library/postgres:15 under registry.internal:5000/mirror is
// registry.internal:5000/mirror/library/postgres:15.
func Under(place, name string) (string, error) {
	ref, err := reference.ParseNormalizedNamed(name)
	if err != nil {
		return "", fmt.Errorf("image name %q: %w", name, err)
	}
	return Normalize(strings.TrimSuffix(place, "/") + strings.TrimPrefix(ref.String(), reference.Domain(ref)))
}

// IsUnder says whether a normalised name is below a registry, or a folder of one.
func IsUnder(place, name string) bool {
	return strings.HasPrefix(name, strings.TrimSuffix(place, "/")+"/")
}

// SplitName takes a normalised name apart: docker.io, library/postgres, 15.
func SplitName(name string) (host, path, tag string, err error) {
	ref, err := reference.ParseNormalizedNamed(name)
	if err != nil {
		return "", "", "", fmt.Errorf("image name %q: %w", name, err)
	}
	if tagged, ok := ref.(reference.Tagged); ok {
		tag = tagged.Tag()
	}
	return reference.Domain(ref), reference.Path(ref), tag, nil
}

// Familiar is the short form that people know: postgres:15-alpine for
// docker.io/library/postgres:15-alpine. Other text is returned as it is.
func Familiar(name string) string {
	ref, err := reference.ParseNormalizedNamed(name)
	if err != nil {
		return name
	}
	return reference.FamiliarString(ref)
}
