// Package transfer carries one opaque file to a place and proves that it
// arrived. It does not know what is in the file.
//
// [SendOn] is Send over a way that breaks off: it connects again and goes on.
// [SendStream] is Send for what is only being made.
// [Send] is the whole course, the same for every [Place]: lock, look, resume from
// a prefix that is proven by hash, write, sync, prove the whole by hash on the far
// side, rename, unlock, sync. The final name never stands for anything but the whole
// file; what is cut off leaves a partial that the next Send continues. One Send
// at a time writes what has a name in a folder.
//
// The errors that callers branch on are [*NoSpaceError], [*MediumError],
// [*GoneError], [*BusyError], [*InterruptedError], [*HostKeyError], [*AuthError],
// [*ChangedError] and [*ForeignError].
package transfer

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"regexp"

	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"
)

// File is what is sent.
type File struct {
	Name   string // its base name at the destination, unless the place was given one
	Size   int64  // in bytes
	SHA256 string // of the whole, 64 lower-case hexadecimal digits
	Data   io.ReaderAt
	// Hashed says that SHA256 has been made of Data, in this run. Else it is
	// somebody's word, as a file of sums is, which may be about other bytes.
	Hashed bool

	// Temporary is the name under which it grows where SHA256 is not known yet,
	// as SendStream has it.
	Temporary string
}

// Partial is the name under which a file grows at its place. It is the same
// for the same bytes, so that they are found again.
func (f File) Partial(name string) string {
	if f.Temporary != "" {
		return f.Temporary
	}
	return "." + name + "." + f.SHA256[:8] + ".partial"
}

// Place is a destination: one folder, in which one file at a time is dealt
// with. Its methods are not safe for concurrent use.
type Place interface {
	// Lock makes this the only send that writes what f is called there, as the
	// function Lock has it.
	Lock(ctx context.Context, f File, o LockOptions) (held context.Context, unlock func(), err error)
	// Find looks for the file and changes nothing.
	Find(ctx context.Context, f File) (Found, error)
	// Hash gives the sha256 of the first n bytes of the final file or of the
	// partial as the place has them now, and how it came to know.
	Hash(ctx context.Context, which Which, n int64) (sum, how string, err error)
	// Write makes the partial have data from off on, of which off must not be
	// beyond its end, and nothing behind it; and syncs it. off 0 starts over.
	Write(ctx context.Context, off int64, data io.Reader) error
	// Discard removes the partial.
	Discard(ctx context.Context) error
	// Commit gives the partial the final name, atomically where the place can
	// (a Final has it already), then writes sidecar as NAME.sha256.
	Commit(ctx context.Context, which Which, sidecar []byte) error
	// Sync makes durable what Commit has named, and that the lock is gone.
	// durable is false, and why says so, where the place cannot confirm that all
	// of it is on its disk.
	Sync(ctx context.Context) (durable bool, why string, err error)
	// Visit lets do look at the folder in which Find has looked last.
	Visit(ctx context.Context, do func(Dir) error) error
	Close() error
}

// Which is one of a place's two files.
type Which int

// The files.
const (
	Final Which = iota
	Partial
)

// Found is what a place has of a file.
type Found struct {
	Place   string // as messages name it
	Path    string // final path
	Name    string // its last part
	Partial string // path of the partial
	Final   int64  // size of what has the final name, or -1
	Begun   int64  // how much of the partial may be continued, as far as that shows without a sum, or -1
	Free    int64  // bytes that can be written, or -1 if that is not known
	Limit   int64  // largest size of a file, or 0 if that is not known
	// Older are partials of other files that had this name. Nothing continues
	// them, once this one is there.
	Older []Older
}

// Older is a partial that no send will continue.
type Older struct {
	Name string
	Size int64
	Ours bool // nobody else's, as far as that is known
}

// Room is how many bytes can be written when what is older and ours has been
// cleared away; -1 if that is not known.
func (f Found) Room() int64 {
	if f.Free < 0 {
		return -1
	}
	return f.Free + f.Cleared()
}

// Cleared is how many bytes that makes room for.
func (f Found) Cleared() (n int64) {
	for _, o := range f.Older {
		if o.Ours {
			n += o.Size
		}
	}
	return n
}

// partialForm is how File.Partial and SendStream call what grows.
var partialForm = regexp.MustCompile(`(?s)^\.(.+)\.([0-9a-f]{8}|[A-Z2-7]{8})\.partial$`)

// IsPartial says whether an entry of a folder is called as a partial of what is
// called name is.
func IsPartial(entry, name string) bool {
	m := partialForm.FindStringSubmatch(entry)
	return m != nil && m[1] == name
}

// SendOptions let a caller watch.
type SendOptions struct {
	// Progress hears of bytes of the file as they are dealt with, those that
	// are found to be there included: they add up to File.Size.
	Progress func(n int64)
	Note     func(format string, args ...any)
	// Limit is how many bytes a second are sent at most; 0 for as many as go.
	Limit int64
	// MayReplace, for Send, says whether a file that has the name may be lost; nil:
	// any may. One of no bytes is not asked about.
	MayReplace func(old io.ReaderAt, size int64) (bool, error)
	// Name, for SendStream, is asked at the end of the data for the name that
	// the file gets, if that is not known before.
	Name func() string
	// Wait has a send wait while another writes the same, which is an error
	// otherwise.
	Wait bool
	Pace Pace
}

func (o SendOptions) withDefaults() SendOptions {
	if o.Progress == nil {
		o.Progress = func(int64) {}
	}
	if o.Note == nil {
		o.Note = func(string, ...any) {}
	}
	return o
}

// Receipt is what was done.
type Receipt struct {
	Place        string `json:"place"`
	Path         string `json:"path"`
	Size         int64  `json:"size"`
	SHA256       string `json:"sha256"`
	Proven       string `json:"proven"`  // how the far side's hash was made
	Sent         int64  `json:"sent"`    // bytes of the file
	Resumed      int64  `json:"resumed"` // bytes that were there already
	Cuts         int    `json:"cuts"`    // how often the way there broke off
	Durable      bool   `json:"durable"`
	Why          string `json:"why,omitempty"` // why it is not known to be durable
	Replaced     bool   `json:"replaced"`
	AlreadyThere bool   `json:"alreadyThere"`
}

// Send brings f to a place.
func Send(ctx context.Context, p Place, f File, o SendOptions) (Receipt, error) {
	return sendAs(ctx, newOwner(), p, f, o)
}

// newOwner is the name of one send for its locks.
func newOwner() string { return rand.Text()[:16] }

func sendAs(ctx context.Context, owner string, p Place, f File, o SendOptions) (Receipt, error) {
	s := &sending{place: p, owner: owner, file: f, SendOptions: o.withDefaults()}
	err := s.alone(ctx, s.run)
	if err == nil {
		err = s.sync(ctx)
	}
	return s.receipt, err
}

// sending is one Send.
type sending struct {
	SendOptions
	place   Place
	owner   string
	file    File
	found   Found
	receipt Receipt
}

// alone does something as the only send of what the file is called.
func (s *sending) alone(ctx context.Context, do func(context.Context) error) error {
	held, unlock, err := s.place.Lock(ctx, s.file, LockOptions{Owner: s.owner, Pace: s.Pace, Wait: s.Wait, Note: s.Note})
	if err != nil {
		return err
	}
	defer unlock()
	return do(held)
}

// sync comes when the lock is gone: else a cut would bring that back.
func (s *sending) sync(ctx context.Context) (err error) {
	s.receipt.Durable, s.receipt.Why, err = s.place.Sync(ctx)
	return err
}

func (s *sending) find(ctx context.Context) (err error) {
	s.found, err = s.place.Find(ctx, s.file)
	s.receipt.Place, s.receipt.Path, s.receipt.Replaced = s.found.Place, s.found.Path, s.found.Final >= 0
	return err
}

func (s *sending) run(ctx context.Context) error {
	if err := s.find(ctx); err != nil {
		return err
	}
	s.receipt.Size, s.receipt.SHA256 = s.file.Size, s.file.SHA256
	there, err := s.alreadyThere(ctx)
	if err != nil {
		return err
	}
	if there {
		return s.commit(ctx, Final)
	}
	if err := s.mayReplace(ctx); err != nil {
		return err
	}
	if err := s.fits(); err != nil {
		return err
	}
	if err := s.clear(ctx); err != nil {
		return err
	}
	if err := s.resume(ctx); err != nil {
		return err
	}
	if err := s.write(ctx); err != nil {
		return err
	}
	return s.finish(ctx)
}

// finish names what has been written, when it has been proven.
func (s *sending) finish(ctx context.Context) error {
	if err := s.prove(ctx); err != nil {
		return err
	}
	return s.commit(ctx, Partial)
}

// commit names the file, with the line beside it that sha256sum -c reads.
func (s *sending) commit(ctx context.Context, which Which) error {
	return s.place.Commit(ctx, which, fmt.Appendf(nil, "%s  %s\n", s.file.SHA256, s.found.Name))
}

// alreadyThere recognises an identical file, by its hash. A sum that is only
// somebody's word says nothing of the file here, which is read meanwhile.
func (s *sending) alreadyThere(ctx context.Context) (bool, error) {
	if s.found.Final != s.file.Size {
		return false, nil
	}
	reading, cancel := context.WithCancel(ctx)
	defer cancel()
	var here errgroup.Group
	here.Go(func() error { return s.isItself(reading) })
	sum, how, err := s.place.Hash(ctx, Final, s.file.Size)
	if err != nil || sum != s.file.SHA256 {
		cancel()
		_ = here.Wait() // it is of no interest
		return false, err
	}
	if err := here.Wait(); err != nil {
		return false, err
	}
	s.receipt.AlreadyThere, s.receipt.Replaced = true, false
	s.receipt.Proven, s.receipt.Resumed = how, s.file.Size
	s.Progress(s.file.Size)
	return true, nil
}

// isItself is a *ChangedError if the file here is not the one of its sum.
func (s *sending) isItself(ctx context.Context) error {
	if s.file.Hashed {
		return nil
	}
	here, err := sumOf(ctx, s.file, s.file.Size)
	if err == nil && here != s.file.SHA256 {
		err = &ChangedError{Name: s.file.Name, Want: s.file.SHA256, Got: here}
	}
	return err
}

// MayReplace is the error that Send would have for what has the file's name, for
// those who send several files and would else begin with the first.
func MayReplace(ctx context.Context, p Place, f File, o SendOptions) error {
	s := &sending{place: p, file: f, SendOptions: o}
	if err := s.find(ctx); err != nil {
		return err
	}
	return s.mayReplace(ctx)
}

// mayReplace refuses to replace what may be dear to somebody.
func (s *sending) mayReplace(ctx context.Context) error {
	if s.MayReplace == nil || s.found.Final <= 0 {
		return nil
	}
	return s.place.Visit(ctx, func(dir Dir) error {
		old, err := dir.Open(s.found.Name)
		if err != nil {
			return err
		}
		defer old.Close()
		ours, err := s.MayReplace(old, old.Size())
		if err == nil && !ours {
			err = &ForeignError{s.found.Place, s.found.Path}
		}
		return err
	})
}

// fits refuses what cannot succeed before the first byte.
func (s *sending) fits() error {
	need := s.file.Size - max(0, min(s.found.Begun, s.file.Size))
	switch {
	case s.found.Limit > 0 && s.file.Size > s.found.Limit:
		return &MediumError{s.found.Path, fmt.Errorf("the file has %d bytes, and at most %d can be written to one there", s.file.Size, s.found.Limit)}
	case s.found.Free >= 0 && need > s.found.Room():
		return &NoSpaceError{Place: s.found.Place, Path: s.found.Path, Need: need, Free: s.found.Room()}
	}
	return nil
}

// clear makes the room of what an older send has left, and names it.
func (s *sending) clear(ctx context.Context) error {
	if len(s.found.Older) == 0 {
		return nil
	}
	return s.place.Visit(ctx, func(dir Dir) error {
		for _, o := range s.found.Older {
			if !o.Ours {
				s.Note("%s at %s, %d bytes of an older %s, is somebody else's and stays", o.Name, s.found.Place, o.Size, s.found.Name)
				continue
			}
			s.Note("removing %s at %s: %d bytes of an older %s that has never become whole", o.Name, s.found.Place, o.Size, s.found.Name)
			if err := dir.Remove(o.Name); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
		return nil
	})
}

// resume proves how much of a partial is the file's beginning.
func (s *sending) resume(ctx context.Context) error {
	n := min(s.found.Begun, s.file.Size)
	if n <= 0 {
		return nil
	}
	here, err := sumOf(ctx, s.file, n)
	if err != nil {
		return err
	}
	there, _, err := s.place.Hash(ctx, Partial, n)
	if err != nil {
		return err
	}
	if there != here {
		s.Note("what is there of %s is not its beginning: starting over", s.file.Name)
		return nil
	}
	s.receipt.Resumed = n
	s.Progress(n)
	s.Note("resuming after %d of %d bytes", n, s.file.Size)
	return nil
}

// write sends the rest. It is not hashed here, too: that what is there has the
// sum that it should have says all.
func (s *sending) write(ctx context.Context) error {
	off := s.receipt.Resumed
	return s.place.Write(ctx, off, &counted{s.limited(ctx, readerOf(ctx, s.file, off, s.file.Size-off)), s})
}

// limited keeps to the limit, if there is one.
func (s *sending) limited(ctx context.Context, r io.Reader) io.Reader {
	if s.Limit <= 0 {
		return r
	}
	// Whoever reads takes packets, of which a burst must hold at least one.
	burst := max(minBurst, int(min(s.Limit/10, 1<<20)))
	return &limitedReader{ctx, r, rate.NewLimiter(rate.Limit(s.Limit), burst)}
}

// minBurst is what is sent at once however low the limit is, in bytes.
const minBurst = 4 << 10

type limitedReader struct {
	ctx     context.Context
	r       io.Reader
	limiter *rate.Limiter
}

func (l *limitedReader) Read(p []byte) (int, error) {
	n, err := l.r.Read(p[:min(len(p), l.limiter.Burst())])
	if n > 0 {
		if err := l.limiter.WaitN(l.ctx, n); err != nil {
			return 0, context.Cause(l.ctx)
		}
	}
	return n, err
}

// prove compares what the place has with what was sent.
func (s *sending) prove(ctx context.Context) error {
	sum, how, err := s.place.Hash(ctx, Partial, s.file.Size)
	if err != nil {
		return err
	}
	if sum != s.file.SHA256 {
		return errors.Join(s.blame(ctx, sum), s.place.Discard(ctx))
	}
	s.receipt.Proven = how
	return nil
}

// blame says whose fault a wrong sum there is: the place's, unless the file here
// has a wrong one, too.
func (s *sending) blame(ctx context.Context, there string) error {
	if s.file.Data != nil { // a stream cannot be read again
		s.file.Hashed = false // it may have changed since
		if err := s.isItself(ctx); err != nil {
			return err
		}
	}
	if there == "" {
		return &MediumError{s.found.Path, errors.New("it holds less than it was given")}
	}
	return &MediumError{s.found.Path, fmt.Errorf("it holds other bytes than it was given: sha256 %s, expected %s", there, s.file.SHA256)}
}

// sumOf is the sha256 of the first n bytes of a file here.
func sumOf(ctx context.Context, f File, n int64) (string, error) {
	h := sha256.New()
	_, err := io.Copy(h, readerOf(ctx, f, 0, n))
	return hex.EncodeToString(h.Sum(nil)), err
}

type counted struct {
	r io.Reader
	s *sending
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.s.receipt.Sent += int64(n)
	c.s.Progress(int64(n))
	return n, err
}

// readerOf reads a stretch of the file until the context ends.
func readerOf(ctx context.Context, f File, off, n int64) io.Reader {
	return ContextReader(ctx, io.NewSectionReader(f.Data, off, n))
}

// ContextReader reads r until ctx ends, and then fails with its cause.
func ContextReader(ctx context.Context, r io.Reader) io.Reader { return contextReader{ctx, r} }

type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (c contextReader) Read(p []byte) (int, error) {
	if err := context.Cause(c.ctx); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}
