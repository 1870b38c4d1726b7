package volume

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"hash"
	"io"
	"math"
)

// Sink takes the bytes of one file whose name is settled at its end. Nothing is
// visible before.
type Sink interface {
	io.Writer
	// Commit makes the file whole under its name.
	Commit(name string) error
	// Abort drops it.
	Abort(cause error)
}

// WriterOptions say how a stream is cut.
type WriterOptions struct {
	Size int64 // of a volume in bytes, its footer included; 0: not cut
	// Open starts a file; name is what it will probably be called.
	Open func(name string) (Sink, error)
}

// Volume is one volume of a set.
type Volume struct {
	Name   string `json:"name"`   // of its file
	Number int    `json:"number"` // from 1; 0 for the last where nobody knows its number
	Size   int64  `json:"size"`   // of its file in bytes
}

// Writer cuts a stream while it is written. What fits into one volume becomes
// the plain file; otherwise each volume is finished before the next begins. A
// Writer is not safe for concurrent use.
type Writer struct {
	o     WriterOptions
	name  string
	set   string
	file  string
	slice int64

	sink        Sink
	number      int
	filled      int64  // bytes of the slice
	held        []byte // what a first volume has room for if it is the only one
	part, whole hash.Hash
	total       int64
	volumes     []Volume
	err         error
}

// NewWriter starts a set; name is that of the whole file.
func NewWriter(name string, o WriterOptions) (*Writer, error) {
	slice, err := sliceFor(o.Size)
	if err != nil {
		return nil, err
	}
	if o.Size == 0 {
		slice = math.MaxInt64
	}
	var id [16]byte
	_, _ = rand.Read(id[:]) // never fails
	set := hex.EncodeToString(id[:])
	return &Writer{o: o, name: name, set: set, file: set, slice: slice, whole: sha256.New()}, nil
}

// Identify says what the file is to the caller, as Layout.ID does, before the first
// byte of it. Without that it is this set's alone.
func (w *Writer) Identify(file string) { w.file = file }

// Write implements io.Writer. After an error the set has come to nothing.
func (w *Writer) Write(p []byte) (n int, err error) {
	for w.err == nil && n < len(p) {
		k, err := w.write(p[n:])
		n += k
		if err != nil {
			w.Abort(err)
		}
	}
	return n, w.err
}

func (w *Writer) write(p []byte) (int, error) {
	if w.sink == nil {
		if err := w.open(); err != nil {
			return 0, err
		}
	}
	if w.filled == w.slice {
		return w.beyond(p)
	}
	p = p[:min(int64(len(p)), w.slice-w.filled)]
	n, err := w.put(p)
	w.total += int64(n)
	w.whole.Write(p[:n])
	return n, err
}

// put writes into the volume that is open.
func (w *Writer) put(p []byte) (int, error) {
	n, err := w.sink.Write(p)
	w.filled += int64(n)
	w.part.Write(p[:n])
	return n, err
}

// beyond takes bytes that are too many for the slice: either the footer's room
// is enough for them and all will be one plain file, or the next volume begins.
func (w *Writer) beyond(p []byte) (int, error) {
	if w.number == 1 && int64(len(w.held)+len(p)) <= w.o.Size-w.slice {
		w.held = append(w.held, p...)
		w.total += int64(len(p))
		w.whole.Write(p)
		return len(p), nil
	}
	if err := w.finish(nil); err != nil {
		return 0, err
	}
	if err := w.open(); err != nil {
		return 0, err
	}
	_, err := w.put(w.held)
	w.held = nil
	return 0, err
}

func (w *Writer) open() (err error) {
	w.number++
	w.filled, w.part = 0, sha256.New()
	name := w.name
	if w.number > 1 {
		name = volumeName(name, w.number)
	}
	w.sink, err = w.o.Open(name)
	return err
}

// finish ends a volume with its footer; end is what the last one says.
func (w *Writer) finish(end *Whole) error {
	f := Footer{
		Name: w.name, Set: w.set, File: w.file, Number: w.number, Offset: int64(w.number-1) * w.slice,
		Length: w.filled, SHA256: hexSum(w.part), Whole: end,
	}
	b, err := f.Marshal()
	if err != nil {
		return err
	}
	if _, err := w.sink.Write(b); err != nil {
		return err
	}
	return w.commit(volumeName(w.name, w.number), w.filled+FooterSize)
}

func (w *Writer) commit(name string, size int64) error {
	sink := w.sink
	w.sink = nil
	if err := sink.Commit(name); err != nil {
		return err
	}
	w.volumes = append(w.volumes, Volume{name, w.number, size})
	return nil
}

// Close finishes the set.
func (w *Writer) Close() error {
	if w.err != nil {
		return w.err
	}
	if err := w.close(); err != nil {
		w.Abort(err)
		return w.err
	}
	w.err = errClosed
	return nil
}

var errClosed = errors.New("the set has been finished")

func (w *Writer) close() error {
	if w.sink == nil {
		if err := w.open(); err != nil {
			return err
		}
	}
	if w.number > 1 {
		return w.finish(&Whole{Volumes: w.number, Total: w.total, SHA256: w.SHA256()})
	}
	if _, err := w.put(w.held); err != nil {
		return err
	}
	return w.commit(w.name, w.filled)
}

// Abort drops the volume that is open; those that are finished come to nothing. It
// does nothing after Close or an error.
func (w *Writer) Abort(cause error) {
	if w.err != nil {
		return
	}
	w.err = cause
	if w.sink != nil {
		w.sink.Abort(cause)
		w.sink = nil
	}
	w.volumes = nil
}

// Total is how many bytes have been written.
func (w *Writer) Total() int64 { return w.total }

// SHA256 is that of all bytes that have been written.
func (w *Writer) SHA256() string { return hexSum(w.whole) }

// Volumes are those that are finished. A single one with the name of the whole
// file was not cut.
func (w *Writer) Volumes() []Volume { return w.volumes }
