// Package media is a folder as a place: a stick, a disc, a share. What is
// written is synced and read back past the page cache, which would otherwise
// answer for a medium that did not store it.
//
// What cannot succeed is found before the first byte: a read-only file system, a
// lack of room, a file that is larger than the file system or this process can
// write. The first error of a sync is final: a second try would succeed, without
// the bytes. The only full proof is to take the medium
// out and read it again elsewhere, with airgap verify; this package goes as far
// as a running system can.
package media

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"airgap/transfer"
)

// Folder is a transfer.Place.
type Folder struct {
	dir    string
	shown  string // what it is called, where dir is a part of it that nobody sees
	file   transfer.File
	old    fs.FileMode // permission bits of what has the final name; 0 if nothing has
	was    fs.FileInfo // what has it; nil if nothing has
	sums   fs.FileInfo // what has the name of its sums; nil if nothing has
	itself fs.FileInfo // as it was when it was opened; nil if that does not matter
	mine   fs.FileInfo // of a file that this process has made here; nil before
}

// Open takes an existing folder.
func Open(dir string) (*Folder, error) {
	info, err := os.Stat(dir)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return nil, fmt.Errorf("destination %q is not a folder", dir)
	}
	return &Folder{dir: dir, shown: dir, itself: info}, nil
}

// stillThere says whether the path still leads to the folder that was opened: a
// medium that is taken out uncovers another.
func (p *Folder) stillThere() bool {
	info, err := os.Stat(p.dir)
	return err == nil && (p.itself == nil || os.SameFile(p.itself, info))
}

// Close does nothing.
func (p *Folder) Close() error { return nil }

func (p *Folder) final() string   { return filepath.Join(p.dir, p.file.Name) }
func (p *Folder) partial() string { return filepath.Join(p.dir, p.file.Partial(p.file.Name)) }

// Find implements transfer.Place. A left-over partial is not continued, unless it is
// as long as the whole and only has to be proven: a medium is fast, and what an
// unplugged one holds is not worth the doubt.
func (p *Folder) Find(_ context.Context, f transfer.File) (transfer.Found, error) {
	p.file = f
	p.old, p.was = 0, nil
	found := transfer.Found{Place: p.shown, Path: p.final(), Name: f.Name, Partial: p.partial(), Final: -1, Begun: -1}
	switch info, err := os.Lstat(p.final()); {
	case err == nil && !info.Mode().IsRegular():
		return found, &transfer.MediumError{Path: p.final(), Err: transfer.ErrNotRegular}
	case err == nil:
		found.Final, p.old, p.was = info.Size(), info.Mode().Perm(), info
	case !errors.Is(err, fs.ErrNotExist):
		return found, err
	}
	p.sums, _ = os.Lstat(p.final() + ".sha256")
	found.Sums = p.sums
	var err error
	if found.Free, found.Limit, err = limits(p.dir, f.Size); err != nil {
		return found, p.failed(err)
	}
	if info, err := os.Lstat(p.partial()); err == nil && info.Mode().IsRegular() {
		if info.Size() == f.Size && ours(info, p.mine) {
			found.Begun = f.Size
		} else if found.Free >= 0 {
			found.Free += info.Size() // it will be replaced
		}
	}
	found.Older, found.Names, err = p.findOlder()
	return found, p.failed(err)
}

// Write implements transfer.Place.
func (p *Folder) Write(_ context.Context, off int64, data io.Reader) (err error) {
	if off == p.file.Size && off > 0 {
		return p.failed(syncFile(p.partial())) // all of it is there
	}
	if off != 0 {
		return fmt.Errorf("writing %q from %d on: a folder starts over", p.partial(), off)
	}
	f, err := create(p.partial(), p.file.Narrow(0o666, p.old))
	if err != nil {
		return p.failed(err)
	}
	defer func() {
		if err != nil {
			f.Close()
			os.Remove(f.Name())
		}
	}()
	if _, err := io.CopyBuffer(struct{ io.Writer }{f}, data, make([]byte, 1<<20)); err != nil {
		return p.failed(err)
	}
	return p.failed(errors.Join(f.Sync(), f.Close()))
}

func syncFile(path string) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// failed sorts the errors of writing: a full medium, a failing one, or another
// error altogether.
func (p *Folder) failed(err error) error {
	name, ok := pathOf(err)
	if !ok {
		return err
	}
	switch {
	case isNoSpace(err):
		return p.full(name, err)
	case errors.Is(err, fs.ErrNotExist): // Open has seen the folder
		if p.stillThere() {
			return &transfer.GoneError{Path: name, Err: err}
		}
		err = errors.New("the folder is gone: is the medium still in?")
	}
	return &transfer.MediumError{Path: name, Err: err}
}

// full tells a medium without room from one that says it has some.
func (p *Folder) full(name string, err error) error {
	free, _, _ := limits(p.dir, 1)
	need := p.file.Size
	if info, err := os.Lstat(p.partial()); err == nil {
		need -= info.Size()
	}
	if enough := max(need, 1) + spare; free >= enough && !isQuota(err) {
		return &transfer.MediumError{Path: name, Err: fmt.Errorf("%w, although %d bytes are said to be free", err, free)}
	}
	full := &transfer.NoSpaceError{Place: p.shown, Path: filepath.Join(p.shown, p.file.Name), Need: p.file.Size, Free: free}
	if isQuota(err) {
		full.Err = err
	}
	return full
}

// spare is what a file system may keep for itself when it is full, in bytes.
const spare = 16 << 20

// pathOf is the path that an error of the system is about.
func pathOf(err error) (string, bool) {
	var path *fs.PathError
	var link *os.LinkError
	switch {
	case errors.As(err, &path):
		return path.Path, true
	case errors.As(err, &link):
		return link.New, true
	}
	return "", false
}

// Hash implements transfer.Place: what is written is read past the page cache.
func (p *Folder) Hash(ctx context.Context, which transfer.Which, n int64) (sum, how string, err error) {
	path := p.final()
	if which == transfer.Partial {
		path = p.partial()
	}
	r, how, err := openUncached(path)
	if err != nil {
		return "", "", p.failed(err)
	}
	defer r.Close()
	h := sha256.New()
	if m, err := io.Copy(h, io.LimitReader(transfer.ContextReader(ctx, r), n)); err != nil {
		return "", "", p.failed(err)
	} else if m < n {
		return "", how, nil // shorter: no hash is that of n bytes
	}
	return hex.EncodeToString(h.Sum(nil)), how, nil
}

// Discard implements transfer.Place.
func (p *Folder) Discard(context.Context) error {
	return p.failed(ignoreGone(os.Remove(p.partial())))
}

// Commit implements transfer.Place.
func (p *Folder) Commit(_ context.Context, which transfer.Which, sidecar []byte) error {
	if err := p.name(which); err != nil {
		return p.meanwhile(err, which == transfer.Final)
	}
	// The sum is last, since on FAT a cut may leave a name without its bytes.
	if _, _, err := syncFolder(p.dir); err != nil {
		return p.failed(err)
	}
	mode := fs.FileMode(0o666)
	if info, err := os.Stat(p.final()); err == nil {
		mode &= info.Mode().Perm()
	}
	return p.meanwhile(writeSynced(p.final()+".sha256", sidecar, mode), true)
}

// name gives the partial the final name, which has no sums then.
func (p *Folder) name(which transfer.Which) error {
	if which == transfer.Partial {
		if err := transfer.Unchanged(p.final(), p.was); err != nil {
			return err
		}
	}
	sums := p.final() + ".sha256"
	if err := transfer.Unchanged(sums, p.sums); err != nil {
		return err
	}
	if err := ignoreGone(os.Remove(sums)); err != nil || which == transfer.Final {
		return err
	}
	p.narrow() // the older file may have come only now
	return transfer.Rename(p.partial(), p.final(), p.was)
}

// meanwhile is failed for what may have come meanwhile, and says where the file is.
func (p *Folder) meanwhile(err error, named bool) error {
	var changed *transfer.MeanwhileError
	if !errors.As(err, &changed) {
		return p.failed(err)
	}
	changed.Place, changed.Named = p.shown, named
	if !named {
		changed.Kept = p.partial()
	}
	return changed
}

// narrow takes from the partial the rights that it must not give, where the file
// system has any.
func (p *Folder) narrow() {
	info, err := os.Lstat(p.partial())
	if err != nil {
		return
	}
	if mode := p.file.Narrow(info.Mode().Perm(), p.old); mode != info.Mode().Perm() {
		_ = os.Chmod(p.partial(), mode)
	}
}

// Sync implements transfer.Place.
func (p *Folder) Sync(context.Context) (durable bool, why string, err error) {
	durable, why, err = syncFolder(p.dir)
	return durable, why, p.failed(err)
}

// writeSynced writes a small new file by a temporary name, the same each time, so
// that what a cut leaves is replaced.
func writeSynced(path string, content []byte, mode fs.FileMode) (err error) {
	temporary := filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".partial")
	f, err := create(temporary, mode)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			f.Close()
			os.Remove(temporary)
		}
	}()
	_, err = f.Write(content)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return transfer.Rename(temporary, path, nil)
}

// create makes a new file, in place of what is left from before.
func create(path string, mode fs.FileMode) (*os.File, error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	return os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode|0o600)
}
