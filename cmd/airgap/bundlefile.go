package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"airgap/bundle"
	"airgap/cmd/airgap/internal/ui"
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

// bundleFile is an open bundle with the file that it is in.
type bundleFile struct {
	*bundle.Bundle
	name string // as the user calls it
	size int64  // of the file, in bytes
	file *os.File

	forget func() error // removes a file that was only kept for this run; or nil
}

// Close closes the file.
func (b *bundleFile) Close() error {
	err := b.file.Close()
	if b.forget != nil {
		err = errors.Join(err, b.forget())
	}
	return err
}

// another opens the file once more, or answers nil where another file has its
// name by now.
func (b *bundleFile) another() *os.File {
	f, err := os.Open(b.name)
	if err != nil {
		return nil
	}
	mine, err1 := b.file.Stat()
	now, err2 := f.Stat()
	if err1 != nil || err2 != nil || !os.SameFile(mine, now) {
		f.Close()
		return nil
	}
	return f
}

// openBundle opens a bundle. Errors about it bear its name.
func openBundle(name string) (*bundleFile, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, noBundle(name, err)
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%q is not a regular file", name)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	b, err := bundle.Open(f, info.Size())
	if err != nil {
		f.Close()
		return nil, named(name, err)
	}
	return &bundleFile{Bundle: b, name: name, size: info.Size(), file: f}, nil
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
// without a name below dir, where it can be verified as a whole.
func stageBundle(ctx context.Context, env *ui.Env, dir string) (*bundleFile, error) {
	if env.InTerminal {
		return nil, &ui.Error{
			Err: errors.New("standard input is a terminal, not a bundle"), Code: ui.Usage,
			Hints: []string{"airgap unpack - < " + defaultBundle},
		}
	}
	f, err := os.CreateTemp(dir, "airgap-*.partial")
	if err != nil {
		return nil, err
	}
	staged := &bundleFile{name: "standard input", file: f}
	if os.Remove(f.Name()) != nil { // where an open file cannot lose its name
		staged.forget = func() error { return os.Remove(f.Name()) }
	}
	if err := staged.fill(ctx, env); err != nil {
		return nil, errors.Join(named(staged.name, err), staged.Close())
	}
	return staged, nil
}

// fill copies standard input to the file and opens what came.
func (b *bundleFile) fill(ctx context.Context, env *ui.Env) (err error) {
	progress := env.Progress("reading", 0)
	defer progress.Stop()
	in, stop := leavable(ctx, env.In)
	defer stop()
	if b.size, err = bundle.Stage(ctx, counted{in, progress.Add}, b.file); err != nil {
		return err
	}
	progress.Done()
	b.Bundle, err = bundle.Open(b.file, b.size)
	return err
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
