package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"airgap/bundle"
	"airgap/cmd/airgap/internal/ui"
	"airgap/transfer"
	"airgap/transfer/volume"
)

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

func noteRemoved(env *ui.Env, name string, removed []string) {
	if len(removed) > 0 {
		env.Note("removed %s of an earlier %s", ui.Plural(len(removed), "volume"), name)
	}
}

// warnOfOther says that a file of that name stays beside the volumes of a bundle:
// an older one, or something else altogether.
func warnOfOther(env *ui.Env, path string) {
	env.Warn("the file %s has the bundle's name and is not what the volumes hold: to read the volumes, name one of them", path)
}

// removeAll removes files of a folder with their sums.
func removeAll(dir transfer.Dir, names []string) error {
	for _, name := range names {
		for _, name := range []string{name + ".sha256", name} {
			if err := dir.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
	}
	return nil
}
