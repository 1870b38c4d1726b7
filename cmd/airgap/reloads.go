package main

import (
	"context"
	"maps"
	"path/filepath"
	"slices"

	"airgap/bundle/image"
	"airgap/cmd/airgap/internal/ui"
	"airgap/verify/load"
)

// An `unpack --reload` removes images and brings them again. Where it is broken off in
// between, a file says which names they had: what runs next in that engine gives
// them back as far as the images are there, and tells of the others.

// reloads is the folder of these files, one for each engine.
const reloads = "reloads"

// removedFrom reads what broken-off reloads have removed from a place; nil for
// places from which nothing is. Bundle is the one that more is to be brought from.
func removedFrom(env *ui.Env, to string, sink image.Sink, bundle string) (*load.Removed, error) {
	place, ok := sink.(image.Reloader)
	if !ok {
		return nil, nil
	}
	dir, err := stateDir(env)
	if err != nil {
		return nil, err
	}
	r := load.NewRemoved(filepath.Join(dir, reloads, fileFor(addressOf(to, sink)+" "+place.Identity())), bundle)
	_, err = r.Images()
	return r, err
}

// giveBack names images again that a broken-off reload has brought again, before
// anybody takes them for leftovers.
func giveBack(ctx context.Context, env *ui.Env, sink image.Sink, r *load.Removed) error {
	place, ok := sink.(image.Reloader)
	if r == nil || !ok {
		return nil
	}
	names, err := place.GiveBack(ctx, r)
	if len(names) > 0 {
		env.Note("named again, as an unpack --reload that was broken off had not done: %s", listOf(names))
	}
	return err
}

// warnOfRemoved tells of names that broken-off reloads have taken away, and that
// nobody has given back.
func warnOfRemoved(env *ui.Env, r *load.Removed) {
	images, err := r.Images()
	if err != nil {
		env.Warn("%v", err)
	}
	names := map[string][]string{} // by the bundle
	for _, i := range images {
		names[i.From] = append(names[i.From], i.Names...)
	}
	for _, from := range slices.Sorted(maps.Keys(names)) {
		slices.Sort(names[from])
		env.Warn("an unpack --reload of %s was broken off, and these may be gone: %s; unpack that bundle again, or forget them: rm %s", from, listOf(names[from]), r.Path())
	}
}

// warnOfAllRemoved is warnOfRemoved for all engines of this user.
func warnOfAllRemoved(env *ui.Env) {
	dir, err := stateDir(env)
	if err != nil {
		return // and there is nothing to read
	}
	paths, _ := filepath.Glob(filepath.Join(dir, reloads, "*")) // none is as good
	for _, path := range paths {
		warnOfRemoved(env, load.NewRemoved(path, ""))
	}
}

// absolute is a path that says where a file is from anywhere; - is none.
func absolute(path string) string {
	if abs, err := filepath.Abs(path); err == nil && path != "-" {
		return abs
	}
	return path
}
