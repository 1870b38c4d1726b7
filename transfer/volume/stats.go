package volume

import "airgap/transfer/volume/parity"

// Rebuilt is how many shards of the file have been found bad and rebuilt so
// far, in reading it.
func (s *Set) Rebuilt() int64 {
	if r, ok := s.reader.(*parity.Reader); ok {
		return r.Stats().Rebuilt
	}
	return 0
}

// Spread says that volumes were missing when the set was opened, for which
// somebody is asked: it is best read from its start to its end.
func (s *Set) Spread() bool { return s.spread }
