//go:build unix

package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// TestExposed knows by what way others can exchange a bundle.
func TestExposed(t *testing.T) {
	const another = 12345
	if os.Getuid() != 0 {
		t.Skip("NOT TESTED: only root can give files to others")
	}
	t.Setenv("SUDO_UID", "4711")
	for name, c := range map[string]struct {
		dir, file fs.FileMode
		owner     int
		want      bool
	}{
		"a folder of one's own":              {0o755, 0o644, 0, false},
		"another's file there":               {0o755, 0o644, another, false},
		"a folder of all":                    {0o777, 0o644, 0, true},
		"as /tmp is":                         {0o777 | fs.ModeSticky, 0o644, 0, false},
		"as /tmp is, another's file":         {0o777 | fs.ModeSticky, 0o600, another, true},
		"as /tmp is, the user's behind sudo": {0o777 | fs.ModeSticky, 0o600, 4711, false},
		"a file of all":                      {0o755, 0o666, 0, true},
	} {
		dir := filepath.Join(t.TempDir(), "in")
		path := filepath.Join(dir, "bundle.tar.zst")
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		for _, err := range []error{os.Chown(path, c.owner, c.owner), os.Chmod(path, c.file), os.Chmod(dir, c.dir)} {
			if err != nil {
				t.Fatal(err)
			}
		}
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if why := exposed(dir, info); (why != "") != c.want {
			t.Errorf("%s: %q", name, why)
		}
	}
}
