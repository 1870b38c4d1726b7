package bundle

import (
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestSpoolIsNeverNamed: however a pack is killed, it leaves no spool. The folder
// shows whether it had one for a moment.
func TestSpoolIsNeverNamed(t *testing.T) {
	dir := t.TempDir()
	fd, err := unix.Open(dir, unix.O_TMPFILE|unix.O_RDWR, 0o600)
	if err != nil {
		t.Skipf("files here have names: %v", err)
	}
	unix.Close(fd)
	long := time.Unix(1e9, 0)
	if err := os.Chtimes(dir, long, long); err != nil {
		t.Fatal(err)
	}
	s, err := newSpool(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.close(); err != nil {
		t.Error(err)
	}
	if info, err := os.Stat(dir); err != nil || !info.ModTime().Equal(long) {
		t.Errorf("the folder was changed at %v, %v", info.ModTime(), err)
	}
}
