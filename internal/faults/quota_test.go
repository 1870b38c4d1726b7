//go:build linux

package faults_test

import (
	"os"
	"path/filepath"
	"testing"
)

// TestQuota (F8, F21) sends to where a user may have less than the disk has: a
// quota is found only by writing, here and behind an sshd, which does not tell
// what failed. With more of it the same command succeeds.
func TestQuota(t *testing.T) {
	s := bundleOf(t)
	h := newHost(t)
	dir := newQuota(t)
	for name, c := range map[string]struct {
		dest   string
		status int
		words  string
	}{
		"folder": {dir, exitNoSpace, "quota"},
		"host":   {h.dest(dir), exitMedium, "quota"},
	} {
		must(t, "btrfs", "qgroup", "limit", "6M", dir)
		ends(t, c.status, c.words, "send", c.dest)
		if there, _ := s.final(t, dir); there {
			t.Errorf("%s: the final name is there", name)
		}
		must(t, "btrfs", "qgroup", "limit", "none", dir)
		ends(t, 0, "sent, ", "send", c.dest)
		s.arrived(t, dir)
		must(t, "sh", "-c", "rm "+dir+"/bundle* && sync")
	}
	t.Log("F21: 2 quotas, told, wrong results 0")
}

// newQuota is a folder whose files can be limited together.
func newQuota(t *testing.T) (dir string) {
	t.Helper()
	needRoot(t, "btrfs")
	need(t, "btrfs", "mkfs.btrfs")
	image, mount := filepath.Join(folder(t), "image"), folder(t)
	put(t, image, nil)
	if err := os.Truncate(image, 200<<20); err != nil {
		t.Fatal(err)
	}
	must(t, "mkfs.btrfs", "-q", image)
	must(t, "mount", "-o", "loop", image, mount)
	t.Cleanup(func() { must(t, "umount", mount) })
	dir = filepath.Join(mount, "files")
	must(t, "btrfs", "subvolume", "create", dir)
	must(t, "btrfs", "quota", "enable", mount)
	return dir
}
