package sftp

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/pkg/sftp"

	"airgap/transfer"
)

// Options say how a host is reached.
type Options struct {
	// SSH is an ssh command to run SFTP over, such as `ssh -F config`. Empty:
	// this program is its own ssh.
	SSH      string
	Password string // tried where a password is asked for; empty: Ask is asked
	Ask      Asker  // nil: nobody is there
	// IsFile says whether what is not there may be the name that the file gets;
	// else it is a folder that is missing. Nil: any may.
	IsFile func(name string) bool
	// Note hears of what a user should know; may be nil.
	Note func(format string, args ...any)

	keepalive, patience time.Duration // 0: the usual; tests have no patience
}

// Place is a folder on another host, or a new name in one: a transfer.Place.
type Place struct {
	dest   Dest
	client *sftp.Client
	packet int // bytes of a file in a packet, at most
	link   io.Closer
	run    runner
	more   func() (*sftp.Client, error) // another channel of the connection; nil if it has but one
	told   func(error) error            // of an error of the connection, with why we ended it if we did
	isFile func(name string) bool       // as in Options
	shell  *shell

	file    transfer.File
	dir     string // absolute
	name    string
	located transfer.File        // that this is for: its name, and whether it is exact
	arrived *arrival             // the sum of the partial that was written last; may be nil
	listing <-chan []fs.FileInfo // of the folder, for the next Find; nil if it has not been begun
	old     fs.FileMode          // permission bits of what has the final name; 0 if nothing has
	was     fs.FileInfo          // what has it; nil if nothing has
	sums    fs.FileInfo          // what has the name of its sums; nil if nothing has
	none    bool                 // no partial was there when that was looked for
	held    locks
	mine    atomic.Pointer[fs.FileInfo] // of a file that was made here; nil before
}

// Open connects to a destination.
func Open(ctx context.Context, d Dest, o Options) (*Place, error) {
	p := newPlace(d, o)
	var err error
	if o.SSH == "" {
		err = p.openOwn(ctx, o)
	} else {
		err = p.openCommand(ctx, o)
	}
	var config *ConfigError
	if errors.As(err, &config) && o.Password == "" {
		// Only ssh itself can do that, and it answered when it was asked.
		if o.Note != nil {
			o.Note("%v: sending through it", err)
		}
		o.SSH = "ssh"
		err = p.openCommand(ctx, o)
	}
	if err != nil {
		return nil, err
	}
	return p, nil
}

func newPlace(d Dest, o Options) *Place {
	return &Place{dest: d, told: func(err error) error { return err }, isFile: o.IsFile, shell: &shell{patience: cmp.Or(o.patience, patience)}}
}

// start greets a server over a connection and makes a client of it.
func (p *Place) start(r io.Reader, w io.WriteCloser) (err error) {
	if p.packet, r, w, err = introduce(r, w); err == nil {
		p.client, err = newClient(r, w, p.packet)
	}
	return err
}

// newClient is a client that has as much in flight as it may.
func newClient(r io.Reader, w io.WriteCloser, packet int) (*sftp.Client, error) {
	return sftp.NewClientPipe(r, w, sftp.UseConcurrentReads(true), sftp.MaxPacketUnchecked(packet),
		sftp.MaxConcurrentRequestsPerFile(requests(packet)))
}

func (p *Place) openOwn(ctx context.Context, o Options) error {
	s, err := settle(ctx, p.dest)
	if err != nil {
		return err
	}
	return p.openSettled(ctx, s, o)
}

func (p *Place) openSettled(ctx context.Context, s settings, o Options) error {
	l, err := dial(ctx, s, o, 0)
	if err != nil {
		return err
	}
	p.link, p.run, p.told = l, l.run, l.told
	p.more = func() (*sftp.Client, error) {
		r, w, err := l.subsystem("sftp")
		if err != nil {
			return nil, err
		}
		return newClient(r, w, p.packet)
	}
	defer context.AfterFunc(ctx, func() { l.Close() })()
	r, w, err := l.subsystem("sftp")
	if err == nil {
		err = p.start(r, w)
	}
	if err != nil {
		return errors.Join(&transfer.InterruptedError{Place: p.dest.Host, Err: fmt.Errorf("starting SFTP there: %w", err)}, l.Close())
	}
	return nil
}

func (p *Place) openCommand(ctx context.Context, o Options) error {
	words, err := splitCommand(o.SSH)
	if err != nil {
		return err
	}
	process, err := startProcess(words, p.dest)
	if err != nil {
		return err
	}
	p.link, p.run = process, runnerOf(words, p.dest)
	defer context.AfterFunc(ctx, func() { process.Close() })()
	if err := p.start(process.out, process.in); err != nil {
		process.Close()
		return &transfer.InterruptedError{Place: p.dest.Host, Err: fmt.Errorf("%s did not start SFTP there: %w", words[0], err)}
	}
	return nil
}

// Host is the host's name as it was given.
func (p *Place) Host() string { return p.dest.Host }

// Login is the folder there that relative paths are below. A shell there may start
// in another, or go to one.
func (p *Place) Login(ctx context.Context) (dir string, err error) {
	err = p.guard(ctx, func() (err error) {
		dir, err = p.client.RealPath(".")
		return p.failed(err)
	})
	return dir, err
}

// Close ends the connection.
func (p *Place) Close() error {
	return errors.Join(ignoreClosed(p.client.Close()), p.link.Close())
}

func ignoreClosed(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, os.ErrClosed) || errors.Is(err, sftp.ErrSSHFxConnectionLost) || err != nil && strings.Contains(err.Error(), "closed") {
		return nil
	}
	return err
}

func (p *Place) final() string   { return path.Join(p.dir, p.name) }
func (p *Place) partial() string { return path.Join(p.dir, p.file.Partial(p.name)) }

// guard ends the connection with the context, which no call of the SFTP client
// knows of, and gives the context's error then.
func (p *Place) guard(ctx context.Context, do func() error) error {
	defer context.AfterFunc(ctx, p.leave)()
	err := do()
	if cause := context.Cause(ctx); cause != nil && err != nil {
		return cause
	}
	return err
}

// Find implements transfer.Place.
func (p *Place) Find(ctx context.Context, f transfer.File) (found transfer.Found, err error) {
	p.file = f
	err = p.guard(ctx, func() error {
		if err := p.locate(ctx); err != nil {
			return err
		}
		found = transfer.Found{Place: p.dest.Host, Path: p.final(), Name: p.name, Partial: p.partial()}
		listing := p.listing
		if p.listing = nil; listing == nil {
			listing = p.list(ctx)
		}
		var replaced int64
		err := together(
			func() error { found.Free = p.free(); return nil },
			func() error {
				entries := <-listing
				found.Names, found.Older = namesOf(entries), p.older(ctx, entries)
				return nil
			},
			func() (err error) { p.sums, err = p.look(p.final() + ".sha256"); return p.failed(err) },
			func() (err error) { found.Final, p.was, err = p.regular(p.final()); return err },
			func() (err error) { found.Begun, replaced, err = p.begun(ctx); return err },
		)
		if found.Free >= 0 {
			found.Free += replaced
		}
		if found.Sums, p.old = p.sums, 0; p.was != nil {
			p.old = p.was.Mode().Perm()
		}
		p.none = err == nil && found.Begun < 0 && replaced == 0
		return err
	})
	return found, err
}

// free is the room there, or -1 where the server does not tell.
func (p *Place) free() int64 {
	st, err := p.client.StatVFS(p.dir)
	if err != nil {
		return -1
	}
	return int64(st.Bavail * st.Frsize)
}

// need is what is still to be written.
func (p *Place) need() int64 {
	need := p.file.Size
	if info, err := p.client.Lstat(p.partial()); err == nil {
		need -= info.Size()
	}
	return max(1, need)
}

// sizeOf is the size of a regular file, or -1.
func (p *Place) sizeOf(name string) (int64, error) {
	size, _, err := p.regular(name)
	return size, err
}

// regular is the size of a regular file, or -1, and what Lstat tells of it.
func (p *Place) regular(name string) (size int64, info fs.FileInfo, err error) {
	info, err = p.look(name)
	switch {
	case err != nil:
		return -1, nil, p.failed(err)
	case info == nil:
		return -1, nil, nil
	case !info.Mode().IsRegular():
		return -1, nil, &transfer.MediumError{Path: p.at(name), Err: transfer.ErrNotRegular}
	}
	return info.Size(), info, nil
}

// look is what Lstat tells of what has a name; nil if nothing has.
func (p *Place) look(name string) (fs.FileInfo, error) {
	info, err := p.client.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return info, err
}

// begun is the size of a partial that may be continued: a regular file of ours
// that nobody else can write to. In a folder like /tmp anybody could have put one
// there. What others can write to, since it was cut off before it had its mode or
// nothing has one there, is replaced.
func (p *Place) begun(ctx context.Context) (begun, replaced int64, err error) {
	size, err := p.sizeOf(p.partial())
	if err != nil || size < 0 {
		return size, 0, err
	}
	info, err := p.client.Lstat(p.partial())
	switch {
	case err != nil:
		return -1, 0, p.failed(err)
	case !p.ours(ctx, info):
		return -1, 0, &transfer.MediumError{Path: p.at(p.partial()), Err: errors.New("a partial is there that is somebody else's: remove it, or send to another folder")}
	case info.Mode().Perm()&0o022 != 0:
		return -1, size, nil
	case p.file.Data == nil: // a stream is not continued
		return size, 0, nil
	}
	begun, err = p.contiguous(size)
	return begun, 0, err
}

// listPatience is how long a server may take to list a folder.
const listPatience = 10 * time.Second

// list begins to list the folder, while other things are done. In one that is not
// to be listed there is nothing.
func (p *Place) list(ctx context.Context) <-chan []fs.FileInfo {
	listed := make(chan []fs.FileInfo, 1)
	dir := p.dir
	go func() {
		ctx, cancel := context.WithTimeout(ctx, listPatience)
		defer cancel()
		entries, err := p.client.ReadDirContext(ctx, dir)
		if err == nil && entries == nil {
			entries = []fs.FileInfo{}
		}
		listed <- entries
	}()
	return listed
}

// namesOf are the names of what is listed; nil where nothing could be.
func namesOf(entries []fs.FileInfo) (names []string) {
	if entries != nil {
		names = []string{}
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// older is what earlier sends have left of the file and its kin. What is made there
// is locked, if it is, in a way that servers do not tell of.
func (p *Place) older(ctx context.Context, entries []fs.FileInfo) (older []transfer.Older) {
	for _, info := range entries {
		o, ok := transfer.OlderOf(info, p.file, p.name)
		switch {
		case !ok:
			continue
		case !p.ours(ctx, info):
			o.Stays = transfer.Theirs
		case o.Packed:
			o.Stays = transfer.MayBeBusy
		}
		older = append(older, o)
	}
	return older
}

// ours says that a file has the owner that a file of ours has; where there is none
// yet, that it is not known to be somebody else's: the server itself has to keep
// those from being written.
func (p *Place) ours(ctx context.Context, info fs.FileInfo) bool {
	mine := p.mine.Load()
	if mine == nil {
		own, known := p.own(ctx, info)
		return own || !known
	}
	theirs, ok := ownerOf(info)
	own, known := ownerOf(*mine)
	return ok && known && theirs == own
}

// contiguous is how much of a partial is there without holes: where its end,
// in which packets may be missing that were in flight, becomes another than the
// file's. What comes before is for the sum to prove.
func (p *Place) contiguous(size int64) (int64, error) {
	size = min(size, p.file.Size)
	from := max(0, size-inFlight)
	there, here := make([]byte, size-from), make([]byte, size-from)
	if _, err := p.file.Data.ReadAt(here, from); err != nil && err != io.EOF {
		return -1, err
	}
	f, err := p.client.Open(p.partial())
	if err != nil {
		return -1, p.failed(err)
	}
	n, err := f.ReadAt(there, from)
	f.Close()
	if err != nil && err != io.EOF {
		return -1, p.failed(err)
	}
	same := 0
	for same < n && there[same] == here[same] {
		same++
	}
	return from + int64(same), nil
}

// own compares the owner of a file with the user there, as far as both are
// known.
func (p *Place) own(ctx context.Context, info fs.FileInfo) (own, known bool) {
	user, known := p.user(ctx)
	uid, ok := ownerOf(info)
	return uid == user, known && ok
}

// user is the user there, as a shell knows it. It is asked once.
func (p *Place) user(ctx context.Context) (uid uint32, known bool) {
	p.shell.mu.Lock()
	defer p.shell.mu.Unlock()
	if p.shell.user == "" {
		p.shell.user, _ = p.output(ctx, posix("id -u"), nil, 0) // nothing is no number
	}
	n, err := strconv.ParseUint(p.shell.user, 10, 32)
	return uint32(n), err == nil
}

// ownerOf is the owner of a file, if the server has told it.
func ownerOf(info fs.FileInfo) (uid uint32, ok bool) {
	stat, ok := info.Sys().(*sftp.FileStat)
	if ok {
		uid = stat.UID
	}
	return uid, ok
}

func (p *Place) at(name string) string { return p.dest.Host + ":" + name }

func (p *Place) remove(name string) error {
	if err := p.client.Remove(name); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// sync writes a file to the disk there, where the server can do that.
func (p *Place) sync(f *sftp.File) error {
	if !p.canSync() {
		return nil
	}
	return f.Sync()
}

func (p *Place) canSync() bool {
	_, ok := p.client.HasExtension("fsync@openssh.com")
	return ok
}

// Discard implements transfer.Place.
func (p *Place) Discard(ctx context.Context) error {
	return p.guard(ctx, func() error { return p.failed(p.remove(p.partial())) })
}
