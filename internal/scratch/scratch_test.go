package scratch

import (
	"os"
	"testing"
	"time"
)

// TestNothingStays: a file is read and written as any, and nobody finds it.
func TestNothingStays(t *testing.T) {
	dir := t.TempDir()
	f, err := New(dir, "scratch-*")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte("text"), 5); err != nil {
		t.Error(err)
	}
	got := make([]byte, 9)
	if _, err := f.ReadAt(got, 0); err != nil || string(got) != "\x00\x00\x00\x00\x00text" {
		t.Errorf("%q, %v", got, err)
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
	if list, err := os.ReadDir(dir); err != nil || len(list) > 0 {
		t.Errorf("%v, %v", list, err)
	}
	if _, err := New(dir+"/gone", "scratch-*"); !os.IsNotExist(err) {
		t.Errorf("in a folder that is not there: %v", err)
	}
}

// TestNeverNamed: where a file system has files without names, there is no moment
// at which a killed process would leave one. The folder shows if there is.
func TestNeverNamed(t *testing.T) {
	dir := t.TempDir()
	if f, err := nameless(dir); err != nil {
		t.Skipf("files here have names: %v", err)
	} else {
		f.Close()
	}
	long := time.Unix(1e9, 0)
	if err := os.Chtimes(dir, long, long); err != nil {
		t.Fatal(err)
	}
	f, err := New(dir, "scratch-*")
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	if info, err := os.Stat(dir); err != nil || !info.ModTime().Equal(long) {
		t.Errorf("it had a name in the folder, which was changed at %v, %v", info.ModTime(), err)
	}
}
