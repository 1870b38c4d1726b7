package media_test

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"

	"airgap/transfer"
	"airgap/transfer/media"
	"airgap/transfer/transfertest"
)

func target(dir string) transfertest.Target {
	return transfertest.Target{Dir: dir, Open: func(*testing.T) (transfer.Place, error) { return media.Open(dir) }}
}

func TestSuite(t *testing.T) {
	transfertest.Suite{New: func(t *testing.T) transfertest.Target { return target(t.TempDir()) }}.Run(t)
}

// TestFull is a medium without room: refused before the first byte where that
// is known, and when it runs full where it was not.
func TestFull(t *testing.T) {
	if runtime.GOOS != "linux" || os.Getuid() != 0 {
		t.Skip("SKIPPED for want of a small file system: needs root on Linux")
	}
	dir := t.TempDir()
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", dir).CombinedOutput(); err != nil {
		t.Skipf("SKIPPED for want of a small file system: %s", out)
	}
	t.Cleanup(func() { exec.Command("umount", dir).Run() })
	f, _ := transfertest.Content("bundle", 8<<20)
	p, err := media.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	var full *transfer.NoSpaceError
	if _, err := transfer.Send(t.Context(), p, f, transfer.SendOptions{}); !errors.As(err, &full) || full.Free > 4<<20 {
		t.Errorf("error %v", err)
	}
	if _, err := transfer.Send(t.Context(), blind{p}, f, transfer.SendOptions{}); !errors.As(err, &full) {
		t.Errorf("error %v", err)
	}
	if _, err := transfer.SendStream(t.Context(), p, f.Name, io.NewSectionReader(f.Data, 0, f.Size), transfer.SendOptions{}); !errors.As(err, &full) || full.Need <= 3<<20 {
		t.Errorf("error %v", err)
	}
	transfertest.Only(t, dir)
}

// blind does not know how much room there is.
type blind struct{ transfer.Place }

func (b blind) Find(ctx context.Context, f transfer.File) (transfer.Found, error) {
	found, err := b.Place.Find(ctx, f)
	found.Free = -1
	return found, err
}

// TestLyingMedium stores other bytes than it was given.
func TestLyingMedium(t *testing.T) {
	dir := t.TempDir()
	p, err := media.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	f, _ := transfertest.Content("bundle", 1<<20)
	var medium *transfer.MediumError
	if _, err := transfer.Send(t.Context(), &liar{p, filepath.Join(dir, f.Partial(f.Name))}, f, transfer.SendOptions{}); !errors.As(err, &medium) {
		t.Errorf("error %v", err)
	}
	transfertest.Only(t, dir)
}

// liar changes a byte behind the back of the place.
type liar struct {
	transfer.Place
	path string
}

func (l *liar) Write(ctx context.Context, off int64, data io.Reader) error {
	if err := l.Place.Write(ctx, off, data); err != nil {
		return err
	}
	f, err := os.OpenFile(l.path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteAt([]byte("lie"), 1000)
	return errors.Join(err, f.Sync(), f.Close())
}

// TestModes gives a file and its sums the mode that new files have here.
func TestModes(t *testing.T) {
	dir := t.TempDir()
	plain := filepath.Join(dir, "plain")
	if err := os.WriteFile(plain, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	place, err := media.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	f, _ := transfertest.Content("bundle", 1000)
	if _, err := transfer.Send(t.Context(), place, f, transfer.SendOptions{}); err != nil {
		t.Fatal(err)
	}
	want, err := os.Stat(plain)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{f.Name, f.Name + ".sha256"} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Mode() != want.Mode() {
			t.Errorf("%s has mode %v, %v; expected %v", name, info.Mode(), err, want.Mode())
		}
	}
}

// TestNarrow: what is sent is for nobody whom the file here is not for, nor the one
// whose place it takes.
func TestNarrow(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("SKIPPED: Windows has no such modes")
	}
	for name, c := range map[string]struct{ old, mode, want os.FileMode }{
		"source": {0, 0o600, 0o600}, "older": {0o600, 0o644, 0o600}, "both": {0o640, 0o604, 0o600}, "wider": {0o777, 0o755, 0o644},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			f, raw := transfertest.Content("bundle", 1000)
			f.Mode = c.mode
			if c.old != 0 {
				for _, name := range []string{"bundle", "bundle.sha256"} {
					if err := errors.Join(os.WriteFile(filepath.Join(dir, name), []byte("older"), 0o644), os.Chmod(filepath.Join(dir, name), c.old)); err != nil {
						t.Fatal(err)
					}
				}
			}
			place, err := media.Open(dir)
			if err == nil {
				_, err = transfer.Send(t.Context(), place, f, transfer.SendOptions{})
			}
			if err != nil {
				t.Fatal(err)
			}
			transfertest.Arrived(t, dir, f, raw)
			for _, name := range []string{f.Name, f.Name + ".sha256"} {
				if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Mode()&^c.want != 0 || info.Mode()&0o600 != 0o600 {
					t.Errorf("%s has mode %v, %v; expected %v at most", name, info.Mode(), err, c.want)
				}
			}
		})
	}
}
