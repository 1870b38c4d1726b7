package volume

import (
	"io/fs"
	"testing"
	"testing/fstest"

	"airgap/transfer"
)

// TestKin: what is left of the same name in any shape is older, but for what the
// send goes on with; what only looks alike is somebody's.
func TestKin(t *testing.T) {
	sums := [2]string{"0a1b2c3d" + "00000000", "00000000" + "0a1b2c3d"}
	whole := transfer.File{Name: "b.tar.zst", SHA256: sums[0]}
	cut := []transfer.File{{Name: "b.tar.zst.001", SHA256: sums[0]}, {Name: "b.tar.zst.002", SHA256: sums[1]}, {Name: "b.tar.zst.par", SHA256: sums[1]}}
	entry := func(name string, mode fs.FileMode) fs.FileInfo {
		info, err := fstest.MapFS{name: {Mode: mode}}.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		return info
	}
	for _, c := range []struct {
		name    string
		ofWhole bool // older than the whole
		ofCut   bool // older than volumes
	}{
		{".b.tar.zst.0a1b2c3d.partial", false, true},
		{".b.tar.zst.0a1b2c3e.partial", true, true},
		{".b.tar.zst.ABCDEF27.partial", true, true},
		{".b.tar.zst.001.0a1b2c3d.partial", true, false},
		{".b.tar.zst.002.00000000.partial", true, false},
		{".b.tar.zst.par.00000000.partial", true, false},
		{".b.tar.zst.002.0a1b2c3d.partial", true, true}, // of another size
		{".b.tar.zst.1000.0a1b2c3d.partial", true, true},
		{".b.tar.zst.par001.0a1b2c3d.partial", true, true},
		{".b.tar.zst.sha256.partial", true, true},
		{".b.tar.zst.003.sha256.partial", true, true},
		{".b.tar.zst.1.partial", true, true}, // of pack
		{".b.tar.zst.4294967295.partial", true, true},
		{".b.tar.zst.sha256.4294967295.partial", true, true},
		{".b.tar.zst.001.4294967295.partial", false, false},
		{".notes.partial", false, false},
		{".b.tar.zst.partial", false, false},
		{".b.tar.zst.001.partial", false, false},
		{".b.tar.zst.notes.partial", false, false},
		{".b.tar.zst.notes.0a1b2c3d.partial", false, false},
		{".b.tar.zst.01.0a1b2c3d.partial", false, false},
		{".b.tar.zst.par01.0a1b2c3d.partial", false, false},
		{".b.tar.zst2.0a1b2c3d.partial", false, false},
		{".b.tar.0a1b2c3d.partial", false, false},
		{".b.tar.001.0a1b2c3d.partial", false, false},
		{".xb.tar.zst.0a1b2c3d.partial", false, false},
		{"b.tar.zst.0a1b2c3d.partial", false, false},
		{".b.tar.zst.0A1B2C3D.partial", false, false},
		{".b.tar.zst.001.lock", false, false},
		{".b.tar.zst.001", false, false},
	} {
		if is := Kin(whole.Name, []transfer.File{whole})[0].Kin(entry(c.name, 0), whole.Name); is != c.ofWhole {
			t.Errorf("%s is older than the whole: %t", c.name, is)
		}
		for _, f := range Kin(whole.Name, cut) {
			if is := f.Kin(entry(c.name, 0), f.Name); is != c.ofCut {
				t.Errorf("%s is older than %s: %t", c.name, f.Name, is)
			}
		}
	}
	one := Kin(whole.Name, []transfer.File{whole})[0]
	for name, is := range map[string]bool{
		".b.tar.zst.123.partial": true, ".b.tar.zst.12345678.partial": true, ".b.tar.zst.01234567.partial": false, ".b.tar.zst.0a1b2c3d.partial": false, ".b.tar.zst.001.01234567.partial": false, ".b.tar.zst.mine.partial": false,
	} {
		if one.Kin(entry(name, fs.ModeDir), whole.Name) != is {
			t.Errorf("folder %s", name)
		}
	}
	// It is called otherwise there.
	if one.Kin(entry(".b.tar.zst.001.0a1b2c3e.partial", 0), "c.tar.zst") || !one.Kin(entry(".c.tar.zst.001.0a1b2c3e.partial", 0), "c.tar.zst") {
		t.Error("it is not the name there that counts")
	}
	for _, f := range Alone(Kin(whole.Name, cut)) {
		if f.Kin != nil {
			t.Error("it is not alone")
		}
	}
}
