package forge_test

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"testing"

	"github.com/klauspost/compress/zstd"

	"airgap/bundle"
	"airgap/bundle/image"
	"airgap/bundle/store/storetest"
	"airgap/internal/forge"
	"airgap/transfer/transfertest"
	"airgap/transfer/volume"
	"airgap/transfer/volume/parity"
)

// TestBundles: taken apart and put together, every bundle has the bytes that it
// had in its plain form, and is sound.
func TestBundles(t *testing.T) {
	for _, fixture := range storetest.Fixtures("forge") {
		set, err := fixture.Images.Open(t.Context(), fixture.Names, image.Platforms{})
		if err != nil {
			t.Fatal(err)
		}
		file, err := forge.Pack(t.Context(), set, image.Platforms{All: true})
		if err != nil {
			t.Fatal(err)
		}
		b, err := forge.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		plain := unpacked(t, file)
		if !bytes.Equal(b.Plain(), plain) || !bytes.Equal(unpacked(t, b.File()), plain) {
			t.Errorf("%s: the tar is another", fixture.Label)
		}
		b.Pack = forge.Compressed
		if !bytes.Equal(unpacked(t, b.File()), plain) {
			t.Errorf("%s: compressed, the tar is another", fixture.Label)
		}
		if _, err := bundle.Open(bytes.NewReader(b.File()), int64(len(b.File()))); err != nil {
			t.Errorf("%s: %v", fixture.Label, err)
		}
	}
}

func unpacked(t *testing.T, file []byte) []byte {
	t.Helper()
	dec, err := zstd.NewReader(bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	defer dec.Close()
	content, err := io.ReadAll(dec)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// TestFrames come back, raw and with runs in them.
func TestFrames(t *testing.T) {
	for _, n := range []int{0, 1, 255, 256, 65791, 65792, 131072, 131073, 400_000} {
		content := bytes.Repeat([]byte("content "), n/8+1)[:n]
		if n > 300 {
			clear(content[100:])
			copy(content[len(content)-20:], "end")
		}
		for _, frame := range [][]byte{forge.Frame(content), forge.RawFrame(content)} {
			if !bytes.Equal(unpacked(t, frame), content) {
				t.Errorf("%d bytes: something else comes back", n)
			}
		}
	}
}

// TestVolumes are those that airgap cuts.
func TestVolumes(t *testing.T) {
	for _, c := range []struct{ size, volume, percent int }{{5 << 20, 1 << 20, 0}, {5<<20 + 9, 1 << 20, 15}, {3 << 20, 0, 10}, {40, 0, 50}} {
		f, _ := transfertest.Content("b.tar", c.size)
		raw, err := io.ReadAll(io.NewSectionReader(f.Data, 0, f.Size))
		if err != nil {
			t.Fatal(err)
		}
		parts, err := volume.Split(t.Context(), f, volume.Layout{ID: "sha256:0", Size: int64(c.volume), Parity: c.percent, TempDir: t.TempDir()})
		if err != nil {
			t.Fatal(err)
		}
		defer parts.Close()
		want := map[string][]byte{}
		for _, p := range parts.Files {
			if want[p.Name], err = io.ReadAll(io.NewSectionReader(p.Data, 0, p.Size)); err != nil {
				t.Fatal(err)
			}
		}
		slice := 0
		if c.volume > 0 {
			slice = (c.volume - volume.FooterSize) / 65536 * 65536
		}
		got := forge.Volumes("b.tar", "sha256:0", raw, slice, c.percent)
		for _, p := range got {
			if !bytes.Equal(p.Bytes(), want[p.Name]) {
				t.Errorf("%+v: %s is another", c, p.Name)
			}
		}
		if whole := slice == 0; whole && len(got)+1 != len(want) || !whole && len(got) != len(want) {
			t.Errorf("%+v: %d parts, expected %d", c, len(got), len(want))
		}
	}
}

// TestPackets are those that airgap sends.
func TestPackets(t *testing.T) {
	data := bytes.Repeat([]byte("data "), 30_000)
	var want bytes.Buffer
	spill, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer spill.Close()
	g, err := parity.WritePackets(t.Context(), &want, parity.Packets{Data: bytes.NewReader(data), Size: int64(len(data)), Percent: 20, ID: [16]byte{'i', 'd'}, Spill: spill})
	if err != nil {
		t.Fatal(err)
	}
	got := forge.Geometry{Size: len(data), Shard: g.Shard, K: g.Data, M: g.Parity}.Packets("id", data)
	if !bytes.Equal(bytes.Join(got, nil), want.Bytes()) {
		t.Errorf("the packets are others: %s", fmt.Sprint(g))
	}
}
