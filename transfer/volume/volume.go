// Package volume cuts one opaque file into volumes for media that cannot hold
// it whole, and reads a set of volumes where they are, without joining them.
// With parity it reads what is damaged or lost, too, and repairs it on disk.
// VOLUMES.md has the format; it does not matter to it what is in the file.
//
// [Split] cuts a file that is there, a [Writer] one that is only being written.
// [Open] reads a set: volumes are known by their footers and never by their
// names alone, so that no other order, no other set and no rest of an earlier
// run is taken for this one. It writes nothing into the folder; only
// [Set.Repair] does.
//
// The errors that callers branch on are [*IncompleteError], [*ChoiceError],
// [*DamagedError], [ErrNewer] and [transfer.ChangedError].
package volume

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"airgap/transfer/volume/parity"
)

// Shard is what slices are multiples of, in bytes: no shard of the parity is
// on two volumes.
const Shard = parity.Shard

// plan is how a file is cut: into slices of so many bytes, or not at all.
type plan struct {
	total int64
	slice int64 // 0: not cut
}

// planFor plans volumes of size bytes each, footers included.
func planFor(total, size int64) (plan, error) {
	slice, err := sliceFor(size)
	if err != nil || size == 0 || total <= size {
		return plan{total: total}, err
	}
	p := plan{total, slice}
	if p.count() > maxFiles {
		return plan{}, fmt.Errorf("volumes of %d bytes are too small for %d bytes: there would be %d", size, total, p.count())
	}
	return p, nil
}

// sliceFor is how much of the file a volume of size bytes takes.
func sliceFor(size int64) (int64, error) {
	if size != 0 && size < MinSize {
		return 0, fmt.Errorf("a volume of %d bytes is too small: the least is %d", size, MinSize)
	}
	return (size - FooterSize) / Shard * Shard, nil
}

func (p plan) count() int {
	if p.slice == 0 {
		return 1
	}
	return int(min((p.total-1)/p.slice+1, maxFiles+1))
}

// at is the stretch of volume number n.
func (p plan) at(n int) (off, length int64) {
	if p.slice == 0 {
		return 0, p.total
	}
	off = int64(n-1) * p.slice
	return off, min(p.slice, p.total-off)
}

// name is the name that volume number n is given.
func (p plan) name(name string, n int) string {
	if p.slice == 0 {
		return name
	}
	return volumeName(name, n)
}

func volumeName(name string, n int) string { return fmt.Sprintf("%s.%03d", name, n) }

func parityName(name string, n, files int) string {
	if files == 1 {
		return name + ".par"
	}
	return fmt.Sprintf("%s.par%03d", name, n)
}

// setID names a cut of known bytes, the same one each time, so that what is
// there already is recognised.
func setID(whole string, p plan, percent int) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "airgap set 1\n%s %d %d\n", whole, p.slice, percent))
	return hex.EncodeToString(sum[:16])
}
