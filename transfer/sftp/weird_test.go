package sftp

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pkg/sftp"

	"airgap/transfer"
	"airgap/transfer/transfertest"
)

// TestStall has the line take nothing more, and stay open: that is noticed, and
// told as a line that broke off; the next send goes on.
func TestStall(t *testing.T) {
	server := transfertest.NewServer(t, true, anybody)
	line := transfertest.NewLine(t, server.Addr)
	s := settingsFor(t, line.Addr, knownAs(t, server.KnownHosts(t), line.Addr))
	dir := t.TempDir()
	f, raw := transfertest.Content("bundle", 24<<20)
	const pulse = 100 * time.Millisecond
	stalls := []int64{0, 1 << 20, 5 << 20, 8 << 20}
	for _, after := range stalls {
		p, err := open(t.Context(), s, dir, Options{keepalive: pulse})
		if err != nil {
			t.Fatal(err)
		}
		line.StallAfter(after)
		start := time.Now()
		_, err = transfer.Send(t.Context(), p, f, transfer.SendOptions{})
		var cut *transfer.InterruptedError
		if !errors.As(err, &cut) {
			t.Errorf("stalled after %d bytes: error %v", after, err)
		}
		p.Close()
		line.Heal()
		t.Logf("stalled after %d bytes: noticed after %.1f keepalives", after, float64(time.Since(start))/float64(pulse))
	}
	p, err := open(t.Context(), s, dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if _, err := transfer.Send(t.Context(), p, f, transfer.SendOptions{}); err != nil {
		t.Fatal(err)
	}
	transfertest.Arrived(t, dir, f, raw)
	t.Logf("F16: %d stalls, all noticed, wrong results 0", len(stalls))
}

// weird is a server that does something else with what it is to write.
type weird struct {
	how   string
	after int64 // bytes that are handled well before
}

// writer is an open file of it.
type writer struct {
	*os.File
	weird
	mu  sync.Mutex
	end int64
}

func (w *writer) WriteAt(p []byte, off int64) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	at := off
	if off >= w.after {
		switch w.how {
		case "appends":
			at = w.end
		case "ignores offsets":
			at = 0
		case "is off by one":
			at = off + 1
		case "drops some":
			if off%(5<<15) == 0 {
				return len(p), nil
			}
		case "changes a bit":
			p = append([]byte{p[0] ^ 1}, p[1:]...)
		case "writes half":
			return w.File.WriteAt(p[:len(p)/2], off)
		case "fails":
			return 0, errors.New("boom")
		}
	}
	n, err := w.File.WriteAt(p, at)
	w.end = max(w.end, at) + int64(n)
	return n, err
}

func (s weird) Fileread(r *sftp.Request) (io.ReaderAt, error) { return os.Open(r.Filepath) }

func (s weird) Filewrite(r *sftp.Request) (io.WriterAt, error) {
	flags, pflags := os.O_WRONLY, r.Pflags()
	pflags.Excl = pflags.Excl && s.how != "knows no O_EXCL"
	for flag, set := range map[int]bool{os.O_CREATE: pflags.Creat, os.O_EXCL: pflags.Excl, os.O_TRUNC: pflags.Trunc} {
		if set {
			flags |= flag
		}
	}
	f, err := os.OpenFile(r.Filepath, flags, 0o600)
	if err != nil {
		return nil, err
	}
	if s.how == "lets everybody write" {
		err = f.Chmod(0o777)
	}
	if err != nil || strings.HasSuffix(r.Filepath, ".sha256.partial") {
		return f, err // it is the sums: what is there of the bundle is the question
	}
	return &writer{File: f, weird: s}, nil
}

func (s weird) Filecmd(r *sftp.Request) error {
	switch r.Method {
	case "Rename", "PosixRename":
		return os.Rename(r.Filepath, r.Target)
	case "Remove":
		return os.Remove(r.Filepath)
	case "Setstat":
		if r.AttrFlags().Size {
			return os.Truncate(r.Filepath, int64(r.Attributes().Size))
		}
		if s.how == "refuses modes" || s.how == "lets everybody write" {
			return sftp.ErrSSHFxPermissionDenied
		}
		return nil
	}
	return sftp.ErrSSHFxOpUnsupported
}

func (s weird) PosixRename(r *sftp.Request) error { return s.Filecmd(r) }

type infos []fs.FileInfo

func (l infos) ListAt(to []fs.FileInfo, off int64) (int, error) {
	n := copy(to, l[min(off, int64(len(l))):])
	if n < len(to) {
		return n, io.EOF
	}
	return n, nil
}

func (s weird) Filelist(r *sftp.Request) (sftp.ListerAt, error) {
	info, err := os.Stat(r.Filepath)
	return infos{info}, err
}

func (s weird) Lstat(r *sftp.Request) (sftp.ListerAt, error) {
	info, err := os.Lstat(r.Filepath)
	return infos{info}, err
}

func (s weird) serve(channel io.ReadWriteCloser) {
	sftp.NewRequestServer(channel, sftp.Handlers{FileGet: s, FilePut: s, FileCmd: s, FileList: s}).Serve()
}

// TestWeirdServers (F21) sends to servers that write something else than they
// were told, from the start or later, and with a sum made there or read back:
// nothing of it gets the final name.
func TestWeirdServers(t *testing.T) {
	tried := 0
	for _, how := range []string{"", "appends", "ignores offsets", "is off by one", "drops some", "changes a bit", "writes half", "fails"} {
		for _, shell := range []bool{false, true} {
			for _, after := range []int64{0, 5 << 20} {
				server := transfertest.NewServer(t, shell, anybody)
				server.SFTP = weird{how, after}.serve
				known, dir := server.KnownHosts(t), t.TempDir()
				f, raw := transfertest.Content("bundle", 9<<20)
				for range 2 { // the second finds what the first has left
					err := sendTo(t, settingsFor(t, server.Addr, known), dir, f, transfer.SendOptions{})
					tried++
					got, _ := os.ReadFile(filepath.Join(dir, f.Name))
					if whole := string(got) == string(raw); len(got) > 0 && !whole || (err == nil) != whole {
						t.Errorf("a server that %s: error %v, %d bytes have the final name, right: %t", how, err, len(got), whole)
					}
					if err != nil && how == "" || err == nil && how != "" && how != "appends" {
						t.Errorf("a server that %q: error %v", how, err)
					}
				}
			}
		}
	}
	t.Logf("F21: %d sends to weird servers, wrong results 0", tried)
}

func sendTo(t *testing.T, s settings, dir string, f transfer.File, o transfer.SendOptions) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	p, err := open(ctx, s, dir, Options{})
	if err != nil {
		return err
	}
	defer p.Close()
	_, err = transfer.Send(ctx, p, f, o)
	return err
}

// TestNoExclusion (F21) sends to a server that knows no O_EXCL, where a longer
// partial of something else is: nothing of that is in what arrives.
func TestNoExclusion(t *testing.T) {
	server := transfertest.NewServer(t, false, anybody)
	server.SFTP = weird{"knows no O_EXCL", 0}.serve
	dir := t.TempDir()
	f, raw := transfertest.Content("bundle", 1<<20)
	if err := os.WriteFile(filepath.Join(dir, f.Partial(f.Name)), make([]byte, 2<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := sendTo(t, settingsFor(t, server.Addr, server.KnownHosts(t)), dir, f, transfer.SendOptions{}); err != nil {
		t.Fatal(err)
	}
	transfertest.Arrived(t, dir, f, raw)
}

// contested is a server where somebody's lock is in the way, and gone as soon as
// that has been found.
type contested struct {
	weird
	times *atomic.Int32
}

func (s contested) Filewrite(r *sftp.Request) (io.WriterAt, error) {
	if strings.HasSuffix(r.Filepath, ".lock") && s.times.Add(-1) >= 0 {
		return nil, sftp.ErrSSHFxFailure
	}
	return s.weird.Filewrite(r)
}

// TestLockJustGone sends when another send is just done, and to where nothing can
// be made at all.
func TestLockJustGone(t *testing.T) {
	for times, ok := range map[int32]bool{1: true, 2: true, 1000: false} {
		s := contested{weird{"", 0}, &atomic.Int32{}}
		s.times.Store(times)
		server := transfertest.NewServer(t, true, anybody)
		server.SFTP = func(channel io.ReadWriteCloser) {
			sftp.NewRequestServer(channel, sftp.Handlers{FileGet: s, FilePut: s, FileCmd: s, FileList: s}).Serve()
		}
		dir := t.TempDir()
		f, _ := transfertest.Content("bundle", 1000)
		err := sendTo(t, settingsFor(t, server.Addr, server.KnownHosts(t)), dir, f, transfer.SendOptions{})
		var medium *transfer.MediumError
		if ok && err != nil || !ok && !errors.As(err, &medium) {
			t.Errorf("in the way %d times: %v", times, err)
		}
	}
}

// TestNoModes (F21) sends to servers that set no modes, as one does that has a
// stick there: what others could have written to is not continued, and is in
// nobody's way.
func TestNoModes(t *testing.T) {
	for how, others := range map[string]bool{"refuses modes": false, "lets everybody write": true} {
		server := transfertest.NewServer(t, true, anybody)
		server.SFTP = weird{how: how, after: 1 << 30}.serve
		known := server.KnownHosts(t)
		for _, left := range []os.FileMode{0o600, 0o664, 0o777} {
			dir := t.TempDir()
			f, raw := transfertest.Content("bundle", 9<<20)
			partial := filepath.Join(dir, f.Partial(f.Name))
			if err := errors.Join(os.WriteFile(partial, raw[:8<<20], 0o600), os.Chmod(partial, left)); err != nil {
				t.Fatal(err)
			}
			p, err := open(t.Context(), settingsFor(t, server.Addr, known), dir, Options{})
			if err != nil {
				t.Fatal(err)
			}
			r, err := transfer.Send(t.Context(), p, f, transfer.SendOptions{})
			p.Close()
			if resumed := r.Resumed > 0; err != nil || resumed != (left == 0o600) {
				t.Errorf("a server that %s, %v left: %v, resumed: %t", how, left, err, resumed)
				continue
			}
			transfertest.Arrived(t, dir, f, raw)
			info, err := os.Stat(filepath.Join(dir, f.Name))
			if err != nil {
				t.Fatal(err)
			}
			if !others && info.Mode().Perm()&0o022 != 0 {
				t.Errorf("a server that %s: %v", how, info.Mode())
			}
		}
	}
}

// TestPoorServers (F21) runs the suite on servers that can do little, but that
// right.
func TestPoorServers(t *testing.T) {
	restore := []string{"hardlink@openssh.com", "posix-rename@openssh.com", "statvfs@openssh.com"}
	if err := sftp.SetSFTPExtensions(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sftp.SetSFTPExtensions(restore...) })
	server := transfertest.NewServer(t, false, anybody)
	known := server.KnownHosts(t)
	transfertest.Suite{New: func(t *testing.T) transfertest.Target {
		dir := t.TempDir()
		return transfertest.Target{Dir: dir, Resumes: true, Open: func(t *testing.T) (transfer.Place, error) {
			return open(t.Context(), settingsFor(t, server.Addr, known), dir, Options{})
		}}
	}}.Run(t)
}

// TestReadOnlyServer (F21) is one to which nothing can be written.
func TestReadOnlyServer(t *testing.T) {
	server := transfertest.NewServer(t, false, anybody)
	server.SFTP = func(channel io.ReadWriteCloser) {
		if s, err := sftp.NewServer(channel, sftp.ReadOnly()); err == nil {
			s.Serve()
		}
	}
	dir := t.TempDir()
	f, _ := transfertest.Content("bundle", 1<<20)
	var medium *transfer.MediumError
	if err := sendTo(t, settingsFor(t, server.Addr, server.KnownHosts(t)), dir, f, transfer.SendOptions{}); !errors.As(err, &medium) {
		t.Errorf("error %v", err)
	}
	transfertest.Only(t, dir)
}

// TestChroot (F21) runs the suite on an sshd that lets its user have files in a
// folder and nothing else: no shell, no other files.
func TestChroot(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("SKIPPED for want of a chroot: needs root")
	}
	root, err := os.MkdirTemp("/var", "airgap-chroot-") // all above it must be root's alone
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(root) })
	if err := os.Chmod(root, 0o755); err != nil {
		t.Fatal(err)
	}
	addr, key, known := transfertest.SSHD(t, "PermitRootLogin yes", "ChrootDirectory "+root, "ForceCommand internal-sftp")
	transfertest.Suite{New: func(t *testing.T) transfertest.Target {
		dir, err := os.MkdirTemp(root, "in-")
		if err != nil {
			t.Fatal(err)
		}
		return transfertest.Target{Dir: dir, Resumes: true, Open: func(t *testing.T) (transfer.Place, error) {
			s := settingsFor(t, addr, known)
			s.User, s.Keys = currentUser(t), []string{key}
			return open(t.Context(), s, "/"+filepath.Base(dir), Options{})
		}}
	}}.Run(t)
}
