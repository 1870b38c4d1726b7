//go:build unix

package load_test

import (
	"bytes"
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
