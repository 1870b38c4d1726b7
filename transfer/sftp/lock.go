package sftp

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/pkg/sftp"

	"airgap/transfer"
)

// Lock implements transfer.Place. Servers know no locks: it is a file that shows
// signs of life. Where a shell is there, it waits for the end of the connection
// and removes the file then, so that nobody has to wait for it to become stale.
func (p *Place) Lock(ctx context.Context, f transfer.File, o transfer.LockOptions) (held context.Context, unlock func(), err error) {
	p.file = f
	err = p.guard(ctx, func() error {
		if err := p.locate(ctx); err != nil {
			return err
		}
		l := &lockFile{Place: p, name: path.Join(p.dir, transfer.LockName(p.name)), of: p.name, text: transfer.LockText{Partial: path.Base(p.partial())}}
		p.listing = p.list(ctx)
		held, unlock, err = transfer.Lock(ctx, l, o, &transfer.BusyError{Place: p.dest.Host, Path: p.final()})
		if err != nil {
			l.unwatch()
			return p.failed(err)
		}
		p.held.add(l)
		give := unlock
		unlock = func() {
			p.held.drop(l)
			give()
		}
		return nil
	})
	return held, unlock, err
}

// lockFile is a transfer.LockFile.
type lockFile struct {
	*Place
	name string // of the lock, absolute
	of   string // what it is the lock of, without its folder
	text transfer.LockText
	f    *sftp.File
	gone func() // the shell that waits for our end need not wait; nil if none does
}

// Create implements transfer.LockFile.
func (l *lockFile) Create(sign string) error {
	l.watch(sign)
	f, err := l.open()
	if err != nil {
		return err
	}
	if l.f != nil {
		l.f.Close() // it has been removed
	}
	l.f = f
	_ = together( // that the file is there is enough
		func() error { return l.Beat(sign) },
		func() error {
			if info, err := f.Stat(); err == nil {
				l.mine.Store(&info)
			}
			return nil
		},
	)
	return nil
}

// open makes the file. A server does not say why it makes none, and what was in
// the way may be gone when that is looked for: it is tried again then.
func (l *lockFile) open() (f *sftp.File, err error) {
	for range 3 {
		if f, err = l.client.OpenFile(l.name, os.O_RDWR|os.O_CREATE|os.O_EXCL); err == nil {
			return f, nil
		}
		if _, there := l.client.Lstat(l.name); there == nil {
			return nil, fs.ErrExist
		}
	}
	return nil, err
}

// Beat implements transfer.LockFile.
func (l *lockFile) Beat(sign string) error {
	l.text.Sign = sign
	_, err := l.f.WriteAt([]byte(l.text.String()), 0)
	return err
}

// watch has a shell there remove the lock when the connection ends.
func (l *lockFile) watch(sign string) {
	if l.more == nil || l.gone != nil { // over the ssh command it would be another connection
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	l.gone = cancel
	go func() { // where there is no shell, nothing comes of it
		_ = l.run(ctx, posix(watchScript(l.name, sign)), Command{Stdin: waiting{ctx}, Stdout: io.Discard, Stderr: io.Discard, silent: true})
	}()
}

// unwatch ends that.
func (l *lockFile) unwatch() {
	if l.gone != nil {
		l.gone()
	}
}

// tokenOf is what of a sign stays the same.
func tokenOf(sign string) string {
	token, _, _ := strings.Cut(sign, " ")
	return token
}

// watchScript removes a lock at the end of its input, if it still is that of
// whoever has signed it.
func watchScript(name, sign string) string {
	token := tokenOf(sign)
	return fmt.Sprintf("cat >/dev/null; read -r token beat <%s && [ \"$token\" = %s ] && rm -f %s", quoted(name), quoted(token), quoted(name))
}

// Look implements transfer.LockFile.
func (l *lockFile) Look() (s transfer.Signs, err error) {
	info, err := l.client.Lstat(l.name)
	if err != nil {
		return s, err
	}
	if !info.Mode().IsRegular() {
		return s, &transfer.MediumError{Path: l.at(l.name), Err: errors.New("what has the name of a lock is not a regular file")}
	}
	s.Written = versionOf(info)
	s.LockText = l.read(l.name)
	if s.Partial != "" {
		if grown, err := l.client.Lstat(path.Join(path.Dir(l.name), s.Partial)); err == nil {
			s.Grown = versionOf(grown)
		}
	}
	return s, nil
}

// read reads a lock; what cannot be read tells nothing.
func (l *lockFile) read(name string) transfer.LockText {
	f, err := l.client.Open(name)
	if err != nil {
		return transfer.LockText{}
	}
	defer f.Close()
	raw := make([]byte, transfer.MaxLock)
	n, _ := f.ReadAt(raw, 0)
	return transfer.ParseLock(raw[:n], l.of)
}

func versionOf(info fs.FileInfo) transfer.Version {
	return transfer.Version{Size: info.Size(), Modified: info.ModTime()}
}

// Age implements transfer.LockFile: a file that is made now shows what the server
// takes for now.
func (l *lockFile) Age(s transfer.Signs) time.Duration {
	name := l.name + "." + rand.Text()[:8]
	f, err := l.client.OpenFile(name, exclusive)
	if err != nil {
		return -1
	}
	info, err := f.Stat()
	f.Close()
	if removed := l.remove(name); err != nil || removed != nil {
		return -1
	}
	return s.Age(info.ModTime())
}

// Break implements transfer.LockFile.
func (l *lockFile) Break(s transfer.Signs) error {
	aside := l.name + "." + rand.Text()[:8]
	if err := l.client.Rename(l.name, aside); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	}
	if l.read(aside) == s.LockText {
		return l.remove(aside)
	}
	// Its owner gives signs of life, or somebody has been faster: it is theirs.
	err := l.client.Rename(aside, l.name)
	if _, there := l.client.Lstat(l.name); err != nil && there == nil {
		return l.remove(aside) // who missed it has made another meanwhile
	}
	return err
}

// Remove implements transfer.LockFile. Some servers remove nothing that is open.
func (l *lockFile) Remove() error {
	err := l.remove(l.name)
	if err != nil {
		l.f.Close()
		err = l.remove(l.name)
	} else {
		go l.f.Close() // nothing depends on it
	}
	l.unwatch()
	return err
}

// locks are those that a place holds.
type locks struct {
	mu   sync.Mutex
	list map[*lockFile]bool
}

func (h *locks) add(l *lockFile) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.list == nil {
		h.list = map[*lockFile]bool{}
	}
	h.list[l] = true
}

func (h *locks) drop(l *lockFile) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.list, l)
}

// release removes the locks that are still held.
func (h *locks) release() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for l := range h.list {
		if tokenOf(l.read(l.name).Sign) == tokenOf(l.text.Sign) { // nobody has taken it over
			_ = l.remove(l.name) // if the way there is broken, it will be stale
		}
	}
	clear(h.list)
}

// parting is how long a server may take to remove locks of ours when we leave in
// a hurry.
const parting = time.Second

// leave ends the connection before its time.
func (p *Place) leave() {
	released := make(chan struct{})
	go func() {
		defer close(released)
		p.held.release()
	}()
	select {
	case <-released:
	case <-time.After(parting):
	}
	p.link.Close()
}
