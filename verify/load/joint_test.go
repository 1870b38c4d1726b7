package load_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"airgap/bundle/image"
	"airgap/bundle/store/storetest"
	"airgap/verify/load"
)

// jointly is a place that sets the names of all images at once. It fails as a
// test wants it to, and counts.
type jointly struct {
	*storetest.Memory
	fails                 []error // of CommitAll, one after the other
	late                  error   // of CommitAll, when it is done
	looks, commits, alone int
}

type jointTxn struct {
	image.Txn
	of *jointly
}

func (j *jointly) Begin(ctx context.Context, img image.Import) (image.Txn, error) {
	txn, err := j.Memory.Begin(ctx, img)
	return jointTxn{txn, j}, err
}

func (t jointTxn) Look(ctx context.Context) error {
	t.of.alone++
	return t.Txn.Look(ctx)
}

func (t jointTxn) Commit(ctx context.Context) ([]image.Tag, error) {
	t.of.alone++
	return t.Txn.Commit(ctx)
}

func (t jointTxn) LookAll(ctx context.Context, all []image.Txn) error {
	t.of.looks++
	for _, txn := range all {
		if err := txn.(jointTxn).Txn.Look(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (t jointTxn) CommitAll(ctx context.Context, all []image.Txn) (tags [][]image.Tag, err error) {
	t.of.commits++
	if n := t.of.commits; n <= len(t.of.fails) {
		return nil, t.of.fails[n-1]
	}
	for _, txn := range all {
		list, err := txn.(jointTxn).Txn.Commit(ctx)
		if err != nil {
			return nil, err
		}
		tags = append(tags, list)
	}
	return tags, t.of.late
}

// TestJointLate: an error that comes when all names are set, such as of the disk
// that is told of them, does not say that none is.
func TestJointLate(t *testing.T) {
	f := storetest.Many(3, "late")
	docs := documents(t, f)
	sink := &jointly{Memory: storetest.NewMemory(), late: storetest.ErrInjected}
	plan, err := load.NewPlan(t.Context(), sink, docs, load.Options{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = plan.Run(t.Context(), verified(t, docs), load.RunOptions{})
	var half *load.CommitError
	if !errors.As(err, &half) || !errors.Is(err, storetest.ErrInjected) || len(sink.Names()) != 3 {
		t.Errorf("error %v, names %q", err, sink.Names())
	}
}

// TestJoint imports many images into a place that looks at all of them, and names
// all of them, at once. Where that fails no name is set and nothing is left, but
// what is gone is brought again.
func TestJoint(t *testing.T) {
	const n = 20
	f := storetest.Many(n, "joint")
	docs := documents(t, f)
	v := verified(t, docs)
	gone := fmt.Errorf("image: %w", image.ErrGone)
	taken := &image.TakenError{Tag: image.Tag{Name: f.Names[0]}}
	var replace *load.ReplaceError
	for what, c := range map[string]struct {
		fails   []error
		commits int
		looks   int
		check   func(error) bool
	}{
		"nothing fails":        {nil, 1, 2, func(err error) bool { return err == nil }},
		"gone once":            {[]error{gone}, 2, 3, func(err error) bool { return err == nil }},
		"gone again and again": {[]error{gone, gone, gone}, 3, 4, func(err error) bool { return errors.Is(err, image.ErrGone) }},
		"taken":                {[]error{taken}, 1, 1, func(err error) bool { return errors.As(err, &replace) }},
		"broken":               {[]error{storetest.ErrInjected}, 1, 2, func(err error) bool { return errors.Is(err, storetest.ErrInjected) }},
	} {
		sink := &jointly{Memory: storetest.NewMemory(), fails: c.fails}
		plan, err := load.NewPlan(t.Context(), sink, docs, load.Options{})
		if err != nil {
			t.Fatal(err)
		}
		s, err := plan.Run(t.Context(), v, load.RunOptions{})
		if !c.check(err) || sink.commits != c.commits || sink.looks != c.looks || sink.alone != 0 {
			t.Errorf("%s: error %v, %d commits, %d looks, %d for one image", what, err, sink.commits, sink.looks, sink.alone)
		}
		if err == nil && (len(s.Tags) != n || len(sink.Names()) != n) {
			t.Errorf("%s: %d names are told of, %d are set", what, len(s.Tags), len(sink.Names()))
		}
		if err != nil && len(sink.Names())+len(sink.Digests()) > 0 {
			t.Errorf("%s: %d names and %d blobs are left", what, len(sink.Names()), len(sink.Digests()))
		}
	}
}
