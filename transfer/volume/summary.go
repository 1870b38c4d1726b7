package volume

import (
	"fmt"
	"slices"
)

// Summary is a set as a folder has it.
type Summary struct {
	Name     string
	Set      string
	File     string
	Cut      bool     // into volumes; otherwise it is the parity of one file
	Files    []string // names of those of it that are there
	Volumes  int      // 0: not known, since the last is missing
	There    []int
	Parity   int   // parity files that are there
	Total    int64 // bytes of the whole, 0 if that is not known
	Complete bool  // each volume is there, damaged or not
}

// Under says whether all files of the set lie under a name: they are called as
// volumes and parity of a file of that name are, or wait for that.
func (s Summary) Under(name string) bool { return allUnder(s.Files, name) }

func allUnder(files []string, name string) bool {
	return !slices.ContainsFunc(files, func(file string) bool { return !liesUnder(file, name) })
}

func liesUnder(file, name string) bool {
	return IsName(waiting.ReplaceAllString(file, ""), name)
}

// State says in words what is there of it.
func (s Summary) State() string {
	if !s.Cut {
		return "parity"
	}
	if s.Volumes == 0 {
		return fmt.Sprintf("%s, the last is missing", volumesOf(s.There))
	}
	var missing []int
	for n := 1; n <= s.Volumes; n++ {
		if !slices.Contains(s.There, n) {
			missing = append(missing, n)
		}
	}
	switch {
	case len(missing) == 0:
		return fmt.Sprintf("%d volumes", s.Volumes)
	case len(missing) == 1:
		return fmt.Sprintf("volume %s of %d is missing", list(missing), s.Volumes)
	}
	return fmt.Sprintf("volumes %s of %d are missing", list(missing), s.Volumes)
}

func volumesOf(numbers []int) string {
	if len(numbers) == 1 {
		return "volume " + list(numbers)
	}
	return "volumes " + list(numbers)
}

func summaries(groups []*group) []Summary {
	var list []Summary
	for _, g := range groups {
		s := Summary{Name: g.name, Set: g.id, File: g.file, Cut: g.slice > 0, Files: g.files(), Volumes: g.count(), There: numbers(g.data), Parity: len(g.parity), Complete: g.complete()}
		if g.whole != nil {
			s.Total = g.whole.Total
		}
		list = append(list, s)
	}
	return list
}

// files are the names of what has a footer of the set.
func (g *group) files() []string {
	names := slices.Clone(g.twice)
	for _, members := range []map[int]entry{g.data, g.parity} {
		for _, e := range members {
			if e.footer != nil {
				names = append(names, e.name)
			}
		}
	}
	slices.Sort(names)
	return names
}

func numbers(members map[int]entry) []int {
	var list []int
	for n := range members {
		list = append(list, n)
	}
	slices.Sort(list)
	return list
}
