package volume

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// FooterSize is the length of a footer in bytes.
const FooterSize = 1024

// Footer is the block that a volume ends with; VOLUMES.md has it line by line.
// A parity file begins with the same block, too.
type Footer struct {
	Name   string // base name of the whole file
	Set    string // which cut this is: 32 hexadecimal digits
	File   string // which file it is, as the caller identifies files
	Number int    // from 1
	// Offset and Length say which stretch of the whole file the slice is, or
	// which stretch of the parity shards.
	Offset, Length int64
	SHA256         string  // of all but the blocks
	Whole          *Whole  // where it is known
	Parity         *Parity // of a parity file, which has Whole as well
}

// Whole is what is known when the cut is done: in the last volume and in all
// parity files.
type Whole struct {
	Volumes int
	Total   int64 // bytes
	SHA256  string
}

// Parity is how the parity was made.
type Parity struct {
	Slice int64 // bytes of a volume but the last, or 0: the file is not cut
	Shard int   // bytes
	Data  int   // shards of a group
	Check int   // parity shards of a group
	Files int
}

// ErrNewer says that a footer is of a later version of the format.
var ErrNewer = errors.New("a newer version of airgap cut this volume")

var errNoFooter = errors.New("it has no readable footer")

const (
	volumeMark = "airgap volume "
	parityMark = "airgap parity "
	version    = "1"
)

// Marshal gives the footer's bytes, or says what is wrong with it.
func (f Footer) Marshal() ([]byte, error) {
	if err := f.check(); err != nil {
		return nil, err
	}
	text := f.text()
	text = fmt.Appendf(text, "sum %x\n", sha256.Sum256(text))
	if len(text) > FooterSize {
		return nil, fmt.Errorf("footer of %q: the name is too long for it", f.Name)
	}
	return append(text, bytes.Repeat([]byte{'\n'}, FooterSize-len(text))...), nil
}

func (f Footer) text() []byte {
	mark := volumeMark
	if f.Parity != nil {
		mark = parityMark
	}
	b := fmt.Appendf(nil, "%s%s\nname %s\nset %s\nfile %s\nnumber %d\noffset %d\nlength %d\nsha256 %s\n",
		mark, version, quoted(f.Name), f.Set, f.File, f.Number, f.Offset, f.Length, f.SHA256)
	if w := f.Whole; w != nil {
		b = fmt.Appendf(b, "volumes %d\ntotal %d\nwhole %s\n", w.Volumes, w.Total, w.SHA256)
	}
	if p := f.Parity; p != nil {
		b = fmt.Appendf(b, "slice %d\nshard %d\ndata %d\nparity %d\nfiles %d\n", p.Slice, p.Shard, p.Data, p.Check, p.Files)
	}
	return b
}

// ParseFooter reads a footer. It takes nothing that Marshal would not write.
func ParseFooter(b []byte) (Footer, error) {
	var f Footer
	l := &lines{rest: string(b)}
	switch {
	case strings.HasPrefix(l.rest, volumeMark):
		l.version(strings.TrimSpace(volumeMark))
	case strings.HasPrefix(l.rest, parityMark):
		l.version(strings.TrimSpace(parityMark))
		f.Parity = &Parity{}
	default:
		return Footer{}, errNoFooter
	}
	if l.err == nil { // of a later version nobody knows the lines
		l.fields(&f)
	}
	if l.err != nil {
		return Footer{}, l.err
	}
	again, err := f.Marshal()
	if err != nil {
		return Footer{}, err
	}
	if !bytes.Equal(again, b) {
		return Footer{}, errNoFooter
	}
	return f, nil
}

// lines takes a footer apart. The first thing that is not as expected stays as
// its error.
type lines struct {
	rest string
	err  error
}

func (l *lines) version(key string) {
	if v := l.text(key); l.err == nil && v != version {
		l.err = ErrNewer
	}
}

func (l *lines) fields(f *Footer) {
	var err error
	if f.Name, err = unquoted(l.text("name")); err != nil {
		l.err = errNoFooter
	}
	f.Set, f.File = l.text("set"), l.text("file")
	f.Number, f.Offset, f.Length = int(l.number("number")), l.number("offset"), l.number("length")
	f.SHA256 = l.text("sha256")
	if strings.HasPrefix(l.rest, "volumes ") {
		f.Whole = &Whole{Volumes: int(l.number("volumes")), Total: l.number("total"), SHA256: l.text("whole")}
	}
	if p := f.Parity; p != nil {
		p.Slice, p.Shard = l.number("slice"), int(l.number("shard"))
		p.Data, p.Check, p.Files = int(l.number("data")), int(l.number("parity")), int(l.number("files"))
	}
}

func (l *lines) text(key string) string {
	line, rest, ok := strings.Cut(l.rest, "\n")
	value, match := strings.CutPrefix(line, key+" ")
	if !ok || !match {
		l.err = errors.Join(l.err, errNoFooter)
		return ""
	}
	l.rest = rest
	return value
}

func (l *lines) number(key string) int64 {
	n, err := strconv.ParseInt(l.text(key), 10, 64)
	if err != nil {
		l.err = errNoFooter
	}
	return n
}

// maxFiles bounds the numbers of a set, so that nobody counts to a footer's
// fancy; maxTotal keeps sums of sizes from overflowing.
const (
	maxFiles = 1 << 20
	maxTotal = 1 << 60
)

// check says whether the footer can be one of a set.
func (f Footer) check() error {
	switch {
	case !isBase(f.Name):
		return fmt.Errorf("footer: %q is not the name of a file", f.Name)
	case !isHex(f.Set, 32), !isHex(f.SHA256, 64), !isFile(f.File):
		return fmt.Errorf("footer of %q: an id or a hash is malformed", f.Name)
	case f.Number < 1, f.Number > maxFiles, f.Offset < 0, f.Length < 1, f.Offset > maxTotal, f.Length > maxTotal:
		return fmt.Errorf("footer of %q: a number is out of range", f.Name)
	case f.Whole != nil && !f.Whole.ok():
		return fmt.Errorf("footer of %q: what it says of the whole cannot be", f.Name)
	case f.Parity != nil && !f.parityOK(), f.Parity == nil && !f.sliceOK():
		return fmt.Errorf("footer of %q: its place in the whole cannot be", f.Name)
	}
	return nil
}

func (w *Whole) ok() bool {
	return w.Volumes >= 1 && w.Volumes <= maxFiles && w.Total >= 1 && w.Total <= maxTotal && isHex(w.SHA256, 64)
}

// slice is the length of a slice that is not the last, as this footer has it.
func (f Footer) slice() int64 {
	switch {
	case f.Parity != nil:
		return f.Parity.Slice
	case f.Whole == nil:
		return f.Length
	case f.Number < 2:
		return 0
	}
	return f.Offset / int64(f.Number-1)
}

func (f Footer) sliceOK() bool {
	slice := f.slice()
	if slice < Shard || slice%Shard != 0 || int64(f.Number) > maxTotal/slice || f.Offset != int64(f.Number-1)*slice || f.Length > slice {
		return false
	}
	w := f.Whole
	return w == nil || f.Number == w.Volumes && f.Offset+f.Length == w.Total
}

func (f Footer) parityOK() bool {
	p, w := f.Parity, f.Whole
	if w == nil || p.Slice < 0 || p.Slice%Shard != 0 || p.Files < 1 || p.Files > maxFiles || f.Number > p.Files {
		return false
	}
	g := f.geometry()
	if p.Shard != Shard || g.Check() != nil || (plan{w.Total, p.Slice}).count() != w.Volumes {
		return false
	}
	// Parity files are cut as the file is: the same for each but the last.
	files := plan{g.ParitySize(), f.perFile()}
	if files.slice < Shard || files.slice%Shard != 0 || files.count() != p.Files {
		return false
	}
	off, length := files.at(f.Number)
	return f.Offset == off && f.Length == length
}

// perFile is how many bytes of parity shards a parity file has that is not the
// last.
func (f Footer) perFile() int64 {
	if f.Number > 1 && f.Number == f.Parity.Files {
		return f.Offset / int64(f.Number-1)
	}
	return f.Length
}

// isBase says whether a name is one of a file in a folder, on any system.
func isBase(name string) bool {
	return name != "" && name != "." && name != ".." && len(name) <= 255 && !strings.ContainsAny(name, "/\\\x00")
}

func isHex(s string, n int) bool {
	b, err := hex.DecodeString(s)
	return err == nil && len(s) == n && hex.EncodeToString(b) == s
}

func isFile(s string) bool {
	strange := func(r rune) bool { return (r < '0' || r > '9') && (r < 'a' || r > 'z') && r != ':' }
	return s != "" && len(s) <= 64 && !strings.ContainsFunc(s, strange)
}
