package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"airgap/cmd/airgap/internal/ui"
	"airgap/transfer"
	"airgap/transfer/media"
)

// full is a folder with room for so many bytes.
type full struct {
	*media.Folder
	dir  string
	room int64
}

func (f full) Find(ctx context.Context, file transfer.File) (transfer.Found, error) {
	found, err := f.Folder.Find(ctx, file)
	found.Free = f.room
	entries, _ := os.ReadDir(f.dir)
	for _, e := range entries {
		if info, err := e.Info(); err == nil {
			found.Free -= info.Size()
		}
	}
	return found, err
}

// sendFull sends mine to usb, where there is so much room, and answers what it says.
func sendFull(t *testing.T, cut cutOptions, room int64) (said string, err error) {
	t.Helper()
	stderr := new(bytes.Buffer)
	err = sendSaying(t, stderr, filepath.Join("mine", defaultBundle), cut, func(f *media.Folder) transfer.Place { return full{f, "usb", room} })
	return stderr.String(), err
}

// TestLeftIsRoom: what a send that was broken off has left of a bundle is room for it
// in any shape; what stays is named where there is none; and what could not be sent
// all the same changes nothing.
func TestLeftIsRoom(t *testing.T) {
	t.Chdir(t.TempDir())
	packLarge(t, "mine", 2_500_000)
	raw, err := os.ReadFile(filepath.Join("mine", defaultBundle))
	if err != nil {
		t.Fatal(err)
	}
	whole := transfer.File{Name: defaultBundle, SHA256: strings.Repeat("0a1b2c3d", 8)}
	other := transfer.File{Name: defaultBundle + ".003", SHA256: whole.SHA256}
	room := int64(len(raw)) + 300_000 // for footers, sums and locks
	left := func(f transfer.File) string {
		os.RemoveAll("usb")
		mustMkdir(t, "usb")
		path := filepath.Join("usb", f.Partial(f.Name))
		if err := os.WriteFile(path, raw[:1_500_000], 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for _, c := range []struct {
		left transfer.File
		cut  cutOptions
	}{{whole, cutOptions{size: 1 << 20}}, {other, cutOptions{size: 2 << 20}}, {other, cutOptions{}}, {whole, cutOptions{}}} {
		path := left(c.left)
		if said, err := sendFull(t, c.cut, 1_600_000); err == nil || !strings.Contains(err.Error(), "not enough space") {
			t.Errorf("%s: it says %s, %v", path, said, err)
		}
		if _, err := os.Stat(path); err != nil {
			t.Errorf("%s has gone for nothing", path)
		}
		said, err := sendFull(t, c.cut, room)
		if err != nil || !strings.Contains(said, "removed "+filepath.Base(path)) {
			t.Errorf("%s: it says %s, %v", path, said, err)
		}
		mustEnd(t, ui.OK, "verify", "usb")
		if hidden, _ := filepath.Glob("usb/.*"); len(hidden) > 0 {
			t.Errorf("left: %v", hidden)
		}
	}

	// Somebody is writing it.
	path := left(other)
	folder, err := media.Open("usb")
	if err != nil {
		t.Fatal(err)
	}
	defer folder.Close()
	_, unlock, err := folder.Lock(t.Context(), other, transfer.LockOptions{Owner: "another"})
	if err != nil {
		t.Fatal(err)
	}
	if said, err := sendFull(t, cutOptions{}, room); err == nil || !strings.Contains(err.Error(), "beside "+filepath.Base(path)+" (1500000 bytes), which is being written") {
		t.Errorf("it says %s, %v", said, err)
	}
	unlock()
	if said, err := sendFull(t, cutOptions{}, room); err != nil {
		t.Errorf("it says %s, %v", said, err)
	}

	// Volumes stay until the whole is there.
	os.RemoveAll("usb")
	mustMkdir(t, "usb")
	mustEnd(t, ui.OK, "send", filepath.Join("mine", defaultBundle), "usb", "--volume-size", "1MiB")
	s := newSender(t, newTestEnv(), filepath.Join("mine", defaultBundle), cutOptions{})
	w := &way{sender: s, dest: "usb", place: full{folderAt(t, "usb"), "usb", room}}
	_, err = w.carry(t.Context(), func(string, int64) *ui.Progress { return s.env.Progress("sending", 0) })
	if err = w.nameEarlier(t.Context(), err); err == nil || !strings.Contains(err.Error(), "beside "+defaultBundle+".001 (") {
		t.Error(err)
	}
}

func newTestEnv() *ui.Env {
	env, _, _ := newEnv()
	return env
}

func folderAt(t *testing.T, dir string) *media.Folder {
	t.Helper()
	folder, err := media.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return folder
}
