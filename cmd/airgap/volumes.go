package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"airgap/bundle"
	"airgap/cmd/airgap/internal/ui"
	"airgap/transfer/volume"
)

// volumeSuffix is what volumes and parity files end with.
var volumeSuffix = regexp.MustCompile(`^\.(par|(par)?[0-9]{3,})$`)

// openSet opens the volumes that a name stands for, or answers the name of the
// one file that a bundle is in.
func openSet(ctx context.Context, name string, o volume.OpenOptions) (set *volume.Set, plain string, err error) {
	dir, base, cut := volumesAt(name)
	if !cut {
		return nil, name, nil
	}
	set, err = volume.Open(ctx, dir, base, o)
	var none *volume.ChoiceError
	if base == "" && errors.As(err, &none) && len(none.Sets) == 0 {
		plain, err = onlyBundle(dir, none)
	}
	return set, plain, err
}

// volumesAt says whether a name stands for volumes, and for which: a folder, one
// of the volumes, a file that has parity beside it, or one that was cut. An empty
// base is any in the folder.
func volumesAt(name string) (dir, base string, cut bool) {
	info, err := os.Stat(name)
	if err == nil && info.IsDir() {
		return name, "", true
	}
	dir, base = filepath.Dir(name), filepath.Base(name)
	if err == nil && volumeSuffix.MatchString(filepath.Ext(base)) {
		return dir, base, true
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return dir, base, false
	}
	for _, e := range entries {
		if suffix, ok := strings.CutPrefix(e.Name(), base); ok && volumeSuffix.MatchString(suffix) {
			return dir, base, true
		}
	}
	return dir, base, false
}

// onlyBundle is the only bundle of a folder that has no volumes.
func onlyBundle(dir string, none error) (string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return "", err
	}
	var names []string
	for _, e := range entries {
		if e.Type().IsRegular() && strings.HasSuffix(e.Name(), ".tar.zst") {
			names = append(names, filepath.Join(dir, e.Name()))
		}
	}
	switch len(names) {
	case 0:
		return "", none
	case 1:
		return names[0], nil
	}
	return "", &ui.Error{
		Err: fmt.Errorf("folder %q holds %d bundles", dir, len(names)), Code: ui.Failed,
		Hints: []string{"name one of them: " + names[0]},
	}
}

// bundleOf is the bundle that a set of volumes is. After an error the set is
// closed.
func bundleOf(set *volume.Set, name string) (*bundleFile, error) {
	b, err := bundle.Open(set, set.Size())
	if err != nil {
		return nil, errors.Join(named(name, err), set.Close())
	}
	return &bundleFile{Bundle: b, name: name, size: set.Size(), data: set, set: set, closers: []func() error{set.Close}}, nil
}

// spread says that not all of the bundle is there at once: somebody changes discs.
func (b *bundleFile) spread() bool { return b.set != nil && b.set.Spread() }

// noteRebuilt says that parity was needed, and what to do about it.
func (b *bundleFile) noteRebuilt(env *ui.Env) {
	if b.set == nil || b.set.Rebuilt() == 0 {
		return
	}
	env.Warn("%s is damaged: %s of %d KiB rebuilt from the parity; airgap repair makes it good on the medium",
		b.name, ui.Plural(int(b.set.Rebuilt()), "piece"), volume.Shard>>10)
}

// askForVolume asks for a medium, until somebody has put in one.
func askForVolume(ctx context.Context, env *ui.Env, dir string, missing volume.Volume) error {
	which := fmt.Sprintf("volume %d (%s)", missing.Number, missing.Name)
	if missing.Number == 0 {
		which = "the last volume of " + missing.Name
	}
	answer, err := env.Ask(ctx, fmt.Sprintf("%s is not in %s: bring the medium that has it there and press Enter (or type lost): ", which, dir))
	if err == nil && answer == "lost" {
		return volume.ErrLost
	}
	return err
}

// checkVolumes reads the volumes of a set once.
func checkVolumes(ctx context.Context, env *ui.Env, set *volume.Set) (volume.Report, error) {
	progress := env.Progress("reading volumes", set.Size())
	defer progress.Stop()
	report, err := set.Check(ctx, progress.Add)
	if err == nil {
		progress.Done()
	}
	return report, err
}

// dropLeftovers removes what an earlier run has left of a bundle beside the files
// that this one has written: old volumes and old parity would be taken for its own.
func dropLeftovers(env *ui.Env, dir, name string, written []string) error {
	old, err := volume.Leftovers(dir, name, written)
	if err != nil || len(old) == 0 {
		return err
	}
	for _, name := range old {
		if err := removeIn(dir)(name); err != nil {
			return err
		}
	}
	env.Note("removed %s of an earlier %s", ui.Plural(len(old), "volume"), name)
	return nil
}

// warnOfOlder says that a whole bundle stays beside volumes of another.
func warnOfOlder(env *ui.Env, path string) {
	env.Warn("the file %s beside the volumes is an older bundle: remove it", path)
}

// removeIn removes a file of a folder with its sums.
func removeIn(dir string) func(name string) error {
	return func(name string) error {
		path := filepath.Join(dir, name)
		err := os.Remove(path + ".sha256")
		if errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
		return errors.Join(err, os.Remove(path))
	}
}
