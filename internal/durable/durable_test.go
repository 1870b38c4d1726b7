package durable

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
)

// TestRemovePartials removes what killed processes have left of a file, and
// nothing that is being written, or that is another's.
func TestRemovePartials(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("SKIPPED: Windows removes no open file")
	}
	dir := t.TempDir()
	theirs := []string{".b.partial", ".b.x.partial", ".b.1.part", "b.1.partial", ".c.1.partial", ".b.99999999999.partial"}
	for _, name := range append([]string{".b.1.partial", ".b.4294967295.partial"}, theirs...) {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, ".b.2.partial"), 0o700); err != nil {
		t.Fatal(err)
	}
	isB := func(name string) bool { return name == "b" }
	err := CreateFile(filepath.Join(dir, "b"), false, func(f *os.File) error {
		theirs = append(theirs, filepath.Base(f.Name()))
		if err := RemovePartials(dir, isB); err != nil {
			return err
		}
		want := append(slices.Clone(theirs), ".b.2.partial")
		slices.Sort(want)
		if got := names(t, dir); !slices.Equal(got, want) {
			t.Errorf("there are %q, expected %q", got, want)
		}
		_, err := f.WriteString("whole")
		return err
	})
	if raw, readErr := os.ReadFile(filepath.Join(dir, "b")); err != nil || readErr != nil || string(raw) != "whole" {
		t.Errorf("%q, %v, %v", raw, err, readErr)
	}
	if err := RemovePartials(filepath.Join(dir, "none"), isB); err != nil {
		t.Error(err)
	}
}

// TestNamed: a file that has its name by the time its folder cannot be synced is
// there, which the error says.
func TestNamed(t *testing.T) {
	broken := errors.New("the disk is broken")
	syncDir = func(string) error { return broken }
	t.Cleanup(func() { syncDir = SyncDir })
	path := filepath.Join(t.TempDir(), "a")
	err := CreateFile(path, false, func(f *os.File) error {
		_, err := f.WriteString("whole")
		return err
	})
	var named *NamedError
	if !errors.As(err, &named) || !errors.Is(err, broken) {
		t.Errorf("the folder cannot be synced: %v", err)
	}
	if raw, err := os.ReadFile(path); err != nil || string(raw) != "whole" {
		t.Errorf("there is %q, %v", raw, err)
	}
	err = CreateFile(path, false, func(*os.File) error { return broken })
	if errors.As(err, &named) || !errors.Is(err, broken) {
		t.Errorf("before it has its name: %v", err)
	}
}

func names(t *testing.T, dir string) (list []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		list = append(list, e.Name())
	}
	return list
}

// TestRenameNew renames to a free name, and to no other, whatever has it.
func TestRenameNew(t *testing.T) {
	dir := t.TempDir()
	from := filepath.Join(dir, "from")
	for name, come := range map[string]func(path string) error{
		"file": func(path string) error { return os.WriteFile(path, []byte("theirs"), 0o600) },
		"link": func(path string) error { return os.Symlink("nowhere", path) },
	} {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.WriteFile(from, []byte("ours"), 0o600), come(path)); err != nil {
			t.Fatal(err)
		}
		before, _ := os.Lstat(path)
		err := RenameNew(from, path)
		after, _ := os.Lstat(path)
		if !errors.Is(err, fs.ErrExist) || !os.SameFile(before, after) {
			t.Errorf("%s: %v", name, err)
		}
		if err := RenameNew(from, path+" free"); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if raw, err := os.ReadFile(path + " free"); err != nil || string(raw) != "ours" {
			t.Errorf("%s: %q, %v", name, raw, err)
		}
		if _, err := os.Lstat(from); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: the other name is left: %v", name, err)
		}
	}
}
