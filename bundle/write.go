package bundle

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"airgap/bundle/image"
	"airgap/internal/durable"
	"airgap/internal/sums"
)

// WriteOptions say how a plan is carried out. None of them changes the tar or
// the bundle id; of all, only Level changes the bytes of the file.
type WriteOptions struct {
	Level Level
	Jobs  int // blobs and frames side by side; 0 for what suits the machine
	// TempDir is where an engine's layers are spooled, compressed: the folder
	// of the output if empty (for WriteTo, the system's).
	TempDir   string
	NoClobber bool // fail with fs.ErrExist rather than replace a file
	// Begin hears the id of the bundle before its first byte is written; or nil.
	Begin func(id image.Digest)
	// Before is called when the file is whole, before it gets its name; or nil.
	Before func() error
	// Progress hears of bytes of blobs as they come; it may be called from
	// several goroutines.
	Progress func(n int64)
}

// Summary is what has been written.
type Summary struct {
	Totals
	Path     string
	ID       image.Digest // the bundle's id: sha256 of its manifest
	SHA256   string       // of the whole file, 64 hexadecimal digits
	Size     int64        // of the file, in bytes
	Content  int64        // of the tar inside, in bytes
	Replaced bool         // a file of that name was there before
}

// WriteTo writes the bundle to w in one pass.
func (p *Plan) WriteTo(ctx context.Context, w io.Writer, o WriteOptions) (Summary, error) {
	return p.write(ctx, o, func(a *assembly) (written, error) { return a.stream(ctx, w) })
}

// WrittenError says that the bundle is there whole under its name, and what is
// not as it should be beside it.
type WrittenError struct {
	Path   string
	Sums   bool // its sums are there too
	Unsure bool // it is not certain that the disk has what is there
	Err    error
}

func (e *WrittenError) Error() string { return e.Err.Error() }

func (e *WrittenError) Unwrap() error { return e.Err }

// WriteFile writes the bundle and, beside it, path.sha256. Nothing has these
// names before it is whole and on the disk; after an error no new file is left,
// unless it is a *WrittenError.
func (p *Plan) WriteFile(ctx context.Context, path string, o WriteOptions) (Summary, error) {
	replaced, err := checkOutput(path, o.NoClobber)
	if err == nil {
		err = checkSums(path, o.NoClobber)
	}
	if err != nil {
		return Summary{}, err
	}
	removeLeft(path)
	if o.TempDir == "" {
		o.TempDir = filepath.Dir(path)
	}
	var summary Summary
	release := func() {}
	defer func() { release() }()
	perm := permLike(path)
	err = durable.CreateFileMode(path, perm, o.NoClobber, func(f *os.File) error {
		summary, err = p.write(ctx, o, func(a *assembly) (written, error) { return a.file(ctx, f, o) })
		if err != nil {
			return err
		}
		// The old sums go before the new file comes, and no other comes before its
		// sums: they never belong to another file than the one that they stand
		// beside.
		if release, err = durable.Hold(ctx, filepath.Dir(path)); err != nil {
			return err
		}
		if err := ignoreMissing(os.Remove(sumsPath(path))); err != nil || o.Before == nil {
			return err
		}
		return o.Before()
	})
	var named *durable.NamedError
	if errors.As(err, &named) {
		return Summary{}, &WrittenError{Path: path, Unsure: true, Err: err}
	}
	if err != nil {
		return Summary{}, err
	}
	summary.Path, summary.Replaced = path, replaced
	err = durable.CreateFileMode(sumsPath(path), perm, false, func(f *os.File) error {
		_, err := f.WriteString(sums.Line(summary.SHA256, filepath.Base(path)))
		return err
	})
	if err != nil {
		there := errors.As(err, &named)
		return summary, &WrittenError{Path: path, Sums: there, Unsure: there, Err: err}
	}
	return summary, nil
}

// permLike are the permission bits of a new file, without those that the file does
// not have whose place it takes.
func permLike(path string) fs.FileMode {
	info, err := os.Stat(path)
	if err != nil {
		return 0o666
	}
	return 0o666 & (info.Mode().Perm() | 0o600)
}

// removeLeft removes what killed runs have left half written of the file and its
// sums; in a folder that cannot be listed it stays.
func removeLeft(path string) {
	_ = durable.RemovePartials(filepath.Dir(path), func(name string) bool {
		return name == filepath.Base(path) || name == filepath.Base(sumsPath(path))
	})
}

func sumsPath(path string) string { return path + ".sha256" }

// write carries the plan out, with put doing the last step.
func (p *Plan) write(ctx context.Context, o WriteOptions, put func(*assembly) (written, error)) (Summary, error) {
	if o.Progress == nil {
		o.Progress = func(int64) {}
	}
	spool, err := newSpool(o.TempDir, newFramer(o.Level, defaultJobs(o.Jobs)))
	if err != nil {
		return Summary{}, err
	}
	defer spool.close()
	c, err := p.contents(ctx, spool, o.Progress)
	if err != nil {
		return Summary{}, err
	}
	id := image.SHA256(c.raw)
	a, err := newAssembly(ctx, p, c, spool, o) // c is not needed any more, and large
	if err != nil {
		return Summary{}, err
	}
	if o.Begin != nil {
		o.Begin(id)
	}
	out, err := put(a)
	if err != nil {
		return Summary{}, err
	}
	return Summary{
		Totals: p.Totals, ID: id, Size: out.size, Content: a.geometry.size,
		SHA256: hex.EncodeToString(out.hash.Sum(nil)),
	}, nil
}

// file writes to a file, at offsets where they are known beforehand.
func (a *assembly) file(ctx context.Context, f *os.File, o WriteOptions) (written, error) {
	if offs, known := a.offsets(); known {
		out, err := a.place(ctx, f, offs, defaultJobs(o.Jobs))
		if !errors.Is(err, errPacked) {
			return out, err
		}
		if err := f.Truncate(0); err != nil {
			return out, err
		}
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return written{}, err
	}
	return a.stream(ctx, f)
}

// checkOutput says whether path is a file that would be replaced.
func checkOutput(path string, noClobber bool) (replaced bool, err error) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case err != nil:
		return false, err
	case !info.Mode().IsRegular():
		return false, fmt.Errorf("output %q is not a regular file", path)
	case noClobber:
		return false, &fs.PathError{Op: "create", Path: path, Err: fs.ErrExist}
	}
	return true, nil
}

// TakenError says that something has a name that is needed, and may be dear to
// somebody.
type TakenError struct{ Path string }

func (e *TakenError) Error() string {
	return fmt.Sprintf("%q is there, is not what pack would replace, and stays", e.Path)
}

// checkSums refuses to replace what has the name of the bundle's sums, but for
// such sums.
func checkSums(path string, noClobber bool) error {
	at := sumsPath(path)
	info, err := os.Lstat(at)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case noClobber:
		return &fs.PathError{Op: "create", Path: at, Err: fs.ErrExist}
	case !info.Mode().IsRegular() || info.Size() > sums.Most:
		return &TakenError{at}
	}
	content, err := os.ReadFile(at)
	if err == nil && !sums.IsLine(string(content)) {
		err = &TakenError{at}
	}
	return err
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
