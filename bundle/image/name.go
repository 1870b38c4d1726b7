package image

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/distribution/reference"
)

// Normalize turns what a user writes (postgres, my-app:v1) into a full
// reference (docker.io/library/postgres:latest). A name with a digest keeps it,
// and its tag if it has one, and gets none; see [Pin].
func Normalize(name string) (string, error) {
	ref, err := reference.ParseNormalizedNamed(name)
	if err != nil {
		return "", fmt.Errorf("image name %q: %w", name, err)
	}
	if pinned, ok := ref.(reference.Digested); ok {
		if _, err := ParseDigest(pinned.Digest().String()); err != nil {
			return "", fmt.Errorf("image name %q: %w", name, err)
		}
	}
	return reference.TagNameOnly(ref).String(), nil
}

// Pin takes a normalised name with a digest apart, as GitOps writes it:
// docker.io/library/postgres:15@sha256:… is docker.io/library/postgres:15, which
// is empty if there is no tag, and docker.io/library/postgres@sha256:…, which is
// what engines and registries look up. Any other name is tagged, and not ok.
func Pin(name string) (tagged, pinned string, d Digest, ok bool) {
	ref, err := reference.ParseNormalizedNamed(name)
	if err != nil {
		return name, "", Digest{}, false
	}
	digested, ok := ref.(reference.Digested)
	if !ok {
		return name, "", Digest{}, false
	}
	if d, err = ParseDigest(digested.Digest().String()); err != nil {
		return name, "", Digest{}, false
	}
	if _, hasTag := ref.(reference.Tagged); hasTag {
		tagged = strings.TrimSuffix(name, "@"+d.String())
	}
	return tagged, Repository(name) + "@" + d.String(), d, true
}

// Pinned says whether a normalised name has a digest.
func Pinned(name string) bool {
	_, _, _, pinned := Pin(name)
	return pinned
}

// Names are those that a normalised name stands for: with a tag and a digest
// it is two.
func Names(name string) []string {
	tagged, pinned, _, _ := Pin(name)
	return slices.DeleteFunc([]string{tagged, pinned}, func(s string) bool { return s == "" })
}

// Repository is a normalised name without its tag and digest.
func Repository(name string) string {
	ref, err := reference.ParseNormalizedNamed(name)
	if err != nil {
		return name
	}
	return ref.Name()
}

// The grammar of names in bundles, which FORMAT.md has in full: it does not
// follow the library that reads what users write.
var (
	domainForm = regexp.MustCompile(`^(?:[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?)*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?$`)
	partForm   = regexp.MustCompile(`^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*$`)
	endForm    = regexp.MustCompile(`^(?::[a-zA-Z0-9_][a-zA-Z0-9_.-]{0,127}|@sha256:[0-9a-f]{64})$`)
)

const (
	hub      = "docker.io" // where names without a domain belong
	official = "library/"  // and those of one part
	maxPath  = 255         // bytes of a name's path
)

// CheckName accepts what may stand in a bundle as the name of an image with
// that root: a full name with either a tag or the root's digest.
func CheckName(name string, root Digest) error {
	domain, rest, _ := strings.Cut(name, "/")
	path, end := rest, ""
	if i := strings.IndexAny(rest, ":@"); i >= 0 {
		path, end = rest[:i], rest[i:]
	}
	parts := strings.Split(path, "/")
	if !domainForm.MatchString(domain) { // such as my_host.internal: Docker has it for a part of the path
		parts, path = append([]string{domain}, parts...), domain+"/"+path
	}
	notPart := func(part string) bool { return !partForm.MatchString(part) }
	switch {
	case !isDomain(domain), domain == hub && len(parts) == 1, slices.ContainsFunc(parts, notPart), len(path) > maxPath, !endForm.MatchString(end):
		return fmt.Errorf("image name %q is not a normalised name with either a tag or a digest", name)
	case end[0] == '@' && end[1:] != root.String():
		return fmt.Errorf("image name %q has another digest than its root, %s", name, root)
	}
	return nil
}

// isDomain says whether the first part of a name is that of a registry, and is
// written as it is in full.
func isDomain(first string) bool {
	return first == "localhost" || first != "index."+hub && (strings.ContainsAny(first, ".:") || strings.ToLower(first) != first)
}

// Means says whether a name that a user gives stands for an image that is held
// under a normalised name: the name itself in any form, or a repository and the
// image's digest; a tag that stands before a digest is not looked at.
func Means(given, held string, root Digest) bool {
	meaning, err := Meaning(given)
	return err == nil && slices.Contains(Meanings(held, root), meaning)
}

// Meaning is what to look for, among the Meanings of many images, for a name
// that a user gives.
func Meaning(given string) (string, error) {
	full, err := Normalize(given)
	if _, pinned, _, ok := Pin(full); err == nil && ok {
		return pinned, nil
	}
	return full, err
}

// Meanings are what an image goes by that is held under a normalised name, which
// may be empty.
func Meanings(held string, root Digest) []string {
	if held == "" {
		return nil
	}
	list := []string{Repository(held) + "@" + root.String()}
	if tagged, _, _, _ := Pin(held); tagged != "" {
		list = append(list, tagged)
	}
	return list
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
	short, ok := strings.CutPrefix(name, hub+"/")
	if rest, isOfficial := strings.CutPrefix(short, official); ok && isOfficial && !strings.Contains(rest, "/") {
		return rest
	}
	return short
}
