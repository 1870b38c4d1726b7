// Package excerpt carries the parts of a file that a reader needs to where the
// rest of the file is not, or not yet.
//
// A [Recorder] stands between a file and its reader and notes what is read.
// What it then gives out is a line of JSON, {"size":N,"parts":[[offset,length],
// …]}, and the bytes of these parts. [Read] makes a file of that again: the same
// reader finds there what it found here, and an error wherever else it looks.
package excerpt

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
)

// Limits of what Read takes.
const (
	MaxBytes = 64 << 20 // of all parts together
	maxHead  = 4 << 20  // of the line before them
)

// ErrNotThere says that bytes were wanted that the excerpt does not hold.
var ErrNotThere = errors.New("this is not in the excerpt")

// head is the line before the bytes.
type head struct {
	Size  int64  `json:"size"` // of the whole file
	Parts []part `json:"parts"`
}

// part is an offset and a length.
type part [2]int64

func (p part) end() int64 { return p[0] + p[1] }

// Recorder notes what is read through it. It may be used by several goroutines.
type Recorder struct {
	r    io.ReaderAt
	size int64

	mu    sync.Mutex
	parts []part
}

// Record makes a Recorder for a file of that size.
func Record(r io.ReaderAt, size int64) *Recorder { return &Recorder{r: r, size: size} }

// ReadAt implements io.ReaderAt.
func (r *Recorder) ReadAt(p []byte, off int64) (int, error) {
	n, err := r.r.ReadAt(p, off)
	if n > 0 {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.parts = append(r.parts, part{off, int64(n)})
	}
	return n, err
}

// Reader gives out the excerpt of what has been read so far.
func (r *Recorder) Reader() (io.Reader, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.parts = merged(r.parts)
	line, err := json.Marshal(head{r.size, r.parts})
	if err != nil {
		return nil, err
	}
	readers := []io.Reader{bytes.NewReader(append(line, '\n'))}
	for _, p := range r.parts {
		readers = append(readers, io.NewSectionReader(r.r, p[0], p[1]))
	}
	return io.MultiReader(readers...), nil
}

// merged sorts parts and joins those that touch.
func merged(parts []part) []part {
	slices.SortFunc(parts, func(a, b part) int { return cmp.Compare(a[0], b[0]) })
	var out []part
	for _, p := range parts {
		if last := len(out) - 1; last >= 0 && p[0] <= out[last].end() {
			out[last][1] = max(out[last].end(), p.end()) - out[last][0]
			continue
		}
		out = append(out, p)
	}
	return out
}

// Excerpt is what Read has read: an io.ReaderAt of a file with holes.
type Excerpt struct {
	head
	content [][]byte // of each part
}

// Size is that of the whole file, in bytes.
func (e *Excerpt) Size() int64 { return e.head.Size }

// Read reads an excerpt to its end.
func Read(r io.Reader) (*Excerpt, error) {
	in := bufio.NewReader(r)
	line, err := readLine(in)
	if err != nil {
		return nil, err
	}
	e := &Excerpt{}
	if err := json.Unmarshal(line, &e.head); err != nil {
		return nil, fmt.Errorf("reading an excerpt: %w", err)
	}
	if err := e.check(); err != nil {
		return nil, fmt.Errorf("reading an excerpt: %w", err)
	}
	for _, p := range e.Parts {
		content := make([]byte, p[1])
		if _, err := io.ReadFull(in, content); err != nil {
			return nil, fmt.Errorf("reading an excerpt: it is cut short: %w", err)
		}
		e.content = append(e.content, content)
	}
	return e, nil
}

// readLine reads the first line.
func readLine(in *bufio.Reader) ([]byte, error) {
	var line []byte
	for {
		piece, err := in.ReadSlice('\n')
		line = append(line, piece...)
		switch {
		case err == nil:
			return line, nil
		case !errors.Is(err, bufio.ErrBufferFull):
			return nil, fmt.Errorf("reading an excerpt: %w", err)
		case len(line) > maxHead:
			return nil, errors.New("reading an excerpt: its first line is too long")
		}
	}
}

// check refuses parts that are not in order, not in the file, or too much.
func (h head) check() error {
	var at, sum int64
	for _, p := range h.Parts {
		if p[0] < at || p[1] <= 0 || p[1] > h.Size || p[0] > h.Size-p[1] {
			return fmt.Errorf("a part at %d of %d bytes is out of place", p[0], p[1])
		}
		at = p.end()
		if sum += p[1]; sum > MaxBytes {
			return fmt.Errorf("it holds more than %d bytes", MaxBytes)
		}
	}
	return nil
}

// ReadAt implements io.ReaderAt: what is wanted has to be in one part.
func (e *Excerpt) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, errors.New("a negative offset")
	}
	if off >= e.Size() {
		return 0, io.EOF
	}
	i, found := slices.BinarySearchFunc(e.Parts, off, func(part part, off int64) int { return cmp.Compare(part[0], off) })
	if !found {
		i--
	}
	if i < 0 || off >= e.Parts[i].end() {
		return 0, ErrNotThere
	}
	n := copy(p, e.content[i][off-e.Parts[i][0]:])
	switch {
	case n == len(p):
		return n, nil
	case off+int64(n) == e.Size():
		return n, io.EOF
	}
	return n, ErrNotThere
}
