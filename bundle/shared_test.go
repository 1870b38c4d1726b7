package bundle_test

import (
	"bytes"
	"fmt"
	"io"
	"testing"

	"airgap/bundle"
	"airgap/bundle/image"
)

// countingFile counts the reads of a file.
type countingFile struct {
	*bytes.Reader
	reads int
}

func (f *countingFile) ReadAt(p []byte, off int64) (int, error) {
	f.reads++
	return f.Reader.ReadAt(p, off)
}

// TestImageByImage reads small images one after the other, as an import does:
// with each its documents, which are at the start of the file, and its layers,
// which are further on. The frames in which these are with those of others are
// not opened for each of them.
func TestImageByImage(t *testing.T) {
	const n = 120
	p := newPlace()
	for i := range uint64(n) {
		note := string(bytes.Repeat([]byte{byte('a' + i%26)}, 50_000))
		p.name(fmt.Sprintf("docker.io/library/a:%03d", i), p.manifest(amd64, fmt.Sprint(i, note), p.raw(2*i, 40_000), p.raw(2*i+1, 20_000)))
	}
	f := &countingFile{Reader: bytes.NewReader(packed(t, p, all, bundle.WriteOptions{}))}
	b, err := bundle.Open(f, f.Size())
	if err != nil {
		t.Fatal(err)
	}
	f.reads = 0
	for _, root := range p.roots {
		g, err := image.Read(t.Context(), b, root, all.Select)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range g.Layers() {
			r, err := b.Fetch(t.Context(), d)
			if err == nil {
				_, err = io.Copy(io.Discard, r)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	if frames := int(b.Manifest().Size)/bundle.MaxFrame + 2; f.reads > 2*frames {
		t.Errorf("%d reads for %d images in %d frames", f.reads, n, frames)
	}
}
