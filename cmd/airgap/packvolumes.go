package main

import (
	"context"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"airgap/bundle"
	"airgap/cmd/airgap/internal/ui"
	"airgap/transfer"
	"airgap/transfer/media"
	"airgap/transfer/volume"
	"airgap/transfer/volume/parity"
)

// toMedium says whether the bundle is written to a medium: into a folder, or cut
// into volumes.
func (o packOptions) toMedium() bool {
	info, err := os.Stat(o.output)
	return o.cut.size > 0 || strings.HasSuffix(o.output, "/") || err == nil && info.IsDir()
}

// outputIn is the folder that the bundle is written into, and its name there.
func (o packOptions) outputIn() (dir, name string) {
	if info, err := os.Stat(o.output); strings.HasSuffix(o.output, "/") || err == nil && info.IsDir() {
		return filepath.Clean(o.output), defaultBundle
	}
	return filepath.Dir(o.output), filepath.Base(o.output)
}

// writeVolumes writes straight to a medium, as volumes if it needs them: each is
// synced and read back before the next begins.
func (o packOptions) writeVolumes(ctx context.Context, env *ui.Env, plan *bundle.Plan, options bundle.WriteOptions) (summary bundle.Summary, err error) {
	dir, name := o.outputIn()
	medium, err := media.Open(dir)
	if err != nil {
		return summary, err
	}
	defer medium.Close()
	warnOfDoubt(env, medium)
	found, err := medium.Find(ctx, transfer.File{Name: name, Temporary: "." + name + ".partial"})
	if err == nil && o.noClobber {
		err = checkFree(found.Path)
	}
	if err != nil {
		return summary, err
	}
	if o.cut.size == 0 {
		o.cut.size = found.Limit
	}
	w, err := volume.NewWriter(name, volume.WriterOptions{
		Size: o.cut.size, Remove: removeIn(dir),
		Open: volume.To(ctx, medium, transfer.SendOptions{Note: env.Note}, func(r transfer.Receipt) { warnUnlessDurable(env, r) }),
	})
	if err != nil {
		return summary, err
	}
	if summary, err = plan.WriteTo(ctx, w, options); err != nil {
		w.Abort(err)
		return summary, err
	}
	if err := w.Close(); err != nil {
		return summary, err
	}
	var written []string
	for _, v := range w.Volumes() {
		written = append(written, v.Name)
	}
	summary.Path, summary.Replaced = found.Path, found.Final >= 0 && slices.Contains(written, name)
	if !slices.Contains(written, name) {
		env.Note("%s is cut into %s", found.Path, ui.Plural(len(written), "volume"))
		if found.Final >= 0 {
			warnOfOlder(env, found.Path)
		}
	}
	return summary, o.finish(ctx, env, summary, written)
}

// finish adds the parity that is wanted to files that are written, and removes
// what an earlier run has left beside them.
func (o packOptions) finish(ctx context.Context, env *ui.Env, summary bundle.Summary, written []string) error {
	if o.cut.parity > 0 {
		added, err := o.addParity(ctx, env, summary)
		if err != nil {
			return inState("the bundle is there whole, its parity is not", err)
		}
		written = append(written, added...)
	}
	if o.noClobber {
		return nil
	}
	err := dropLeftovers(ctx, env, filepath.Dir(summary.Path), filepath.Base(summary.Path), written)
	return inState("the bundle is there whole, and so is something of an earlier one", err)
}

// checkFree refuses to replace a file or a volume of it.
func checkFree(path string) error {
	for _, name := range []string{path, path + ".001"} {
		if _, err := os.Lstat(name); err == nil {
			return &fs.PathError{Op: "create", Path: name, Err: fs.ErrExist}
		}
	}
	return nil
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
func (o packOptions) addParity(ctx context.Context, env *ui.Env, summary bundle.Summary) (names []string, err error) {
	dir, name := filepath.Dir(summary.Path), filepath.Base(summary.Path)
	progress := env.Progress("making parity", 2*summary.Size)
	defer progress.Stop()
	parts, err := volume.AddParity(ctx, dir, name, volume.Layout{
		ID: summary.ID.Hex, Size: o.cut.size, Parity: o.cut.parity, TempDir: o.tempDir, Progress: progress.Add,
	})
	if err != nil {
		return nil, err
	}
	defer parts.Close()
	medium, err := media.Open(dir)
	if err != nil {
		return nil, err
	}
	defer medium.Close()
	for _, file := range parts.Files {
		receipt, err := transfer.Send(ctx, medium, file, transfer.SendOptions{Note: env.Note})
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
