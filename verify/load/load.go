// Package load imports a verified bundle into a place: the one thing that
// belief in a bundle is for.
//
// [NewPlan] decides: it asks the place what it has and writes nothing.
// [Plan.Run] does: it takes only a *verify.Verified, brings every image
// without a name, makes the place durable, and only then moves names. What
// fails before that is taken back, and no name has changed; where it is
// otherwise the error says so.
//
// Others use the place meanwhile, for minutes. Nothing that was found at the
// beginning is relied on at the end: all images are looked at before the first
// name is set and after the last.
//
// The errors that callers branch on are *image.PlatformError (the bundle lacks
// what the place runs), [*ReplaceError], [*NoMatchError], those of [Plan.Run]
// and the place's own.
package load

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sync/errgroup"

	"airgap/bundle/image"
	"airgap/verify"
)

// Options choose what is imported and under which names.
type Options struct {
	Only      []string // globs of names, familiar or full; empty for all images
	Rename    []Rename
	Under     string        // a registry, or a folder of one, below which all names are put; may be empty
	NoReplace bool          // refuse to move a name that points to another image
	Reload    bool          // bring images again that are there
	Removed   image.Removed // their names, and what broken-off imports have removed; nil for none
}

// Plan is what an import will do.
type Plan struct {
	Items []Item
	// Left are artifacts (signatures, charts) that the place has no use for,
	// by their labels.
	Left []string

	sink      image.Sink
	noReplace bool
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
	p := &Plan{sink: sink, noReplace: o.NoReplace}
	var none *image.PlatformError
	for _, img := range chosen {
		txn, err := sink.Begin(ctx, image.Import{
			Graph: img.Graph, Names: img.Names, Repositories: img.repositories, NoReplace: o.NoReplace, Reload: o.Reload, Removed: o.Removed,
		})
		if errors.As(err, &none) && img.Graph.IsArtifact() {
			p.Left = append(p.Left, img.Label())
			continue
		}
		if err != nil {
			return nil, err
		}
		p.Items = append(p.Items, Item{Label: img.Label(), State: txn.State(), Was: img.was, Of: img.of, txn: txn})
	}
	if len(p.Items) == 0 {
		return nil, none
	}
	return p, p.mayMove()
}

// mayMove refuses to move names that must not be.
func (p *Plan) mayMove() error {
	moved := slices.DeleteFunc(p.tags(), func(t image.Tag) bool { return !t.Moved() })
	if p.noReplace && len(moved) > 0 {
		return &ReplaceError{moved}
	}
	return nil
}

// tags are all names, with what they pointed to when they were last looked at.
func (p *Plan) tags() (tags []image.Tag) {
	for _, item := range p.Items {
		tags = append(tags, item.txn.State().Tags...)
	}
	return tags
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

// Brought are the images that are not there before Run.
func (p *Plan) Brought() (ids []image.Digest) {
	for _, item := range p.Items {
		if state := item.txn.State(); !state.Existed {
			ids = append(ids, state.ID)
		}
	}
	return ids
}

// RunOptions say how a plan is carried out.
type RunOptions struct {
	Parallel int // images side by side; less than 2 for one after the other
	// Fed hears of bytes of blobs as the place takes them, and Settled as it
	// has dealt with them; each adds up to Plan.Need. Both may be called from
	// several goroutines.
	Fed, Settled func(n int64)
	// Naming is told of all names, with what they point to, just before the
	// first is set, and again if one turned out to point elsewhere when it was.
	// Its error is that of the import. May be nil.
	Naming func(tags []image.Tag) error
}

// Summary is what an import has done.
type Summary struct {
	Tags    []image.Tag // all names, set now or before
	Durable bool        // everything has been flushed to the place's disk
	Why     string      // why that is not known, where Durable is false
}

// patience is how often what others remove is brought again.
const patience = 3

// Run carries the plan out. Its error tells in what state the place is: a
// [*CommitError], a [*FlushError], a [*ChangedError] or an [*AbortError]; any
// other says that all has been taken back.
func (p *Plan) Run(ctx context.Context, v *verify.Verified, o RunOptions) (Summary, error) {
	if o.Naming == nil {
		o.Naming = func([]image.Tag) error { return nil }
	}
	if err := p.bring(ctx, v, o); err != nil {
		return Summary{}, p.takenBack(context.WithoutCancel(ctx), err)
	}
	// Names are moved to the end once the first has been: an interruption
	// between them would leave a set that no version had.
	ctx = context.WithoutCancel(ctx)
	s, err := p.commit(ctx, v, o.Naming)
	if err != nil {
		return s, err
	}
	if s.Durable, s.Why, err = p.sink.Flush(ctx); err != nil {
		return s, &FlushError{err}
	}
	return s, p.confirm(ctx)
}

// bring does all that comes before the first name, until a look finds all
// images there at once.
func (p *Plan) bring(ctx context.Context, v *verify.Verified, o RunOptions) error {
	for try := 1; ; try++ {
		if err := p.write(ctx, v, o); err != nil {
			return err
		}
		if _, _, err := p.sink.Flush(ctx); err != nil {
			return err
		}
		gone, err := p.look(ctx)
		switch {
		case err != nil:
			return err
		case len(gone) > 0 && try == patience:
			return fmt.Errorf("image %q: %w, as often as it was brought", gone[0], image.ErrGone)
		case len(gone) > 0:
			o.Fed, o.Settled = nil, nil // it has been told of once
			continue
		}
		if err := p.mayMove(); err != nil {
			return err
		}
		return o.Naming(p.tags())
	}
}

// look compares all images with the place once more, and tells which are not
// there whole.
func (p *Plan) look(ctx context.Context) (gone []string, err error) {
	if err := p.lookAll(ctx); err != nil {
		return nil, err
	}
	for i := range p.Items {
		item := &p.Items[i]
		if state := item.txn.State(); !state.Present {
			gone = append(gone, item.Label)
			item.State = state // it is brought, after all
		}
	}
	return gone, nil
}

// lookAll looks at all images, together where the place can.
func (p *Plan) lookAll(ctx context.Context) error {
	txns, joint := p.txns()
	if joint != nil {
		return joint.LookAll(ctx, txns)
	}
	for _, txn := range txns {
		if err := txn.Look(ctx); err != nil {
			return err
		}
	}
	return nil
}

// txns are those of all images, with one that can do for all of them what else
// each does for itself; nil where the place has no such.
func (p *Plan) txns() (all []image.Txn, joint image.Joint) {
	for _, item := range p.Items {
		all = append(all, item.txn)
	}
	joint, _ = all[0].(image.Joint)
	return all, joint
}

// commit sets the names.
func (p *Plan) commit(ctx context.Context, v *verify.Verified, naming func([]image.Tag) error) (s Summary, err error) {
	if txns, joint := p.txns(); joint != nil {
		return p.commitAll(ctx, v, naming, func() ([][]image.Tag, error) { return joint.CommitAll(ctx, txns) })
	}
	return p.commitEach(ctx, v, naming)
}

// commitAll sets all names at once, and brings images again that are gone by
// then.
func (p *Plan) commitAll(ctx context.Context, v *verify.Verified, naming func([]image.Tag) error, set func() ([][]image.Tag, error)) (s Summary, err error) {
	said := p.tags()
	tags, err := set()
	for try := 1; errors.Is(err, image.ErrGone) && try < patience; try++ {
		if _, err := p.look(ctx); err != nil {
			return s, p.takenBack(ctx, err)
		}
		if err := p.write(ctx, v, RunOptions{}); err != nil {
			return s, p.takenBack(ctx, err)
		}
		tags, err = set()
	}
	err = notReplaced(err)
	switch {
	case err != nil && p.untouched(ctx, said, err):
		return s, p.takenBack(ctx, err)
	case err != nil:
		return s, &CommitError{Failed: p.Items[0].Label, Err: err, Left: p.abort(ctx)}
	}
	for i := range p.Items {
		p.Items[i].State.Tags = tags[i]
		s.Tags = append(s.Tags, tags[i]...)
	}
	if slices.Equal(said, s.Tags) {
		return s, nil
	}
	if err := naming(s.Tags); err != nil {
		return s, &CommitError{Done: s.Tags, Failed: p.Items[len(p.Items)-1].Label, Err: err}
	}
	return s, nil
}

// notReplaced tells of a name that must not be moved as NewPlan does.
func notReplaced(err error) error {
	if taken := new(image.TakenError); errors.As(err, &taken) {
		return &ReplaceError{[]image.Tag{taken.Tag}}
	}
	return err
}

// commitEach sets the names, image by image.
func (p *Plan) commitEach(ctx context.Context, v *verify.Verified, naming func([]image.Tag) error) (s Summary, err error) {
	said := p.tags()
	for i := range p.Items {
		item := &p.Items[i]
		tags, err := item.commit(ctx, v)
		s.Tags = append(s.Tags, tags...)
		if err == nil && !slices.Equal(said[len(s.Tags)-len(tags):len(s.Tags)], tags) {
			said = slices.Concat(s.Tags, said[len(s.Tags):])
			err = naming(said)
		}
		switch {
		case err != nil && i == 0 && len(tags) == 0 && p.untouched(ctx, said, err):
			return s, p.takenBack(ctx, err)
		case err != nil:
			return s, &CommitError{Done: s.Tags, Failed: item.Label, Err: err, Left: p.abort(ctx)}
		}
		item.State.Tags = tags
	}
	return s, nil
}

// untouched says that an error has left all names as they were said to be. An answer
// can be lost on its way: what a place was asked to do it may have done.
func (p *Plan) untouched(ctx context.Context, said []image.Tag, err error) bool {
	if replace := new(ReplaceError); errors.As(err, &replace) {
		return true
	}
	return p.lookAll(ctx) == nil && slices.Equal(p.tags(), said)
}

// commit sets the names of an image, and brings it again if it is gone by then.
func (i *Item) commit(ctx context.Context, v *verify.Verified) ([]image.Tag, error) {
	for try := 1; ; try++ {
		tags, err := i.txn.Commit(ctx)
		if !errors.Is(err, image.ErrGone) || try == patience {
			return tags, notReplaced(err)
		}
		i.State = i.txn.State()
		if err := i.txn.Write(ctx, v, func(int64) {}); err != nil {
			return nil, err
		}
	}
}

// confirm looks at everything once more, now that it should be there.
func (p *Plan) confirm(ctx context.Context) error {
	var changed ChangedError
	if err := p.lookAll(ctx); err != nil {
		return &ChangedError{Err: err}
	}
	for _, item := range p.Items {
		state := item.txn.State()
		if !state.Present {
			changed.Gone = append(changed.Gone, item.Label)
		}
		changed.Moved = append(changed.Moved, slices.DeleteFunc(slices.Clone(state.Tags), func(t image.Tag) bool { return t.Old == t.New })...)
	}
	if len(changed.Gone)+len(changed.Moved) > 0 {
		return &changed
	}
	return nil
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
		if item.txn.State().Present {
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

// takenBack is the error of an import that failed before its first name, after
// everything that was written has been taken back.
func (p *Plan) takenBack(ctx context.Context, err error) error {
	if left := p.abort(ctx); left != nil {
		return &AbortError{err, left}
	}
	return err
}

// abort takes back everything that was written and has no name.
func (p *Plan) abort(ctx context.Context) error {
	var errs []error
	for _, item := range p.Items {
		if err := item.txn.Abort(ctx); err != nil {
			errs = append(errs, fmt.Errorf("taking back image %q: %w", item.Label, err))
		}
	}
	return errors.Join(errs...)
}
