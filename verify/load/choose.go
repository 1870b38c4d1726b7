package load

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"airgap/bundle/image"
	"airgap/verify"
)

// NoMatchError says that a glob chose none of the images.
type NoMatchError struct {
	Glob string
	Have []string // familiar names in the bundle
}

func (e *NoMatchError) Error() string {
	return fmt.Sprintf("no image matches %q; the bundle holds %s", e.Glob, strings.Join(e.Have, ", "))
}

// choice is an image that is wanted, under its names in the place.
type choice struct {
	verify.Image
	was          map[string]string // its names in the bundle, by those
	repositories []string          // that hold it although it has no name
	of           []string          // labels of the images that it is a referrer of
}

// choose applies Only, Rename and Under. Referrers come before the images that
// they belong to: who asks for a signature as soon as an image has its name
// shall find it.
func choose(images []verify.Image, o Options) ([]choice, error) {
	own, err := chooseOwn(images, o)
	if err != nil {
		return nil, err
	}
	var chosen []choice
	for _, img := range images {
		if len(img.Of) == 0 {
			continue
		}
		c, err := followOwners(img, own)
		if err != nil {
			return nil, err
		}
		if c != nil {
			chosen = append(chosen, *c)
		}
	}
	for i := range images {
		if c, ok := own[i]; ok {
			chosen = append(chosen, c)
		}
	}
	return chosen, checkUnique(chosen)
}

// followOwners chooses a referrer if an image that it belongs to is chosen, and
// puts it into that one's repositories, under its own tag.
func followOwners(img verify.Image, chosen map[int]choice) (*choice, error) {
	c := &choice{Image: verify.Image{Graph: img.Graph, Of: img.Of}, was: map[string]string{}}
	_, _, tag, _ := image.SplitName(img.Graph.Root.Name) // none without a name
	for _, owner := range img.Of {
		o, ok := chosen[owner]
		if !ok {
			continue
		}
		c.of = append(c.of, o.Label())
		for _, name := range o.Names {
			beside, err := image.Beside(name, tag)
			if err != nil {
				return nil, err
			}
			switch {
			case tag == "" && !slices.Contains(c.repositories, beside):
				c.repositories = append(c.repositories, beside)
			case tag != "" && c.was[beside] == "":
				c.Names = append(c.Names, beside)
				c.was[beside] = img.Graph.Root.Name
			}
		}
	}
	if len(c.of) == 0 {
		return nil, nil
	}
	return c, nil
}

// chooseOwn chooses among images of their own, by their place in images.
func chooseOwn(images []verify.Image, o Options) (map[int]choice, error) {
	only, rules := newGlobs(o.Only), newRules(o)
	chosen := map[int]choice{}
	for i, img := range images {
		if len(img.Of) > 0 {
			continue
		}
		names := only.choose(img.Names)
		if len(img.Names) == 0 && only.match(img.Label()) {
			names = []string{img.Label()}
		}
		if len(names) == 0 {
			continue
		}
		c := choice{Image: verify.Image{Graph: img.Graph}, was: map[string]string{}}
		moved, err := rules.moved(names)
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			renamed, err := rules.rename(name, moved)
			if err != nil {
				return nil, err
			}
			if renamed != "" && c.was[renamed] == "" {
				c.Names = append(c.Names, renamed)
				c.was[renamed] = name
			}
		}
		chosen[i] = c
	}
	if i := slices.Index(only.used, false); i >= 0 {
		return nil, &NoMatchError{o.Only[i], labels(images)}
	}
	return chosen, nil
}

// globs are those of Options.Only.
type globs struct {
	all  []string
	used []bool           // which of them have chosen something
	at   map[string][]int // places in all, by the names that they stand for
	open []int            // those that may match other names too
}

func newGlobs(all []string) *globs {
	g := &globs{all: all, used: make([]bool, len(all)), at: map[string][]int{}}
	for i, glob := range all {
		for _, name := range standsFor(glob) {
			g.at[name] = append(g.at[name], i)
		}
		if strings.ContainsAny(glob, `*?[\`) {
			g.open = append(g.open, i)
		}
	}
	return g
}

// standsFor lists the names that one stands for that a user gives: itself and, of
// a tag and a digest as GitOps writes them, either.
func standsFor(given string) []string {
	list := []string{given}
	if full, err := image.Normalize(given); err == nil {
		list = append(list, image.Names(full)...)
	}
	return list
}

// choose chooses among the names of an image: those that globs choose and,
// with a tag, the digest that it stands beside.
func (g *globs) choose(all []string) []string {
	chosen, tagged := map[string]bool{}, map[string]bool{} // names, and repositories in which a tag is chosen
	for _, name := range all {
		chosen[name] = g.match(name)
		if chosen[name] && !image.Pinned(name) {
			tagged[image.Repository(name)] = true
		}
	}
	return slices.DeleteFunc(slices.Clone(all), func(name string) bool {
		return !chosen[name] && !(image.Pinned(name) && tagged[image.Repository(name)])
	})
}

// match says whether a glob chooses the name, and notes which do.
func (g *globs) match(name string) bool {
	found := len(g.all) == 0
	for _, form := range []string{name, image.Familiar(name)} {
		for _, i := range g.at[form] {
			found, g.used[i] = true, true
		}
		for _, i := range g.open {
			if ok, err := path.Match(g.all[i], form); ok && err == nil {
				found, g.used[i] = true, true
			}
		}
	}
	return found
}

func labels(images []verify.Image) []string {
	var list []string
	for _, img := range images {
		if len(img.Of) > 0 {
			continue
		}
		if len(img.Names) == 0 {
			list = append(list, img.Label())
		}
		for _, name := range img.Names {
			list = append(list, image.Familiar(name))
		}
	}
	return list
}

// checkUnique refuses renames that give two images one name.
func checkUnique(images []choice) error {
	seen := map[string]bool{}
	for _, img := range images {
		for _, name := range img.Names {
			if seen[name] {
				return fmt.Errorf("two images would be named %q", image.Familiar(name))
			}
			seen[name] = true
		}
	}
	return nil
}
