package transfertest

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"airgap/transfer"
)

// appearsMeanwhile: what comes to have the name of the file, or of its sums, while
// that is sent stays, and when it has been moved away nothing is sent again.
func appearsMeanwhile(t *testing.T, target Target) {
	ours := transfer.SendOptions{MayReplace: func(old io.ReaderAt, size int64) (bool, error) {
		b := make([]byte, 4)
		_, err := old.ReadAt(b, size-4)
		return string(b) == "ours", err
	}}
	const notes = "their own notes"
	write := func(content string) func(path string) error {
		return func(path string) error { return os.WriteFile(path, []byte(content), 0o644) }
	}
	for name, c := range map[string]struct {
		before string // what has the name of the file at first
		beside string // of what comes
		come   func(path string) error
		new    bool
	}{
		"file":                    {"", "", write(notes), true},
		"empty file":              {"", "", write(""), true},
		"link":                    {"", "", func(path string) error { return os.Symlink("elsewhere", path) }, true},
		"folder":                  {"", "", func(path string) error { return os.Mkdir(path, 0o755) }, true},
		"sums":                    {"", ".sha256", write(notes), true},
		"link for sums":           {"", ".sha256", func(path string) error { return os.Symlink("elsewhere", path) }, true},
		"file in place of ours":   {"it is ours", "", write(notes), false},
		"link in place of ours":   {"it is ours", "", func(path string) error { return errors.Join(os.Remove(path), os.Symlink("elsewhere", path)) }, false},
		"sums beside one of ours": {"it is ours", ".sha256", write(notes), true},
	} {
		t.Run(name, func(t *testing.T) {
			f, raw := Content(strings.ReplaceAll(name, " ", "-"), 1<<20)
			final := filepath.Join(target.Dir, f.Name)
			path := final + c.beside
			if c.before != "" {
				if err := write(c.before)(final); err != nil {
					t.Fatal(err)
				}
			}
			p, err := target.Open(t)
			if err != nil {
				t.Fatal(err)
			}
			defer p.Close()
			var is os.FileInfo
			meddled := meddling{p, func() {
				if err := c.come(path); err != nil {
					t.Skip(err)
				}
				if is, err = os.Lstat(path); err != nil {
					t.Error(err)
				}
			}}
			var meanwhile *transfer.MeanwhileError
			if _, err := transfer.Send(t.Context(), meddled, f, ours); !errors.As(err, &meanwhile) || meanwhile.Appeared != c.new || meanwhile.Kept == "" || filepath.Base(meanwhile.Path) != filepath.Base(path) {
				t.Errorf("error %v", err)
			}
			if now, err := os.Lstat(path); err != nil || !os.SameFile(is, now) || is.Size() != now.Size() {
				t.Errorf("what has come is %v, %v", now, err)
			}
			away := filepath.Join(t.TempDir(), "away")
			if err := os.Rename(path, away); err != nil {
				t.Fatal(err)
			}
			p.Close()
			if p, err = target.Open(t); err != nil {
				t.Fatal(err)
			}
			if r, err := transfer.Send(t.Context(), p, f, ours); err != nil || r.Sent != 0 {
				t.Errorf("receipt %+v, %v", r, err)
			}
			Arrived(t, target.Dir, f, raw)
			if err := errors.Join(os.Remove(final), os.Remove(final+".sha256")); err != nil {
				t.Error(err)
			}
		})
	}
}

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
