package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"

	"airgap/bundle"
	"airgap/cmd/airgap/internal/ui"
	"airgap/transfer/volume"
)

// volumeSuffix is what volumes and parity files end with.
var volumeSuffix = regexp.MustCompile(`^\.(par|(par)?[0-9]{3,})$`)

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
func dropLeftovers(ctx context.Context, env *ui.Env, dir, name string, written []string) error {
	old, err := volume.Leftovers(ctx, dir, name, written)
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
