package media

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"airgap/transfer"
)

// Lock implements transfer.Place.
func (p *Folder) Lock(ctx context.Context, f transfer.File, o transfer.LockOptions) (context.Context, func(), error) {
	p.file = f
	l := &lockFile{folder: p, name: f.Name, text: transfer.LockText{Partial: filepath.Base(p.partial())}}
	held, unlock, err := transfer.Lock(ctx, l, o, &transfer.BusyError{Place: p.shown, Path: filepath.Join(p.shown, f.Name)})
	if err != nil {
		if _, _, why := limits(p.dir, 1); why != nil {
			err = why
		}
		return nil, nil, p.failed(err)
	}
	p.mine = l.mine
	return held, unlock, nil
}

// lockFile is a transfer.LockFile. Where the file system can lock it, the file is
// locked as well, so that nobody on this machine has to wait for a sign of life:
// that lock ends with its owner. On other machines, which may see the folder too,
// only the signs count.
type lockFile struct {
	folder *Folder
	name   string
	text   transfer.LockText
	f      *os.File
	mine   fs.FileInfo // of the first that was made; may be nil
}

func (l *lockFile) path() string { return filepath.Join(l.folder.dir, transfer.LockName(l.name)) }

// Create implements transfer.LockFile.
func (l *lockFile) Create(sign string) error {
	if !l.folder.stillThere() {
		return &fs.PathError{Op: "open", Path: l.path(), Err: fs.ErrNotExist}
	}
	f, err := os.OpenFile(l.path(), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	if l.f != nil {
		l.f.Close() // it has been removed
	}
	if l.mine == nil {
		l.mine, _ = f.Stat()
	}
	l.f, l.text.Machine = f, ""
	if flock(f) == nil {
		l.text.Machine = thisMachine()
	}
	if l.Beat(sign) == nil { // that the file is there is enough
		_ = f.Sync() // what a cut leaves of it is to tell whose it was
	}
	return nil
}

// Beat implements transfer.LockFile.
func (l *lockFile) Beat(sign string) error {
	l.text.Sign = sign
	_, err := l.f.WriteAt([]byte(l.text.String()), 0)
	return err
}

// Look implements transfer.LockFile.
func (l *lockFile) Look() (s transfer.Signs, err error) {
	info, err := os.Lstat(l.path())
	if err != nil {
		return s, err
	}
	if !info.Mode().IsRegular() {
		return s, &transfer.MediumError{Path: l.path(), Err: errors.New("what has the name of a lock is not a regular file")}
	}
	s.Written = versionOf(info)
	if f, err := os.Open(l.path()); err == nil {
		defer f.Close()
		raw, _ := io.ReadAll(io.LimitReader(f, transfer.MaxLock)) // what cannot be read tells nothing
		s.LockText = transfer.ParseLock(raw, l.name)
		if s.Machine != "" && s.Machine == thisMachine() {
			s.Fate = fateOf(f)
		}
	}
	if grown, err := os.Lstat(filepath.Join(l.folder.dir, s.Partial)); err == nil && s.Partial != "" {
		s.Grown = versionOf(grown)
	}
	return s, nil
}

func versionOf(info fs.FileInfo) transfer.Version {
	return transfer.Version{Size: info.Size(), Modified: info.ModTime()}
}

// Age implements transfer.LockFile: a file that is made now shows what the folder
// takes for now.
func (l *lockFile) Age(s transfer.Signs) time.Duration {
	f, err := os.CreateTemp(l.folder.dir, transfer.LockName(l.name)+".*")
	if err != nil {
		return -1
	}
	defer os.Remove(f.Name())
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return -1
	}
	return s.Age(info.ModTime())
}

// Break implements transfer.LockFile.
func (l *lockFile) Break(s transfer.Signs) error {
	aside := l.path() + "." + rand.Text()[:8]
	if err := os.Rename(l.path(), aside); err != nil {
		return ignoreGone(err)
	}
	if raw, err := os.ReadFile(aside); err == nil && transfer.ParseLock(raw, l.name) != s.LockText {
		return os.Rename(aside, l.path()) // somebody has been faster: it is theirs
	}
	return ignoreGone(os.Remove(aside))
}

func ignoreGone(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// Remove implements transfer.LockFile: while it is locked, if that can be done.
func (l *lockFile) Remove() error {
	err := ignoreGone(os.Remove(l.path()))
	l.f.Close()
	if err != nil {
		err = ignoreGone(os.Remove(l.path()))
	}
	return err
}

// thisMachine tells this machine from others that may see the same folder, and
// from itself after another start.
var thisMachine = sync.OnceValue(func() string {
	host, err := os.Hostname()
	if err != nil {
		return ""
	}
	boot, _ := os.ReadFile("/proc/sys/kernel/random/boot_id") // not everywhere
	sum := sha256.Sum256(append([]byte(host+"\n"), boot...))
	return hex.EncodeToString(sum[:8])
})
