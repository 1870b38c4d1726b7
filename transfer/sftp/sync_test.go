package sftp

import (
	"os"
	"path/filepath"
	"testing"

	"airgap/transfer"
	"airgap/transfer/transfertest"
)

// TestSyncBehind sends so much that the disk there is given some of it while the
// rest arrives, and has it go on in the middle; and is cut in the middle.
func TestSyncBehind(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED: it sends hundreds of megabytes")
	}
	addr, key, known := transfertest.SSHD(t)
	line := transfertest.NewLine(t, addr)
	s := settingsFor(t, line.Addr, knownAs(t, known, line.Addr))
	s.User, s.Keys = currentUser(t), []string{key}
	dir := t.TempDir()
	f, raw := transfertest.Content("bundle", 3*syncStretch+12345)
	send := func() (transfer.Receipt, error) {
		p, err := open(t.Context(), s, dir, Options{})
		if err != nil {
			return transfer.Receipt{}, err
		}
		defer p.Close()
		return transfer.Send(t.Context(), p, f, transfer.SendOptions{})
	}
	line.CutAfter(syncStretch + syncStretch/2)
	if _, err := send(); err == nil {
		t.Fatal("the line was not cut")
	}
	line.Heal()
	r, err := send()
	if err != nil || r.Resumed < syncStretch {
		t.Errorf("receipt %+v, %v", r, err)
	}
	transfertest.Arrived(t, dir, f, raw)
	if err := os.Remove(filepath.Join(dir, f.Name)); err != nil {
		t.Fatal(err)
	}
	if r, err = send(); err != nil || r.Resumed != 0 {
		t.Errorf("receipt %+v, %v", r, err)
	}
	transfertest.Arrived(t, dir, f, raw)
}
