package bundle_test

import (
	"archive/tar"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"airgap/bundle"
	"airgap/bundle/image"
	"airgap/internal/forge"
)

// forgeLarge is a forgery whose manifest fills several frames to the last byte
// of the last: no padding follows it. It packs into some 10 KB.
func forgeLarge(t *testing.T, frames int) *forge.Bundle {
	t.Helper()
	f := forged(t, func(p *place) { p.name("docker.io/library/a:1", p.manifest(amd64, "", p.gzip(1, 600))) })
	m := f.Manifest
	empty := image.SHA256(nil)
	entry := "blobs/sha256/" + empty.Hex
	m.Blobs = append(m.Blobs, bundle.Blob{Digest: empty, Stored: bundle.StoredAsIs, Entry: entry})
	m.Entries = append(m.Entries, bundle.Entry{Name: entry})
	f.Contents = append(f.Contents, nil)
	f.Resize()
	const files = 4 << 20 / 1100 // some fill a frame
	for i := range (frames - 1) * files * 11 / 10 {
		name := fmt.Sprintf("%06d", i) + strings.Repeat("/"+strings.Repeat("x", 199), 5)
		m.Files = append(m.Files, bundle.File{Name: name, Mode: "0644", Digest: empty})
	}
	m.Requires = []string{"file-modes"}
	over := len(f.RawManifest()) & 511
	for i := 0; over > 0; i++ { // a name takes only so much of it
		n := min(over, 190)
		m.Files[i].Name = m.Files[i].Name[:len(m.Files[i].Name)-n]
		over -= n
	}
	if size := len(f.RawManifest()); size%512 != 0 || (size+512+bundle.MaxFrame-1)/bundle.MaxFrame != frames {
		t.Fatalf("the manifest has %d bytes", size)
	}
	return f
}

// attackersTar is what somebody would like docker load to read.
func attackersTar() []byte {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	content := []byte(`[{"Config":"evil.json","RepoTags":["postgres:15-alpine"],"Layers":[]}]`)
	w.WriteHeader(&tar.Header{Name: "manifest.json", Mode: 0o644, Size: int64(len(content))})
	w.Write(content)
	w.Close()
	return b.Bytes()
}

// namesIn lists the entries that plain tools find in a bundle.
func namesIn(t *testing.T, file []byte) []string {
	t.Helper()
	dec, err := zstd.NewReader(bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	defer dec.Close()
	var names []string
	for r := tar.NewReader(dec); ; {
		h, err := r.Next()
		if err == io.EOF {
			return names
		}
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, h.Name)
	}
}

// TestHiddenArchive is a bundle whose manifest has two frames, and another
// archive in the second one's row: `zstd -dc | docker load` would read that.
func TestHiddenArchive(t *testing.T) {
	f := forgeLarge(t, 2)
	if err := checked(t.Context(), f.File()); err != nil {
		t.Fatal("the forger's own work is not sound: ", err)
	}
	f.Frames = func(frames [][]byte) [][]byte {
		frames[1] = append(frames[1], zstded(attackersTar())...)
		return frames
	}
	file := f.File()
	if names := namesIn(t, file); !slices.Equal(names, []string{"airgap.json", "manifest.json"}) || len(file) > 32<<10 {
		t.Fatalf("%d bytes in which plain tools find %q", len(file), names)
	}
	refused(t, "bundle with an archive hidden in a row", checked(t.Context(), file))
}

// smuggled is what plain tools take beside a frame, or pass over.
var smuggled = map[string][]byte{
	"frame":              zstded([]byte("more")),
	"frame of 0 bytes":   {0x28, 0xb5, 0x2f, 0xfd, 0x24, 0, 1, 0, 0, 0x99, 0xe9, 0xd8, 0x51},
	"skippable frame":    {0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 'x', 'y', 'z'},
	"empty skippable":    {0x5f, 0x2a, 0x4d, 0x18, 0, 0, 0, 0},
	"zero":               {0},
	"garbage":            []byte("garbage"),
	"start of a frame":   {0x28, 0xb5, 0x2f, 0xfd},
	"frame of old times": {0x27, 0xb5, 0x2f, 0xfd, 0, 0, 0},
}

// TestRows puts into every row of the seek table, before and behind its frame,
// what does not belong there: none is accepted.
func TestRows(t *testing.T) {
	small := forged(t, func(p *place) {
		p.name("docker.io/library/a:1", p.manifest(amd64, "", p.gzip(1, 600), p.raw(2, 100_000)))
	})
	small.Signature = bytes.Repeat([]byte("signed! "), 128)
	for _, c := range []struct {
		name string
		f    *forge.Bundle
		rows []int
	}{
		{"signed", small, []int{0, 1, 2, 3, 4}},
		{"manifest of two frames", forgeLarge(t, 2), []int{1}},
	} {
		refuse := func(what string, change func(frames [][]byte)) {
			c.f.Frames = func(frames [][]byte) [][]byte { change(frames); return frames }
			refused(t, c.name+": "+what, checked(t.Context(), c.f.File()))
		}
		c.f.Frames = func(frames [][]byte) [][]byte {
			if len(frames) <= slices.Max(c.rows) {
				t.Fatalf("only %d rows", len(frames))
			}
			return frames
		}
		if err := checked(t.Context(), c.f.File()); err != nil {
			t.Fatal("the forger's own work is not sound: ", err)
		}
		for _, row := range c.rows {
			if c.f != small { // of which each is 4 MiB to parse
				extra := smuggled["skippable frame"]
				refuse(fmt.Sprintf("a skippable frame behind row %d", row), func(f [][]byte) { f[row] = append(f[row], extra...) })
				continue
			}
			for name, extra := range smuggled {
				refuse(fmt.Sprintf("%s behind row %d", name, row), func(f [][]byte) { f[row] = append(f[row], extra...) })
				refuse(fmt.Sprintf("%s before row %d", name, row), func(f [][]byte) { f[row] = append(slices.Clone(extra), f[row]...) })
			}
			refuse(fmt.Sprintf("no frame in row %d", row), func(f [][]byte) { f[row] = nil })
			refuse(fmt.Sprintf("row %d of two frames", row), func(f [][]byte) { f[row] = halves(zstded)(unpacked(t, f[row])) })
			if row > 0 {
				refuse(fmt.Sprintf("no bytes for row %d", row), func(f [][]byte) { f[row-1], f[row] = append(f[row-1], f[row]...), nil })
				refuse(fmt.Sprintf("row %d from a byte before", row), func(f [][]byte) {
					last := len(f[row-1]) - 1
					f[row], f[row-1] = append([]byte{f[row-1][last]}, f[row]...), f[row-1][:last]
				})
			}
		}
	}
}

// TestMiddleRow is a row of a manifest that neither its header nor what follows
// it has a part of.
func TestMiddleRow(t *testing.T) {
	f := forgeLarge(t, 3)
	f.Frames = func(frames [][]byte) [][]byte {
		frames[1] = append(frames[1], smuggled["frame of 0 bytes"]...)
		return frames
	}
	refused(t, "a frame of no content behind the second of three", checked(t.Context(), f.File()))
}

// TestFrameHeaders gives a row that only the manifest has a part of a frame that
// plain tools read, and that says less than it has to, or more than it may.
func TestFrameHeaders(t *testing.T) {
	f := forgeLarge(t, 2)
	f.Signature = []byte(strings.Repeat("s", 512))
	again := func(frame []byte, o ...zstd.EOption) []byte {
		enc, err := zstd.NewWriter(nil, o...)
		if err != nil {
			t.Fatal(err)
		}
		defer enc.Close()
		return enc.EncodeAll(unpacked(t, frame), nil)
	}
	streamed := func(frame []byte) []byte { // its length is not known before
		var b bytes.Buffer
		enc, err := zstd.NewWriter(&b)
		if err != nil {
			t.Fatal(err)
		}
		enc.Write(unpacked(t, frame))
		enc.Flush()
		enc.Close()
		return b.Bytes()
	}
	cases := map[string]func(frame []byte) []byte{
		"no checksum": func(frame []byte) []byte { return again(frame, zstd.WithEncoderCRC(false)) },
		"no size":     streamed,
		"dictionary": func(frame []byte) []byte {
			withID := append([]byte{}, frame[:4]...)
			withID = append(withID, frame[4]|3)
			return append(binary.LittleEndian.AppendUint32(withID, 7), frame[5:]...)
		},
		"another checksum": func(frame []byte) []byte {
			frame = slices.Clone(frame)
			frame[len(frame)-1] ^= 1
			return frame
		},
	}
	for name, change := range cases {
		f.Frames = func(frames [][]byte) [][]byte { frames[1] = change(frames[1]); return frames }
		refused(t, "row with "+name, checked(t.Context(), f.File()))
	}
}
