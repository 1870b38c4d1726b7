//go:build linux

package faults_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"airgap/internal/seed"
	"airgap/transfer"
	"airgap/transfer/media"
	"airgap/transfer/transfertest"
)

// TestReadErrors (F5) has the end of the bundle unreadable on the medium: that
// is said, with the path; with parity it is read nevertheless.
func TestReadErrors(t *testing.T) {
	s, d := bundleOf(t), newDisk(t, folder(t), "128")
	ends(t, 0, "", "send", "--parity", "20%", d.dir)
	path := filepath.Join(d.dir, bundleName)
	from, blocks := extents(t, path)
	forgotten(t, path)
	// What is behind the end of the image cannot be read. Nothing may be written,
	// not even that something was read: the image would grow again.
	must(t, "mount", "-o", "remount,ro", d.dir)
	end := (from + blocks - blocks/20) * 4096
	kept := cutOff(t, d.image, end)
	if _, err := os.ReadFile(path); !errors.Is(err, unix.EIO) {
		t.Fatalf("the medium can be read: %v", err)
	}
	ends(t, 0, "", "unpack", "--to", "oci:"+filepath.Join(folder(t), "layout"), d.dir)
	ends(t, exitDamaged, "damaged: 1", "verify", d.dir)
	bare := filepath.Join(folder(t), bundleName)
	if err := os.Symlink(path, bare); err != nil {
		t.Fatal(err)
	}
	ends(t, exitMedium, bundleName, "verify", bare)
	ends(t, exitMedium, bundleName, "unpack", "--to", "oci:"+filepath.Join(folder(t), "layout"), bare)
	put(t, d.image+".end", kept)
	must(t, "sh", "-c", "cat "+d.image+".end >> "+d.image)
	d.replug(t)
	s.readable(t, path)
	t.Log("F5: an unreadable twentieth: told by name; read on with parity")
}

func (s sample) readable(t *testing.T, path string) {
	t.Helper()
	if raw, err := os.ReadFile(path); err != nil || !bytes.Equal(raw, s.raw) {
		t.Errorf("%s: %d bytes, %v", path, len(raw), err)
	}
}

// cutOff cuts the end off an image, and gives it.
func cutOff(t *testing.T, image string, at int64) []byte {
	t.Helper()
	f, err := os.OpenFile(image, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	kept, err := io.ReadAll(io.NewSectionReader(f, at, 1<<40))
	if err := errors.Join(err, f.Truncate(at)); err != nil {
		t.Fatal(err)
	}
	return kept
}

// extents is where the last stretch of a file is on its disk, in blocks.
func extents(t *testing.T, path string) (from, blocks int64) {
	t.Helper()
	text := must(t, need(t, "loop", "filefrag"), "-v", "-b4096", path)
	lines := regexp.MustCompile(`(?m)^ *\d+: +\d+\.\. +\d+: +(\d+)\.\. +(\d+): +(\d+):`).FindAllStringSubmatch(text, -1)
	if len(lines) == 0 {
		t.Fatalf("filefrag says\n%s", text)
	}
	last := lines[len(lines)-1]
	from, _ = strconv.ParseInt(last[1], 10, 64)
	blocks, _ = strconv.ParseInt(last[3], 10, 64)
	return from, blocks
}

// forgotten has the page cache forget a file.
func forgotten(t *testing.T, path string) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := errors.Join(f.Sync(), unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED)); err != nil {
		t.Fatal(err)
	}
}

// TestBitFlips (F6) flips bits on the medium while it is unplugged: each is
// detected, and repaired by the parity.
func TestBitFlips(t *testing.T) {
	s, d := bundleOf(t), newDisk(t, folder(t), "64")
	path := filepath.Join(d.dir, bundleName)
	ends(t, 0, "", "send", "--parity", "10%", d.dir)
	n, random := times(20, 100), seed.Random(t)
	for range n {
		d.umount(t)
		at := d.flip(t, random, s.raw)
		d.mount(t)
		if raw, err := os.ReadFile(path); err != nil || bytes.Equal(raw, s.raw) {
			t.Fatalf("the flip at %d of the image has not hit, %v", at, err)
		}
		ends(t, exitDamaged, "", "verify", d.dir)
		ends(t, 0, "repaired", "repair", d.dir)
		s.readable(t, path)
	}
	ends(t, 0, "verified", "verify", d.dir)
	t.Logf("F6: %d bits flipped, %d detected, %d repaired", n, n, n)
}

// TestCounterfeit (F7, F14) sends to media that say they have room and do not
// store what they are given.
func TestCounterfeit(t *testing.T) {
	s, n := bundleOf(t), times(20, 100)
	for range n {
		func() {
			d := newDisk(t, newMemory(t, "8m"), "256")
			defer d.umount(t)
			status, text := airgap(t, "send", d.dir)
			if status != exitMedium || strings.Contains(text, "sent, ") {
				t.Errorf("status %d:\n%s", status, text)
			}
			if there, _ := s.final(t, d.dir); there {
				t.Error("it has the final name")
			}
		}()
	}
	t.Logf("F7, F14: %d media that store nothing beyond their size, %d detected", n, n)
}

// forger is a medium that changes a bit of what it has stored, without an error,
// while the page cache still has what was written.
type forger struct {
	transfer.Place
	t       *testing.T
	d       *disk
	random  *rand.Rand
	raw     []byte
	partial string
}

func (f *forger) Write(ctx context.Context, off int64, data io.Reader) error {
	if err := f.Place.Write(ctx, off, data); err != nil {
		return err
	}
	f.d.flip(f.t, f.random, f.raw)
	if raw, err := os.ReadFile(f.partial); err != nil || !bytes.Equal(raw, f.raw) {
		f.t.Errorf("the page cache does not hide the damage: %d bytes, %v", len(raw), err)
	}
	return nil
}

// TestForgery (F7, F14) is a medium that stores something else, which only
// reading past the page cache shows.
func TestForgery(t *testing.T) {
	d := newDisk(t, folder(t), "64")
	n, random := times(20, 100), seed.Random(t)
	for range n {
		f, raw := transfertest.Content("bundle", 8<<20)
		p, err := media.Open(d.dir)
		if err != nil {
			t.Fatal(err)
		}
		var medium *transfer.MediumError
		forged := &forger{p, t, d, random, raw, filepath.Join(d.dir, f.Partial(f.Name))}
		if _, err := transfer.Send(t.Context(), forged, f, transfer.SendOptions{}); !errors.As(err, &medium) {
			t.Errorf("error %v", err)
		}
		if names := list(t, d.dir); len(names) > 0 {
			t.Errorf("left: %q", names)
		}
		d.replug(t)
	}
	t.Logf("F7, F14: %d silent changes behind the page cache, %d detected", n, n)
}

// TestFullDisk (F8) is a medium without room, which is known before the first
// byte; and one that others fill meanwhile.
func TestFullDisk(t *testing.T) {
	s, dir := bundleOf(t), newMemory(t, "16m")
	put(t, filepath.Join(dir, "other"), make([]byte, 6<<20))
	ends(t, exitNoSpace, "not enough space", "send", dir)
	if err := os.Truncate(filepath.Join(dir, "other"), 0); err != nil {
		t.Fatal(err)
	}
	cmd := command(t, world.airgap, "send", "--limit", "20MiB/s", dir)
	out := begun(t, cmd)
	grown(t, filepath.Join(dir, s.partial()), 1<<20)
	must(t, "fallocate", "-l", "10M", filepath.Join(dir, "other"))
	if status := finished(t, cmd, cmd.Wait()); status != exitNoSpace {
		t.Errorf("status %d:\n%s", status, out)
	}
	if names := list(t, dir); len(names) != 1 {
		t.Errorf("left: %q", names)
	}
	t.Log("F8: full before and meanwhile: told, nothing left")
}
