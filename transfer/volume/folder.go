package volume

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"

	"airgap/transfer"
)

// entry is a file of a folder.
type entry struct {
	name   string
	size   int64
	footer *Footer // nil: none that can be read
	err    error   // why not
}

// fits says whether the file is as long as its footer says.
func (e entry) fits() bool { return e.footer != nil && e.size == e.footer.fileSize() }

// fileSize is the length of the footer's file.
func (f Footer) fileSize() int64 {
	if f.Parity == nil {
		return f.Length + FooterSize
	}
	return f.Length + 2*f.geometry().TableSize() + 2*FooterSize
}

// readFolder reads the footers of the regular files of a folder here. What is
// called as sums are, or as what is being written, is neither volume nor parity; a
// file that is named is what it is, whatever it is called.
func readFolder(ctx context.Context, dir string, named ...string) ([]entry, error) {
	there := transfer.LocalDir(dir)
	list, err := there.ReadDir()
	if err != nil {
		return nil, err
	}
	return readEntries(ctx, there, list, named...)
}

// readEntries reads the footers of the regular files among those of a folder.
func readEntries(ctx context.Context, dir transfer.Dir, list []fs.DirEntry, named ...string) (entries []entry, err error) {
	for _, d := range list {
		if err := context.Cause(ctx); err != nil {
			return nil, err
		}
		name := d.Name()
		hidden := strings.HasPrefix(name, ".") && !suffix.MatchString(path.Ext(name)) // but for volumes of what is hidden
		apart := hidden || strings.HasSuffix(name, ".sha256") || strings.HasSuffix(name, ".partial")
		if !d.Type().IsRegular() || apart && !slices.Contains(named, name) {
			continue
		}
		entries = append(entries, readEntry(dir, name))
	}
	return entries, nil
}

func readEntry(dir transfer.Dir, name string) entry {
	f, err := dir.Open(name)
	if err != nil {
		return entry{name: name, err: err}
	}
	defer f.Close()
	e := entry{name: name, size: f.Size()}
	footer, err := footerOf(f, f.Size())
	if err != nil {
		e.err = err
		return e
	}
	e.footer = &footer
	return e
}

// footerOf is what a file ends with or, if it is one of parity, begins with.
func footerOf(r io.ReaderAt, size int64) (Footer, error) {
	f, err := block(r, size-FooterSize)
	if err == nil {
		return f, nil
	}
	if first, err := block(r, 0); err == nil && first.Parity != nil {
		return first, nil
	}
	return Footer{}, err
}

func block(r io.ReaderAt, off int64) (Footer, error) {
	if off < 0 {
		return Footer{}, errNoFooter
	}
	b := make([]byte, FooterSize)
	if n, err := r.ReadAt(b, off); n < len(b) {
		return Footer{}, short(err)
	}
	return ParseFooter(b)
}

// facts are what all footers of a set agree on.
type facts struct {
	id, name, file string
	data           string  // what the file that is not cut is called; empty: as its parity says
	slice          int64   // 0: not cut
	whole          *Whole  // nil: not known
	par            *Footer // of any parity file; nil: none
}

// owns says whether a footer is of the set.
func (f facts) owns(footer *Footer) bool { return footer.Set == f.id && footer.Name == f.name }

func (f facts) plan() plan {
	if f.whole == nil {
		return plan{slice: f.slice}
	}
	return plan{f.whole.Total, f.slice}
}

// group is the files of one set in a folder.
type group struct {
	facts
	data, parity map[int]entry // by number
	twice        []string      // copies of what is there, and what contradicts the others
	// bare are files that have the name of a volume and no footer, by number.
	bare map[int]entry
}

func newGroup(f facts) *group {
	return &group{facts: f, data: map[int]entry{}, parity: map[int]entry{}, bare: map[int]entry{}}
}

// groupsOf sorts the files of a folder by set. data is what a file that is not
// cut is called, whatever its parity says; or empty.
func groupsOf(entries []entry, data string) []*group {
	type key struct{ set, name string } // a copy of the file may have been cut alike under another name
	sets := map[key]*group{}
	for _, e := range entries {
		if f := e.footer; f != nil {
			k := key{f.Set, f.Name}
			if sets[k] == nil {
				sets[k] = newGroup(facts{id: f.Set, name: f.Name, file: f.File, slice: f.slice(), data: data})
			}
			sets[k].add(e)
		}
	}
	var list []*group
	for _, g := range sets {
		if err := g.believable(); err != nil {
			disown(entries, g.facts, err)
			continue
		}
		g.addBare(entries)
		list = append(list, g)
	}
	slices.SortFunc(list, func(a, b *group) int { return cmp.Or(cmp.Compare(a.name, b.name), cmp.Compare(a.id, b.id)) })
	return list
}

// A set is believed to have files for each one that is there, and some more: no
// footer makes anybody count to its fancy.
const (
	believedEach = 64
	believedMore = 1000
)

func (g *group) believable() error {
	claimed, there := g.last(), len(g.data)+len(g.parity)+len(g.twice)
	if g.par != nil {
		claimed = max(claimed, g.par.Parity.Files)
	}
	if claimed > believedMore+believedEach*there {
		return fmt.Errorf("it says that it is one of %d, and %d of those are there", claimed, there)
	}
	return nil
}

// disown takes the files of a set for what they are by their names.
func disown(entries []entry, set facts, err error) {
	for i, e := range entries {
		if e.footer != nil && set.owns(e.footer) {
			entries[i].footer, entries[i].err = nil, err
		}
	}
}

// add takes a file into the set, unless its footer contradicts the others.
func (g *group) add(e entry) {
	f := e.footer
	if f.Name != g.name || f.File != g.file || f.slice() != g.slice || !g.agrees(f) {
		g.twice = append(g.twice, e.name)
		return
	}
	if f.Whole != nil {
		g.whole = f.Whole
	}
	members, right := g.data, g.plan().name(g.name, f.Number)
	if f.Parity != nil {
		g.par, members, right = f, g.parity, parityName(g.name, f.Number, f.Parity.Files)
	}
	other, taken := members[f.Number]
	if taken && (other.fits() && !e.fits() || other.fits() == e.fits() && e.name != right) {
		g.twice = append(g.twice, e.name)
		return
	}
	if taken {
		g.twice = append(g.twice, other.name)
	}
	members[f.Number] = e
}

// agrees compares what a footer says of the whole with what is known.
func (g *group) agrees(f *Footer) bool {
	if f.Whole != nil && g.whole != nil && *f.Whole != *g.whole {
		return false
	}
	return f.Parity == nil || g.par == nil || *f.Parity == *g.par.Parity && f.perFile() == g.par.perFile()
}

// addBare looks for what has lost its footer. With parity it stands in for the
// volume whose name it has, since each shard is proven by itself.
func (g *group) addBare(entries []entry) {
	for _, e := range entries {
		if e.footer != nil {
			continue
		}
		if n := g.numberOf(e.name, ""); n > 0 {
			g.bare[n] = e
		}
		if n := g.numberOf(e.name, "par"); n > 0 && g.par != nil && n <= g.par.Parity.Files {
			setIfFree(g.parity, n, e)
		}
	}
	if g.par == nil {
		return
	}
	for n, e := range g.bare {
		if n <= g.whole.Volumes {
			setIfFree(g.data, n, e)
		}
	}
}

func setIfFree(members map[int]entry, n int, e entry) {
	if _, taken := members[n]; !taken {
		members[n] = e
	}
}

// numberOf is the number that a file's name has in the set, or 0.
func (g *group) numberOf(name, kind string) int {
	if g.slice == 0 && kind == "" {
		return g.isWhole(name)
	}
	digits, ok := strings.CutPrefix(name, g.name+"."+kind)
	if kind != "" && ok && digits == "" {
		return 1
	}
	n, err := strconv.Atoi(digits)
	if !ok || err != nil || n < 1 || fmt.Sprintf("%03d", n) != digits {
		return 0
	}
	return n
}

// isWhole is 1 for the file that parity beside it is for: the one of that name,
// or one that has been renamed together with it.
func (g *group) isWhole(name string) int {
	if g.facts.data != "" {
		if name == g.facts.data {
			return 1
		}
		return 0
	}
	if name == g.name {
		return 1
	}
	for _, e := range g.parity {
		if name+".par" == e.name {
			return 1
		}
	}
	return 0
}

// count is the number of volumes, 0 if that is not known.
func (f facts) count() int {
	if f.whole == nil {
		return 0
	}
	return f.whole.Volumes
}

// last is the highest number that there is, as far as is known.
func (g *group) last() int {
	n := g.count()
	if n == 0 {
		for k := range g.data {
			n = max(n, k)
		}
	}
	return n
}

// beyond says that no volume of the set has such a number.
func (g *group) beyond(n int) bool { return g.count() > 0 && n > g.count() }

// usable are the volumes whose bytes can be read at their places.
func (g *group) usable(n int) bool {
	e, ok := g.data[n]
	return ok && (g.par != nil || e.fits())
}

func (g *group) complete() bool {
	for n := 1; n <= g.count(); n++ {
		if !g.usable(n) {
			return false
		}
	}
	return g.count() > 0
}

// recoverable says whether parity is enough for the volumes that are missing.
func (g *group) recoverable() bool { return g.par != nil && g.short(true) == 0 }

// has says whether a name is that of the set or of one of its files.
func (g *group) has(name string) bool {
	if name == g.name {
		return true
	}
	named := func(members map[int]entry) bool {
		for _, e := range members {
			if e.name == name {
				return true
			}
		}
		return false
	}
	return named(g.data) || named(g.parity)
}

// choose finds the set that is meant: the only one that is whole or, if there is
// none, that can be made whole by its parity, or that there is at all. Several
// cuts of one file are as good as one.
func choose(dir, name string, groups []*group) (*group, error) {
	fitting := meant(name, groups)
	for _, good := range []func(*group) bool{(*group).complete, (*group).recoverable, func(*group) bool { return true }} {
		list := slices.DeleteFunc(slices.Clone(fitting), func(g *group) bool { return !good(g) })
		if len(list) > 0 && sameFile(list) {
			return slices.MaxFunc(list, func(a, b *group) int { return cmp.Compare(len(a.data), len(b.data)) }), nil
		}
		if len(list) > 0 {
			break
		}
	}
	return nil, &ChoiceError{Dir: dir, Name: name, Sets: summaries(groups)}
}

// meant are the sets that have a name, or a file of that name. Where files lie
// under the name they say of which file: no other is read in their stead, whatever
// its volumes say and are called. Without a name parity of a file that is not cut
// is that file's, where there are volumes.
func meant(name string, groups []*group) []*group {
	if name != "" {
		fitting := slices.DeleteFunc(slices.Clone(groups), func(g *group) bool { return !g.has(name) && !g.isUnder(name) })
		under := slices.DeleteFunc(slices.Clone(fitting), func(g *group) bool { return !g.isUnder(name) })
		if len(under) == 0 {
			return fitting
		}
		// Those of another name have been given it.
		under = slices.DeleteFunc(under, func(g *group) bool { return g.name != name })
		return slices.DeleteFunc(fitting, func(g *group) bool {
			return !slices.ContainsFunc(under, func(u *group) bool { return u.file == g.file })
		})
	}
	if cut := slices.DeleteFunc(slices.Clone(groups), func(g *group) bool { return g.slice == 0 }); len(cut) > 0 {
		return cut
	}
	return groups
}

// isUnder says whether a file of the set lies under a name.
func (g *group) isUnder(name string) bool {
	return slices.ContainsFunc(g.files(), func(file string) bool { return liesUnder(file, name) })
}

func sameFile(groups []*group) bool {
	return !slices.ContainsFunc(groups, func(g *group) bool {
		first := groups[0]
		return g != first && (g.name != first.name || g.file != first.file || g.whole == nil || first.whole == nil || g.whole.SHA256 != first.whole.SHA256)
	})
}

// Find tells what sets are in a folder, by name. Files that are named are looked at
// whatever they are called.
func Find(ctx context.Context, dir string, named ...string) (_ []Summary, err error) {
	defer wrap(&err, "looking for volumes in", dir)
	entries, err := readFolder(ctx, dir, named...)
	if err != nil {
		return nil, err
	}
	return summaries(groupsOf(entries, "")), nil
}

// unknown is the first error of files that may have been volumes.
func unknown(entries []entry) error {
	for _, e := range entries {
		if e.err != nil && !errors.Is(e.err, errNoFooter) && !errors.Is(e.err, io.ErrUnexpectedEOF) {
			return fmt.Errorf("file %q: %w", e.name, e.err)
		}
	}
	return nil
}
