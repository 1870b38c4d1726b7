//go:build linux

package e2e_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/types"

	"airgap/bundle"
	"airgap/bundle/image"
	"airgap/internal/forge"
)

// mostMemory is what airgap may take of hostile input, in KiB of resident set.
const mostMemory = 256 << 10

// TestHostileInputStaysSmall reads files of some kilobytes that were made to
// become gigabytes, on a machine of sixteen cores.
func TestHostileInputStaysSmall(t *testing.T) {
	dir := t.TempDir()
	for name, fill := range hostile {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(dir, "hostile.tar.zst")
			f := newForged(t, path)
			fill(f)
			info, err := os.Stat(path)
			if err != nil || info.Size() > 6<<20 {
				t.Fatalf("the file itself: %v, %v", info, err)
			}
			size := info.Size()
			code, most := peak(t, "verify", path)
			if code != 3 || most > mostMemory {
				t.Errorf("%d bytes: exit status %d, %d KiB", size, code, most)
			}
		})
	}
}

// TestWindowsStaySmall reads sixteen layers whose zstd windows are as large as
// they may be, in first and in later frames.
func TestWindowsStaySmall(t *testing.T) {
	dir := t.TempDir()
	var layers []image.Descriptor
	var diffIDs []image.Digest
	add := func(mediaType types.MediaType, b []byte) image.Descriptor {
		d := image.Descriptor{MediaType: mediaType, Digest: image.SHA256(b), Size: int64(len(b))}
		writeFile(t, filepath.Join(dir, "blobs", "sha256", d.Digest.Hex), b)
		return d
	}
	for i := range 16 {
		packed, diffID := wideLayer(t, i)
		layers, diffIDs = append(layers, add(types.OCILayerZStd, packed)), append(diffIDs, diffID)
	}
	config := add(types.OCIConfigJSON, encoded(t, map[string]any{
		"os": "linux", "architecture": "amd64", "rootfs": map[string]any{"type": "layers", "diff_ids": diffIDs},
	}))
	manifest := add(types.OCIManifestSchema1, encoded(t, map[string]any{
		"schemaVersion": 2, "mediaType": types.OCIManifestSchema1, "config": config, "layers": layers,
	}))
	manifest.Annotations = map[string]string{"org.opencontainers.image.ref.name": "wide:1"}
	writeFile(t, filepath.Join(dir, "oci-layout"), []byte(`{"imageLayoutVersion":"1.0.0"}`))
	writeFile(t, filepath.Join(dir, "index.json"), encoded(t, map[string]any{"schemaVersion": 2, "manifests": []image.Descriptor{manifest}}))
	path := filepath.Join(t.TempDir(), "wide.tar.zst")
	for _, args := range [][]string{
		{"pack", "--platform", "linux/amd64", "-o", path, "oci:" + dir},
		{"verify", path},
		{"unpack", "--to", "oci:" + filepath.Join(t.TempDir(), "there"), path},
	} {
		code, most := peak(t, args...)
		if code != 0 || most > mostMemory {
			t.Errorf("%s: exit status %d, %d KiB", args[0], code, most)
		}
	}
}

// wideLayer is a layer with a window of 128 MiB that is used to its end. Every
// second one begins with a frame of a small window.
func wideLayer(t *testing.T, i int) (packed []byte, diffID image.Digest) {
	t.Helper()
	h := sha256.New()
	var b bytes.Buffer
	if i%2 == 1 {
		small := forge.Compressed([]byte("small"))
		b.Write(small)
		io.WriteString(h, "small")
	}
	// A block says in four bytes that one byte comes 128 Ki times.
	binary.Write(&b, binary.LittleEndian, uint32(0xFD2FB528))
	b.Write([]byte{0, 17 << 3}) // no checksum, no size; a window of 2^27
	const blocks, length = 1100, 128 << 10
	zeros := make([]byte, length)
	for range blocks {
		head := uint32(length)<<3 | 1<<1
		b.Write([]byte{byte(head), byte(head >> 8), byte(head >> 16), 0})
		h.Write(zeros)
	}
	b.Write([]byte{1, 0, 0}) // the last block, of nothing
	// What is too small for what comes out of it would be refused.
	filler := make([]byte, 150<<10)
	binary.LittleEndian.PutUint32(filler, 0x184D2A50)
	binary.LittleEndian.PutUint32(filler[4:], uint32(len(filler)-8))
	filler[8] = byte(i)
	return append(filler, b.Bytes()...), image.HashDigest(h)
}

// hostile are bundles that are sealed as they should be, up to what is looked
// at first.
var hostile = map[string]func(f *forged){
	"images of nothing": func(f *forged) { f.manifest(filled(`{"format":1,"requires":[],"images":[`, `{},`, `{}]}`)) },
	"images of numbers": func(f *forged) { f.manifest(filled(`{"format":1,"requires":[],"images":[`, `0,`, `0]}`)) },
	"requires of empty": func(f *forged) { f.manifest(filled(`{"format":1,"requires":[`, `"",`, `""]}`)) },
	"diffIDs of numbers": func(f *forged) {
		f.manifest(filled(`{"format":1,"requires":[],"images":[{"manifests":[{"diffIDs":[`, `0,`, `0]}]}]}`))
	},
	"a long name": func(f *forged) { f.manifest(filled(`{"format":1,"requires":[],"images":[{"name":"`, `x`, `"}]}`)) },
	"a long media type": func(f *forged) {
		f.manifest(filled(`{"format":1,"requires":[],"images":[{"root":{"mediaType":"`, `x`, `"}}]}`))
	},
	"brackets": func(f *forged) { f.manifest(filled(`{"format":1,"images":`, `[`, `]`)) },
	"as many blobs as can be": func(f *forged) {
		for i := range 40_000 {
			f.blob(image.Digest{Algorithm: "sha256", Hex: fmt.Sprintf("%064x", i)}, nil)
		}
		f.image("a", image.Descriptor{Digest: image.Digest{Algorithm: "sha256", Hex: fmt.Sprintf("%064x", 0)}})
		f.finish()
	},
	"as many diffIDs as can be": func(f *forged) {
		root := f.doc(`{}`)
		id := image.SHA256(nil)
		img := bundle.Image{Name: "docker.io/library/a:1", Root: bundle.Ref{MediaType: types.OCIManifestSchema1, Digest: root.Digest, Size: root.Size}}
		img.Manifests = []bundle.ImageManifest{{Platform: "linux/amd64", Manifest: root.Digest, Config: id}}
		for range 200_000 {
			img.Manifests[0].DiffIDs = append(img.Manifests[0].DiffIDs, id)
		}
		f.images = append(f.images, img)
		f.finish()
	},
	"16 TiB": func(f *forged) {
		root := f.doc(`{}`)
		f.image("a", root)
		for i := range 10 {
			f.blob(image.Digest{Algorithm: "sha256", Hex: fmt.Sprintf("%064x", i)}, nil)
			f.blobs[len(f.blobs)-1].Size = 1 << 40
		}
		f.finish()
	},
	"one config of 300 names": func(f *forged) {
		config := f.doc(`{"os":"linux","architecture":"amd64","rootfs":{"diff_ids":[]},"history":[` +
			strings.Repeat(`{"created_by":"RUN something that takes"},`, 90_000) + `{}]}`)
		config.MediaType = types.OCIConfigJSON
		for i := range 300 {
			f.image(fmt.Sprintf("a%03d", i), f.doc(fmt.Sprintf(`{"schemaVersion":2,"annotations":{"n":"%d"},"config":%s,"layers":[]}`, i, encoded(f.t, config))))
		}
		f.finish()
	},
	"many large configs": func(f *forged) {
		for i := range 40 {
			config := f.doc(fmt.Sprintf(`{"os":"%d","architecture":"%s","rootfs":{"diff_ids":[]}}`, i, strings.Repeat("x", 4<<20-100)))
			config.MediaType = types.OCIConfigJSON
			f.image(fmt.Sprintf("a%03d", i), f.doc(fmt.Sprintf(`{"schemaVersion":2,"config":%s,"layers":[]}`, encoded(f.t, config))))
		}
		f.finish()
	},
	"an index of nothing":       func(f *forged) { f.one(large(`{"schemaVersion":2,"manifests":[`, `{},`, `{}]}`)) },
	"an index of annotations":   func(f *forged) { f.one(large(`{"schemaVersion":2,"manifests":[`, `{"annotations":{"":""}},`, `{}]}`)) },
	"indexes of some platforms": func(f *forged) { f.nested(8, `{"platform":{"os.features":[""]},"annotations":{"":""}},`, 60_000) },
	"a manifest of nothing":     func(f *forged) { f.one(large(`{"schemaVersion":2,"config":{},"layers":[`, `{},`, `{}]}`)) },
	"a config of nothing": func(f *forged) {
		config := f.doc(large(`{"rootfs":{"diff_ids":[]},"history":[`, `{},`, `{}]}`))
		config.MediaType = types.OCIConfigJSON
		f.one(fmt.Sprintf(`{"schemaVersion":2,"config":%s,"layers":[]}`, encoded(f.t, config)))
	},
	"a config of labels": func(f *forged) {
		var labels strings.Builder
		for i := 0; labels.Len() < 4<<20-1000; i++ {
			fmt.Fprintf(&labels, `"%x":"",`, i)
		}
		config := f.doc(`{"rootfs":{"diff_ids":[]},"config":{"Labels":{` + labels.String() + `"":""}}}`)
		config.MediaType = types.OCIConfigJSON
		f.one(fmt.Sprintf(`{"schemaVersion":2,"config":%s,"layers":[]}`, encoded(f.t, config)))
	},
	"the same layers of many images": func(f *forged) {
		config := f.doc(`{}`)
		var layers strings.Builder
		for i := 0; layers.Len() < 3<<20; i++ {
			fmt.Fprintf(&layers, `,{"digest":"sha256:%064x","size":1}`, i)
		}
		child := f.doc(fmt.Sprintf(`{"schemaVersion":2,"config":%s,"layers":[%s]}`, encoded(f.t, config), layers.String()[1:]))
		for i := range 300 {
			f.image(fmt.Sprintf("a%03d", i), f.doc(fmt.Sprintf(`{"schemaVersion":2,"annotations":{"n":"%d"},"manifests":[%s]}`, i, encoded(f.t, child))))
		}
		f.finish()
	},
	"everybody refers to everybody": func(f *forged) {
		config := f.doc(`{}`)
		child := f.doc(fmt.Sprintf(`{"schemaVersion":2,"config":%s,"layers":[]}`, encoded(f.t, config)))
		for i := range 3000 {
			f.image(fmt.Sprintf("a%05d", i), f.doc(fmt.Sprintf(`{"schemaVersion":2,"annotations":{"n":"%d"},"manifests":[%s]}`, i, encoded(f.t, child))))
		}
		for i := range 3000 {
			f.image(fmt.Sprintf("b%05d", i), f.doc(fmt.Sprintf(`{"schemaVersion":2,"annotations":{"n":"%d"},"config":%s,"subject":%s}`, i, encoded(f.t, config), encoded(f.t, child))))
		}
		f.finish()
	},
	// What is just few enough to be decoded.
	"an index of as many as can be": func(f *forged) { f.nested(8, `{"annotations":{"":""}},`, 85_000) },
	"a manifest of as many as can be": func(f *forged) {
		f.one(`{"schemaVersion":2,"config":{},"layers":[` + strings.Repeat(`{},`, 130_000) + `{}]}`)
	},
}

// filled is as long as a manifest may be, large as long as a document.
func filled(start, more, end string) []byte {
	return []byte(start + strings.Repeat(more, (bundle.MaxManifest-len(start)-len(end))/len(more)) + end)
}

func large(start, more, end string) string {
	return start + strings.Repeat(more, (image.MaxDocument-len(start)-len(end))/len(more)) + end
}

func encoded(t testing.TB, v any) []byte {
	t.Helper()
	raw, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func writeFile(t *testing.T, path string, b []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b, 0o644); err != nil {
		t.Fatal(err)
	}
}

// peakVariable names the command whose memory a second start of the tests tells.
const peakVariable = "AIRGAP_E2E_PEAK"

// peak runs airgap as on sixteen cores, and gives the most memory that it had,
// in KiB. A process between them starts it, since a process counts what the one
// had that started it as its own.
func peak(t *testing.T, args ...string) (code int, most int64) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self, args...)
	cmd.Env = append(os.Environ(), "GOMAXPROCS=16", "HOME="+t.TempDir(), peakVariable+"="+world.airgap)
	var out, messages bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &messages
	err = cmd.Run()
	if _, scanErr := fmt.Sscan(out.String(), &code, &most); scanErr != nil {
		t.Fatalf("%v, %v: %s", err, scanErr, &messages)
	}
	t.Logf("airgap %s: exit status %d, %d KiB: %.200s", args[0], code, most, strings.TrimSpace(messages.String()))
	return code, most
}

// tellPeak runs a command with this one's arguments, and prints its exit status
// and the most memory that it had.
func tellPeak(path string) int {
	cmd := exec.Command(path, os.Args[1:]...)
	cmd.Stderr = os.Stderr
	if err := cmd.Run(); cmd.ProcessState == nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	fmt.Println(cmd.ProcessState.ExitCode(), cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss)
	return 0
}

// forged is a bundle that is sealed as it should be, around whatever it is given.
type forged struct {
	t      *testing.T
	path   string
	images []bundle.Image
	blobs  []bundle.Blob
	docs   map[image.Digest][]byte
}

func newForged(t *testing.T, path string) *forged {
	return &forged{t: t, path: path, docs: map[image.Digest][]byte{}}
}

// doc adds a manifest's bytes, or others, and gives their descriptor.
func (f *forged) doc(text string) image.Descriptor {
	d := image.SHA256([]byte(text))
	f.blob(d, []byte(text))
	return image.Descriptor{MediaType: types.OCIManifestSchema1, Digest: d, Size: int64(len(text))}
}

func (f *forged) blob(d image.Digest, content []byte) {
	if _, twice := f.docs[d]; twice {
		return
	}
	f.docs[d] = content
	f.blobs = append(f.blobs, bundle.Blob{Digest: d, Size: int64(len(content)), Stored: bundle.StoredAsIs, Entry: "blobs/sha256/" + d.Hex})
}

// image names a root.
func (f *forged) image(name string, root image.Descriptor) {
	f.images = append(f.images, bundle.Image{
		Name: "docker.io/library/" + name + ":1", Root: bundle.Ref{Digest: root.Digest, Size: root.Size},
		Manifests: []bundle.ImageManifest{{Manifest: root.Digest, Config: root.Digest, DiffIDs: []image.Digest{}}},
	})
}

// one is a bundle of a single image.
func (f *forged) one(text string) {
	f.image("a", f.doc(text))
	f.finish()
}

// nested is an index of an index of …, each with n others.
func (f *forged) nested(depth int, other string, n int) {
	child := f.doc(`{}`)
	for range depth {
		child.MediaType = ""
		child = f.doc(fmt.Sprintf(`{"schemaVersion":2,"manifests":[%s%s]}`, strings.Repeat(other, n), encoded(f.t, child)))
	}
	f.image("a", child)
	f.finish()
}

// finish writes manifest and blobs.
func (f *forged) finish() {
	f.t.Helper()
	m := bundle.Manifest{Format: 1, Requires: []string{}, Images: f.images, Files: []bundle.File{}, Blobs: f.blobs}
	for _, b := range f.blobs {
		m.Entries = append(m.Entries, bundle.Entry{Name: b.Entry, Size: b.Size, SHA256: b.Digest.Hex})
		m.Size += b.Size
	}
	b := &forge.Bundle{Manifest: &m}
	for _, blob := range f.blobs {
		b.Contents = append(b.Contents, f.docs[blob.Digest])
	}
	f.write(b)
}

// manifest writes nothing but airgap.json.
func (f *forged) manifest(raw []byte) {
	f.t.Helper()
	f.write(&forge.Bundle{Manifest: &bundle.Manifest{}, Raw: raw})
}

func (f *forged) write(b *forge.Bundle) {
	f.t.Helper()
	b.Pack = forge.Compressed
	writeFile(f.t, f.path, b.File())
}
