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
// [*ChangedError], [*ForeignError], [*MeanwhileError] and [*ReplacedError].
package transfer

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"io/fs"
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

	// Mode are the permission bits that it has at most at its place; 0 for those of
	// any new file there.
	Mode fs.FileMode

	// Temporary is the name under which it grows where SHA256 is not known yet,
	// as SendStream has it.
	Temporary string

	// Exact says that a place has it under Name even if it was given another name
	// for what comes there.
	Exact bool

	// Kin says whether an entry of the folder in which the file is called so looks like
	// something left of what the file is or is a part of, in whatever shape that was
	// to come, but for what the send goes on with that the file belongs to. Nil: only
	// partials of the very name are older.
	Kin func(entry fs.FileInfo, called string) bool
}

// Partial is the name under which a file grows at its place. It is the same
// for the same bytes, so that they are found again.
func (f File) Partial(name string) string {
	if f.Temporary != "" {
		return f.Temporary
	}
	return "." + name + "." + f.SHA256[:8] + ".partial"
}

// Narrow takes from permission bits those that the file must not have, nor one that
// takes the place of an older file, whose bits are old (0 if there is none). Its
// owner may always read and write it.
func (f File) Narrow(perm, old fs.FileMode) fs.FileMode {
	for _, most := range []fs.FileMode{f.Mode, old} {
		if most != 0 {
			perm &= most.Perm() | 0o600
		}
	}
	return perm
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
	// (a Final has it already), then writes sidecar as NAME.sha256. What has these
	// names must be what Find has seen last: a *MeanwhileError says that it is not.
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
	// Sums is what is called as the file's sums are; nil for nothing, or where the
	// folder cannot be listed.
	Sums fs.FileInfo
	// Names is what the folder lists; nil where it cannot be listed.
	Names []string
	// Older is what is left of other files that had this name, and of the file's kin.
	// Nothing continues it, once this one is there.
	Older []Older
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
	// Fresh, for Send, says that nothing had the name when the caller began: what has
	// it by now is not replaced, whatever MayReplace says.
	Fresh bool
	// Found hears what was there before the send has changed anything.
	Found func(Found)
	// Name, for SendStream, is asked at the end of the data for the name that
	// the file gets, if that is not known before.
	Name func() string
	// Hold, for Send, leaves the file under the name of its partial when it is
	// proven: whoever sends several gives all of them their names in the end.
	Hold bool
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
	if o.Found == nil {
		o.Found = func(Found) {}
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
	if err == nil && !o.Hold {
		err = s.sync(ctx)
	}
	return s.receipt, err
}

// MayReplace is the error that Send would have for what has the file's name, for
// those who send several files and would else begin with the first.
func MayReplace(ctx context.Context, p Place, f File, o SendOptions) error {
	s := &sending{place: p, file: f, SendOptions: o}
	if err := s.find(ctx); err != nil {
		return err
	}
	if err := s.mayReplaceSums(ctx); err != nil {
		return err
	}
	return s.mayReplace(ctx)
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
