package bundle

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/klauspost/compress/zstd"

	"airgap/bundle/image"
	"airgap/bundle/image/layer"
)

// TestHeader is what archive/tar makes of a canonical header.
func TestHeader(t *testing.T) {
	for _, size := range []int64{0, 1, 511, 512, maxUSTAR - 1, maxUSTAR, maxUSTAR + 1, maxBundle} {
		raw := header("blobs/sha256/abc", size)
		if int64(len(raw)) != headerSize(size) {
			t.Errorf("size %d: header has %d bytes", size, len(raw))
		}
		h, err := tar.NewReader(bytes.NewReader(raw)).Next()
		if err != nil || h.Size != size || h.Name != "blobs/sha256/abc" || h.Mode != 0o644 {
			t.Errorf("size %d: %+v, %v", size, h, err)
		}
	}
}

// TestRawFrame is a frame of the length that the formula says, which other
// decoders read.
func TestRawFrame(t *testing.T) {
	for _, n := range []int64{0, 1, 255, 256, 65791, 65792, rawBlock - 1, rawBlock, rawBlock + 1, MaxFrame - 1, MaxFrame} {
		content := bytes.Repeat([]byte("content "), int(n/8+1))[:n]
		frame := newRawFrame(make([]byte, rawFrameSize(MaxFrame)), n)
		rest := content
		for _, gap := range frame.gaps {
			rest = rest[copy(gap, rest):]
		}
		packed := frame.finish()
		if int64(len(packed)) != rawFrameSize(n) {
			t.Errorf("%d bytes: frame of %d, formula says %d", n, len(packed), rawFrameSize(n))
		}
		dec, err := zstd.NewReader(bytes.NewReader(packed))
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(dec)
		if err != nil || !bytes.Equal(got, content) {
			t.Errorf("%d bytes: %d come back, %v", n, len(got), err)
		}
		if out, err := decodeFrame(newDecoder(), packed, nil, n); err != nil || !bytes.Equal(out, content) {
			t.Errorf("%d bytes: own decoder gives %d, %v", n, len(out), err)
		}
	}
}

// TestGeometry cuts as FORMAT.md says.
func TestGeometry(t *testing.T) {
	g := newGeometry(slots(1000, -1, []Entry{{Name: "a", Size: MinOwnFrame - 1}, {Name: "b", Size: MinOwnFrame}, {Name: "c", Size: 2*MaxFrame + 5}}))
	manifest := int64(512 + 1024)
	a := manifest + 512
	b := a + MinOwnFrame + 512
	c := b + MinOwnFrame + 512
	end := c + 2*MaxFrame + 512 + tarEnd
	want := []int64{0, manifest, b, b + MinOwnFrame, c, c + MaxFrame, c + 2*MaxFrame, c + 2*MaxFrame + 5, end}
	if len(want) != len(g.frames) {
		t.Fatalf("frames %v, expected %v", g.frames, want)
	}
	for i := range want {
		if want[i] != g.frames[i] {
			t.Errorf("frames %v, expected %v", g.frames, want)
			break
		}
	}
	if g.size != end {
		t.Errorf("size %d, expected %d", g.size, end)
	}
}

// TestSeekTable accepts its own bytes only.
func TestSeekTable(t *testing.T) {
	table := seekTable([]frameSizes{{10, 20}, {30, 0}})
	if rows, err := parseSeekTable(table); err != nil || len(rows) != 2 || rows[0] != (frameSizes{10, 20}) {
		t.Errorf("%v %v", rows, err)
	}
	for n := range table {
		if _, err := parseSeekTable(table[:n]); err == nil {
			t.Errorf("accepted when cut to %d", n)
		}
	}
}

// TestDocument: the numbers of FORMAT.md are those of the code.
func TestDocument(t *testing.T) {
	text, err := os.ReadFile("FORMAT.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		fmt.Sprintf("| %d MiB (`MaxFrame`) |", MaxFrame>>20), fmt.Sprintf("at most %d bytes of content", MaxFrame), fmt.Sprintf("less than %d KiB (`MinOwnFrame`)", MinOwnFrame>>10),
		fmt.Sprintf("entry of %d bytes or more", MinOwnFrame), fmt.Sprintf("raw blocks of %d bytes", rawBlock),
		fmt.Sprintf("| airgap.json | %d MiB (`MaxManifest`) |", MaxManifest>>20), fmt.Sprintf("| %d MiB each (`MaxDerived`) |", MaxDerived>>20),
		fmt.Sprintf("| airgap.json.sig | %d MiB |", maxSignature>>20), fmt.Sprintf("| %d (`MaxEntries`) |", MaxEntries), fmt.Sprintf("| content of all entries | %d TiB |", maxBundle>>40),
		fmt.Sprintf("| a string of airgap.json, with its escapes | %d bytes |", maxString),
		fmt.Sprintf("| %d MiB (`image.MaxDocument`), nested at most %d deep (`image.MaxDepth`), of %d JSON values", image.MaxDocument>>20, image.MaxDepth, image.MaxValues),
		fmt.Sprintf("| %d (`image.MaxChildren`) |", image.MaxChildren), fmt.Sprintf("| %d MiB (`image.MaxDocuments`) |", image.MaxDocuments>>20), fmt.Sprintf("| %d (`image.MaxUses`) |", image.MaxUses),
		fmt.Sprintf("| %d MiB, %d GiB (`layer.MaxWindow`, `MaxSize`) |", layer.MaxWindow>>20, layer.MaxSize>>30),
		fmt.Sprintf("| what the layers in compressed form have, all together, beyond %d times the size of the file (`layer.MaxRatio`) | %d GiB (`MaxBeyond`) |", layer.MaxRatio, layer.MaxBeyond>>30),
	} {
		if !bytes.Contains(text, []byte(want)) {
			t.Errorf("FORMAT.md does not say %q", want)
		}
	}
}

// TestEscapes: each character is written by the rule of FORMAT.md, whatever
// encoding/json comes to think.
func TestEscapes(t *testing.T) {
	short := map[rune]string{'"': `\"`, '\\': `\\`, '\b': `\b`, '\f': `\f`, '\n': `\n`, '\r': `\r`, '\t': `\t`}
	for r := rune(0); r <= unicode.MaxRune; r++ {
		if !utf8.ValidRune(r) {
			continue
		}
		want := string(r)
		switch s, ok := short[r]; {
		case ok:
			want = s
		case r < ' ', r == 0x2028, r == 0x2029:
			want = fmt.Sprintf(`\u%04x`, r)
		}
		if got, err := encodeJSON(string(r), nil); err != nil || string(got) != `"`+want+`"` {
			t.Fatalf("%U is %s, %v; expected %s", r, got, err, want)
		}
	}
}

const hex64 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

const soundManifest = `{
 "format": 1,
 "requires": [],
 "images": [
  {
   "root": {
    "mediaType": "application/vnd.oci.image.manifest.v1+json",
    "digest": "sha256:` + hex64 + `",
    "size": 0
   },
   "manifests": [
    {
     "manifest": "sha256:` + hex64 + `",
     "config": "sha256:` + hex64 + `",
     "diffIDs": []
    }
   ]
  }
 ],
 "files": [],
 "blobs": [
  {
   "digest": "sha256:` + hex64 + `",
   "size": 0,
   "stored": "as-is",
   "entry": "blobs/sha256/` + hex64 + `"
  }
 ],
 "entries": [
  {
   "name": "blobs/sha256/` + hex64 + `",
   "size": 0,
   "sha256": "` + hex64 + `"
  }
 ],
 "size": 0
}
`

// TestManifest accepts the canonical form only.
func TestManifest(t *testing.T) {
	if _, err := parseManifest([]byte(soundManifest)); err != nil {
		t.Fatal(err)
	}
	replace := func(old, new string) string {
		changed := bytes.Replace([]byte(soundManifest), []byte(old), []byte(new), 1)
		if bytes.Equal(changed, []byte(soundManifest)) {
			t.Fatalf("%q does not occur", old)
		}
		return string(changed)
	}
	for name, raw := range map[string]string{
		"member twice":            replace(`"requires": [],`, `"requires": [], "requires": [],`),
		"member in another case":  replace(`"requires"`, `"Requires"`),
		"unknown member":          replace(`"size": 0`+"\n}\n", `"size": 0,`+"\n"+` "more": 1`+"\n}\n"),
		"other indentation":       replace(` "format"`, `  "format"`),
		"text behind":             soundManifest + "x",
		"no line feed":            soundManifest[:len(soundManifest)-1],
		"format 0":                replace(`"format": 1`, `"format": 0`),
		"upper-case digest":       replace(`"digest": "sha256:e3`, `"digest": "sha256:E3`),
		"wrong sum of sizes":      replace(`"size": 0`+"\n}\n", `"size": 1`+"\n}\n"),
		"entry that is not blobs": replace(`"name": "blobs/sha256/`, `"name": "../blobs/sha256/`),
		"negative size":           replace(`"size": 0,`+"\n   \"stored\"", `"size": -1,`+"\n   \"stored\""),
		"how it is stored":        replace(`as-is`, `delta`),
		"name that is a path":     replace(`"root": {`, `"name": "../etc",`+"\n   "+`"root": {`),
		"name without a tag":      replace(`"root": {`, `"name": "docker.io/library/a",`+"\n   "+`"root": {`),
		"feature without need":    replace(`"requires": []`, "\"requires\": [\n  \"names-by-digest\"\n ]"),
		"digest without feature":  replace(`"root": {`, `"name": "docker.io/library/a@sha256:`+hex64+`",`+"\n   "+`"root": {`),
		"name not normalised":     replace(`"root": {`, `"name": "a:1",`+"\n   "+`"root": {`),
		"root that is not there":  replace(`"digest": "sha256:e3`, `"digest": "sha256:03`),
	} {
		var damage *DamagedError
		if _, err := parseManifest([]byte(raw)); !errors.As(err, &damage) {
			t.Errorf("%s: %v", name, err)
		}
	}
	var newer *NewerError
	for _, raw := range []string{replace(`"format": 1`, `"format": 7`), replace(`"requires": []`, `"requires": ["delta"]`)} {
		if _, err := parseManifest([]byte(raw)); !errors.As(err, &newer) {
			t.Errorf("from a newer airgap: %v", err)
		}
	}
}
