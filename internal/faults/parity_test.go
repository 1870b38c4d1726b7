//go:build linux

package faults_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"airgap/internal/seed"
	"airgap/transfer"
	"airgap/transfer/media"
	"airgap/transfer/transfertest"
	"airgap/transfer/volume"
	"airgap/transfer/volume/parity"
)

// TestParity (F29) damages files at random: shards, bursts, whole volumes. What
// the parity is enough for is read whole; of anything else is told how much more
// is needed. Other bytes are never read.
func TestParity(t *testing.T) {
	f, raw := transfertest.Content("bundle", 16<<20+1234)
	clean := folder(t)
	p, err := media.Open(clean)
	if err != nil {
		t.Fatal(err)
	}
	sendParts(t, p, f, volume.Layout{Size: 2 << 20, Parity: 20, TempDir: world.dir})
	whole, refused, shards := 0, 0, 0
	n, random := times(30, 1000), seed.Random(t)
	for range n {
		dir := folder(t)
		must(t, "cp", "-r", clean+"/.", dir)
		inBudget, lost := harm(t, random, dir)
		shards += lost
		switch text, err := readAll(t, dir); {
		case err == nil && text == string(raw):
			whole++
		case err == nil:
			t.Error("other bytes were read")
		case inBudget:
			t.Errorf("within the budget: %v", err)
		case !tellsMore(err):
			t.Errorf("beyond the budget: %v", err)
		default:
			refused++
		}
		must(t, "rm", "-r", dir)
	}
	t.Logf("F29: %d sets, %d shards and 64 KiB pieces lost: %d read whole, %d refused, wrong results 0", n, shards, whole, refused)
	if whole == 0 || refused == 0 {
		t.Error("the damage is all of one kind")
	}
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

func readAll(t *testing.T, dir string) (string, error) {
	t.Helper()
	set, err := volume.Open(t.Context(), dir, "bundle", volume.OpenOptions{TempDir: world.dir})
	if err != nil {
		return "", err
	}
	defer set.Close()
	got := make([]byte, set.Size())
	_, err = set.ReadAt(got, 0)
	return string(got), err
}

// tellsMore says whether an error tells how much more is needed.
func tellsMore(err error) bool {
	var tooDamaged *parity.TooDamagedError
	var incomplete *volume.IncompleteError
	return errors.As(err, &tooDamaged) && tooDamaged.Need > tooDamaged.Good || errors.As(err, &incomplete)
}

// harm damages a copy of the set: 257 data shards in 2 groups, 52 of whose
// shards are parity.
func harm(t *testing.T, random *rand.Rand, dir string) (inBudget bool, shards int) {
	t.Helper()
	const volumes, each = 9, 31 // shards of a volume
	switch random.IntN(4) {
	case 0: // single shards
		n := 1 + random.IntN(40)
		for range n {
			xor(t, volumeFile(dir, 1+random.IntN(volumes-1)), random.Int64N(each<<16), 1)
		}
		return n <= 26, n
	case 1: // a burst
		n := 1 + random.IntN(each)
		blank(t, volumeFile(dir, 1+random.IntN(volumes-1)), int64(random.IntN(each-n+1))<<16, n<<16)
		return true, n
	case 2: // one volume is lost
		must(t, "rm", volumeFile(dir, 1+random.IntN(volumes)))
		return true, each
	}
	list := random.Perm(volumes)[:2+random.IntN(3)] // several are
	for _, i := range list {
		must(t, "rm", volumeFile(dir, i+1))
	}
	return false, each * len(list)
}

func volumeFile(dir string, n int) string { return filepath.Join(dir, fmt.Sprintf("bundle.%03d", n)) }

func blank(t *testing.T, path string, at int64, n int) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt(make([]byte, n), at); err != nil {
		t.Fatal(err)
	}
}
