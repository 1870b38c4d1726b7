package media

import (
	"errors"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"airgap/transfer"
	"airgap/transfer/transfertest"
)

// mounted is a small file system in memory, or a skip.
func mounted(t *testing.T) string {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("SKIPPED for want of a small file system: needs root")
	}
	dir := t.TempDir()
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", dir).CombinedOutput(); err != nil {
		t.Skipf("SKIPPED for want of a small file system: %s", out)
	}
	t.Cleanup(func() { exec.Command("umount", dir).Run() })
	return dir
}

func TestReadOnly(t *testing.T) {
	dir := mounted(t)
	if out, err := exec.Command("mount", "-o", "remount,ro", dir).CombinedOutput(); err != nil {
		t.Fatalf("%s", out)
	}
	f, _ := transfertest.Content("bundle", 1<<10)
	p, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	var medium *transfer.MediumError
	r, err := transfer.Send(t.Context(), p, f, transfer.SendOptions{})
	if !errors.As(err, &medium) || !errors.Is(err, unix.EROFS) || r.Sent != 0 {
		t.Errorf("%d bytes sent, error %v", r.Sent, err)
	}
}

// TestOwnLimit is the limit of this process, which is told before the first
// byte; and one that nobody knew of, which is not a crash.
func TestOwnLimit(t *testing.T) {
	var before unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_FSIZE, &before); err != nil {
		t.Fatal(err)
	}
	if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: 8 << 20, Max: before.Max}); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &before); err != nil {
			t.Error(err)
		}
	}()
	dir := t.TempDir()
	p, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	f, _ := transfertest.Content("bundle", 9<<20)
	var medium *transfer.MediumError
	r, err := transfer.Send(t.Context(), p, f, transfer.SendOptions{})
	if !errors.As(err, &medium) || r.Sent != 0 || !strings.Contains(err.Error(), "at most 8388608") {
		t.Errorf("%d bytes sent, error %v", r.Sent, err)
	}
	if err := p.Write(t.Context(), 0, transfer.ContextReader(t.Context(), &endless{})); !errors.As(err, &medium) || !errors.Is(err, unix.EFBIG) {
		t.Errorf("error %v", err)
	}
	transfertest.Only(t, dir)
}

type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

// TestProbe tries whether a folder takes large files, and leaves nothing.
func TestProbe(t *testing.T) {
	dir := t.TempDir()
	if !takesLarge(dir) {
		t.Error("the disk of this test does not take 4 GiB")
	}
	var before unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_FSIZE, &before); err != nil {
		t.Fatal(err)
	}
	if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: math.MaxUint32, Max: before.Max}); err != nil {
		t.Fatal(err)
	}
	if takesLarge(dir) {
		t.Error("a limit of 4 GiB is not found")
	}
	if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &before); err != nil {
		t.Fatal(err)
	}
	transfertest.Only(t, dir)
}

// TestForget has the page cache forget a file that is synced, and tells when it
// does not: a file system in memory has nowhere else to have it.
func TestForget(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "file"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Write(make([]byte, 3<<20+1)); err != nil {
		t.Fatal(err)
	}
	if n, err := resident(f, 0, 3<<20+1); err != nil || n == 0 {
		t.Errorf("%d pages are in the cache before, %v", n, err)
	}
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
	var st unix.Statfs_t
	if err := unix.Fstatfs(int(f.Fd()), &st); err != nil || st.Type == unix.TMPFS_MAGIC {
		t.Skipf("SKIPPED for want of a disk below the temporary folder: %v", err)
	}
	if !forget(f) {
		t.Error("the file stays in the cache")
	}
	memory, err := os.Create(filepath.Join(mounted(t), "file"))
	if err != nil {
		t.Fatal(err)
	}
	defer memory.Close()
	if _, err := memory.Write(make([]byte, 1<<20)); err != nil {
		t.Fatal(err)
	}
	if forget(memory) {
		t.Error("what is only in memory is said to be forgotten")
	}
}

func TestDoubt(t *testing.T) {
	base := t.TempDir()
	stick := filepath.Join(base, "media", "usb")
	if err := os.MkdirAll(stick, 0o755); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(base, "link")
	if err := os.Symlink(stick, link); err != nil {
		t.Fatal(err)
	}
	places := []string{filepath.Join(base, "media")}
	for dir, want := range map[string]bool{stick: true, link: true, places[0]: true, base: false} {
		if got := doubt(dir, base, places); (got != "") != want {
			t.Errorf("%s: %q", dir, got)
		}
	}
	medium := mounted(t)
	if got := doubt(medium, base, []string{medium}); got != "" {
		t.Errorf("a medium that is mounted: %q", got)
	}
}
