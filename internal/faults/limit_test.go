//go:build linux

package faults_test

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"airgap/transfer"
	"airgap/transfer/media"
	"airgap/transfer/volume"
)

// TestSizeLimit (F9) sends to where files are limited to 8 MiB: the limit is
// found, the bundle cut, and with parity one of the volumes may be lost.
func TestSizeLimit(t *testing.T) {
	for lost, want := range map[string]int{"": 0, ".002": exitDamaged, ".par": 0} {
		dir := folder(t)
		// The parity waits in a file, too, for which the same limit holds.
		status, text := run(t, "bash", "-c", `ulimit -f 8192 && exec "$@"`, "-", world.airgap, "send", "--parity", "50%", dir)
		if status != 0 {
			t.Fatalf("status %d:\n%s", status, text)
		}
		if lost != "" {
			must(t, "rm", filepath.Join(dir, bundleName+lost))
		}
		ends(t, want, "", "verify", dir)
		ends(t, 0, "verified and imported", "unpack", "--to", "oci:"+filepath.Join(folder(t), "layout"), dir)
	}
}

// noise is bytes without end, of which each is known by its place.
type noise struct{ size int64 }

func (n noise) ReadAt(p []byte, off int64) (int, error) {
	if off >= n.size {
		return 0, io.EOF
	}
	p = p[:min(int64(len(p)), n.size-off)]
	var word [8]byte
	for i := 0; i < len(p); {
		at := off + int64(i)
		x := uint64(at/8) * 0x9e3779b97f4a7c15
		x ^= x >> 29
		if at%8 == 0 && len(p)-i >= 8 {
			binary.LittleEndian.PutUint64(p[i:], x)
			i += 8
			continue
		}
		binary.LittleEndian.PutUint64(word[:], x)
		i += copy(p[i:], word[at%8:])
	}
	return len(p), nil
}

func (n noise) sum(t *testing.T, r io.ReaderAt) string {
	t.Helper()
	h := sha256.New()
	if _, err := io.CopyBuffer(h, io.NewSectionReader(r, 0, n.size), make([]byte, 1<<20)); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%x", h.Sum(nil))
}

// TestFourGiB (F9) cuts a file of 9 GiB for a file system whose files have less
// than 4 GiB, loses a volume, and reads all of it. The short form is a
// hundredth of it.
func TestFourGiB(t *testing.T) {
	limit, data := int64(math.MaxUint32), noise{9 << 30}
	if !long() {
		limit, data = limit/100, noise{data.size / 100}
	}
	dir := folder(t)
	limited(t, limit)
	p, err := media.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	f := transfer.File{Name: "bundle", Size: data.size, SHA256: data.sum(t, data), Data: data}
	found, err := p.Find(t.Context(), f)
	if err != nil || found.Limit != limit {
		t.Fatalf("limit %d found, %v", found.Limit, err)
	}
	sendParts(t, p, f, volume.Layout{Size: found.Limit, Parity: 15, TempDir: world.dir})
	must(t, "rm", filepath.Join(dir, "bundle.003"))
	set, err := volume.Open(t.Context(), dir, "bundle", volume.OpenOptions{TempDir: world.dir})
	if err != nil {
		t.Fatal(err)
	}
	defer set.Close()
	if got := data.sum(t, set); got != f.SHA256 {
		t.Errorf("read as sha256 %s, expected %s", got, f.SHA256)
	}
	t.Logf("F9: %d bytes, at most %d a file, one of 3 volumes lost: read whole, %d shards rebuilt", data.size, limit, set.Rebuilt())
}

// limited sets the limit of this process.
func limited(t *testing.T, limit int64) {
	t.Helper()
	var before unix.Rlimit
	err := unix.Getrlimit(unix.RLIMIT_FSIZE, &before)
	if err := errors.Join(err, unix.Setrlimit(unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: uint64(limit), Max: before.Max})); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &before); err != nil {
			t.Error(err)
		}
	})
}

func sendParts(t *testing.T, p transfer.Place, f transfer.File, l volume.Layout) {
	t.Helper()
	parts, err := volume.Split(context.WithoutCancel(t.Context()), f, l)
	if err != nil {
		t.Fatal(err)
	}
	defer parts.Close()
	for _, part := range parts.Files {
		if _, err := transfer.Send(t.Context(), p, part, transfer.SendOptions{}); err != nil {
			t.Fatal(err)
		}
	}
}
