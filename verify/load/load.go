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

// ReplaceError says that names would be moved which must not be.
type ReplaceError struct{ Tags []image.Tag }

func (e *ReplaceError) Error() string {
	var names []string
	for _, t := range e.Tags {
		names = append(names, fmt.Sprintf("%s (now %s)", image.Familiar(t.Name), t.Old))
	}
	return "these names point to other images: " + strings.Join(names, ", ")
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
