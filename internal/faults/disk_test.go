//go:build linux

package faults_test

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// disk is an ext4 file system in a file, which can be pulled and damaged.
type disk struct {
	image, dir string
	pulled     bool
}

// newDisk makes one of so many MiB in a file below dir.
func newDisk(t *testing.T, dir, mib string) *disk {
	t.Helper()
	needRoot(t, "loop")
	mkfs := need(t, "loop", "mkfs.ext4")
	d := &disk{image: filepath.Join(dir, "image"), dir: folder(t)}
	must(t, "truncate", "-s", mib+"M", d.image)
	must(t, mkfs, "-q", "-m", "0", "-E", "lazy_itable_init=1,lazy_journal_init=1", d.image)
	d.mount(t)
	t.Cleanup(func() { d.umount(t) })
	return d
}

func (d *disk) mount(t *testing.T) {
	t.Helper()
	must(t, "mount", "-o", "loop", d.image, d.dir)
	d.pulled = false
}

func (d *disk) umount(t *testing.T) {
	t.Helper()
	if !d.pulled {
		must(t, "umount", d.dir)
	}
	d.pulled = true
}

// cut ends all writing to the disk at once, as when the power fails: what is not
// on it by now is lost, its journal's memory included.
func (d *disk) cut(t *testing.T) {
	t.Helper()
	f, err := os.Open(d.dir)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	const ext4Shutdown, noLogFlush = 0x8004587d, 2
	how := uint32(noLogFlush)
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, f.Fd(), ext4Shutdown, uintptr(unsafe.Pointer(&how))); errno != 0 {
		missing(t, "loop", "this kernel does not shut ext4 down: "+errno.Error())
	}
}

// replug takes the disk out and puts it in again.
func (d *disk) replug(t *testing.T) {
	t.Helper()
	d.umount(t)
	d.mount(t)
}

// flip changes a random bit of what is on the disk of raw, behind its back, and
// gives the place in the image.
func (d *disk) flip(t *testing.T, random *rand.Rand, raw []byte) int64 {
	t.Helper()
	image, err := os.ReadFile(d.image)
	if err != nil {
		t.Fatal(err)
	}
	at := random.IntN(len(raw) - 64)
	found := bytes.Index(image, raw[at:at+64])
	if found < 0 {
		at &^= 4095 // extents begin with blocks
		found = bytes.Index(image, raw[at:at+64])
	}
	if found < 0 {
		t.Fatal("what was written is not in the image")
	}
	xor(t, d.image, int64(found), 1<<random.IntN(8))
	return int64(found)
}

// xor changes bits of a file.
func xor(t *testing.T, path string, at int64, bits byte) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var b [1]byte
	if _, err := f.ReadAt(b[:], at); err != nil {
		t.Fatal(err)
	}
	b[0] ^= bits
	if _, err := f.WriteAt(b[:], at); err != nil {
		t.Fatal(err)
	}
}

// newMemory is a file system in memory, of a size such as 8m.
func newMemory(t *testing.T, size string) string {
	t.Helper()
	needRoot(t, "loop")
	dir := folder(t)
	must(t, "mount", "-t", "tmpfs", "-o", "size="+size, "tmpfs", dir)
	t.Cleanup(func() { must(t, "umount", dir) })
	return dir
}
