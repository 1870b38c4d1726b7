package volume

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
)

func (s *Set) closeFiles() {
	for key := range s.open {
		s.closeFile(key)
	}
}

func (s *Set) closeFile(key int) {
	if f, ok := s.open[key]; ok {
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
	return readCut(r.s.parityPlan(), p, off, func(n int, p []byte, at int64) (int, error) {
		return r.s.readFile(-n, p, r.s.bodyStart(-n)+at)
	})
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
	for err != nil && key > 0 && s.mayAsk() && !s.lost[key] && s.refused == nil {
		if err := s.look(); err != nil {
			return regular{}, err
		}
		if f, err = s.openFile(key); err != nil {
			s.ask(key)
		}
	}
	return f, err
}

// mayAsk says whether volumes that are not there are asked for.
func (s *Set) mayAsk() bool { return s.o.Ask != nil && !(s.enough.Load() && s.table != nil) }

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
		now, err := footerOf(f, f.size())
		if err != nil || !s.owns(&now) || now.Number != e.footer.Number || (now.Parity == nil) != (e.footer.Parity == nil) {
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
	entries, err := readFolder(s.ctx, s.dir, s.o.Data, s.o.Named)
	if err != nil {
		return err
	}
	now := newGroup(s.facts)
	for _, e := range entries {
		if e.footer != nil && s.owns(e.footer) {
			now.add(e)
		}
	}
	now.addBare(slices.DeleteFunc(slices.Clone(entries), func(e entry) bool { return e.footer == nil && s.strangers[e.name] }))
	s.group = now
	if s.table == nil {
		s.dropBare()
	}
	s.seeOthers(entries)
	if s.whole == nil {
		s.whole = now.whole
	}
	return nil
}

// seeOthers remembers files of other sets that may be taken for this one's.
func (s *Set) seeOthers(entries []entry) {
	s.others = nil
	for _, e := range entries {
		if f := e.footer; f != nil && !s.owns(f) && (f.File == s.file || s.group.numberOf(e.name, "") > 0 || s.group.numberOf(e.name, "par") > 0) {
			s.others = append(s.others, e)
		}
	}
}
