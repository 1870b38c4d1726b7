//go:build unix

package load_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"airgap/bundle"
	"airgap/bundle/image"
	"airgap/bundle/store/storetest"
	"airgap/verify"
	"airgap/verify/load"
)

// withFiles is a proven bundle of the files of a folder.
func withFiles(t *testing.T, dir string) (*verify.Documents, *verify.Verified) {
	t.Helper()
	f := storetest.NewFixture(t, "raw layers", "files")
	all := image.Platforms{All: true}
	set, err := f.Images.Open(t.Context(), f.Names, all)
	if err != nil {
		t.Fatal(err)
	}
	plan, err := bundle.NewPlan(t.Context(), []image.Set{set}, all)
	if err != nil {
		t.Fatal(err)
	}
	if err := plan.Include([]string{dir}, func(string) bool { return false }); err != nil {
		t.Fatal(err)
	}
	var file bytes.Buffer
	if _, err := plan.WriteTo(t.Context(), &file, bundle.WriteOptions{TempDir: t.TempDir()}); err != nil {
		t.Fatal(err)
	}
	b, err := bundle.Open(bytes.NewReader(file.Bytes()), int64(file.Len()))
	if err != nil {
		t.Fatal(err)
	}
	docs, err := verify.Read(t.Context(), b)
	if err != nil {
		t.Fatal(err)
	}
	v, _, err := verify.Check(t.Context(), docs, verify.Policy{})
	if err != nil {
		t.Fatal(err)
	}
	return docs, v
}

func writeFiles(t *testing.T, docs *verify.Documents, v *verify.Verified, dir string) *load.FilePlan {
	t.Helper()
	plan, err := load.PlanFiles(docs, dir)
	if err == nil {
		err = plan.Write(t.Context(), v)
	}
	if err != nil {
		t.Fatal(err)
	}
	return plan
}

func put(t *testing.T, path, content string, perm fs.FileMode) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), perm); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, perm); err != nil {
		t.Fatal(err)
	}
}

// TestFileModes: permission bits arrive, but for those that the umask takes.
func TestFileModes(t *testing.T) {
	from := filepath.Join(t.TempDir(), "f")
	modes := map[string]fs.FileMode{"secret": 0o600, "text": 0o644, "shared": 0o664, "all": 0o777, "run": 0o755, "fixed": 0o444, "mine": 0o700}
	for name, perm := range modes {
		put(t, filepath.Join(from, name), name, perm)
	}
	docs, v := withFiles(t, from)
	for _, umask := range []fs.FileMode{0, 0o022, 0o002, 0o077} {
		to := t.TempDir()
		old := syscall.Umask(int(umask))
		writeFiles(t, docs, v, to)
		syscall.Umask(old)
		for name, perm := range modes {
			info, err := os.Stat(filepath.Join(to, "f", name))
			if err != nil {
				t.Fatal(err)
			}
			if got := info.Mode().Perm(); got != perm&^umask {
				t.Errorf("umask %04o: %s of mode %04o has %04o", umask, name, perm, got)
			}
		}
	}
}

// TestFileModesAgain: a file that is there with its content and another mode is
// given the bundle's.
func TestFileModesAgain(t *testing.T) {
	from := filepath.Join(t.TempDir(), "f")
	put(t, filepath.Join(from, "secret"), "secret", 0o600)
	put(t, filepath.Join(from, "run"), "run", 0o755)
	put(t, filepath.Join(from, "text"), "text", 0o644)
	docs, v := withFiles(t, from)
	to := t.TempDir()
	for _, name := range []string{"secret", "run", "text"} {
		put(t, filepath.Join(to, "f", name), name, 0o644)
	}
	put(t, filepath.Join(to, "f", ".run.77.partial"), "left by a run that was killed", 0o600)
	old := syscall.Umask(0o027)
	defer syscall.Umask(old)
	plan := writeFiles(t, docs, v, to)
	for i, want := range []fs.FileMode{0o750, 0o600, 0o640} {
		f := plan.Files[i]
		info, err := os.Stat(f.Path)
		if err != nil || info.Mode() != want || !f.Present || f.Mode != want || f.Was != 0o644 {
			t.Errorf("%s has %v, %v, expected %v: %+v", f.Path, info.Mode(), err, want, f)
		}
	}
	if plan, err := load.PlanFiles(docs, to); err != nil || !plan.Unchanged() {
		t.Errorf("afterwards something is to be done: %v, %v", plan, err)
	}
	if left, err := filepath.Glob(filepath.Join(to, "f", ".*")); err != nil || len(left) > 0 {
		t.Errorf("%q is left, %v", left, err)
	}
}

// TestFilesStayIn: nothing is written outside of the folder through links in it.
func TestFilesStayIn(t *testing.T) {
	from := filepath.Join(t.TempDir(), "f")
	put(t, filepath.Join(from, "conf", "a"), "a", 0o644)
	docs, v := withFiles(t, from)
	dir := t.TempDir()
	put(t, filepath.Join(dir, "out", "x"), "x", 0o644)
	put(t, filepath.Join(dir, "to", "f", "in", "y"), "y", 0o644)
	link := filepath.Join(dir, "to", "f", "conf")
	for _, target := range []string{"../../out", filepath.Join(dir, "out")} {
		if err := os.Symlink(target, link); err != nil {
			t.Fatal(err)
		}
		var outside *load.OutsideError
		if _, err := load.PlanFiles(docs, filepath.Join(dir, "to")); !errors.As(err, &outside) {
			t.Errorf("a link to %s: %v", target, err)
		}
		if err := os.Remove(link); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("in", link); err != nil { // stays
		t.Fatal(err)
	}
	if err := os.Symlink("to", filepath.Join(dir, "itself")); err != nil {
		t.Fatal(err)
	}
	writeFiles(t, docs, v, filepath.Join(dir, "itself"))
	if raw, err := os.ReadFile(filepath.Join(dir, "to", "f", "in", "a")); err != nil || string(raw) != "a" {
		t.Errorf("%q, %v", raw, err)
	}
	plan, err := load.PlanFiles(docs, filepath.Join(dir, "fresh"))
	if err != nil {
		t.Fatal(err)
	}
	put(t, filepath.Join(dir, "fresh", "f", "x"), "x", 0o644)
	if err := os.Symlink("../../out", filepath.Join(dir, "fresh", "f", "conf")); err != nil { // meanwhile
		t.Fatal(err)
	}
	var outside *load.OutsideError
	if err := plan.Write(t.Context(), v); !errors.As(err, &outside) {
		t.Errorf("a link that has come meanwhile: %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "out", "a")); err == nil {
		t.Error("it has been written outside")
	}
}

// TestBackups: what is replaced is kept, and so is what was kept before.
func TestBackups(t *testing.T) {
	from := filepath.Join(t.TempDir(), "f")
	long := strings.Repeat("n", 240) // as long as a name may be for which backups have names
	put(t, filepath.Join(from, "a"), "new", 0o644)
	put(t, filepath.Join(from, long), "new", 0o644)
	docs, v := withFiles(t, from)
	to := t.TempDir()
	at := filepath.Join(to, "f", "a")
	put(t, at+".bak.2", "not ours", 0o644)
	for _, old := range []string{"first", "second", "third"} {
		put(t, at, old, 0o640)
		writeFiles(t, docs, v, to)
	}
	for name, want := range map[string]string{
		at: "new", at + ".bak": "first", at + ".bak.1": "second", at + ".bak.2": "not ours", at + ".bak.3": "third",
	} {
		if got, err := os.ReadFile(name); err != nil || string(got) != want {
			t.Errorf("%s holds %q, expected %q: %v", name, got, want, err)
		}
	}
	plan := writeFiles(t, docs, v, to)
	if !plan.Unchanged() {
		t.Error("it writes again what is there")
	}
	put(t, at, "fourth", 0o640)
	if plan, err := load.PlanFiles(docs, to); err != nil || plan.Files[0].Backup != at+".bak.4" {
		t.Errorf("the plan keeps it as %q: %v", plan.Files[0].Backup, err)
	}
}

// TestBackupNameTaken: a name that something gets between plan and write is not
// taken from it.
func TestBackupNameTaken(t *testing.T) {
	from := filepath.Join(t.TempDir(), "f")
	put(t, from, "new", 0o644)
	docs, v := withFiles(t, from)
	to := t.TempDir()
	at := filepath.Join(to, "f")
	put(t, at, "old", 0o644)
	plan, err := load.PlanFiles(docs, to)
	if err != nil {
		t.Fatal(err)
	}
	put(t, at+".bak", "somebody's", 0o644)
	if err := plan.Write(t.Context(), v); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(at + ".bak")
	if err != nil || string(got) != "somebody's" || plan.Files[0].Backup != at+".bak.1" {
		t.Errorf("%q is in the way, and the old file is %q: %v", got, plan.Files[0].Backup, err)
	}
}
