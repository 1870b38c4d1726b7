package transfertest

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"airgap/transfer"
)

// shapes are the files of a bundle as they are sent whole and in volumes. What is
// called after one of them is of the bundle.
func shapes() (whole, cut []transfer.File) {
	f, raw := Content("bundle.tar.zst", 3<<20)
	cut = []transfer.File{FileOf(f.Name+".001", raw[:2<<20]), FileOf(f.Name+".002", raw[2<<20:])}
	return kin(f), kin(cut...)
}

// kin has files go on with what is left of them.
func kin(files ...transfer.File) []transfer.File {
	goOn := map[string]bool{}
	for _, f := range files {
		goOn[f.Partial(f.Name)] = true
	}
	for i := range files {
		files[i].Kin = func(entry fs.FileInfo, _ string) bool {
			of, packed, left := transfer.LeftOf(entry.Name())
			return left && !packed && !entry.IsDir() && !goOn[entry.Name()] && (of == "bundle.tar.zst" || strings.HasPrefix(of, "bundle.tar.zst."))
		}
	}
	return files
}

// clearUp is transfer.ClearOlder, and what was noted.
func clearUp(t *testing.T, target Target, files []transfer.File) (stay []string, noted string) {
	t.Helper()
	p, err := target.Open(t)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	var notes []string
	o := transfer.LockOptions{Owner: "me", Pace: quick, Note: func(format string, args ...any) { notes = append(notes, fmt.Sprintf(format, args...)) }}
	held, unlock, err := p.Lock(t.Context(), files[0], o)
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	list, err := transfer.ClearOlder(held, p, files, []string{files[0].Name}, o)
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range list {
		stay = append(stay, o.Name)
	}
	slices.Sort(stay)
	return stay, strings.Join(notes, "\n")
}

// put makes files of 1000 bytes.
func put(t *testing.T, target Target, names ...string) {
	t.Helper()
	for _, name := range names {
		if err := os.WriteFile(filepath.Join(target.Dir, name), make([]byte, 1000), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// leftInShapes: what is left of a bundle that was to come in another shape is room,
// and goes; what this send goes on with stays, and so does what only looks alike.
func leftInShapes(t *testing.T, target Target) {
	whole, cut := shapes()
	name := whole[0].Name
	alike := []string{".notes.partial", "." + name + ".partial", "." + name + "2.01234567.partial", ".bundle.tar.01234567.partial", "." + name + ".001.partial", name + ".001.0a1b2c3d.partial", ".other.tar.zst.sha256.partial"}
	folders := []string{"." + name + ".0a1b2c3d.partial", "." + name + ".mine.partial"}
	always := []string{"." + name + ".007.0a1b2c3d.partial", "." + name + ".par002.ABCDEF27.partial", "." + name + ".009.sha256.partial"}
	ofWhole := []string{whole[0].Partial(name)}
	var ofCut []string
	for _, f := range cut {
		ofCut = append(ofCut, f.Partial(f.Name))
	}
	for _, folder := range folders {
		if err := os.Mkdir(filepath.Join(target.Dir, folder), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		files      []transfer.File
		goes, stay []string
	}{{whole, ofCut, ofWhole}, {cut, ofWhole, ofCut}} {
		goes := append(slices.Clone(c.goes), always...)
		put(t, target, slices.Concat(alike, goes, c.stay)...)
		p, err := target.Open(t)
		if err != nil {
			t.Fatal(err)
		}
		found, err := transfer.Room(t.Context(), p, c.files)
		if want := int64(1000 * len(goes)); err != nil || found.Cleared() != want {
			t.Errorf("%d bytes of room are made, expected %d, %v", found.Cleared(), want, err)
		}
		p.Close()
		stay, noted := clearUp(t, target, c.files)
		if len(stay) > 0 || strings.Count(noted, "\n") != len(goes)-1 {
			t.Errorf("stay: %q; noted %q", stay, noted)
		}
		for _, name := range goes {
			if !strings.Contains(noted, name) {
				t.Errorf("%s is not named", name)
			}
		}
		here := slices.Concat(alike, folders, c.stay)
		Only(t, target.Dir, here...)
		for _, name := range here {
			if _, err := os.Lstat(filepath.Join(target.Dir, name)); err != nil {
				t.Error(err)
			}
		}
		if err := os.Remove(filepath.Join(target.Dir, c.stay[0])); err != nil {
			t.Fatal(err)
		}
	}
}

// leftBusy: what another send is writing stays, and is named.
func leftBusy(t *testing.T, target Target) {
	whole, cut := shapes()
	writing := cut[1]
	left := "." + writing.Name + ".0a1b2c3d.partial"
	writing.Kin = nil
	end := begin(t, target, writing, transfer.SendOptions{Pace: quick})
	is := writing.Partial(writing.Name)
	put(t, target, left)
	stay, noted := clearUp(t, target, whole)
	want := []string{left, is}
	if slices.Sort(want); !slices.Equal(stay, want) || !strings.Contains(noted, is) || !strings.Contains(noted, transfer.Busy) {
		t.Errorf("stay: %q; noted %q", stay, noted)
	}
	if err := end(); err != nil {
		t.Fatal(err)
	}
	if stay, noted := clearUp(t, target, whole); len(stay) > 0 || !strings.Contains(noted, left) {
		t.Errorf("stay: %q; noted %q", stay, noted)
	}
	Only(t, target.Dir, writing.Name, writing.Name+".sha256")
}

// leftByOthers: what is somebody else's stays, and is named where there is no room.
func leftByOthers(t *testing.T, target Target) {
	if os.Getuid() != 0 {
		t.Skip("SKIPPED for want of another user: needs root")
	}
	whole, cut := shapes()
	theirs := whole[0].Partial(whole[0].Name)
	put(t, target, theirs)
	if err := os.Chown(filepath.Join(target.Dir, theirs), 65534, 65534); err != nil {
		t.Fatal(err)
	}
	stay, noted := clearUp(t, target, cut)
	if !slices.Equal(stay, []string{theirs}) || !strings.Contains(noted, transfer.Theirs) {
		t.Errorf("stay: %q; noted %q", stay, noted)
	}
	p, err := target.Open(t)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	_, unlock, err := p.Lock(t.Context(), cut[0], transfer.LockOptions{Owner: "me", Pace: quick, Note: t.Logf})
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	for i := range cut {
		cut[i].Size = 1 << 60
	}
	var full *transfer.NoSpaceError
	found, err := transfer.Room(t.Context(), p, cut)
	if known := found.Free >= 0; errors.As(err, &full) != known || known && !strings.Contains(err.Error(), theirs+" (1000 bytes), which is somebody else's") {
		t.Errorf("error %v", err)
	}
	Only(t, target.Dir, theirs, transfer.LockName(cut[0].Name))
}
