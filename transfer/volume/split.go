package volume

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"

	"airgap/transfer"
)

// Layout says how a file is cut.
type Layout struct {
	// ID is what the file is to its caller, the same for each cut of it: at
	// most 64 characters of 0-9, a-z and ':'. Empty: its sha256.
	ID      string
	Size    int64  // of a volume in bytes, its footer included; 0: not cut
	Parity  int    // in percent of the file; 0: none
	TempDir string // where the parity waits; empty: the system's
	// Seen gets all bytes of the file, in order, before anything is made of them,
	// which its error ends; or nil.
	Seen io.WriteCloser
	// Progress hears of bytes as they are read: those of the file, and again as
	// many where parity is made.
	Progress func(n int64)
}

// Parts are the files of a set, ready to be sent.
type Parts struct {
	// Files are in the order in which they are to be sent: what makes the set
	// whole is last.
	Files []transfer.File
	// Losable is how many volumes may be lost while all of the parity is there.
	Losable int
	// ToLose is the parity, in percent, with which a volume might be lost where
	// this one is too little for that; 0 where it is not, or nothing is cut.
	ToLose int

	staged io.Closer
}

// Close removes what was staged.
func (p *Parts) Close() error {
	if p.staged == nil {
		return nil
	}
	return p.staged.Close()
}

// Split cuts a file. Nothing is copied: the data of the parts is the file's.
// Where neither cutting nor parity is needed the only part is the file itself.
// The error is a *transfer.ChangedError if the file is not the one of its sum.
func Split(ctx context.Context, f transfer.File, l Layout) (_ *Parts, err error) {
	defer wrap(&err, "cutting", f.Name)
	p, err := planFor(f.Size, l.Size)
	if err != nil {
		return nil, err
	}
	if p.slice == 0 && l.Parity == 0 || f.Size == 0 {
		return &Parts{Files: []transfer.File{f}}, nil
	}
	c := &cut{Layout: l, plan: p, file: f, set: setID(f.SHA256, p, l.Parity)}
	if c.ID == "" {
		c.ID = f.SHA256
	}
	if c.Progress == nil {
		c.Progress = func(int64) {}
	}
	return c.parts(ctx)
}

// cut is one Split.
type cut struct {
	Layout
	plan
	file   transfer.File
	set    string
	slices []hash.Hash // what each slice has in it
}

func (c *cut) parts(ctx context.Context) (*Parts, error) {
	if err := c.sum(ctx); err != nil {
		return nil, err
	}
	var volumes []transfer.File
	for n := 1; n <= c.count(); n++ {
		f, err := c.volume(n)
		if err != nil {
			return nil, err
		}
		volumes = append(volumes, f)
	}
	if c.Parity == 0 {
		return &Parts{Files: volumes}, nil
	}
	facts := Footer{Name: c.file.Name, Set: c.set, File: c.ID, Whole: c.whole(), Parity: &Parity{Slice: c.slice}}
	parts, err := protection{facts, c.Size, c.Layout.Parity, c.TempDir, c.Progress}.parts(ctx, c.file.Data)
	if err != nil {
		return nil, err
	}
	// The parity comes before the last volume, which makes the set whole: what
	// is cut off never looks like a set that has no parity.
	for i := range parts.Files {
		parts.Files[i].Mode = c.file.Mode
	}
	last := len(volumes) - 1
	parts.Files = append(append(volumes[:last:last], parts.Files...), volumes[last])
	return parts, nil
}

// sum reads the file once, and makes all hashes.
func (c *cut) sum(ctx context.Context) error {
	whole, buf := sha256.New(), make([]byte, 1<<20)
	seen := io.MultiWriter(whole, progressWriter(c.Progress))
	if c.Seen != nil {
		seen = io.MultiWriter(seen, c.Seen)
	}
	for n := 1; n <= c.count(); n++ {
		off, length := c.at(n)
		h := sha256.New()
		data := transfer.ContextReader(ctx, stretch(c.file.Data, off, length))
		k, err := io.CopyBuffer(io.MultiWriter(seen, h), data, buf)
		if err == nil && k < length {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return err
		}
		c.slices = append(c.slices, h)
	}
	if sum := hexSum(whole); sum != c.file.SHA256 {
		return &transfer.ChangedError{Name: c.file.Name, Want: c.file.SHA256, Got: sum}
	}
	if c.Seen != nil {
		return c.Seen.Close()
	}
	return nil
}

func (c *cut) whole() *Whole {
	return &Whole{Volumes: c.count(), Total: c.total, SHA256: c.file.SHA256}
}

// volume is volume number n.
func (c *cut) volume(n int) (transfer.File, error) {
	if c.slice == 0 {
		c.file.Hashed = true // by sum
		return c.file, nil
	}
	off, length := c.at(n)
	f := Footer{Name: c.file.Name, Set: c.set, File: c.ID, Number: n, Offset: off, Length: length, SHA256: hexSum(c.slices[n-1])}
	if n == c.count() {
		f.Whole = c.whole()
	}
	end, err := f.Marshal()
	if err != nil {
		return transfer.File{}, err
	}
	c.slices[n-1].Write(end)
	data := joined{stretch(c.file.Data, off, length), memory(end)}
	return transfer.File{Name: c.name(f.Name, n), Size: data.size(), SHA256: hexSum(c.slices[n-1]), Data: data, Hashed: true, Mode: c.file.Mode}, nil
}

func hexSum(h hash.Hash) string { return hex.EncodeToString(h.Sum(nil)) }

type progressWriter func(int64)

func (p progressWriter) Write(b []byte) (int, error) {
	p(int64(len(b)))
	return len(b), nil
}

// wrap says what was being done to which file or folder.
func wrap(err *error, doing, name string) {
	if *err != nil {
		*err = fmt.Errorf("%s %q: %w", doing, name, *err)
	}
}
