//go:build linux

package faults_test

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"testing"
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

// TestFourGiB (F9) packs 9 GiB straight onto a stick whose files have less than
// 4 GiB, loses a volume that is full, unpacks what is left, and repairs it. The
// short form is a hundredth of it, cut as it is told.
func TestFourGiB(t *testing.T) {
	const files = 9
	full, size, cut := int64(math.MaxUint32), int64(1<<30), []string(nil)
	if !long() {
		full, size = full/100, size/100
		cut = []string{"--volume-size", strconv.FormatInt(full, 10)}
	}
	s, from, to := newStick(t), folder(t), folder(t)
	sums := map[string]string{}
	for i := range files {
		name := fmt.Sprintf("part-%d", i)
		sums[name] = written(t, filepath.Join(from, name), part{noise{files * size}, int64(i) * size, size})
	}
	ends(t, 0, "packed", append([]string{"pack", "oci:images", "--include-files", from, "--parity", "50%", "-o", s.dir}, cut...)...)
	must(t, "rm", "-r", from)
	lost := filepath.Join(s.on, bundleName+".002")
	was := sizeOf(lost)
	if was > full || was < full/100*99 {
		t.Fatalf("the volume that is to be lost has %d bytes; the stick has %q", was, list(t, s.on))
	}
	must(t, "rm", lost)
	ends(t, 0, "verified", "unpack", "--to", "oci:"+filepath.Join(to, "layout"), "--files", to, s.dir)
	for name, sum := range sums {
		if got := summed(t, filepath.Join(to, filepath.Base(from), name)); got != sum {
			t.Errorf("%s came as sha256 %s, expected %s", name, got, sum)
		}
	}
	ends(t, 0, "", "repair", s.dir)
	if got := sizeOf(lost); got != was {
		t.Errorf("repaired, the volume has %d bytes", got)
	}
	ends(t, 0, "", "verify", s.dir)
	t.Logf("F9: a bundle of %d bytes, less than 4 GiB a file, a volume of %d lost: unpacked and repaired, wrong results 0", files*size, was)
}

// sizeOf is a file's size, or -1.
func sizeOf(path string) int64 {
	info, err := os.Stat(path)
	if err != nil {
		return -1
	}
	return info.Size()
}

// part is a part of the noise.
type part struct {
	noise
	from, size int64
}

// written writes it to a file, and gives its sum.
func written(t *testing.T, path string, p part) string {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	h := sha256.New()
	_, err = io.CopyBuffer(io.MultiWriter(f, h), io.NewSectionReader(p, p.from, p.size), make([]byte, 1<<20))
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%x", h.Sum(nil))
}

// summed is the sum of a file.
func summed(t *testing.T, path string) string {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%x", h.Sum(nil))
}
