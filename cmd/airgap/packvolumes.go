package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"airgap/bundle"
	"airgap/bundle/image"
	"airgap/cmd/airgap/internal/ui"
	"airgap/transfer"
	"airgap/transfer/media"
	"airgap/transfer/volume"
	"airgap/transfer/volume/parity"
)

// toMedium says whether the bundle is written to a medium: into a folder, or cut
// into volumes.
func (o packOptions) toMedium() bool {
	return o.cut.size > 0 || o.toFolder()
}

// toFolder says whether the output is a folder, in which no name is given.
func (o packOptions) toFolder() bool {
	info, err := os.Stat(o.output)
	return strings.HasSuffix(o.output, "/") || err == nil && info.IsDir()
}

// mayReplaceIn refuses to replace a file in a folder that was not named, and is no
// bundle.
func (o packOptions) mayReplaceIn(dir, name string) error {
	if !o.toFolder() {
		return nil
	}
	f, err := transfer.LocalDir(dir).Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	ours, err := isCargo(f, f.Size())
	if err == nil && !ours && f.Size() > 0 {
		err = &bundle.TakenError{Path: filepath.Join(dir, name)}
	}
	return err
}

// outputIn is the folder that the bundle is written into, and its name there.
func (o packOptions) outputIn() (dir, name string) {
	if o.toFolder() {
		return filepath.Clean(o.output), defaultBundle
	}
	return filepath.Dir(o.output), filepath.Base(o.output)
}

// packed is what pack has written.
type packed struct {
	bundle.Summary
	first string // the file to name to read it: itself, or its first volume
}

// writeOne writes to a file. Old parity goes before that has its name, old volumes
// afterwards: whatever ends it, nothing is there that does not belong together.
func (o packOptions) writeOne(ctx context.Context, env *ui.Env, plan *bundle.Plan, options bundle.WriteOptions) (p packed, err error) {
	dir, name := o.outputIn()
	old, err := o.checkFree(ctx, dir, name)
	if err != nil {
		return p, err
	}
	if o.noClobber {
		old = volume.Earlier{} // which stays
	}
	if medium, err := media.Open(dir); err == nil {
		_ = medium.Sweep(ctx, name) // in a folder that cannot be listed it stays
		if busy, _ := clearMedium(ctx, env, medium, name); busy && len(old.Outdated(false, nil)) > 0 {
			env.Note("a send of %s is going on in its folder, so that nothing is cleared up there", name)
			old = volume.Earlier{}
		}
	}
	options.Before = func() error { return removeAll(transfer.LocalDir(dir), slices.Concat(old.Parity, old.Beside)) }
	if p.Summary, err = plan.WriteFile(ctx, o.output, options); err != nil {
		return p, err
	}
	p.first = p.Path
	if err := removeAll(transfer.LocalDir(dir), old.Volumes); err != nil {
		return p, inState("the bundle is there whole, and so is something of an earlier one", err)
	}
	var added []string
	if o.cut.parity > 0 {
		medium, err := media.Open(dir)
		if err == nil {
			added, err = o.addParity(ctx, env, medium, dir, p.Summary)
		}
		if err != nil {
			return p, inState(withoutParity, err)
		}
	}
	noteRemoved(env, name, old.Outdated(false, added))
	return p, nil
}

// withoutParity is the state of things where only the parity has failed.
const withoutParity = "the bundle is there whole, its parity is not"

// writeVolumes writes straight to a medium, as volumes if it needs them, each of
// which is synced and read back. Nothing of the bundle is seen before all of it is
// there: an older one stays whole until then.
func (o packOptions) writeVolumes(ctx context.Context, env *ui.Env, plan *bundle.Plan, options bundle.WriteOptions) (p packed, err error) {
	dir, name := o.outputIn()
	medium, err := media.Open(dir)
	if err != nil {
		return p, err
	}
	defer medium.Close()
	warnOfDoubt(env, medium)
	found, err := medium.Find(ctx, transfer.File{Name: name, Temporary: "." + name + ".partial"})
	if err == nil {
		_, err = o.checkFree(ctx, dir, name)
	}
	if err != nil {
		return p, err
	}
	if o.cut.size == 0 {
		o.cut.size = found.Limit
	}
	if o.cut.size == 0 {
		if err := o.mayReplaceIn(dir, name); err != nil {
			return p, err
		}
	}
	if _, err := clearMedium(ctx, env, medium, name); err != nil {
		return p, err
	}
	apart, err := medium.Apart(ctx, name)
	if err != nil {
		return p, err
	}
	defer func() {
		left := apart.Close()
		if err == nil {
			left = inState("the bundle is there whole, and so is a folder that it was made in", left)
		}
		err = errors.Join(err, left)
	}()
	var doubt string
	made := volume.Made{From: apart.Dir(), Name: name, Sync: func() (err error) {
		doubt, err = syncBoth(ctx, medium, apart)
		return err
	}}
	if p.Summary, made.Volumes, err = o.cutTo(ctx, env, apart, name, plan, options); err != nil {
		return p, err
	}
	var lacking error
	if o.cut.parity > 0 {
		made.Parity, lacking = o.addParity(ctx, env, apart.Folder, apart.Dir(), p.Summary)
	}
	found, removed, err := o.settle(ctx, env, medium, made) // what is there may have come meanwhile
	if err != nil {
		return p, err
	}
	if doubt != "" {
		env.Warn("%s: it is not confirmed that it is on the disk: %s", found.Path, doubt)
	}
	p.Path, p.first = found.Path, filepath.Join(dir, made.Volumes[0])
	p.Replaced = found.Final >= 0 && p.first == p.Path
	if p.first != p.Path {
		env.Note("%s is cut into %s", p.Path, ui.Plural(len(made.Volumes), "volume"))
		if found.Final >= 0 {
			warnOfOther(env, p.Path)
		}
	}
	noteRemoved(env, name, without(removed, made.Parity))
	return p, inState(withoutParity, lacking)
}

// settle moves what has been made to its folder, as the only one who brings a bundle
// of that name there: of two at once each would replace some of the other's volumes.
// It says what it has found there before.
func (o packOptions) settle(ctx context.Context, env *ui.Env, medium *media.Folder, made volume.Made) (found transfer.Found, removed []string, err error) {
	dir, name := o.outputIn()
	held, unlock, err := medium.Lock(ctx, transfer.File{Name: name, Temporary: "." + name + ".partial"}, transfer.LockOptions{Owner: rand.Text(), Wait: true, Note: env.Note})
	if err != nil {
		return found, nil, err
	}
	defer unlock()
	if found, err = medium.Find(held, transfer.File{Name: name, Temporary: "." + name + ".partial"}); err != nil {
		return found, nil, err
	}
	if _, err := o.checkFree(held, dir, name); err != nil {
		return found, nil, err
	}
	if slices.Contains(made.Volumes, name) {
		if err := o.mayReplaceIn(dir, name); err != nil {
			return found, nil, err
		}
	}
	removed, err = made.Settle(held, dir)
	return found, removed, err
}

// cutTo writes the bundle into a folder, and names the files that it became.
func (o packOptions) cutTo(ctx context.Context, env *ui.Env, apart *media.Apart, name string, plan *bundle.Plan, options bundle.WriteOptions) (summary bundle.Summary, names []string, err error) {
	w, err := volume.NewWriter(name, volume.WriterOptions{
		Size: o.cut.size, Open: volume.To(ctx, apart, transfer.SendOptions{Note: env.Note}, nil),
	})
	if err != nil {
		return summary, nil, err
	}
	options.Begin = func(id image.Digest) { w.Identify(id.Hex) }
	if summary, err = plan.WriteTo(ctx, w, options); err != nil {
		w.Abort(err)
		return summary, nil, err
	}
	if err := w.Close(); err != nil {
		return summary, nil, err
	}
	for _, v := range w.Volumes() {
		names = append(names, v.Name)
	}
	summary.Path = filepath.Join(apart.Dir(), name)
	return summary, names, nil
}

// syncBoth makes it durable that names are in one folder, and not in another any
// more. Where the file system has no way to do that, doubt says so.
func syncBoth(ctx context.Context, medium *media.Folder, apart *media.Apart) (doubt string, err error) {
	if _, _, err := apart.Sync(ctx); err != nil {
		return "", err
	}
	_, doubt, err = medium.Sync(ctx)
	return doubt, err
}

// checkFree answers what there is of earlier bundles of that name. What might be
// replaced is refused with --no-clobber, and where it is no bundle's.
func (o packOptions) checkFree(ctx context.Context, dir, name string) (old volume.Earlier, err error) {
	old, err = volume.FindEarlier(ctx, transfer.LocalDir(dir), name, "")
	if err != nil {
		return old, err
	}
	if par := name + ".par"; o.cut.parity > 0 && o.cut.size == 0 && old.IsInTheWay(dir, par) {
		return old, &volume.InTheWayError{Path: filepath.Join(dir, par)}
	}
	if !o.noClobber {
		return old, nil
	}
	var taken []string
	if _, err := os.Lstat(filepath.Join(dir, name)); err == nil {
		taken = append(taken, name)
	}
	if o.toMedium() {
		taken = append(taken, old.Volumes...)
	}
	if o.cut.parity > 0 {
		taken = slices.Concat(taken, old.Parity, old.Beside)
	}
	if len(taken) > 0 {
		return old, &fs.PathError{Op: "create", Path: filepath.Join(dir, taken[0]), Err: fs.ErrExist}
	}
	return old, nil
}

// warnOfDoubt says that a folder may not be the medium that it is taken for.
func warnOfDoubt(env *ui.Env, medium *media.Folder) {
	if doubt := medium.Doubt(); doubt != "" {
		env.Warn("%s", doubt)
	}
}

func warnUnlessDurable(env *ui.Env, r transfer.Receipt) {
	if !r.Durable {
		env.Warn("%s: it is not confirmed that it is on the disk: %s", r.Path, r.Why)
	}
}

// addParity puts parity beside a bundle that is written, and names its files.
func (o packOptions) addParity(ctx context.Context, env *ui.Env, medium *media.Folder, dir string, summary bundle.Summary) (names []string, err error) {
	progress := env.Progress("making parity", 2*summary.Size)
	defer progress.Stop()
	parts, err := volume.AddParity(ctx, dir, filepath.Base(summary.Path), volume.Layout{
		ID: summary.ID.Hex, Size: o.cut.size, Parity: o.cut.parity, TempDir: o.tempDir, Progress: progress.Add,
	})
	if err != nil {
		return nil, err
	}
	defer parts.Close()
	mode := permOf(filepath.Join(dir, filepath.Base(summary.Path)))
	for _, file := range parts.Files {
		file.Mode = mode
		o := transfer.SendOptions{Note: env.Note, MayReplace: mayReplace(file, filepath.Base(summary.Path))}
		receipt, err := transfer.Send(ctx, medium, file, o)
		if err != nil {
			return nil, err
		}
		warnUnlessDurable(env, receipt)
		names = append(names, file.Name)
	}
	progress.Done()
	env.Note("%s", protection(parts, o.cut.parity))
	return names, nil
}

// writePackets writes to standard output in packets, for a way on which some get
// lost. Parity is made of the whole, which so has to be kept meanwhile.
func (o packOptions) writePackets(ctx context.Context, env *ui.Env, plan *bundle.Plan, options bundle.WriteOptions) (summary bundle.Summary, err error) {
	whole, err := newTemp(o.tempDir)
	if err != nil {
		return summary, err
	}
	defer func() { err = errors.Join(err, whole.Close()) }()
	spill, err := newTemp(o.tempDir)
	if err != nil {
		return summary, err
	}
	defer func() { err = errors.Join(err, spill.Close()) }()
	if summary, err = plan.WriteTo(ctx, whole, options); err != nil {
		return summary, err
	}
	g, err := parity.WritePackets(ctx, o.stream, parity.Packets{
		Data: whole, Size: summary.Size, Percent: o.cut.parity, ID: streamID(summary.SHA256), Spill: spill.File,
	})
	if err == nil {
		env.Note("%d%% of the packets may be lost, wherever they are: parity adds %d%% to the bundle", o.cut.parity, 100*g.ParityShards()/g.DataShards())
	}
	return summary, err
}

// streamID is the same for the same bytes.
func streamID(sum string) (id [16]byte) {
	raw, _ := hex.DecodeString(sum) // it has been made of bytes
	copy(id[:], raw)
	return id
}
