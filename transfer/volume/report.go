package volume

import (
	"cmp"
	"maps"
	"slices"
)

// report says what is known of the set without reading it.
func (s *Set) report() Report {
	s.mu.Lock()
	defer s.mu.Unlock()
	g := s.group
	r := Report{Name: s.name, Set: s.id, File: s.file, Volumes: s.count(), Total: s.plan().total, Twice: g.twice}
	for n := 1; n <= max(s.count(), g.last()); n++ {
		s.reportVolume(&r, n)
	}
	for n := range g.bare { // one that has lost its footer is of no use without parity, but it is not missing
		if _, used := g.data[n]; !used && s.table == nil && !g.beyond(n) {
			r.Damaged = append(r.Damaged, n)
			r.Missing = slices.DeleteFunc(r.Missing, func(m int) bool { return m == n })
		}
	}
	slices.Sort(r.Damaged)
	if s.par != nil {
		r.Parity = s.reportParity()
	}
	s.reportOthers(&r)
	return r
}

func (s *Set) reportVolume(r *Report, n int) {
	e, ok := s.group.data[n]
	if !ok {
		e, ok = s.seen[n]
	}
	if !ok {
		r.Missing = append(r.Missing, n)
		return
	}
	r.There = append(r.There, n)
	// The whole file has no footer to lose.
	if right := s.slice == 0 && e.size == s.Size() || e.fits(); !right {
		r.Damaged = append(r.Damaged, n)
	}
	if name := s.plan().name(s.name, n); e.name != name {
		r.Renamed = append(r.Renamed, Volume{Name: e.name, Number: n, Size: e.size})
	}
}

func (s *Set) reportParity() *ParityReport {
	p := &ParityReport{Files: s.par.Parity.Files}
	for n := 1; n <= p.Files; n++ {
		switch e, ok := s.group.parity[n]; {
		case !ok:
			p.Missing = append(p.Missing, n)
		case s.table == nil || !e.fits():
			p.Damaged = append(p.Damaged, n)
		}
	}
	p.Short = s.group.short(s.table != nil)
	return p
}

// short is how many good shards the worst group lacks because files are
// missing, so far as that is known without reading them. Without the table of
// shards nothing can stand in for a volume.
func (g *group) short(table bool) int {
	lost := losses{groups: g.par.geometry().Groups()}
	for n := 1; n <= g.count(); n++ {
		if e, ok := g.data[n]; !ok || !table && g.slice > 0 && !e.fits() {
			lost.add(g.plan().at(n))
		}
	}
	if lost.worst() == 0 {
		return 0
	}
	for n := 1; n <= g.par.Parity.Files; n++ {
		if _, ok := g.parity[n]; !ok || !table {
			lost.add(g.parityPlan().at(n))
		}
	}
	return max(0, int(lost.worst())-g.par.Parity.Check)
}

// losses counts how many shards the groups have lost, by stretches: no more is
// counted than there are files.
type losses struct {
	groups int64
	all    int64       // that each group has lost
	edges  []lossesEnd // of neighbouring groups that have lost one more
}

type lossesEnd struct{ at, by int64 }

// add loses a stretch of shards.
func (l *losses) add(off, length int64) {
	first, shards := off/Shard%l.groups, (length-1)/Shard+1
	l.all += shards / l.groups
	end := first + shards%l.groups
	l.edges = append(l.edges, lossesEnd{first, 1}, lossesEnd{min(end, l.groups), -1})
	if end > l.groups {
		l.edges = append(l.edges, lossesEnd{0, 1}, lossesEnd{end - l.groups, -1})
	}
}

// worst is how many the worst group has lost.
func (l *losses) worst() int64 {
	slices.SortFunc(l.edges, func(a, b lossesEnd) int { return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.by, b.by)) })
	more, most := int64(0), int64(0)
	for _, e := range l.edges {
		more += e.by
		most = max(most, more)
	}
	return l.all + most
}

// reportOthers names files of other sets that may be taken for this one's, and
// those that have only the names of its files.
func (s *Set) reportOthers(r *Report) {
	r.Foreign = slices.Sorted(maps.Keys(s.strangers))
	for _, e := range s.others {
		if e.footer.File == s.file {
			r.Stale = append(r.Stale, e.name)
		} else {
			r.Foreign = append(r.Foreign, e.name)
		}
	}
	for n, e := range s.group.bare {
		if s.group.beyond(n) {
			r.Foreign = append(r.Foreign, e.name)
		}
	}
	slices.Sort(r.Foreign)
}
