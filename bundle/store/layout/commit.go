package layout

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"airgap/bundle/image"
	"airgap/internal/durable"
)

// tags compares the transaction's names with an index.
func (t *txn) tags(x *index) []image.Tag {
	var tags []image.Tag
	for _, name := range t.img.Names {
		tags = append(tags, image.Tag{Name: name, Old: x.named[name], New: t.state.ID})
	}
	return tags
}

// Commit implements image.Txn.
func (t *txn) Commit(ctx context.Context) ([]image.Tag, error) {
	tags, err := t.CommitAll(ctx, []image.Txn{t})
	if err != nil {
		return nil, err
	}
	return tags[0], nil
}

// CommitAll implements image.Joint: index.json is written once.
func (t *txn) CommitAll(ctx context.Context, all []image.Txn) (tags [][]image.Tag, err error) {
	txns := ours(all)
	open := slices.DeleteFunc(slices.Clone(txns), func(t *txn) bool { return t.committed })
	if len(open) > 0 {
		err = t.l.commitAll(ctx, open)
	}
	if err != nil {
		return nil, err
	}
	for _, t := range txns {
		tags = append(tags, t.state.Tags)
	}
	return tags, nil
}

func (l *Layout) commitAll(ctx context.Context, txns []*txn) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	for _, t := range txns {
		if !t.written && !t.state.Present {
			return fmt.Errorf("image %q was not written", t.img.Graph.Root.Label())
		}
	}
	if err := l.look(ctx, txns, l.currentIndex); err != nil {
		return err
	}
	for _, t := range txns {
		if !t.state.Present {
			return fmt.Errorf("image %q: %w", t.img.Graph.Root.Label(), image.ErrGone)
		}
	}
	if err := l.commit(txns); err != nil {
		return err
	}
	for _, t := range txns {
		for _, s := range t.held {
			s.Lock()
			s.users--
			s.made = false
			s.Unlock()
		}
	}
	return nil
}

func (l *Layout) commit(txns []*txn) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	x, err := l.currentIndex()
	if err != nil {
		return err
	}
	tags := make([][]image.Tag, len(txns))
	for n, t := range txns {
		tags[n] = t.tags(x)
		if i := slices.IndexFunc(tags[n], image.Tag.Moved); i >= 0 && t.img.NoReplace {
			return &image.TakenError{Tag: tags[n][i]}
		}
	}
	if next := x.with(txns); next != nil {
		if err := l.writeIndex(next); err != nil {
			return err
		}
	}
	l.made = nil
	for n, t := range txns {
		t.state.Tags, t.committed = tags[n], true
		l.leave(t)
	}
	return nil
}

// with is an index in which the names of transactions point to their images; nil
// if they do in this one.
func (x *index) with(txns []*txn) *index {
	next := &index{fields: x.fields, manifests: slices.Clone(x.manifests)}
	moved := map[string]bool{}
	for _, t := range txns {
		for _, name := range t.img.Names {
			if !x.shown[shown{name, t.state.ID}] {
				moved[name] = true
				next.manifests = append(next.manifests, newEntry(t.img.Graph.Root.Desc, name))
			}
		}
	}
	before := len(x.manifests)
	kept := slices.DeleteFunc(next.manifests[:before:before], func(e entry) bool { return moved[e.name] })
	next.manifests = append(kept, next.manifests[before:]...)
	next.note()
	changed := len(moved) > 0
	for _, t := range txns { // an image without a name is shown by any name that it has by now
		if root := (shown{root: t.state.ID}); len(t.img.Names) == 0 && !next.shown[root] {
			next.manifests = append(next.manifests, newEntry(t.img.Graph.Root.Desc, ""))
			next.shown[root], changed = true, true
		}
	}
	if !changed {
		return nil
	}
	return next
}

func newEntry(root image.Descriptor, name string) entry {
	d := image.Descriptor{MediaType: root.MediaType, Digest: root.Digest, Size: root.Size}
	if name != "" {
		d.Annotations = map[string]string{annotationContainerd: name, annotationOCI: name}
	}
	raw, err := json.Marshal(d)
	if err != nil {
		panic(err) // strings and numbers always marshal
	}
	return entry{raw, d, name}
}

// writeIndex writes index.json. The caller has locked l.mu.
func (l *Layout) writeIndex(x *index) error {
	raw, err := x.bytes()
	if err != nil {
		return err
	}
	if len(raw) > image.MaxDocument {
		return fmt.Errorf("layout %q: with these names its index.json would have %d bytes, and nobody has to read more than %d", l.dir, len(raw), image.MaxDocument)
	}
	if err := durable.SyncDir(filepath.Join(l.dir, blobsName, "sha256")); err != nil {
		return err
	}
	marker := filepath.Join(l.dir, markerName)
	if _, err := os.Lstat(marker); errors.Is(err, fs.ErrNotExist) {
		if err := l.create(marker, false, content([]byte(`{"imageLayoutVersion":"`+version+`"}`))); err != nil {
			return err
		}
	}
	if err := l.create(filepath.Join(l.dir, indexName), false, content(raw)); err != nil {
		return err
	}
	l.index = raw
	return nil
}

func content(b []byte) func(*os.File) error {
	return func(f *os.File) error {
		_, err := f.Write(b)
		return err
	}
}
