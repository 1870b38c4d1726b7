package volume

import "slices"

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
		if _, used := g.data[n]; !used && s.par == nil {
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
	p.Short = s.short()
	return p
}

// short is how many good shards the worst group lacks because files are
// missing, so far as that is known without reading them.
func (s *Set) short() int {
	geometry := s.par.geometry()
	groups := geometry.Groups()
	lost := make([]int, groups)
	count := func(c plan, n int) {
		off, length := c.at(n)
		first, shards := off/Shard, (length-1)/Shard+1
		for x := range min(shards, groups) {
			lost[(first+x)%groups] += int((shards-x-1)/groups) + 1
		}
	}
	for n := 1; n <= s.count(); n++ {
		// Without the table nothing can stand in for a volume.
		if e, ok := s.group.data[n]; !ok || s.table == nil && s.slice > 0 && !e.fits() {
			count(s.plan(), n)
		}
	}
	if slices.Max(lost) == 0 {
		return 0
	}
	for n := 1; n <= s.par.Parity.Files; n++ {
		if _, ok := s.group.parity[n]; !ok || s.table == nil {
			count(s.parityPlan(), n)
		}
	}
	return max(0, slices.Max(lost)-geometry.Parity)
}

// reportOthers names files of other sets that may be taken for this one's.
func (s *Set) reportOthers(r *Report) {
	entries, err := readFolder(s.dir)
	if err != nil {
		return // it could be read a moment ago, and this is for the message only
	}
	for _, e := range entries {
		f := e.footer
		switch {
		case f == nil || f.Set == s.id:
		case f.File == s.file:
			r.Stale = append(r.Stale, e.name)
		case s.group.numberOf(e.name, "") > 0 || s.group.numberOf(e.name, "par") > 0:
			r.Foreign = append(r.Foreign, e.name)
		}
	}
}
