package transfertest

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"airgap/transfer"
)

// meanwhile is something that comes while a file is sent.
type meanwhile struct {
	before string // what has the name of the file at first
	beside string // of what comes: the name of the file with this behind it
	come   func(path string) error
	fresh  bool // it has a name that nothing had
}

// appearsMeanwhile: what comes to have the name of the file, or of its sums, while
// that is sent stays, and when it has been moved away nothing is sent again.
func appearsMeanwhile(t *testing.T, target Target) {
	const notes = "their own notes"
	link := func(path string) error { return os.Symlink("elsewhere", path) }
	for name, m := range map[string]meanwhile{
		"file":                    {"", "", writing(notes), true},
		"empty file":              {"", "", writing(""), true},
		"link":                    {"", "", link, true},
		"folder":                  {"", "", func(path string) error { return os.Mkdir(path, 0o755) }, true},
		"sums":                    {"", ".sha256", writing(notes), true},
		"link for sums":           {"", ".sha256", link, true},
		"file in place of ours":   {"it is ours", "", writing(notes), false},
		"link in place of ours":   {"it is ours", "", func(path string) error { return errors.Join(os.Remove(path), link(path)) }, false},
		"sums beside one of ours": {"it is ours", ".sha256", writing(notes), true},
	} {
		t.Run(name, func(t *testing.T) { m.stays(t, target, strings.ReplaceAll(name, " ", "-")) })
	}
}

func writing(content string) func(path string) error {
	return func(path string) error { return os.WriteFile(path, []byte(content), 0o644) }
}

// stays sends a file of that name while it comes, and once more when it has gone.
func (m meanwhile) stays(t *testing.T, target Target, name string) {
	f, raw := Content(name, 1<<20)
	final := filepath.Join(target.Dir, f.Name)
	path := final + m.beside
	if m.before != "" {
		if err := writing(m.before)(final); err != nil {
			t.Fatal(err)
		}
	}
	is := m.refused(t, target, f, path)
	if now, err := os.Lstat(path); err != nil || !os.SameFile(is, now) || is.Size() != now.Size() {
		t.Errorf("what has come is %v, %v", now, err)
	}
	if err := os.Rename(path, filepath.Join(t.TempDir(), "away")); err != nil {
		t.Fatal(err)
	}
	p, err := target.Open(t)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if r, err := transfer.Send(t.Context(), p, f, endsInOurs); err != nil || r.Sent != 0 {
		t.Errorf("receipt %+v, %v", r, err)
	}
	Arrived(t, target.Dir, f, raw)
	if err := errors.Join(os.Remove(final), os.Remove(final+".sha256")); err != nil {
		t.Error(err)
	}
}

// refused is the send while it comes to a path, and what that is then.
func (m meanwhile) refused(t *testing.T, target Target, f transfer.File, path string) (is os.FileInfo) {
	p, err := target.Open(t)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	meddled := meddling{p, func() {
		err := m.come(path)
		if err == nil {
			is, err = os.Lstat(path)
		}
		if err != nil {
			t.Error(err)
		}
	}}
	var met *transfer.MeanwhileError
	if _, err := transfer.Send(t.Context(), meddled, f, endsInOurs); !errors.As(err, &met) || met.Appeared != m.fresh || met.Kept == "" || filepath.Base(met.Path) != filepath.Base(path) {
		t.Errorf("error %v", err)
	}
	return is
}

// endsInOurs has replaced what ends in "ours", and nothing else.
var endsInOurs = transfer.SendOptions{MayReplace: func(old io.ReaderAt, size int64) (bool, error) {
	b := make([]byte, 4)
	_, err := old.ReadAt(b, size-4)
	return string(b) == "ours", err
}}

// oursMeanwhile: what has changed meanwhile and still is ours is replaced, as it
// would have been before.
func oursMeanwhile(t *testing.T, target Target) {
	f, raw := Content("bundle", 1<<20)
	final := filepath.Join(target.Dir, f.Name)
	if err := os.WriteFile(final, []byte("old"), 0o644); err != nil {
		t.Fatal(err)
	}
	p, err := target.Open(t)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	meddled := meddling{p, func() {
		if err := errors.Join(os.WriteFile(final, []byte("another"), 0o644), os.WriteFile(final+".sha256", []byte(FileOf(f.Name, nil).SHA256+"  bundle\n"), 0o644)); err != nil {
			t.Error(err)
		}
	}}
	o := transfer.SendOptions{MayReplace: func(io.ReaderAt, int64) (bool, error) { return true, nil }}
	if r, err := transfer.Send(t.Context(), meddled, f, o); err != nil || !r.Replaced {
		t.Errorf("receipt %+v, %v", r, err)
	}
	Arrived(t, target.Dir, f, raw)
}

// bothMeanwhile: a file of the kind that may be replaced, and its sums, of which
// neither was there at first, stay. Which of the two is seen is chance.
func bothMeanwhile(t *testing.T, target Target) {
	for i := range 4 {
		f, _ := Content(fmt.Sprint("bundle", i), 1<<16)
		final := filepath.Join(target.Dir, f.Name)
		p, err := target.Open(t)
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		meddled := meddling{p, func() {
			if err := errors.Join(os.WriteFile(final+".sha256", transfer.Sidecar(f, f.Name), 0o644), os.WriteFile(final, []byte("another"), 0o644)); err != nil {
				t.Error(err)
			}
		}}
		var met *transfer.MeanwhileError
		o := transfer.SendOptions{MayReplace: func(io.ReaderAt, int64) (bool, error) { return true, nil }}
		if _, err := transfer.Send(t.Context(), meddled, f, o); !errors.As(err, &met) || !met.Appeared {
			t.Errorf("error %v", err)
		}
		if b, err := os.ReadFile(final); err != nil || string(b) != "another" {
			t.Errorf("what has come is %q, %v", b, err)
		}
	}
}

// nothingAtFirst: what has the name and was not there when the caller began stays,
// also if it is of the kind that may be replaced; what is there already is no matter.
func nothingAtFirst(t *testing.T, target Target) {
	f, raw := Content("bundle", 1<<16)
	final := filepath.Join(target.Dir, f.Name)
	var names []string
	o := transfer.SendOptions{
		Fresh:      true,
		Found:      func(found transfer.Found) { names = found.Names },
		MayReplace: func(io.ReaderAt, int64) (bool, error) { return true, nil },
	}
	if _, err := sendWith(t, target, f, o); err != nil || names == nil || len(names) > 1 { // its lock may be there
		t.Errorf("names %q, %v", names, err)
	}
	Arrived(t, target.Dir, f, raw)
	if _, err := sendWith(t, target, f, o); err != nil || !slices.Contains(names, f.Name) {
		t.Errorf("already there: names %q, %v", names, err)
	}
	if err := os.WriteFile(final, []byte("another"), 0o644); err != nil {
		t.Fatal(err)
	}
	var met *transfer.MeanwhileError
	if _, err := sendWith(t, target, f, o); !errors.As(err, &met) || !met.Appeared {
		t.Errorf("error %v", err)
	}
	if b, err := os.ReadFile(final); err != nil || string(b) != "another" {
		t.Errorf("what has come is %q, %v", b, err)
	}
}
