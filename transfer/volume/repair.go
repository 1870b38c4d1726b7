package volume

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"airgap/internal/scratch"
	"airgap/transfer"
	"airgap/transfer/volume/parity"
)

// Repair makes the set whole on disk by its parity: damaged shards are written
// where they belong, and nothing else of a file that is there; missing files are
// made in a temporary file and sent to p, which is the set's folder. All of it is
// read back by p as whatever is sent is, and the .sha256 beside it made anew.
// Interrupted, nothing is worse than before. The report is of what was found,
// with the files that are good now; its error is an *IncompleteError, and nothing
// has been written, if parity is not enough.
func (s *Set) Repair(ctx context.Context, p transfer.Place, progress func(n int64)) (_ Report, err error) {
	defer wrap(&err, "repairing volumes of", s.name)
	if s.table == nil {
		r, err := s.Check(ctx, progress)
		return r, errors.Join(err, r.Err())
	}
	m := &mender{Set: s, place: p}
	defer func() { err = errors.Join(err, m.close()) }()
	if err := m.prepare(ctx); err != nil {
		return s.report(), err
	}
	source, geometry := s.source(), s.par.geometry()
	damage, err := parity.Scan(ctx, geometry, s.table, source, progress)
	if err != nil {
		return s.report(), err
	}
	r, err := s.found(ctx, damage)
	if err == nil {
		err = m.foresee(ctx, r)
	}
	if err != nil {
		return r, err
	}
	if err := parity.Mend(ctx, geometry, s.table, source, damage, m.writer(s.plan(), 1), m.writer(s.parityPlan(), -1)); err != nil {
		return r, err
	}
	for _, key := range keysOf(r) {
		if err := m.finish(ctx, key); err != nil {
			return r, err
		}
	}
	r.Repaired = m.done
	return r, m.lookAgain()
}

// foresee says whether what will come out is known to be right, before anything
// is written: the parity is enough, and makes of each file that is there what its
// footer says of it.
func (m *mender) foresee(ctx context.Context, r Report) error {
	if r.Parity.Short > 0 {
		return &IncompleteError{r}
	}
	for _, n := range r.Damaged {
		if e, ok := m.member(n); ok && m.slice > 0 && e.footer == nil && e.size == m.whole.Total {
			return fmt.Errorf("file %q has the name of a volume and is as long as all of them: rename it first", filepath.Join(m.dir, e.name))
		}
		want := m.known(n)
		if m.slice == 0 {
			want = m.whole.SHA256
		}
		if want == "" {
			continue
		}
		off, length := m.plan().at(n)
		sum, err := hashOf(ctx, joined{stretch(m.reader, off, length)}, nil)
		if err == nil && sum != want {
			err = fmt.Errorf("file %q: repaired it would not be what it was: sha256 %s, expected %s", m.nameOf(n), sum, want)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// keysOf lists what has to be repaired: parity files are negative.
func keysOf(r Report) []int {
	keys := slices.Concat(r.Missing, r.Damaged)
	slices.Sort(keys)
	for _, n := range slices.Concat(r.Parity.Missing, r.Parity.Damaged) {
		keys = append(keys, -n)
	}
	return keys
}

// mender is one Repair.
type mender struct {
	*Set
	place transfer.Place
	files map[int]*os.File // for writing: those of the set, or temporary ones for what is missing
	made  map[int]*scratch.File
	done  []string
}

// prepare looks at the folder again, which an earlier repair may have changed,
// and sees that what is missing has a free name, and its sums have theirs.
func (m *mender) prepare(ctx context.Context) error {
	m.files, m.made = map[int]*os.File{}, map[int]*scratch.File{}
	if err := m.lookAgain(); err != nil {
		return err
	}
	for _, key := range keysOf(m.report()) {
		_, there := m.member(key)
		path := filepath.Join(m.dir, m.nameOf(key))
		if _, err := os.Lstat(path); !there && err == nil {
			return fmt.Errorf("file %q is in the way of the volume that is missing: rename it first", path)
		}
		if there {
			continue
		}
		missing := transfer.File{Name: m.nameOf(key), Temporary: "." + m.nameOf(key) + ".partial"}
		if err := transfer.MayReplace(ctx, m.place, missing, transfer.SendOptions{MayReplace: nothing}); err != nil {
			return err
		}
	}
	return nil
}

// nameOf is the name of a file of the set: the one that it has, or should have.
func (m *mender) nameOf(key int) string {
	if e, ok := m.member(key); ok {
		return e.name
	}
	if key < 0 {
		return parityName(m.name, -key, m.par.Parity.Files)
	}
	return m.plan().name(m.name, key)
}

// writable opens a file of the set for writing when the first shard of it is.
func (m *mender) writable(key int) (*os.File, error) {
	if f := m.files[key]; f != nil {
		return f, nil
	}
	if e, ok := m.member(key); ok {
		f, err := os.OpenFile(filepath.Join(m.dir, e.name), os.O_RDWR, 0)
		if err == nil {
			m.files[key] = f
		}
		return f, err
	}
	made, err := newScratch(m.o.TempDir)
	if err != nil {
		return nil, err
	}
	m.made[key], m.files[key] = made, made.File
	return made.File, nil
}

func (m *mender) close() error {
	var errs []error
	for key, f := range m.files {
		if made, ok := m.made[key]; ok {
			errs = append(errs, made.Close())
			continue
		}
		errs = append(errs, f.Close())
	}
	return errors.Join(errs...)
}

// writer writes shards of a cut to its files; sign is that of their keys.
func (m *mender) writer(c plan, sign int) io.WriterAt { return cutWriter{m, c, sign} }

type cutWriter struct {
	m    *mender
	c    plan
	sign int
}

// WriteAt writes a shard, which is in one file.
func (w cutWriter) WriteAt(p []byte, off int64) (int, error) {
	n := 1
	if w.c.slice > 0 {
		n = int(off/w.c.slice) + 1
	}
	f, err := w.m.writable(n * w.sign)
	if err != nil {
		return 0, err
	}
	first, _ := w.c.at(n)
	return f.WriteAt(p, off-first+w.m.bodyStart(n*w.sign))
}

// finish completes a file whose shards are right, and has it read back.
func (m *mender) finish(ctx context.Context, key int) error {
	f, err := m.writable(key)
	if err != nil {
		return err
	}
	if key < 0 {
		err = m.finishParity(ctx, f, -key)
	} else {
		err = m.finishVolume(ctx, f, key)
	}
	if err != nil {
		return err
	}
	return m.prove(ctx, key, f)
}

// finishVolume writes the footer.
func (m *mender) finishVolume(ctx context.Context, f *os.File, n int) error {
	off, length := m.plan().at(n)
	sum, err := hashOf(ctx, joined{stretch(f, 0, length)}, nil)
	if err != nil {
		return err
	}
	if m.slice == 0 {
		return m.end(f, length, nil, sum, m.whole.SHA256)
	}
	footer := Footer{Name: m.name, Set: m.id, File: m.file, Number: n, Offset: off, Length: length, SHA256: sum}
	if n == m.count() {
		footer.Whole = m.whole
	}
	block, err := footer.Marshal()
	if err != nil {
		return err
	}
	return m.end(f, length, block, sum, m.known(n))
}

// known is the hash that the footer of a file which is there has for it.
func (m *mender) known(key int) string {
	if e, ok := m.member(key); ok && e.footer != nil {
		return e.footer.SHA256
	}
	return ""
}

// end writes what comes behind the body, unless that came out as another than
// it was.
func (m *mender) end(f *os.File, length int64, block []byte, sum, want string) error {
	if want != "" && sum != want {
		return fmt.Errorf("file %q: it was repaired and is not what it was: sha256 %s, expected %s", f.Name(), sum, want)
	}
	_, err := f.WriteAt(block, length)
	return errors.Join(err, f.Truncate(length+int64(len(block))), f.Sync())
}

// finishParity writes tables and blocks.
func (m *mender) finishParity(ctx context.Context, f *os.File, n int) error {
	table := m.table.Marshal()
	first, length := int64(FooterSize), m.parityLength(n)
	second := m.bodyStart(-n) + length
	for _, off := range []int64{first, second} {
		if _, err := f.WriteAt(table, off); err != nil {
			return err
		}
	}
	end := second + int64(len(table))
	sum, err := hashOf(ctx, joined{stretch(f, first, end-first)}, nil)
	if err != nil {
		return err
	}
	off, _ := m.parityPlan().at(n)
	footer := m.par.parityPart(n, off, length)
	footer.SHA256 = sum
	block, err := footer.Marshal()
	if err != nil {
		return err
	}
	if err := m.end(f, end, block, sum, m.known(-n)); err != nil {
		return err
	}
	_, err = f.WriteAt(block, 0)
	return errors.Join(err, f.Sync())
}

// prove sends the file to where it is: what is there is recognised by its hash,
// read from the medium, and gets its .sha256; what is missing is written.
func (m *mender) prove(ctx context.Context, key int, f *os.File) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	file := transfer.File{Name: m.nameOf(key), Size: info.Size(), Data: f}
	if file.SHA256, err = hashOf(ctx, joined{stretch(f, 0, file.Size)}, nil); err != nil {
		return err
	}
	var o transfer.SendOptions
	if m.made[key] != nil { // its name was free
		o.MayReplace = nothing
	}
	if _, err := transfer.Send(ctx, m.place, file, o); err != nil {
		return err
	}
	m.done = append(m.done, file.Name)
	return nil
}

// nothing may be replaced.
func nothing(io.ReaderAt, int64) (bool, error) { return false, nil }

func (m *mender) lookAgain() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closeFiles()
	return m.look()
}
