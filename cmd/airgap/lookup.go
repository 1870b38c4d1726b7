package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"airgap/bundle"
	"airgap/bundle/image"
	"airgap/transfer/volume"
	"airgap/transfer/volume/parity"
)

// meaning is what a name on the command line stands for: one file, with the
// parity that belongs to it, or a set of volumes.
type meaning struct {
	file string      // path of the one file; empty: it is cut
	set  *volume.Set // the volumes, or the file and its parity; nil: there is no parity
	// strangers are files beside it that look as if they belonged to it.
	strangers []string
	// others are sets of other bundles that lie under its name.
	others []volume.Summary
}

// lookUp finds out what a name stands for. A file that is there is what is read;
// volumes and parity count only if they are that very file's. A folder, or a
// volume, stands for the set. A name that nothing has may be that of a file which
// has been cut.
func lookUp(ctx context.Context, name string, o volume.OpenOptions) (*meaning, error) {
	switch info, err := os.Stat(name); {
	case err == nil && info.IsDir():
		return lookIn(ctx, name, o)
	case err == nil && info.Mode().IsRegular():
		return lookAt(ctx, name, o)
	case err == nil:
		return &meaning{file: name}, nil // opening it says what it is
	default:
		return lookForVolumes(ctx, name, o, err)
	}
}

// lookForVolumes finds the volumes of a file that is not there itself.
func lookForVolumes(ctx context.Context, name string, o volume.OpenOptions, gone error) (*meaning, error) {
	dir, base := filepath.Dir(name), filepath.Base(name)
	named := besides(dir, base)
	sets, err := volume.Find(ctx, dir)
	if len(named) == 0 && (err != nil || !slices.ContainsFunc(sets, func(s volume.Summary) bool { return s.Name == base })) {
		return nil, noBundle(name, gone)
	}
	o.Data = base // and no other file, if there is only parity
	set, err := volume.Open(ctx, dir, base, o)
	if err != nil {
		return nil, err
	}
	if len(named) > 0 && !slices.ContainsFunc(named, set.Proves) {
		return nil, errors.Join(notOfThem(name, named, set), set.Close())
	}
	return ofSet(set, slices.DeleteFunc(sets, func(s volume.Summary) bool { return !shares(s.Files, named) })), nil
}

// isCut says whether there are volumes of a file that is not there itself, or what
// is called as they would be.
func isCut(ctx context.Context, name string) bool {
	dir, base := filepath.Dir(name), filepath.Base(name)
	sets, err := volume.Find(ctx, dir)
	return len(besides(dir, base)) > 0 || err == nil && slices.ContainsFunc(sets, func(s volume.Summary) bool { return s.Name == base })
}

// lookAtOnly takes the only bundle of a folder without volumes. Where there is
// parity and no bundle, that stands for the file that is lost.
func lookAtOnly(ctx context.Context, dir string, sets []volume.Summary, o volume.OpenOptions) (*meaning, error) {
	names, err := bundlesIn(dir)
	if err != nil {
		return nil, err
	}
	for _, s := range sets {
		for _, name := range dataOf(s) {
			path := filepath.Join(dir, name)
			if isRegular(path) && !slices.ContainsFunc(names, func(known string) bool { return sameFile(path, filepath.Join(dir, known)) }) {
				names = append(names, name)
			}
		}
	}
	switch len(names) {
	case 0:
		set, err := volume.Open(ctx, dir, "", o)
		return &meaning{set: set}, err
	case 1:
		return lookAt(ctx, filepath.Join(dir, names[0]), o)
	}
	return nil, several(dir, nil, names)
}

// holdsBundle says whether there is a bundle in a folder, as far as names and
// footers tell.
func holdsBundle(dir string) bool {
	names, _ := bundlesIn(dir)
	sets, _ := volume.Find(context.Background(), dir)
	return len(names)+len(sets) > 0
}

// bundlesIn are the files of a folder that are called as bundles are: a medium may
// have made upper-case letters of it.
func bundlesIn(dir string) (names []string, err error) {
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		if e.Type().IsRegular() && strings.HasSuffix(strings.ToLower(e.Name()), ".tar.zst") && !strings.HasPrefix(e.Name(), ".") {
			names = append(names, e.Name())
		}
	}
	return names, err
}

// dataOf are the names that the file may have which parity is of: as the parity
// has it, or as the parity itself is called.
func dataOf(s volume.Summary) []string {
	names := []string{s.Name}
	for _, file := range s.Files {
		if name, ok := strings.CutSuffix(file, ".par"); ok {
			names = append(names, name)
		}
	}
	return names
}

func isRegular(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

// lookAt takes a file that is there.
func lookAt(ctx context.Context, path string, o volume.OpenOptions) (*meaning, error) {
	f, size, err := openWhole(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	dir, base := filepath.Dir(path), filepath.Base(path)
	_, broken := bundle.Open(f, size)
	if broken == nil && !hasParts(dir) {
		return &meaning{file: path}, nil
	}
	sets, err := volume.Find(ctx, dir, base)
	if err != nil {
		return nil, err
	}
	if broken != nil {
		if n, err := lookAtPart(ctx, dir, base, sets, o); n != nil || err != nil {
			return n, err
		}
	}
	n := &meaning{file: path, strangers: besides(dir, base)}
	w := whole{file: f, size: size, dir: dir, base: base, sound: broken == nil}
	w.id, _ = bundle.ReadID(f, size) // without one the shards tell
	for _, s := range sets {
		if n.set == nil && w.mayHave(s) {
			if n.set, err = w.with(ctx, s); err != nil {
				return nil, err
			}
		}
		// More of the same bundle is not needed, but it is no stranger.
		if n.set != nil && n.set.Is(s) || s.File == w.id.Hex {
			n.strangers = without(n.strangers, s.Files)
		}
	}
	return n, nil
}

// hasParts says whether anything in a folder is called as volumes and parity are:
// where nothing is, not each file has to be opened.
func hasParts(dir string) bool {
	entries, err := os.ReadDir(dir)
	return err != nil || slices.ContainsFunc(entries, func(e os.DirEntry) bool { return isPart(e.Name()) })
}

func isPart(name string) bool {
	return volume.IsName(name, strings.TrimSuffix(name, filepath.Ext(name)))
}

// whole is a file for which parity is looked for.
type whole struct {
	file      *os.File
	size      int64
	dir, base string
	id        image.Digest // zero: it cannot be read
	sound     bool         // it opens as a bundle
}

// mayHave says whether a set may be the file's parity, as far as their ids and
// sizes tell.
func (w whole) mayHave(s volume.Summary) bool {
	return !s.Cut && (w.id.Hex == "" || s.File == w.id.Hex) && (!w.sound || s.Total == w.size)
}

// with opens the file with parity, if that is its own.
func (w whole) with(ctx context.Context, s volume.Summary) (*volume.Set, error) {
	set, err := volume.Open(ctx, w.dir, "", volume.OpenOptions{Of: &s, Data: w.base, Partly: true})
	if err != nil {
		return nil, err
	}
	like, err := set.Likeness()
	if err == nil && w.owns(s, like) {
		return set, nil
	}
	return nil, errors.Join(err, set.Close())
}

// owns says whether parity is the file's by the shards that are there of it. A
// bundle of the same id may have been written another way, and has none of them
// then. Of two bundles that have much in common, where neither id can be read,
// the ends differ: it has the sum of all.
func (w whole) owns(s volume.Summary, like parity.Likeness) bool {
	switch {
	case w.id.Hex != "":
		return !w.sound || like.Looked == 0 || like.Alike > 0
	case like.Looked == 0:
		return w.size == 0 && slices.Contains(dataOf(s), w.base)
	case w.size >= s.Total:
		return like.Most() && like.End
	}
	return like.Most() && !bundle.HasEnd(w.file, w.size)
}

// lookAtPart takes a file that is no bundle for what it is a part of: a volume,
// or parity.
func lookAtPart(ctx context.Context, dir, base string, sets []volume.Summary, o volume.OpenOptions) (*meaning, error) {
	for _, s := range sets {
		if !slices.Contains(s.Files, base) {
			continue
		}
		if !s.Cut {
			for _, name := range dataOf(s) {
				if n, err := lookAtDataOf(ctx, filepath.Join(dir, name), s, o); n != nil || err != nil {
					return n, err
				}
			}
			o.Data = base // none
		}
		o.Of, o.Named = &s, base
		set, err := volume.Open(ctx, dir, "", o)
		if err != nil {
			return nil, err
		}
		return &meaning{set: set, strangers: set.Strangers()}, nil
	}
	if isPart(base) {
		// It may have lost its footer, and parity may show what it was.
		set, err := volume.Open(ctx, dir, base, o)
		if none := (*volume.ChoiceError)(nil); errors.As(err, &none) {
			return nil, nil
		}
		if err == nil && !set.Proves(base) {
			return nil, set.Close()
		}
		return &meaning{set: set}, err
	}
	return nil, nil
}

// lookAtDataOf takes a file that parity may be of, if it is.
func lookAtDataOf(ctx context.Context, path string, s volume.Summary, o volume.OpenOptions) (*meaning, error) {
	if slices.Contains(s.Files, filepath.Base(path)) || !isRegular(path) {
		return nil, nil
	}
	n, err := lookAt(ctx, path, o)
	if err != nil || n.set != nil && n.set.Is(s) {
		return n, err
	}
	return nil, n.close()
}

// close closes what has been opened in vain.
func (n *meaning) close() error {
	if n.set == nil {
		return nil
	}
	return n.set.Close()
}

// besides are the files that are called as volumes or parity of a file would be.
func besides(dir, base string) (names []string) {
	entries, _ := os.ReadDir(dir) // what cannot be read cannot be taken for anything
	for _, e := range entries {
		if volume.IsName(e.Name(), base) {
			names = append(names, e.Name())
		}
	}
	return names
}

func without(names, some []string) []string {
	return slices.DeleteFunc(names, func(name string) bool { return slices.Contains(some, name) })
}

// openWhole opens a regular file. It does not wait at a pipe.
func openWhole(path string) (*os.File, int64, error) {
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return nil, 0, fmt.Errorf("%q is not a regular file", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, 0, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%q is not a regular file", path)
	}
	if err != nil {
		return nil, 0, errors.Join(err, f.Close())
	}
	return f, info.Size(), nil
}
