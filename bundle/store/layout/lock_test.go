package layout

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"airgap/bundle/image"
	"airgap/bundle/store/storetest"
)

// TestKilledBeforeIndex: a first import that was killed, at whichever file, is
// no reason to refuse the next; what it had half written goes.
func TestKilledBeforeIndex(t *testing.T) {
	f := storetest.NewFixture(t, "single manifest", "killed")
	whole := filepath.Join(t.TempDir(), "whole")
	l, err := Create(whole)
	if err != nil {
		t.Fatal(err)
	}
	bring(t, l, f)
	want := below(t, whole)
	blob := f.Graph(t, f.Names[0]).Layers()[0].Digest.Hex
	for what, left := range map[string][]string{
		"nothing":     {},
		"folders":     {"blobs/sha256/"},
		"half a blob": {"blobs/sha256/." + blob + ".123456.partial"},
		"half a blob of an image that is not brought again": {"blobs/sha256/." + strings.Repeat("0", 64) + ".1.partial"},
		"wrong blob":    {"blobs/sha256/" + blob},
		"half a marker": {"blobs/sha256/", ".oci-layout.1.partial"},
		"marker":        {"blobs/sha256/", "oci-layout"},
		"half an index": {"blobs/sha256/", "oci-layout", ".index.json.77.partial"},
	} {
		dir := filepath.Join(t.TempDir(), "layout")
		for _, name := range left {
			path := filepath.Join(dir, name)
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			switch {
			case strings.HasSuffix(name, "/"):
				err = os.MkdirAll(path, 0o755)
			case name == markerName:
				err = os.WriteFile(path, []byte(`{"imageLayoutVersion":"1.0.0"}`), 0o644)
			default:
				err = os.WriteFile(path, []byte("{"), 0o644)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		l, err := Create(dir)
		if err != nil {
			t.Errorf("%s: %v", what, err)
			continue
		}
		own(t, l)
		bring(t, l, f)
		if got := below(t, dir); !slices.Equal(got, want) {
			t.Errorf("%s: afterwards there are %q, expected %q", what, got, want)
		}
	}
}

// TestForeignFiles are none of a killed import's, and stay.
func TestForeignFiles(t *testing.T) {
	dir := t.TempDir()
	f := storetest.NewFixture(t, "single manifest", "foreign")
	write(t, dir, f)
	theirs := []string{".index.json.bak.partial", "notes.1.partial", ".notes.1.partial", "blobs/sha256/.x.1.partial", "blobs/.index.json.1.partial"}
	for _, name := range theirs {
		writeFile(t, filepath.Join(dir, name), nil)
	}
	before := below(t, dir)
	l, err := Create(dir)
	if err != nil {
		t.Fatal(err)
	}
	own(t, l)
	if got := below(t, dir); !slices.Equal(got, before) {
		t.Errorf("there are %q, before there were %q", got, before)
	}
	if _, err := Create(filepath.Join(dir, "blobs")); err == nil {
		t.Error("a folder of other things was taken")
	}
}

// below lists what is in a folder.
func below(t *testing.T, dir string) []string {
	t.Helper()
	var list []string
	for _, path := range files(t, dir) {
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, filepath.ToSlash(rel))
	}
	return list
}

// own takes the layout's lock until the test ends.
func own(t *testing.T, l *Layout) {
	t.Helper()
	err := l.Lock(t.Context(), func() { t.Error("somebody else has the lock") })
	if err != nil && !errors.Is(err, errors.ErrUnsupported) {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
}

// needLock skips the test where a folder cannot be locked.
func needLock(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("SKIPPED: Windows locks no folder")
	}
}

// TestManyAtOnce lets several write into one new layout, each with what it
// knows: all that was brought is there, and nothing else.
func TestManyAtOnce(t *testing.T) {
	needLock(t)
	dir := filepath.Join(t.TempDir(), "new", "layout")
	const many = 6
	var all sync.WaitGroup
	var fixtures []storetest.Fixture
	for i := range many {
		f := storetest.NewFixture(t, "shared layers", fmt.Sprint("many", i/2))
		fixtures = append(fixtures, f)
		all.Go(func() {
			l, err := Create(dir)
			if err == nil {
				err = l.Lock(t.Context(), func() {})
			}
			if err != nil {
				t.Error(err)
				return
			}
			defer l.Close()
			if i%2 == 0 {
				err = abortOne(t.Context(), t, l, f)
			}
			if err != nil {
				t.Error(err)
			}
			bring(t, l, f)
		})
	}
	all.Wait()
	for _, f := range fixtures {
		for _, name := range f.Names {
			checkWhole(t, dir, f, f.Graph(t, name))
		}
	}
	if got, want := len(listed(t, dir)), many/2*len(fixtures[0].Names); got != want {
		t.Errorf("%d images, expected %d", got, want)
	}
}

// abortOne brings an image and takes it back.
func abortOne(ctx context.Context, t *testing.T, l *Layout, f storetest.Fixture) error {
	txn, err := l.Begin(ctx, image.Import{Graph: f.Graph(t, f.Names[0]), Names: f.Names[:1]})
	if err != nil {
		return err
	}
	return errors.Join(txn.Write(ctx, f.Images, func(int64) {}), txn.Abort(ctx))
}

// TestAbortLeavesOthers: blobs that another tool has meanwhile made its own, by
// naming an image of them, stay.
func TestAbortLeavesOthers(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, storetest.NewFixture(t, "no layers", "there"))
	f := storetest.NewFixture(t, "single manifest", "theirs")
	mine, err := Create(dir)
	if err != nil {
		t.Fatal(err)
	}
	g := f.Graph(t, f.Names[0])
	txn, err := mine.Begin(t.Context(), image.Import{Graph: g, Names: f.Names})
	if err != nil {
		t.Fatal(err)
	}
	if err := txn.Write(t.Context(), f.Images, func(int64) {}); err != nil {
		t.Fatal(err)
	}
	theirs, err := Create(dir)
	if err != nil {
		t.Fatal(err)
	}
	bring(t, theirs, f)
	if err := txn.Abort(t.Context()); err != nil {
		t.Fatal(err)
	}
	checkWhole(t, dir, f, g)
}

// TestLockFolder: the folder that was made for the lock goes with it, unless
// something is in it, or another is waiting in it.
func TestLockFolder(t *testing.T) {
	needLock(t)
	dir := filepath.Join(t.TempDir(), "new", "layout")
	first, err := Create(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := first.Lock(t.Context(), func() {}); err != nil {
		t.Fatal(err)
	}
	second, err := Create(dir)
	if err != nil {
		t.Fatal(err)
	}
	stopped, stop := context.WithCancelCause(t.Context())
	if err := second.Lock(stopped, func() { stop(errors.New("stopped")) }); err == nil || second.Close() != nil {
		t.Error("two have the lock")
	}
	if _, err := os.Stat(dir); err != nil {
		t.Error("who had no lock has removed the folder")
	}
	waited := false
	err = second.Lock(t.Context(), func() {
		waited = true
		if err := first.Close(); err != nil {
			t.Error(err)
		}
	})
	if err != nil || !waited {
		t.Errorf("error %v, waited %t", err, waited)
	}
	if _, err := os.Stat(dir); err != nil {
		t.Error("the second has a lock on no folder:", err)
	}
	if err := second.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Dir(dir)); err == nil {
		t.Error("folders that were made for the lock are left")
	}
}
