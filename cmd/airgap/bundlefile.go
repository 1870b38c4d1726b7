package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"airgap/bundle"
	"airgap/cmd/airgap/internal/ui"
	"airgap/internal/scratch"
	"airgap/transfer/volume"
	"airgap/transfer/volume/parity"
)

// defaultBundle is the name of a bundle where none is given.
const defaultBundle = "bundle.tar.zst"

// stdio stands for standard input or output where a file is expected.
const stdio = "-"

// bundleArg is the bundle that a command line names.
func bundleArg(args []string) string {
	if len(args) == 0 {
		return defaultBundle
	}
	return args[0]
}

// bundleFile is an open bundle with what it is in.
type bundleFile struct {
	*bundle.Bundle
	name string // as the user calls it
	size int64  // of the whole, in bytes
	data io.ReaderAt
	file *os.File    // that is all of it; or nil
	set  *volume.Set // that it was cut into, or that protects it; or nil

	closers []func() error
}

// fileName is what all of it in one file is called.
func (b *bundleFile) fileName() string {
	if b.set != nil {
		return b.set.Name()
	}
	return filepath.Base(b.name)
}

// parity are the paths of the parity files beside it that are called after it.
func (b *bundleFile) parity() []string {
	if b.set == nil {
		return nil
	}
	return slices.DeleteFunc(b.set.Parity(), func(path string) bool { return !volume.IsName(filepath.Base(path), b.fileName()) })
}

// isParity says whether a file is one of those.
func (b *bundleFile) isParity(name string) bool {
	return slices.ContainsFunc(b.parity(), func(path string) bool { return filepath.Base(path) == name })
}

// Close closes what the bundle is in.
func (b *bundleFile) Close() error {
	var errs []error
	for _, do := range b.closers {
		errs = append(errs, do())
	}
	return errors.Join(errs...)
}

// openBundle opens a bundle, whole or cut into volumes. Errors about it bear its
// name. Where somebody can be asked, volumes that are missing are asked for.
func openBundle(ctx context.Context, env *ui.Env, name string) (*bundleFile, error) {
	var o volume.OpenOptions
	if env.CanAsk() {
		o.Ask = func(ctx context.Context, missing volume.Volume) error { return askForVolume(ctx, env, name, missing) }
	}
	n, err := lookUp(ctx, name, o)
	if err != nil {
		return nil, err
	}
	if err := n.tell(env); err != nil {
		return nil, errors.Join(err, n.close())
	}
	if n.set == nil {
		return openFile(n.file)
	}
	if n.set.Spread() {
		env.Note("the volumes of %s are on several media, which have to be changed now and then; copied into one folder they have not", n.set.Name())
	}
	return bundleOf(n.set, name)
}

// openFile opens a bundle that is one file.
func openFile(name string) (*bundleFile, error) {
	f, size, err := openWhole(name)
	if err != nil {
		return nil, err
	}
	b, err := bundle.Open(f, size)
	if err != nil {
		f.Close()
		return nil, named(name, err)
	}
	return &bundleFile{Bundle: b, name: name, size: size, data: f, file: f, closers: []func() error{f.Close}}, nil
}

// noBundle is the error of a bundle that cannot be opened.
func noBundle(name string, err error) error {
	if name != defaultBundle || !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return &ui.Error{
		Err: fmt.Errorf("there is no %s here", defaultBundle), Code: ui.Failed,
		Hints: []string{"name the bundle, or make one: airgap pack IMAGE…"},
	}
}

// named says which bundle an error is about.
func named(name string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%q: %w", name, err)
}

// stageBundle takes in a bundle from standard input: it is kept in a file
// without a name below dir, where it can be verified as a whole. A stream of
// packets is taken in as well, with what was lost on the way rebuilt.
func stageBundle(ctx context.Context, env *ui.Env, dir string) (_ *bundleFile, err error) {
	if env.InTerminal {
		return nil, &ui.Error{
			Err: errors.New("standard input is a terminal, not a bundle"), Code: ui.Usage,
			Hints: []string{"airgap unpack - < " + defaultBundle},
		}
	}
	progress := env.Progress("reading", 0)
	defer progress.Stop()
	in, stop := leavable(ctx, env.In)
	defer stop()
	staged := &bundleFile{name: "standard input"}
	defer func() {
		if err != nil {
			err = errors.Join(named(staged.name, err), staged.Close())
		}
	}()
	head := bufio.NewReaderSize(in, parity.PacketShard+2*parity.HeaderSize)
	if start, _ := head.Peek(head.Size()); parity.IsPackets(start) {
		err = staged.fillWithPackets(ctx, env, head, dir, progress.Add)
	} else {
		err = staged.fill(ctx, counted{head, progress.Add}, dir)
	}
	if err != nil {
		return nil, err
	}
	progress.Done()
	staged.Bundle, err = bundle.Open(staged.data, staged.size)
	return staged, err
}

// fill keeps a bundle that comes as it is.
func (b *bundleFile) fill(ctx context.Context, in io.Reader, dir string) error {
	f, err := newTemp(dir)
	if err != nil {
		return err
	}
	b.data, b.closers = f, []func() error{f.Close}
	b.size, err = bundle.Stage(ctx, in, f.File)
	return err
}

// newTemp makes a file that is only kept for this run.
func newTemp(dir string) (*scratch.File, error) { return scratch.New(dir, "airgap-*.partial") }

// fillWithPackets keeps a bundle that comes in packets, and says what was lost.
func (b *bundleFile) fillWithPackets(ctx context.Context, env *ui.Env, in io.Reader, dir string, progress func(int64)) error {
	s, err := parity.ReadPackets(ctx, in, dir, progress)
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, parity.ErrMixed) {
		return &bundle.DamagedError{What: "packets", Err: err}
	}
	if err != nil {
		return err
	}
	b.data, b.size, b.closers = s, s.Size(), []func() error{s.Close}
	if lost := s.Lost(); lost.Data > 0 {
		env.Note("%s of %d KiB did not arrive: rebuilt from the parity", ui.Plural(int(lost.Data), "packet"), parity.PacketShard>>10)
	}
	return nil
}

// leavable reads r until the context ends, also while r waits for bytes that
// may never come: what reads from a pipe cannot be woken.
func leavable(ctx context.Context, r io.Reader) (in io.Reader, stop func() bool) {
	in, out := io.Pipe()
	go func() {
		_, err := io.Copy(out, r)
		out.CloseWithError(err)
	}()
	return in, context.AfterFunc(ctx, func() { out.CloseWithError(context.Cause(ctx)) })
}

// counted tells how many bytes are read.
type counted struct {
	io.Reader
	add func(n int64)
}

func (c counted) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.add(int64(n))
	return n, err
}
