package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"airgap/bundle"
	"airgap/cmd/airgap/internal/ui"
	"airgap/transfer/volume"
)

// lookIn finds what is in a folder, which has to be one bundle: where there are
// two, whole or not, nobody knows which of them is meant. Only what lies under the
// name of volumes that are whole, or that parity makes whole, is what an earlier or
// a later run has left.
func lookIn(ctx context.Context, dir string, o volume.OpenOptions) (*meaning, error) {
	sets, err := volume.Find(ctx, dir)
	if err != nil {
		return nil, err
	}
	cut := slices.DeleteFunc(slices.Clone(sets), func(s volume.Summary) bool { return !s.Cut })
	if len(cut) == 0 {
		return lookAtOnly(ctx, dir, sets, o)
	}
	wholes, err := wholesIn(dir, sets)
	if err != nil {
		return nil, err
	}
	if !isOne(cut, wholes) {
		return nil, several(dir, cut, namesOf(wholes))
	}
	if len(wholes) > 0 && !slices.ContainsFunc(cut, func(s volume.Summary) bool { return s.Complete }) {
		return lookAt(ctx, filepath.Join(dir, wholes[0].name), o)
	}
	set, err := volume.Open(ctx, dir, "", o)
	if choice := (*volume.ChoiceError)(nil); errors.As(err, &choice) {
		return nil, several(dir, cut, nil)
	}
	if err != nil {
		return nil, err
	}
	return ofSet(set, cut), nil
}

// ofSet is a set of volumes among those there are, of which others may be of
// another bundle.
func ofSet(set *volume.Set, sets []volume.Summary) *meaning {
	n := &meaning{set: set, strangers: set.Strangers()}
	for _, s := range sets {
		if s.File != set.ID() {
			n.others = append(n.others, s)
			n.strangers = without(n.strangers, s.Files)
		}
	}
	return n
}

// wholeIn is a file of a folder that is called as bundles are.
type wholeIn struct {
	name string
	id   string // empty: it cannot be read
}

func namesOf(files []wholeIn) (names []string) {
	for _, f := range files {
		names = append(names, f.name)
	}
	return names
}

// wholesIn are the whole bundles of a folder, those that are damaged included.
func wholesIn(dir string, sets []volume.Summary) (files []wholeIn, err error) {
	names, err := bundlesIn(dir)
	for _, name := range names {
		if slices.ContainsFunc(sets, func(s volume.Summary) bool { return slices.Contains(s.Files, name) }) {
			continue
		}
		w := wholeIn{name: name}
		if f, size, err := openWhole(filepath.Join(dir, name)); err == nil {
			if id, err := bundle.ReadID(f, size); err == nil {
				w.id = id.Hex
			}
			f.Close()
		}
		files = append(files, w)
	}
	return files, err
}

// isOne says whether volumes and whole files are of one bundle, but for volumes of
// another that all lie under one name.
func isOne(cut []volume.Summary, wholes []wholeIn) bool {
	id, same := cut[0].File, true
	for _, s := range cut {
		same = same && s.File == id
	}
	for _, f := range wholes {
		if !same || f.id != id {
			return false
		}
	}
	return same || slices.ContainsFunc(cut, func(s volume.Summary) bool {
		return !slices.ContainsFunc(cut, func(other volume.Summary) bool { return !other.Under(s.Name) })
	})
}

// several is the error of a folder that holds more than one bundle.
func several(dir string, sets []volume.Summary, names []string) error {
	var there, paths []string
	for _, name := range names {
		there, paths = append(there, name), append(paths, filepath.Join(dir, name))
	}
	for _, s := range sets {
		there, paths = append(there, fmt.Sprintf("%s (%s)", s.Name, s.State())), append(paths, filepath.Join(dir, s.Files[0]))
	}
	const most = 3
	return &ui.Error{
		Err: fmt.Errorf("folder %q holds %d bundles: %s", dir, len(there), strings.Join(there, ", ")), Code: ui.Failed,
		Hints: []string{"name a file of the one that is meant: " + strings.Join(paths[:min(len(paths), most)], " or ")},
	}
}

// notOfThem is the error of volumes under other names, which are of the file that
// is named, where something else lies under that name.
func notOfThem(name string, named []string, set *volume.Set) error {
	return &ui.Error{
		Err: fmt.Errorf("%q: the files called so (%s) are not volumes of one bundle; volumes with other names say that they are of it", name, listOf(named)), Code: ui.Failed,
		Hints: []string{"if those are meant, name one of them: " + set.Files()[0]},
	}
}

func shares(names, some []string) bool {
	return slices.ContainsFunc(names, func(name string) bool { return slices.Contains(some, name) })
}

// listOf names files, but not all of many.
func listOf(names []string) string {
	const most = 3
	list := strings.Join(names[:min(len(names), most)], ", ")
	if more := len(names) - most; more > 0 {
		list += fmt.Sprintf(" and %d more", more)
	}
	return list
}

// tell names what is beside a bundle and is not of it. That volumes of another one
// lie there is a warning: that one may be meant.
func (n *meaning) tell(env *ui.Env) error {
	if len(n.strangers) > 0 {
		env.Note("not used, since it does not belong to what is read: %s", listOf(n.strangers))
	}
	for _, s := range n.others {
		env.Warn("not used, since it does not belong to what is read: %s, of another bundle of that name (%s); bundle id sha256:%s is read, not sha256:%s",
			listOf(s.Files), s.State(), n.set.ID(), s.File)
		if err := env.Report("others", othersAnswer{Bundle: "sha256:" + n.set.ID(), Other: "sha256:" + s.File, Files: s.Files}); err != nil {
			return err
		}
	}
	return nil
}

// othersAnswer tells machines what lies under the name of volumes that are read,
// and is of another bundle.
type othersAnswer struct {
	Bundle string   `json:"bundle"` // that is read
	Other  string   `json:"other"`
	Files  []string `json:"files"`
}

// Text prints nothing: people are warned.
func (othersAnswer) Text(*ui.Printer) {}
