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
	"sync/atomic"

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
	// Of is the set that is meant, as [Find] tells of it; nil: by name.
	Of *Summary
	// Data is what the file is called that the parity is of, where it is not cut;
	// empty: as the parity or its own name has it.
	Data string
	// Named is a file that somebody has named: it is looked at whatever it is called.
	Named string
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
	enough atomic.Bool // parity makes good what is missing

	mu      sync.Mutex // of what follows
	group   *group
	open    map[int]regular // by number, those of parity files negative
	seen    map[int]entry   // volumes that have been opened: with discs, not all are there at once
	lost    map[int]bool    // nobody has them
	refused error           // of Ask

	others    []entry         // of other sets, that might be taken for files of this
	strangers map[string]bool // what has the name of a file of the set and is not it
}

// maxOpen is how many files of a set are open at once.
const maxOpen = 32

// Open opens a set in a folder: the one that has that name, or a file of that
// name; with an empty name the only one that is whole, or that there is. The
// error is a *ChoiceError if there is none or more than one, and an
// *IncompleteError if it cannot be read whole and nobody can be asked. ctx ends
// what Ask asks, and rebuilding.
func Open(ctx context.Context, dir, name string, o OpenOptions) (_ *Set, err error) {
	defer wrap(&err, "reading volumes in", dir)
	s := &Set{ctx: ctx, dir: dir, o: o, open: map[int]regular{}, seen: map[int]entry{}, lost: map[int]bool{}, strangers: map[string]bool{}}
	entries, err := readFolder(ctx, dir, o.Data, o.Named)
	if err != nil {
		return nil, err
	}
	groups := groupsOf(entries, o.Data)
	if o.Of != nil {
		groups = slices.DeleteFunc(groups, func(g *group) bool { return g.id != o.Of.Set || g.name != o.Of.Name })
		name = ""
	}
	if s.group, err = choose(dir, name, groups); err != nil {
		return nil, errors.Join(err, unknown(entries))
	}
	s.facts = s.group.facts
	s.seeOthers(entries)
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
	s.enough.Store(r.Readable())
	s.spread = len(r.Missing) > 0 && !r.Readable()
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
	table, err := parity.ReadTable(s.ctx, g, s.tables()...)
	if ended := context.Cause(s.ctx); ended != nil {
		return ended
	}
	if err != nil {
		s.dropBare()
		return nil // the report says that the parity is damaged
	}
	spill, err := newScratch(s.o.TempDir)
	if err != nil {
		return err
	}
	s.table, s.spill = table, spill
	s.reader = parity.NewReader(s.ctx, g, table, s.source(), spill.File)
	return s.dropStrangers()
}

// tables are the copies of the table, of files that are long enough for one: not
// even room is made for a table that cannot be there.
func (s *Set) tables() (copies []io.ReaderAt) {
	size := s.par.geometry().TableSize()
	for _, n := range slices.Sorted(maps.Keys(s.group.parity)) {
		for _, at := range []int64{FooterSize, FooterSize + size + s.parityLength(n)} {
			if at+size <= s.group.parity[n].size {
				copies = append(copies, stretch(volumeAt{s, -n}, at, size))
			}
		}
	}
	return copies
}

// dropBare forgets what stands in for a volume by its name alone, where there is
// no table to prove its shards.
func (s *Set) dropBare() {
	if s.slice > 0 {
		maps.DeleteFunc(s.group.data, func(_ int, e entry) bool { return e.footer == nil })
	}
}

// dropStrangers forgets files that stand in for others by their names alone, and
// whose shards are not theirs.
func (s *Set) dropStrangers() error {
	for n, e := range s.group.data {
		if e.footer != nil || s.slice == 0 {
			continue
		}
		if err := s.doubt(s.group.data, n, n, 0, s.plan()); err != nil {
			return err
		}
	}
	for n, e := range s.group.parity {
		if e.footer == nil {
			if err := s.doubt(s.group.parity, n, -n, s.par.geometry().DataShards(), s.parityPlan()); err != nil {
				return err
			}
		}
	}
	return nil
}

// doubt forgets a file unless it is like what it stands in for, or empty.
func (s *Set) doubt(members map[int]entry, n, key int, base int64, c plan) error {
	off, length := c.at(n)
	size := max(0, members[n].size-s.bodyStart(key))
	like, err := s.table.Compare(s.ctx, stretch(volumeAt{s, key}, s.bodyStart(key), length), size, base+off/Shard, (length-1)/Shard+1)
	if err == nil && (!like.Most() || like.Looked == 0 && members[n].size > 0) {
		s.strangers[members[n].name] = true
		s.closeFile(key)
		delete(members, n)
	}
	return err
}

// bodyStart is where the slice or the shards of a file begin.
func (s *Set) bodyStart(key int) int64 {
	if key > 0 {
		return 0
	}
	return FooterSize + s.par.geometry().TableSize()
}

// Likeness is how far the file that is not cut is the one that the parity is of,
// by some of its shards.
func (s *Set) Likeness() (parity.Likeness, error) {
	e, there := s.group.data[1]
	if s.table == nil || s.slice > 0 || !there {
		return parity.Likeness{}, nil
	}
	return s.table.Compare(s.ctx, volumeAt{s, 1}, e.size, 0, s.par.geometry().DataShards())
}

// Cut says whether it is volumes, and not a file in one with its parity.
func (s *Set) Cut() bool { return s.slice > 0 }

// Dir is the folder that it is in.
func (s *Set) Dir() string { return s.dir }

// Proves says whether a file is shown to be of the set, by its footer or by its
// shards.
func (s *Set) Proves(name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, members := range []map[int]entry{s.group.data, s.group.parity} {
		for _, e := range members {
			if e.name == name {
				return e.footer != nil || s.table != nil && e.size > 0
			}
		}
	}
	return false
}

// Is says whether it is the set that [Find] has told of.
func (s *Set) Is(told Summary) bool { return s.id == told.Set && s.name == told.Name }

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

// Parity are the paths of the parity files for a whole file that is not cut, in
// whatever state they are.
func (s *Set) Parity() (paths []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.slice != 0 {
		return nil
	}
	for _, n := range slices.Sorted(maps.Keys(s.group.parity)) {
		paths = append(paths, filepath.Join(s.dir, s.group.parity[n].name))
	}
	return paths
}

// Files are the paths of the files that it is read from, parity included.
func (s *Set) Files() (paths []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, members := range []map[int]entry{s.group.data, s.group.parity} {
		for _, n := range slices.Sorted(maps.Keys(members)) {
			paths = append(paths, filepath.Join(s.dir, members[n].name))
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
	enough := s.enough.Load()
	n, err := s.reader.ReadAt(p, off)
	if tooDamaged := (*parity.TooDamagedError)(nil); enough && s.o.Ask != nil && errors.As(err, &tooDamaged) {
		s.enough.Store(false)
		n, err = s.reader.ReadAt(p, off)
	}
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

// Strangers are files that have names as those of the set have, and are not of
// it.
func (s *Set) Strangers() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var r Report
	s.reportOthers(&r)
	return r.Foreign
}
