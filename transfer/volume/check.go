package volume

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"slices"

	"airgap/transfer"
	"airgap/transfer/volume/parity"
)

// Check reads everything once, parity included, and tells what is missing,
// damaged, renamed or another's; progress, which may be nil, hears of bytes. Its
// error is that of not being able to check; what is wrong with the set is
// Report.Err's.
func (s *Set) Check(ctx context.Context, progress func(n int64)) (_ Report, err error) {
	defer wrap(&err, "checking volumes of", s.name)
	if progress == nil {
		progress = func(int64) {}
	}
	if s.table == nil {
		return s.checkPlain(ctx, progress)
	}
	damage, err := parity.Scan(ctx, s.par.geometry(), s.table, s.source(), progress)
	if err := errors.Join(err, s.wasRefused()); err != nil {
		return Report{}, err
	}
	return s.found(ctx, damage)
}

// SumParity makes the sum of a parity file and proves on the way, by what the file
// says of itself, that it is as it was made. It is a *DamagedError if it is not, or
// cannot be read. progress hears of bytes.
func SumParity(ctx context.Context, f io.ReaderAt, size int64, progress func(n int64)) (string, error) {
	first, err1 := block(f, 0)
	last, err2 := block(f, size-FooterSize)
	err := errors.Join(err1, err2)
	if err == nil && (first.Parity == nil || !bytes.Equal(first.text(), last.text()) || size != first.fileSize()) {
		err = errors.New("its two blocks are not of one file of parity")
	}
	if err != nil {
		return "", &DamagedError{err}
	}
	whole, body := sha256.New(), sha256.New()
	data := io.TeeReader(transfer.ContextReader(ctx, stretch(f, 0, size)), io.MultiWriter(whole, progressWriter(progress)))
	_, err1 = io.CopyN(io.Discard, data, FooterSize)
	_, err2 = io.CopyN(body, data, size-2*FooterSize)
	_, err = io.Copy(io.Discard, data)
	if ctx.Err() != nil {
		return "", context.Cause(ctx)
	}
	if err := errors.Join(err1, err2, err); err != nil {
		return "", &DamagedError{err}
	}
	if hexSum(body) != first.SHA256 {
		return "", &DamagedError{errors.New("it has another sum than its blocks say")}
	}
	return hexSum(whole), nil
}

// checkPlain compares each slice with its footer's hash, and all of them with
// that of the whole.
func (s *Set) checkPlain(ctx context.Context, progress func(int64)) (Report, error) {
	whole, complete := sha256.New(), true
	damaged := map[int]bool{}
	for n := 1; n <= max(s.count(), s.group.last()); n++ {
		ok, err := s.checkSlice(ctx, n, whole, progress)
		if err != nil {
			return Report{}, err
		}
		complete = complete && ok
		damaged[n] = !ok
	}
	r := s.report()
	for _, n := range r.There {
		if damaged[n] && !slices.Contains(r.Damaged, n) {
			r.Damaged = append(r.Damaged, n)
		}
	}
	slices.Sort(r.Damaged)
	r.Mixed = complete && s.whole != nil && hexSum(whole) != s.whole.SHA256
	return r, nil
}

// checkSlice says whether a volume's bytes are its footer's. Its errors are of
// ctx and of nobody bringing the volume.
func (s *Set) checkSlice(ctx context.Context, n int, whole hash.Hash, progress func(int64)) (bool, error) {
	s.mu.Lock()
	_, err := s.fetch(n)
	e := s.group.data[n]
	refused := s.refused
	s.mu.Unlock()
	if err != nil || refused != nil {
		return false, refused
	}
	length := s.Size()
	if e.footer != nil {
		length = e.footer.Length
	}
	h := sha256.New()
	data := transfer.ContextReader(ctx, stretch(volumeAt{s, n}, 0, length))
	k, err := io.CopyBuffer(io.MultiWriter(h, whole, progressWriter(progress)), data, make([]byte, 1<<20))
	if ctx.Err() != nil {
		return false, context.Cause(ctx)
	}
	want := s.SHA256()
	if e.footer != nil {
		want = e.footer.SHA256
	}
	return err == nil && k == length && hexSum(h) == want, nil
}

// found sorts damaged shards by the files that they are in. Its error is ctx's.
func (s *Set) found(ctx context.Context, d parity.Damage) (Report, error) {
	r := s.report()
	r.Damaged = with(r.Damaged, r.Missing, filesOf(d.Data, s.plan()))
	p := r.Parity
	p.Damaged = with(p.Damaged, p.Missing, filesOf(d.Parity, s.parityPlan()))
	for n := range s.group.parity {
		if !slices.Contains(p.Damaged, n) && s.checkFrame(ctx, n) != nil {
			p.Damaged = with(p.Damaged, p.Missing, []int{n})
		}
	}
	p.Lost, p.Short = d.Bytes, d.Short
	return r, context.Cause(ctx)
}

// with adds numbers that are not in the list, nor missing altogether.
func with(list, missing, more []int) []int {
	for _, n := range more {
		if !slices.Contains(list, n) && !slices.Contains(missing, n) {
			list = append(list, n)
		}
	}
	slices.Sort(list)
	return list
}

// filesOf says which files of a cut the shards are in.
func filesOf(ranges []parity.Range, c plan) []int {
	var files []int
	if len(ranges) > 0 && c.slice == 0 {
		return []int{1}
	}
	for _, r := range ranges {
		for n := int(r.First*Shard/c.slice) + 1; n <= int((r.First+r.Count-1)*Shard/c.slice)+1; n++ {
			files = append(files, n)
		}
	}
	slices.Sort(files)
	return slices.Compact(files)
}

// checkFrame compares what is around the shards of a parity file: both blocks
// and both copies of the table.
func (s *Set) checkFrame(ctx context.Context, n int) error {
	e := s.group.parity[n]
	if !e.fits() {
		return errNoFooter
	}
	block, err := e.footer.Marshal()
	if err != nil {
		return err
	}
	want := append(joined{memory(block), memory(s.table.Marshal())}, memory(s.table.Marshal()), memory(block))
	have := s.frame(n)
	a, b := make([]byte, 64<<10), make([]byte, 64<<10)
	for off := int64(0); off < want.size(); off += int64(len(a)) {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		k, _ := want.ReadAt(a, off)
		if m, err := have.ReadAt(b[:k], off); m < k {
			return short(err)
		}
		if !bytes.Equal(a[:k], b[:k]) {
			return fmt.Errorf("parity file %d: its table differs", n)
		}
	}
	return nil
}

// frame is the stretches of a parity file around the shards.
func (s *Set) frame(n int) joined {
	start := s.bodyStart(-n)
	return joined{stretch(volumeAt{s, -n}, 0, start), stretch(volumeAt{s, -n}, start+s.parityLength(n), start)}
}
