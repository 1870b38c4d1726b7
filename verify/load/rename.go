package load

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"airgap/bundle/image"
)

// Rename gives images other names: Old is a whole name, or the digest of an
// image that has none, or a prefix that ends in "/", which New replaces. A name
// by digest has the repository of the tag beside it, unless it is renamed itself.
type Rename struct{ Old, New string }

// ParseRename reads OLD=NEW.
func ParseRename(s string) (Rename, error) {
	old, name, ok := strings.Cut(s, "=")
	if !ok || old == "" || strings.HasSuffix(old, "/") && name != "" && !strings.HasSuffix(name, "/") {
		return Rename{}, fmt.Errorf("rename %q is not OLD=NEW, two names or two prefixes that end in \"/\"", s)
	}
	if strings.Contains(name, "@") {
		return Rename{}, fmt.Errorf("rename %q: a new name has no digest, for that is the image's own", s)
	}
	return Rename{old, name}, nil
}

// moved says to which repositories the tags of an image go that are renamed, by
// the repositories that they are in.
func (o Options) moved(names []string) (map[string]string, error) {
	to := map[string]string{}
	for _, name := range names {
		if image.Pinned(name) || o.rule(name) < 0 || to[image.Repository(name)] != "" {
			continue
		}
		renamed, err := o.rename(name, nil)
		if err != nil {
			return nil, err
		}
		to[image.Repository(name)] = image.Repository(renamed)
	}
	return to, nil
}

// rename gives the name that an image has in the place: that of the first rule
// that fits, put below Under unless the rule has done so. A name by digest that
// no rule fits goes with the tags beside it that are moved; the digest of an image
// without a name gives none.
func (o Options) rename(name string, moved map[string]string) (string, error) {
	i := o.rule(name)
	if repository := moved[image.Repository(name)]; i < 0 && repository != "" && image.Pinned(name) {
		return withDigest(repository, name), nil
	}
	switch {
	case i >= 0:
		renamed, err := o.Rename[i].apply(name)
		if err != nil || o.Under == "" || image.IsUnder(o.Under, renamed) {
			return renamed, err
		}
		name = renamed
	case strings.HasPrefix(name, "sha256:"):
		return "", nil
	case o.Under == "":
		return name, nil
	}
	return image.Under(o.Under, name)
}

// rule is the first that fits a name, or -1.
func (o Options) rule(name string) int {
	return slices.IndexFunc(o.Rename, func(r Rename) bool { return r.fits(name) })
}

// withDigest is a repository with the digest of a name.
func withDigest(repository, name string) string {
	_, _, digest, _ := image.Pin(name)
	return repository + "@" + digest.String()
}

func (r Rename) fits(name string) bool {
	if strings.HasSuffix(r.Old, "/") {
		return strings.HasPrefix(name, r.Old) || strings.HasPrefix(image.Familiar(name), r.Old)
	}
	return r.Old == name || standsFor(r.Old, name)
}

// apply renames a name that fits.
func (r Rename) apply(name string) (string, error) {
	if !strings.HasSuffix(r.Old, "/") {
		renamed, err := image.Normalize(r.New)
		if err == nil && image.Pinned(name) && (r.hasBoth() || !strings.Contains(path.Base(r.New), ":")) {
			renamed = withDigest(image.Repository(renamed), name) // the tag is another name's, or was not given
		}
		return renamed, err
	}
	rest, ok := strings.CutPrefix(name, r.Old)
	if !ok {
		rest = strings.TrimPrefix(image.Familiar(name), r.Old)
	}
	return image.Normalize(r.New + rest)
}

// hasBoth says that Old has a tag and a digest.
func (r Rename) hasBoth() bool {
	full, err := image.Normalize(r.Old)
	return err == nil && len(image.Names(full)) > 1
}
