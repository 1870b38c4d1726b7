package load

import (
	"fmt"
	"path"
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

// rules are those by which images get the names that they have in the place.
type rules struct {
	list     []Rename
	under    string         // as in Options
	at       map[string]int // places in list, by the names that they stand for
	prefixes []int          // those that are for all names that begin so
}

func newRules(o Options) *rules {
	r := &rules{list: o.Rename, under: o.Under, at: map[string]int{}}
	for i, rename := range r.list {
		if rename.isPrefix() {
			r.prefixes = append(r.prefixes, i)
			continue
		}
		for _, name := range standsFor(rename.Old) {
			if _, known := r.at[name]; !known {
				r.at[name] = i
			}
		}
	}
	return r
}

// first is the first rule that fits a name, or -1.
func (r *rules) first(name string) int {
	first, found := r.at[name]
	for _, i := range r.prefixes {
		if (!found || i < first) && r.list[i].begins(name) {
			return i
		}
	}
	if !found {
		return -1
	}
	return first
}

// moved says to which repositories the tags of an image go that are renamed, by
// the repositories that they are in.
func (r *rules) moved(names []string) (map[string]string, error) {
	to := map[string]string{}
	for _, name := range names {
		if image.Pinned(name) || r.first(name) < 0 || to[image.Repository(name)] != "" {
			continue
		}
		renamed, err := r.rename(name, nil)
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
func (r *rules) rename(name string, moved map[string]string) (string, error) {
	i := r.first(name)
	if repository := moved[image.Repository(name)]; i < 0 && repository != "" && image.Pinned(name) {
		return withDigest(repository, name), nil
	}
	switch {
	case i >= 0:
		renamed, err := r.list[i].apply(name)
		if err != nil || r.under == "" || image.IsUnder(r.under, renamed) {
			return renamed, err
		}
		name = renamed
	case strings.HasPrefix(name, "sha256:"):
		return "", nil
	case r.under == "":
		return name, nil
	}
	return image.Under(r.under, name)
}

// withDigest is a repository with the digest of a name.
func withDigest(repository, name string) string {
	_, _, digest, _ := image.Pin(name)
	return repository + "@" + digest.String()
}

// isPrefix says that the rule is for all names that begin with Old.
func (r Rename) isPrefix() bool { return strings.HasSuffix(r.Old, "/") }

// begins says whether a name begins with Old, in one of its forms.
func (r Rename) begins(name string) bool {
	return strings.HasPrefix(name, r.Old) || strings.HasPrefix(image.Familiar(name), r.Old)
}

// apply renames a name that fits.
func (r Rename) apply(name string) (string, error) {
	if !r.isPrefix() {
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
