package bundle

import (
	"bytes"
	"crypto/sha256"
	"sync"

	"github.com/klauspost/compress/zstd"
)

// FrameLength is the length of the zstd frame at the start of b.
func FrameLength(b []byte) (int, bool) {
	n, _, err := measureFrame(b)
	return n, err == nil
}

// RawManifestSize is the length of a manifest's bytes.
func RawManifestSize(m *Manifest) int {
	raw, err := m.encode()
	if err != nil {
		panic(err)
	}
	return len(raw)
}

var forgersEncoder = sync.OnceValue(func() *zstd.Encoder { return newEncoder(Default) })

// Forgery makes bundles that are sealed as they should be, around content that
// is not: what only someone who knows the format can do.
type Forgery struct {
	Manifest  *Manifest
	Raw       []byte   // of the manifest, if not as Manifest is encoded
	Signature []byte   // nil for none
	Contents  [][]byte // of the entries
	// Header, Tar and Frames change what they are given.
	Header func(name string, header []byte) []byte
	Tar    func(tar []byte) []byte
	Frames func(frames [][]byte) [][]byte
	Cuts   func(cuts []int64) []int64
}

func (f *Forgery) raw() []byte {
	if f.Raw != nil {
		return f.Raw
	}
	raw, err := f.Manifest.encode()
	if err != nil {
		panic(err)
	}
	return raw
}

// Plain is the forged tar.
func (f *Forgery) Plain() []byte {
	var tar bytes.Buffer
	add := func(name string, content []byte) {
		h := header(name, int64(len(content)))
		if f.Header != nil {
			h = f.Header(name, h)
		}
		tar.Write(h)
		tar.Write(content)
		tar.Write(make([]byte, padding(int64(len(content)))))
	}
	add(manifestName, f.raw())
	if f.Signature != nil {
		add(signatureName, f.Signature)
	}
	for i, e := range f.Manifest.Entries {
		add(e.Name, f.Contents[i])
	}
	tar.Write(make([]byte, tarEnd))
	if f.Tar != nil {
		return f.Tar(tar.Bytes())
	}
	return tar.Bytes()
}

// File is the forged bundle, with trailer and seek table.
func (f *Forgery) File() []byte {
	tar := f.Plain()
	signature := int64(-1)
	if f.Signature != nil {
		signature = int64(len(f.Signature))
	}
	cuts := newGeometry(slots(int64(len(f.raw())), signature, f.Manifest.Entries)).frames
	cuts[len(cuts)-1] = int64(len(tar))
	if f.Cuts != nil {
		cuts = f.Cuts(cuts)
	}
	var frames [][]byte
	enc := forgersEncoder()
	for i := range cuts[:len(cuts)-1] {
		frames = append(frames, enc.EncodeAll(tar[cuts[i]:cuts[i+1]], nil))
	}
	if f.Frames != nil {
		frames = f.Frames(frames)
	}
	var file bytes.Buffer
	var rows []frameSizes
	for i, frame := range frames {
		file.Write(frame)
		rows = append(rows, frameSizes{uint32(len(frame)), uint32(cuts[i+1] - cuts[i])})
	}
	sum := sha256.Sum256(file.Bytes())
	t := trailer(sum[:])
	file.Write(t)
	file.Write(seekTable(append(rows, frameSizes{packed: uint32(len(t))})))
	return file.Bytes()
}
