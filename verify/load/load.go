// Package load imports a verified bundle into a place: the one thing that
// belief in a bundle is for.
//
// [NewPlan] decides: it asks the place what it has and writes nothing.
// [Plan.Run] does: it takes only a *verify.Verified, brings every image
// without a name, makes the place durable, and only then moves names. What
// fails before that is taken back, and no name has changed; where it is
// otherwise the error says so.
//
// The errors that callers branch on are *image.PlatformError (the bundle lacks
// what the place runs), [*ReplaceError], [*NoMatchError], those of [Plan.Run]
// and the place's own.
package load

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"airgap/bundle/image"
	"airgap/verify"
)

// Options choose what is imported and under which names.
type Options struct {
	Only      []string // globs of names, familiar or full; empty for all images
	Rename    []Rename
	Under     string // a registry, or a folder of one, below which all names are put; may be empty
	NoReplace bool   // refuse to move a name that points to another image
}

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

// ReplaceError says that names would be moved which must not be.
type ReplaceError struct{ Tags []image.Tag }

func (e *ReplaceError) Error() string {
	var names []string
	for _, t := range e.Tags {
		names = append(names, fmt.Sprintf("%s (now %s)", image.Familiar(t.Name), t.Old))
	}
	return "these names point to other images: " + strings.Join(names, ", ")
}

// NoMatchError says that a glob chose none of the images.
type NoMatchError struct {
	Glob string
	Have []string // familiar names in the bundle
}

func (e *NoMatchError) Error() string {
	return fmt.Sprintf("no image matches %q; the bundle holds %s", e.Glob, strings.Join(e.Have, ", "))
}

// CommitError says that all images are in the place, but not all names were
// set. Running the import again sets the rest.
type CommitError struct {
	Done   []image.Tag // set before the failure
	Failed string      // the image whose names were not
	Err    error
}

func (e *CommitError) Error() string { return fmt.Sprintf("naming image %q: %v", e.Failed, e.Err) }
func (e *CommitError) Unwrap() error { return e.Err }

// AbortError says that an import failed before the first name was set, and
// that some of what it had brought could not be taken back.
type AbortError struct {
	Err  error // why it failed
	Left error // why something is left
}

func (e *AbortError) Error() string { return e.Err.Error() }
func (e *AbortError) Unwrap() error { return e.Err }

// FlushError says that all images are in the place and all names are set, but
// that its disk may not have them yet.
type FlushError struct{ Err error }

func (e *FlushError) Error() string { return fmt.Sprintf("flushing to the disk: %v", e.Err) }
func (e *FlushError) Unwrap() error { return e.Err }

// Plan is what an import will do.
type Plan struct {
	Items []Item
	// Left are artifacts (signatures, charts) that the place has no use for,
	// by their labels.
	Left []string

	sink image.Sink
}

// Item is one image of a Plan.
type Item struct {
	Label string // the image's name in the bundle, or its digest
	State image.State
	Was   map[string]string // each name in the place as the bundle has it
	Of    []string          // labels of the images that it is a referrer of

	txn image.Txn
}

// Unchanged says that the place has the image and its names already.
func (i Item) Unchanged() bool {
	return i.State.Present && !slices.ContainsFunc(i.State.Tags, func(t image.Tag) bool { return t.Old != t.New })
}

// NewPlan asks the sink about every image that o chooses.
func NewPlan(ctx context.Context, sink image.Sink, docs *verify.Documents, o Options) (*Plan, error) {
	chosen, err := choose(docs.Images(), o)
	if err != nil {
		return nil, err
	}
	p := &Plan{sink: sink}
	var moved []image.Tag
	var none *image.PlatformError
	for _, img := range chosen {
		txn, err := sink.Begin(ctx, image.Import{Graph: img.Graph, Names: img.Names, Repositories: img.repositories})
		if errors.As(err, &none) && img.Graph.IsArtifact() {
			p.Left = append(p.Left, img.Label())
			continue
		}
		if err != nil {
			return nil, err
		}
		state := txn.State()
		p.Items = append(p.Items, Item{Label: img.Label(), State: state, Was: img.was, Of: img.of, txn: txn})
		moved = append(moved, slices.DeleteFunc(slices.Clone(state.Tags), func(t image.Tag) bool { return !t.Moved() })...)
	}
	if len(p.Items) == 0 {
		return nil, none
	}
	if o.NoReplace && len(moved) > 0 {
		return nil, &ReplaceError{moved}
	}
	return p, nil
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
	used := make([]bool, len(o.Only))
	chosen := map[int]choice{}
	for i, img := range images {
		if len(img.Of) > 0 {
			continue
		}
		names := chooseNames(img.Names, o.Only, used)
		if len(img.Names) == 0 && matches(o.Only, img.Label(), used) {
			names = []string{img.Label()}
		}
		if len(names) == 0 {
			continue
		}
		c := choice{Image: verify.Image{Graph: img.Graph}, was: map[string]string{}}
		moved, err := o.moved(names)
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			renamed, err := o.rename(name, moved)
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
	if i := slices.Index(used, false); i >= 0 {
		return nil, &NoMatchError{o.Only[i], labels(images)}
	}
	return chosen, nil
}

// chooseNames chooses among the names of an image: those that globs choose and,
// with a tag, the digest that it stands beside.
func chooseNames(all, globs []string, used []bool) []string {
	chosen, tagged := map[string]bool{}, map[string]bool{} // names, and repositories in which a tag is chosen
	for _, name := range all {
		chosen[name] = matches(globs, name, used)
		if chosen[name] && !image.Pinned(name) {
			tagged[image.Repository(name)] = true
		}
	}
	return slices.DeleteFunc(slices.Clone(all), func(name string) bool {
		return !chosen[name] && !(image.Pinned(name) && tagged[image.Repository(name)])
	})
}

// matches says whether a glob chooses the name, and notes which do.
func matches(globs []string, name string, used []bool) bool {
	found := len(globs) == 0
	for i, glob := range globs {
		for _, form := range []string{name, image.Familiar(name)} {
			if ok, err := path.Match(glob, form); ok && err == nil || glob == form || standsFor(glob, name) {
				found, used[i] = true, true
			}
		}
	}
	return found
}

// standsFor says whether a name, if it has a tag and a digest as GitOps writes
// it, stands for one that has either.
func standsFor(given, name string) bool {
	full, err := image.Normalize(given)
	return err == nil && slices.Contains(image.Names(full), name)
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

// Need is the number of bytes of blobs that Run will bring.
func (p *Plan) Need() int64 {
	var n int64
	for _, item := range p.Items {
		if !item.State.Present {
			n += item.State.Size
		}
	}
	return n
}

// Unchanged says that Run has nothing to do.
func (p *Plan) Unchanged() bool {
	return !slices.ContainsFunc(p.Items, func(i Item) bool { return !i.Unchanged() })
}

// RunOptions say how a plan is carried out.
type RunOptions struct {
	Parallel int // images side by side; less than 2 for one after the other
	// Fed hears of bytes of blobs as the place takes them, and Settled as it
	// has dealt with them; each adds up to Plan.Need. Both may be called from
	// several goroutines.
	Fed, Settled func(n int64)
	// Naming is told of all names just before the first is set; its error is
	// that of the import. May be nil.
	Naming func(tags []image.Tag) error
}

// Summary is what an import has done.
type Summary struct {
	Tags    []image.Tag // all names, set now or before
	Durable bool        // everything has been flushed to the place's disk
	Why     string      // why that is not known, where Durable is false
}

// Run carries the plan out. Its error tells in what state the place is: a
// [*CommitError], a [*FlushError] or an [*AbortError]; any other says that all
// has been taken back.
func (p *Plan) Run(ctx context.Context, v *verify.Verified, o RunOptions) (Summary, error) {
	if err := p.bring(ctx, v, o); err != nil {
		if left := p.abort(context.WithoutCancel(ctx)); left != nil {
			err = &AbortError{err, left}
		}
		return Summary{}, err
	}
	var s Summary
	for _, item := range p.Items {
		// Names are moved to the end once the first has been: an interruption
		// between them would leave a set that no version had.
		tags, err := item.txn.Commit(context.WithoutCancel(ctx))
		if err != nil {
			return s, &CommitError{Done: s.Tags, Failed: item.Label, Err: err}
		}
		s.Tags = append(s.Tags, tags...)
	}
	var err error
	if s.Durable, s.Why, err = p.sink.Flush(context.WithoutCancel(ctx)); err != nil {
		return s, &FlushError{err}
	}
	return s, nil
}

// bring does all that comes before the first name.
func (p *Plan) bring(ctx context.Context, v *verify.Verified, o RunOptions) error {
	if err := p.write(ctx, v, o); err != nil {
		return err
	}
	if _, _, err := p.sink.Flush(ctx); err != nil {
		return err
	}
	return p.announce(o.Naming)
}

func (p *Plan) announce(naming func([]image.Tag) error) error {
	if naming == nil {
		return nil
	}
	var tags []image.Tag
	for _, item := range p.Items {
		tags = append(tags, item.State.Tags...)
	}
	return naming(tags)
}

func (p *Plan) write(ctx context.Context, v *verify.Verified, o RunOptions) error {
	if o.Fed == nil {
		o.Fed = func(int64) {}
	}
	if o.Settled == nil {
		o.Settled = func(int64) {}
	}
	from := image.Counting(v, o.Fed)
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(max(1, o.Parallel))
	for _, item := range p.Items {
		if item.State.Present {
			continue
		}
		group.Go(func() error {
			if err := context.Cause(ctx); err != nil {
				return err
			}
			if err := item.txn.Write(ctx, from, o.Settled); err != nil {
				return fmt.Errorf("image %q: %w", item.Label, err)
			}
			return nil
		})
	}
	return group.Wait()
}

// abort takes back everything that was written.
func (p *Plan) abort(ctx context.Context) error {
	var errs []error
	for _, item := range p.Items {
		if err := item.txn.Abort(ctx); err != nil {
			errs = append(errs, fmt.Errorf("taking back image %q: %w", item.Label, err))
		}
	}
	return errors.Join(errs...)
}
