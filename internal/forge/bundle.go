// Package forge makes bundles, volumes and packets that are sealed as they
// should be, around content that is not: what only someone can do who knows the
// formats. Tests and the vectors are made with it.
//
// It writes what FORMAT.md, VOLUMES.md and PARITY.md say, by itself: of the
// packages that it helps to test it takes their types and nothing that writes.
package forge

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"

	"github.com/klauspost/compress/zstd"

	"airgap/bundle"
	"airgap/bundle/image"
)

// Bundle is what a bundle is made of, right or wrong.
type Bundle struct {
	Manifest  *bundle.Manifest
	Raw       []byte   // airgap.json, if not as Manifest is encoded
	Signature []byte   // nil for none
	Contents  [][]byte // of Manifest.Entries
	// Pack makes a frame; nil is Frame.
	Pack func(content []byte) []byte
	// Header, Tar, Cuts, Frames, Rows and End change what they are given: a tar
	// header, the tar, where frames begin in it and end, the frames, the rows of
	// the seek table, and the trailer with that table.
	Header func(name string, header []byte) []byte
	Tar    func(tar []byte) []byte
	Cuts   func(cuts []int) []int
	Frames func(frames [][]byte) [][]byte
	Rows   func(rows [][2]uint32) [][2]uint32
	End    func(end []byte) []byte
}

// changed applies a change, if there is one.
func changed[T any](change func(T) T, v T) T {
	if change == nil {
		return v
	}
	return change(v)
}

// Pack makes the bundle of images as airgap does.
func Pack(ctx context.Context, set image.Set, want image.Platforms) ([]byte, error) {
	plan, err := bundle.NewPlan(ctx, []image.Set{set}, want)
	if err != nil {
		return nil, err
	}
	var file bytes.Buffer
	_, err = plan.WriteTo(ctx, &file, bundle.WriteOptions{})
	return file.Bytes(), err
}

// Open takes a sound bundle apart.
func Open(file []byte) (*Bundle, error) {
	b, err := bundle.Open(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		return nil, err
	}
	f := &Bundle{Manifest: b.Manifest(), Signature: b.Signature()}
	var content io.Reader = bytes.NewReader(file)
	if !b.Plain() {
		dec, err := zstd.NewReader(content)
		if err != nil {
			return nil, err
		}
		defer dec.Close()
		content = dec
	}
	for r := tar.NewReader(content); len(f.Contents) < len(f.Manifest.Entries); {
		h, err := r.Next()
		if err != nil {
			return nil, err
		}
		raw, err := io.ReadAll(r)
		if err != nil {
			return nil, err
		}
		if h.Name == f.Manifest.Entries[len(f.Contents)].Name {
			f.Contents = append(f.Contents, raw)
		}
	}
	return f, nil
}

// Resize makes the manifest's numbers those of the contents.
func (b *Bundle) Resize() {
	b.Manifest.Size = 0
	for i, content := range b.Contents {
		e := &b.Manifest.Entries[i]
		e.Size, e.SHA256 = int64(len(content)), image.SHA256(content).Hex
		b.Manifest.Size += e.Size
	}
}

// Entry is the index of an entry, -1 if there is none of that name.
func (b *Bundle) Entry(name string) int {
	return slices.IndexFunc(b.Manifest.Entries, func(e bundle.Entry) bool { return e.Name == name })
}

// RawManifest is airgap.json.
func (b *Bundle) RawManifest() []byte {
	if b.Raw != nil {
		return b.Raw
	}
	var raw bytes.Buffer
	enc := json.NewEncoder(&raw)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", " ")
	if err := enc.Encode(b.Manifest); err != nil {
		panic(err) // a mistake in a test
	}
	return raw.Bytes()
}

// Plain is the tar.
func (b *Bundle) Plain() []byte {
	t, _ := b.tar()
	return changed(b.Tar, t)
}

// minOwn is the size of an entry that has frames of its own, and maxFrame what a
// frame holds.
const (
	minOwn   = 65536
	maxFrame = 4194304
)

// tar is the tar, and where it is cut into frames.
func (b *Bundle) tar() (t []byte, cuts []int) {
	cut := func() {
		for from := last(cuts); from < len(t); from = last(cuts) {
			cuts = append(cuts, min(from+maxFrame, len(t)))
		}
	}
	add := func(name string, content []byte, document bool) {
		h := Header(name, int64(len(content)))
		if b.Header != nil {
			h = b.Header(name, h)
		}
		t = append(t, h...)
		own := !document && len(content) >= minOwn
		if own {
			cut()
		}
		t = append(t, content...)
		if own {
			cut()
		}
		t = append(t, make([]byte, -len(content)&511)...)
		if document {
			cut()
		}
	}
	add("airgap.json", b.RawManifest(), true)
	if b.Signature != nil {
		add("airgap.json.sig", b.Signature, true)
	}
	for i, e := range b.Manifest.Entries {
		add(e.Name, b.Contents[i], false)
	}
	t = append(t, make([]byte, 1024)...)
	cut()
	return t, append([]int{0}, cuts...)
}

func last(cuts []int) int {
	if len(cuts) == 0 {
		return 0
	}
	return cuts[len(cuts)-1]
}

// File is the bundle, with trailer and seek table.
func (b *Bundle) File() []byte {
	t, cuts := b.tar()
	t = changed(b.Tar, t)
	cuts[len(cuts)-1] = len(t)
	cuts = changed(b.Cuts, cuts)
	pack := b.Pack
	if pack == nil {
		pack = Frame
	}
	var frames [][]byte
	for i := range cuts[1:] {
		frames = append(frames, pack(t[cuts[i]:cuts[i+1]]))
	}
	var rows [][2]uint32
	frames = changed(b.Frames, frames)
	for i, frame := range frames {
		rows = append(rows, [2]uint32{uint32(len(frame)), uint32(cuts[i+1] - cuts[i])})
	}
	file := bytes.Join(frames, nil)
	return append(file, changed(b.End, End(sha256.Sum256(file), changed(b.Rows, append(rows, [2]uint32{48, 0}))))...)
}

// Zeros is the bundle with zeros for the content of its last entry, for which
// Contents has nothing.
func (b *Bundle) Zeros() []byte {
	short, e := *b, b.Manifest.Entries[len(b.Contents)]
	short.Raw = b.RawManifest()
	m := *b.Manifest
	m.Entries = m.Entries[:len(b.Contents)]
	short.Manifest = &m
	t, cuts := short.tar()
	at := cuts[len(cuts)-2] // of what shares the last frame, but for the end
	before := append(bytes.Clone(t[at:len(t)-1024]), Header(e.Name, e.Size)...)
	var file []byte
	var rows [][2]uint32
	add := func(content int, frame []byte) {
		file = append(file, frame...)
		rows = append(rows, [2]uint32{uint32(len(frame)), uint32(content)})
	}
	for i := range cuts[:len(cuts)-2] {
		add(cuts[i+1]-cuts[i], Frame(t[cuts[i]:cuts[i+1]]))
	}
	add(len(before), Frame(before))
	for zeros := Frame(make([]byte, maxFrame)); e.Size > 0; e.Size -= maxFrame {
		add(maxFrame, zeros)
	}
	add(1024, Frame(make([]byte, 1024)))
	return append(file, End(sha256.Sum256(file), append(rows, [2]uint32{48, 0}))...)
}

// End is the trailer and the seek table of a file whose frames have a hash. The
// trailer's row is the last.
func End(frames [32]byte, rows [][2]uint32) []byte {
	end := append([]byte{0x5a, 0x2a, 0x4d, 0x18, 40, 0, 0, 0}, "airgap/1"...)
	end = append(end, frames[:]...)
	end = binary.LittleEndian.AppendUint32(append(end, 0x5e, 0x2a, 0x4d, 0x18), uint32(8*len(rows)+9))
	for _, row := range rows {
		end = binary.LittleEndian.AppendUint32(end, row[0])
		end = binary.LittleEndian.AppendUint32(end, row[1])
	}
	end = binary.LittleEndian.AppendUint32(end, uint32(len(rows)))
	return append(end, 0, 0xb1, 0xea, 0x92, 0x8f)
}

// Header is the tar header of an entry, one for its size before it where it is
// large.
func Header(name string, size int64) []byte {
	const large = 8 << 30
	if size < large {
		return headerBlock('0', name, size)
	}
	record := " size=" + strconv.FormatInt(size, 10) + "\n"
	record = strconv.Itoa(len(record)+2) + record // of two digits, for every such size
	b := headerBlock('x', "PaxHeaders/"+name, int64(len(record)))
	b = append(b, record...)
	b = append(b, make([]byte, -len(record)&511)...)
	return append(b, headerBlock('0', name, 0)...)
}

func headerBlock(kind byte, name string, size int64) []byte {
	b := make([]byte, 512)
	for at, text := range map[int]string{
		0: name, 100: "0000644", 108: "0000000", 116: "0000000", 124: fmt.Sprintf("%011o", size), 136: "00000000000",
		156: string(kind), 257: "ustar\x0000", 329: "0000000", 337: "0000000",
	} {
		copy(b[at:], text)
	}
	Reseal(b)
	return b
}

// Reseal makes the checksum of a header right.
func Reseal(header []byte) {
	copy(header[148:], "        ") // which counts as spaces
	sum := 0
	for _, c := range header {
		sum += int(c)
	}
	copy(header[148:], fmt.Sprintf("%06o\x00 ", sum))
}
