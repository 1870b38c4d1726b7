package layout

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"airgap/bundle/image"
	"airgap/bundle/store/storetest"
)

// counts counts what a Layout does with files.
type counts struct{ opened, read, written int } // files, and of these index.json

func counted(l *Layout) *counts {
	c := &counts{}
	open, create := l.open, l.create
	l.open = func(path string) (*os.File, error) {
		c.opened++
		if filepath.Base(path) == indexName {
			c.read++
		}
		return open(path)
	}
	l.create = func(path string, noClobber bool, fill func(*os.File) error) error {
		if filepath.Base(path) == indexName {
			c.written++
		}
		return create(path, noClobber, fill)
	}
	return c
}

// TestManyRead: with each image its own documents are read, and what belongs to
// it is found without reading those of all others again.
func TestManyRead(t *testing.T) {
	const n = 60
	f := storetest.Many(n, "read")
	dir := t.TempDir()
	write(t, dir, f)
	l := mustOpen(t, dir)
	c := counted(l)
	for _, ask := range [][]string{{""}, f.Names} {
		c.opened = 0
		set, err := l.Open(t.Context(), ask, image.Platforms{})
		if err != nil {
			t.Fatal(err)
		}
		if len(set.Roots()) != n {
			t.Fatalf("%d images, expected %d", len(set.Roots()), n)
		}
		for i, root := range set.Roots() {
			if root.Name != f.Names[i] {
				t.Errorf("image %d is %q, expected %q", i, root.Name, f.Names[i])
			}
			g, err := image.Read(t.Context(), set, root, image.Platforms{All: true}.Select)
			if err != nil {
				t.Fatal(err)
			}
			if roots, err := set.(image.Referring).Referrers(t.Context(), g); err != nil || len(roots) > 0 {
				t.Errorf("%d referrers, error %v", len(roots), err)
			}
		}
		// Manifest and config, and once more the manifest, for what it may belong to.
		if most := 3*n + 2; c.opened > most {
			t.Errorf("%d files were opened for %d images, expected at most %d", c.opened, n, most)
		}
	}
}

// TestManyWritten: all names are set by one index.json, which is read as often
// whatever the number of images.
func TestManyWritten(t *testing.T) {
	const n = 30
	f := storetest.Many(n, "written")
	l, err := Create(filepath.Join(t.TempDir(), "layout"))
	if err != nil {
		t.Fatal(err)
	}
	bring(t, l, storetest.NewFixture(t, "single manifest", "there"))
	c := counted(l)
	var txns []image.Txn
	for _, name := range f.Names {
		txn, err := l.Begin(t.Context(), image.Import{Graph: f.Graph(t, name), Names: []string{name}})
		if err != nil {
			t.Fatal(err)
		}
		txns = append(txns, txn)
	}
	for _, txn := range txns {
		if err := txn.Write(t.Context(), f.Images, func(int64) {}); err != nil {
			t.Fatal(err)
		}
	}
	joint := txns[0].(image.Joint)
	if err := joint.LookAll(t.Context(), txns); err != nil {
		t.Fatal(err)
	}
	if _, err := joint.CommitAll(t.Context(), txns); err != nil {
		t.Fatal(err)
	}
	if err := joint.LookAll(t.Context(), txns); err != nil {
		t.Fatal(err)
	}
	if c.written != 1 {
		t.Errorf("index.json was written %d times", c.written)
	}
	// By the first Begin, by two looks, and twice by the commit.
	if most := 5; c.read > most {
		t.Errorf("index.json was read %d times, expected at most %d", c.read, most)
	}
	if got := len(listed(t, l.dir)); got != n+1 {
		t.Errorf("%d images are listed, expected %d", got, n+1)
	}
}

// TestTooManyNames: an index.json that nobody would read any more is not written.
func TestTooManyNames(t *testing.T) {
	f := storetest.NewFixture(t, "single manifest", "names")
	l, err := Create(filepath.Join(t.TempDir(), "layout"))
	if err != nil {
		t.Fatal(err)
	}
	bring(t, l, f)
	before := len(listed(t, l.dir))
	many := image.Import{Graph: f.Graph(t, f.Names[0])}
	for i := range 9000 {
		many.Names = append(many.Names, fmt.Sprintf("docker.io/%0200d/app:1", i))
	}
	txn, err := l.Begin(t.Context(), many)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := txn.Commit(t.Context()); err == nil || !strings.Contains(err.Error(), "with these names") {
		t.Errorf("error %v", err)
	}
	if err := txn.Abort(t.Context()); err != nil {
		t.Error(err)
	}
	if after := len(listed(t, l.dir)); after != before {
		t.Errorf("%d images are listed, expected %d", after, before)
	}
}

// TestShownByAnother: an image without a name stays listed where a name that it
// had goes to another image at the same moment.
func TestShownByAnother(t *testing.T) {
	first, second := storetest.NewFixture(t, "single manifest", "shown1"), storetest.NewFixture(t, "single manifest", "shown2")
	l, err := Create(filepath.Join(t.TempDir(), "layout"))
	if err != nil {
		t.Fatal(err)
	}
	bring(t, l, first)
	name := first.Names[0]
	var txns []image.Txn
	for _, img := range []image.Import{{Graph: first.Graph(t, name)}, {Graph: second.Graph(t, second.Names[0]), Names: []string{name}}} {
		txn, err := l.Begin(t.Context(), img)
		if err == nil {
			err = txn.Write(t.Context(), second.Images, func(int64) {})
		}
		if err != nil {
			t.Fatal(err)
		}
		txns = append(txns, txn)
	}
	if _, err := txns[0].(image.Joint).CommitAll(t.Context(), txns); err != nil {
		t.Fatal(err)
	}
	if got := named(t, l.dir, name); got != txns[1].State().ID {
		t.Errorf("the name points to %s", got)
	}
	checkWhole(t, l.dir, first, first.Graph(t, name))
}
