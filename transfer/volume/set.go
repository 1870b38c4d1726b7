package volume

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"sync"

	"airgap/transfer/volume/parity"
)

// OpenOptions say how a set is read.
type OpenOptions struct {
	TempDir string // for what is rebuilt; empty: the system's
	// Ask asks somebody for a volume that is not in the folder, and returns when
	// the folder is to be looked at again. Nothing in it is open then, so that a
	// disc can be changed. ErrLost: nobody has it. Nil: nobody is there.
	Ask func(ctx context.Context, missing Volume) error
	// Partly opens a set that cannot be read whole as well, for Check and Repair.
	Partly bool
}

// Set is a set of volumes, read as the file that was cut. It is safe for
// concurrent use, and it opens each file when that is needed.
type Set struct {
	facts
	ctx context.Context // for Ask, since ReadAt has none
	dir string
	o   OpenOptions

	table  *parity.Table // nil: there is no parity, or none that can be used
	spill  io.Closer
	reader io.ReaderAt
	spread bool

	mu      sync.Mutex // of what follows
	group   *group
	open    map[int]regular // by number, those of parity files negative
	seen    map[int]entry   // volumes that have been opened: with discs, not all are there at once
	lost    map[int]bool    // nobody has them
	refused error           // of Ask
}

// maxOpen is how many files of a set are open at once.
const maxOpen = 32

// Open opens a set in a folder: the one that has that name, or a file of that
// name; with an empty name the only one there is. The error is a *ChoiceError if
// there is none or more than one, and an *IncompleteError if it cannot be read
// whole and nobody can be asked. ctx ends what Ask asks.
func Open(ctx context.Context, dir, name string, o OpenOptions) (_ *Set, err error) {
	defer wrap(&err, "reading volumes in", dir)
	s := &Set{ctx: ctx, dir: dir, o: o, open: map[int]regular{}, seen: map[int]entry{}, lost: map[int]bool{}}
	entries, err := readFolder(dir)
	if err != nil {
		return nil, err
	}
	if s.group, err = choose(dir, name, groupsOf(entries)); err != nil {
		return nil, errors.Join(err, unknown(entries))
	}
	s.facts = s.group.facts
	if err := s.begin(); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *Set) begin() error {
	if s.whole == nil && s.o.Ask != nil {
		if err := s.askForLast(); err != nil {
			return err
		}
	}
	s.reader = slicesOf{s}
	if s.par != nil {
		if err := s.openParity(); err != nil {
			return err
		}
	}
	r := s.report()
	s.spread = len(r.Missing) > 0
	if s.o.Partly || s.o.Ask != nil {
		return nil
	}
	if !r.Readable() {
		return r.Err()
	}
	return nil
}

// askForLast asks for the volume that says how many there are.
func (s *Set) askForLast() error {
	for s.whole == nil {
		if err := s.o.Ask(s.ctx, Volume{Name: s.name}); err != nil {
			return errors.Join(err, s.report().Err())
		}
		if err := s.look(); err != nil {
			return err
		}
	}
	return nil
}

// openParity reads the table of shards. Without it parity is of no use.
func (s *Set) openParity() error {
	g := s.par.geometry()
	var copies []io.ReaderAt
	for n := 1; n <= s.par.Parity.Files; n++ {
		first := int64(FooterSize)
		second := first + g.TableSize() + s.parityLength(n)
		copies = append(copies, stretch(volumeAt{s, -n}, first, g.TableSize()), stretch(volumeAt{s, -n}, second, g.TableSize()))
	}
	table, err := parity.ReadTable(g, copies...)
	if err != nil {
		return nil // the report says that the parity is damaged
	}
	spill, err := newScratch(s.o.TempDir)
	if err != nil {
		return err
	}
	s.table, s.spill = table, spill
	s.reader = parity.NewReader(g, table, s.source(), spill.File)
	return nil
}

func (s *Set) source() parity.Source { return parity.Source{Data: slicesOf{s}, Parity: shardsOf{s}} }

// parityPlan is how the parity shards are cut.
func (f facts) parityPlan() plan { return plan{f.par.geometry().ParitySize(), f.par.perFile()} }

func (f facts) parityLength(n int) int64 {
	_, length := f.parityPlan().at(n)
	return length
}

// Name is that of the whole file: the one that it has, or that it had when it was
// cut.
func (s *Set) Name() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e, ok := s.group.data[1]; ok && s.slice == 0 {
		return e.name
	}
	return s.name
}

// Parity are the paths of the parity files for a whole file that is not cut.
func (s *Set) Parity() (paths []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.slice != 0 {
		return nil
	}
	for _, n := range slices.Sorted(maps.Keys(s.group.parity)) {
		if e := s.group.parity[n]; e.fits() {
			paths = append(paths, filepath.Join(s.dir, e.name))
		}
	}
	return paths
}

// ID is which file it is, as whoever cut it identifies files.
func (s *Set) ID() string { return s.file }

// Size is that of the whole file in bytes, 0 if the last volume is missing.
func (s *Set) Size() int64 { return s.plan().total }

func (s *Set) size() int64 { return s.Size() }

// SHA256 is that of the whole file, or empty if the last volume is missing.
// Nothing has been compared with it yet.
func (s *Set) SHA256() string {
	if s.whole == nil {
		return ""
	}
	return s.whole.SHA256
}

// ReadAt implements io.ReaderAt. With parity every byte is proven; without it
// bytes are as they are there.
func (s *Set) ReadAt(p []byte, off int64) (int, error) {
	n, err := s.reader.ReadAt(p, off)
	if err != nil && err != io.EOF {
		if refused := s.wasRefused(); refused != nil {
			err = refused
		}
		err = fmt.Errorf("reading volumes of %q: %w", s.name, err)
	}
	return n, err
}

func (s *Set) wasRefused() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.refused
}

// Close closes what is open.
func (s *Set) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closeFiles()
	if s.spill == nil {
		return nil
	}
	err := s.spill.Close()
	s.spill = nil
	return err
}

func (s *Set) closeFiles() {
	for key, f := range s.open {
		f.Close()
		delete(s.open, key)
	}
}

// slicesOf reads the slices of the volumes as one.
type slicesOf struct{ s *Set }

func (r slicesOf) ReadAt(p []byte, off int64) (int, error) {
	return readCut(r.s.plan(), p, off, func(n int, p []byte, at int64) (int, error) { return r.s.readFile(n, p, at) })
}

// shardsOf reads the parity shards of the parity files as one.
type shardsOf struct{ s *Set }

func (r shardsOf) ReadAt(p []byte, off int64) (int, error) {
	skip := FooterSize + r.s.par.geometry().TableSize()
	return readCut(r.s.parityPlan(), p, off, func(n int, p []byte, at int64) (int, error) { return r.s.readFile(-n, p, skip+at) })
}

// volumeAt reads one file of the set.
type volumeAt struct {
	s   *Set
	key int
}

func (r volumeAt) ReadAt(p []byte, off int64) (int, error) { return r.s.readFile(r.key, p, off) }

// readCut reads what has been cut.
func readCut(c plan, p []byte, off int64, read func(n int, p []byte, at int64) (int, error)) (n int, err error) {
	if off < 0 {
		return 0, errors.New("negative offset")
	}
	for n < len(p) && off < c.total {
		number := 1
		if c.slice > 0 {
			number = int(off/c.slice) + 1
		}
		first, length := c.at(number)
		part := p[n:min(int64(len(p)), int64(n)+first+length-off)]
		k, err := read(number, part, off-first)
		n, off = n+k, off+int64(k)
		if k < len(part) {
			return n, fmt.Errorf("volume %d: %w", number, short(err))
		}
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (s *Set) readFile(key int, p []byte, off int64) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f, err := s.fetch(key)
	if err != nil {
		return 0, err
	}
	return f.ReadAt(p, off)
}

var errMissing = errors.New("it is missing")

// fetch opens a file of the set, and has somebody bring it if it is not there.
func (s *Set) fetch(key int) (regular, error) {
	f, err := s.openFile(key)
	for err != nil && key > 0 && s.o.Ask != nil && !s.lost[key] && s.refused == nil {
		if err := s.look(); err != nil {
			return regular{}, err
		}
		if f, err = s.openFile(key); err != nil {
			s.ask(key)
		}
	}
	return f, err
}

// ask asks for a volume, with nothing open in the folder.
func (s *Set) ask(n int) {
	s.closeFiles()
	err := s.o.Ask(s.ctx, Volume{Name: s.plan().name(s.name, n), Number: n})
	switch {
	case errors.Is(err, ErrLost):
		s.lost[n] = true
	case err != nil:
		s.refused = err
	}
}

// openFile opens a file of the set that the folder had when it was looked at. By
// now the name may be another's: the footer tells.
func (s *Set) openFile(key int) (regular, error) {
	if f, ok := s.open[key]; ok {
		return f, nil
	}
	e, ok := s.member(key)
	if !ok {
		return regular{}, errMissing
	}
	f, err := openRegular(filepath.Join(s.dir, e.name))
	if err != nil {
		return regular{}, err
	}
	if e.footer != nil {
		now, err := f.footer()
		if err != nil || now.Set != e.footer.Set || now.Number != e.footer.Number || (now.Parity == nil) != (e.footer.Parity == nil) {
			f.Close()
			return regular{}, errMissing
		}
	}
	if len(s.open) >= maxOpen {
		s.closeFiles()
	}
	s.open[key] = f
	if key > 0 && s.o.Ask != nil {
		s.seen[key] = e
	}
	return f, nil
}

func (s *Set) member(key int) (entry, bool) {
	if key < 0 {
		e, ok := s.group.parity[-key]
		return e, ok
	}
	e, ok := s.group.data[key]
	return e, ok
}

// look reads the folder again. What is not there now is missing now.
func (s *Set) look() error {
	entries, err := readFolder(s.dir)
	if err != nil {
		return err
	}
	now := newGroup(s.facts)
	for _, e := range entries {
		if e.footer != nil && e.footer.Set == s.id {
			now.add(e)
		}
	}
	now.addBare(entries)
	s.group = now
	if s.whole == nil {
		s.whole = now.whole
	}
	return nil
}
