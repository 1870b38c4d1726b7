package bundle_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"airgap/bundle"
	"airgap/bundle/image"
	"airgap/internal/vectors"
)

// small is a bundle of every part that the format has, of about 4 KiB.
func small(t testing.TB) []byte {
	p := newPlace()
	p.name("docker.io/library/a:1", p.manifest(amd64, "", p.gzip(1, 600), p.raw(2, 100)))
	return packed(t, p, all, bundle.WriteOptions{})
}

// boundaries are the offsets in a bundle, and in its tar, at which something
// ends.
func boundaries(t *testing.T, file []byte) (inFile, inTar []int) {
	t.Helper()
	for at := 0; at < len(file); {
		inFile = append(inFile, at)
		if n, ok := bundle.FrameLength(file[at:]); ok {
			at += n
		} else {
			at += 8 + int(uint32(file[at+4])|uint32(file[at+5])<<8|uint32(file[at+6])<<16|uint32(file[at+7])<<24)
		}
	}
	content := unpacked(t, file)
	for at := 0; at < len(content); at += 512 {
		inTar = append(inTar, at)
	}
	return inFile, inTar
}

// TestTruncated cuts at every boundary, and one byte before and after: nothing
// short of the whole is accepted.
func TestTruncated(t *testing.T) {
	p := newPlace()
	kinds["shared base"](p)
	file := packed(t, p, all, bundle.WriteOptions{})
	content := unpacked(t, file)
	inFile, inTar := boundaries(t, file)
	if len(inFile) < 6 || len(inTar) < 20 {
		t.Fatalf("only %d and %d boundaries found", len(inFile), len(inTar))
	}
	for _, c := range []struct {
		form  string
		whole []byte
		cuts  []int
	}{{"bundle", file, inFile}, {"tar", content, inTar}} {
		for _, cut := range c.cuts {
			for _, n := range []int{cut - 1, cut, cut + 1} {
				if n < 0 {
					continue
				}
				refused(t, fmt.Sprintf("%s of %d bytes cut to %d", c.form, len(c.whole), n), checked(t.Context(), c.whole[:n]))
			}
		}
		longer := append(slices.Clone(c.whole), 0)
		refused(t, c.form+" with a byte more", checked(t.Context(), longer))
		refused(t, c.form+" twice", checked(t.Context(), append(slices.Clone(c.whole), c.whole...)))
	}
}

// refused demands an error that says that the bundle is not sound.
func refused(t *testing.T, what string, err error) {
	t.Helper()
	var damage *bundle.DamagedError
	var foreign *bundle.ForeignError
	if !errors.As(err, &damage) && !errors.As(err, &foreign) {
		t.Errorf("%s: %v", what, err)
	}
}

// TestBitFlips flips every single bit, in both forms: none is accepted. With
// AIRGAP_TORTURE set the bundle has 64 KiB instead of 4; in short mode (with the
// race detector) one bit of each byte has to do.
func TestBitFlips(t *testing.T) {
	file := small(t)
	if os.Getenv("AIRGAP_TORTURE") != "" {
		p := newPlace()
		p.name("docker.io/library/a:1", p.manifest(amd64, "", p.gzip(1, 60_000), p.gzip(2, 70_000)))
		file = packed(t, p, all, bundle.WriteOptions{})
	}
	for _, form := range [][]byte{file, unpacked(t, file)} {
		var wg sync.WaitGroup
		workers := runtime.GOMAXPROCS(0)
		for w := range workers {
			wg.Go(func() {
				changed := slices.Clone(form)
				for at := w; at < len(changed); at += workers {
					for bit := range 8 {
						if testing.Short() && bit != at%8 {
							continue
						}
						changed[at] ^= 1 << bit
						if err := checked(t.Context(), changed); err == nil {
							t.Errorf("accepted with bit %d of byte %d of %d flipped", bit, at, len(changed))
						}
						changed[at] ^= 1 << bit
					}
				}
			})
		}
		wg.Wait()
	}
}

// TestEveryTruncation cuts a small bundle at every length.
// TestSum makes the sum of the file as it is, and none of one that its trailer
// is not about.
func TestSum(t *testing.T) {
	file := small(t)
	for what, raw := range map[string][]byte{"bundle": file, "plain tar": unpacked(t, file)} {
		b, err := bundle.Open(bytes.NewReader(raw), int64(len(raw)))
		if err != nil {
			t.Fatal(err)
		}
		read := int64(0)
		want := fmt.Sprintf("%x", sha256.Sum256(raw))
		if got, err := b.Sum(t.Context(), func(n int64) { read += n }); err != nil || got != want || read != int64(len(raw)) {
			t.Errorf("%s: sum %s of %d bytes, %v; expected %s of %d", what, got, read, err, want, len(raw))
		}
	}
	b, err := bundle.Open(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		t.Fatal(err)
	}
	file[len(file)/2] ^= 1
	var damage *bundle.DamagedError
	if got, err := b.Sum(t.Context(), func(int64) {}); got != "" || !errors.As(err, &damage) {
		t.Errorf("sum %s of what is damaged, %v", got, err)
	}
}

// TestLooksLike knows bundles that are damaged or cut short, and nothing else.
func TestLooksLike(t *testing.T) {
	file := small(t)
	behead := bytes.Clone(file)
	clear(behead[:100])
	other := zstded(tarFile(1, 3000))
	for what, c := range map[string]struct {
		raw  []byte
		want bool
	}{
		"bundle": {file, true}, "plain tar": {unpacked(t, file), true}, "plain tar cut short": {unpacked(t, file)[:600], true},
		"cut short": {file[:len(file)/2], true}, "its end": {file[len(file)/2:], true}, "without its beginning": {behead, true},
		"nothing": {nil, false}, "text": {[]byte("notes\n"), false}, "long text": {bytes.Repeat([]byte("notes\n"), 1000), false},
		"another tar": {tarFile(1, 3000), false}, "in zstd": {other, false}, "zeros": {make([]byte, 5000), false},
		"seekable zstd": {append(bytes.Clone(other), file[len(file)-9:]...), false},
	} {
		if got, err := bundle.LooksLike(bytes.NewReader(c.raw), int64(len(c.raw))); got != c.want || err != nil {
			t.Errorf("%s: %v, %v", what, got, err)
		}
	}
	boom := errors.New("input/output error")
	if got, err := bundle.LooksLike(&failing{r: bytes.NewReader(file), err: boom}, int64(len(file))); got || !errors.Is(err, boom) {
		t.Errorf("on a failing medium: %v, %v", got, err)
	}
}

func TestEveryTruncation(t *testing.T) {
	file := small(t)
	for n := range file {
		if checked(t.Context(), file[:n]) == nil {
			t.Errorf("accepted when cut to %d of %d bytes", n, len(file))
		}
	}
}

// TestDamagedStart: what begins as a bundle and is not whole is damaged, in both
// forms, rather than another kind of file.
func TestDamagedStart(t *testing.T) {
	file := small(t)
	plain := unpacked(t, file)
	mode := bytes.Clone(plain)
	mode[106] ^= 1
	for what, raw := range map[string][]byte{"tar cut in the manifest": plain[:600], "mode of the manifest": mode, "bundle cut in its first frame": file[:30]} {
		var damage *bundle.DamagedError
		if err := checked(t.Context(), raw); !errors.As(err, &damage) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// TestForeign tells what a file is that is not a bundle.
func TestForeign(t *testing.T) {
	plain := unpacked(t, small(t))
	newer := bytes.Replace(plain, []byte(`"format": 1`), []byte(`"format": 2`), 1)
	for name, c := range map[string]struct {
		file []byte
		kind string
	}{
		"empty":          {nil, ""},
		"text":           {[]byte(strings.Repeat("hello ", 1000)), ""},
		"gzip":           {gzipped(plain), bundle.KindGzip},
		"docker save":    {tarOf("abc/layer.tar", "manifest.json"), bundle.KindDockerArchive},
		"docker save 25": {tarOf("oci-layout", "manifest.json"), bundle.KindDockerArchive},
		"packed by zstd": {zstded(tarOf("abc/layer.tar", "manifest.json")), bundle.KindDockerArchive},
		"oci archive":    {tarOf("oci-layout", "index.json"), bundle.KindOCIArchive},
		"other tar":      {tarOf("hello"), ""},
	} {
		var foreign *bundle.ForeignError
		if err := checked(t.Context(), c.file); !errors.As(err, &foreign) || foreign.Kind != c.kind {
			t.Errorf("%s: %v", name, err)
		}
	}
	var tooNew *bundle.NewerError
	if err := checked(t.Context(), newer); !errors.As(err, &tooNew) || tooNew.Format != 2 {
		t.Errorf("format 2: %v", err)
	}
}

func tarOf(names ...string) []byte {
	var all []byte
	for i, name := range names {
		entry := tarFile(uint64(i), 10)
		header := entry[:512]
		copy(header, make([]byte, 100))
		copy(header, name)
		copy(header[148:], "        ")
		sum := 0
		for _, c := range header {
			sum += int(c)
		}
		copy(header[148:], fmt.Sprintf("%06o\x00 ", sum))
		all = append(all, entry[:1024]...)
	}
	return append(all, make([]byte, 1024)...)
}

// TestStage takes a bundle from a stream, and refuses early what is none.
func TestStage(t *testing.T) {
	file := small(t)
	stage := func(r io.Reader) (int64, error) {
		f, err := os.CreateTemp(t.TempDir(), "")
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		return bundle.Stage(t.Context(), r, f)
	}
	if n, err := stage(bytes.NewReader(file)); err != nil || n != int64(len(file)) {
		t.Errorf("%d bytes, %v", n, err)
	}
	endless := &zeros{}
	_, err := stage(endless)
	var foreign *bundle.ForeignError
	if !errors.As(err, &foreign) {
		t.Errorf("an endless stream of zeros: %v", err)
	}
}

type zeros struct{}

func (*zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// TestMedium reports errors of the medium as such, not as damage.
func TestMedium(t *testing.T) {
	file := small(t)
	boom := errors.New("input/output error")
	for fail := range 12 {
		m := &failing{bytes.NewReader(file), fail, boom}
		b, err := bundle.Open(m, int64(len(file)))
		if err == nil {
			for _, blob := range b.Manifest().Blobs {
				r, fetchErr := b.Fetch(t.Context(), blob.Descriptor())
				if fetchErr == nil {
					_, fetchErr = io.Copy(io.Discard, r)
				}
				if err == nil {
					err = fetchErr
				}
			}
		}
		var read *bundle.ReadError
		if m.left < 0 && (!errors.As(err, &read) || !errors.Is(err, boom)) {
			t.Errorf("read %d fails: %v", fail, err)
		}
	}
}

type failing struct {
	r    io.ReaderAt
	left int
	err  error
}

func (f *failing) ReadAt(p []byte, off int64) (int, error) {
	if f.left--; f.left < 0 {
		return 0, f.err
	}
	return f.r.ReadAt(p, off)
}

// FuzzOpen never panics, and accepts only what the format allows: what is
// accepted has the manifest's own bytes in it.
func FuzzOpen(f *testing.F) {
	seeds, err := vectors.Seeds(".tar.zst", ".tar")
	if err != nil {
		f.Fatal(err)
	}
	for _, s := range append(seeds, small(f)) {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		if checked(t.Context(), file) != nil {
			return
		}
		b, err := bundle.Open(bytes.NewReader(file), int64(len(file)))
		if err != nil {
			t.Fatal(err)
		}
		if b.ID() != image.SHA256(b.RawManifest()) {
			t.Error("id and manifest disagree")
		}
	})
}
