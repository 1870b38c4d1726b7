//go:build linux

package faults_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
)

// strace runs airgap with a system call made to fail, or to end it.
func strace(t *testing.T, what, only string, args ...string) (status int, text string) {
	t.Helper()
	call, _, _ := strings.Cut(what, ":")
	words := []string{"-f", "-qq", "-o", "/dev/null", "-e", "trace=" + call, "-e", "inject=" + what}
	if only != "" {
		words = append(words, "-P", only)
	}
	return run(t, need(t, "strace", "strace"), append(append(words, world.airgap), args...)...)
}

// TestKilled (F2) kills airgap send at its system calls, one after the other,
// and sends again: whatever was left, the whole is there afterwards, and nothing
// else ever had its name.
func TestKilled(t *testing.T) {
	calls := map[string][]int{
		"renameat": {1, 2}, "renameat2": {1, 2}, "fsync": {1, 2, 3, 4}, "syncfs": {1, 2}, "write": {1, 3, 8},
		"unlinkat": {1, 2}, "openat": {20, 30, 40},
	}
	if long() {
		for call := range calls {
			calls[call] = upTo(60)
		}
	}
	s := bundleOf(t)
	killed, survived := 0, 0
	for call, whens := range calls {
		for _, when := range whens {
			dir := folder(t)
			k := s.killedAt(t, call, when, dir, dir)
			killed += k
			survived += k
		}
	}
	t.Logf("F2, folder: %d kills, %d survived, wrong results 0", killed, survived)
	if killed < 10 {
		t.Errorf("only %d of the kills hit", killed)
	}
}

// TestKilledOverSSH (F2, F20) is TestKilled with a host.
func TestKilledOverSSH(t *testing.T) {
	h := newHost(t)
	calls := map[string][]int{"write": {2, 20, 60}, "read": {30}}
	if long() {
		calls = map[string][]int{"write": upTo(120), "read": upTo(60), "futex": upTo(60)}
	}
	s := bundleOf(t)
	killed := 0
	for call, whens := range calls {
		for _, when := range whens {
			dir := folder(t)
			killed += s.killedAt(t, call, when, dir, h.dest(dir))
		}
	}
	t.Logf("F2, host: %d kills, %d survived, wrong results 0", killed, killed)
	if killed == 0 {
		t.Error("none of the kills hit")
	}
}

func upTo(n int) (list []int) {
	for i := 1; i <= n; i++ {
		list = append(list, i)
	}
	return list
}

// killedAt counts one if airgap was killed; sending again has to succeed in any
// case.
func (s sample) killedAt(t *testing.T, call string, when int, dir, dest string) (killed int) {
	t.Helper()
	stop := s.watch(t, dir)
	defer stop()
	status, _ := strace(t, fmt.Sprintf("%s:signal=KILL:when=%d", call, when), "", "send", dest)
	if there, whole := s.final(t, dir); there && !whole {
		t.Fatalf("killed at %s number %d: the final name has something else than the whole", call, when)
	}
	ends(t, 0, "", "send", dest)
	s.arrived(t, dir)
	if status < 0 || status == 128+9 {
		return 1
	}
	return 0
}

// TestCallsFail (F3) makes system calls of airgap send fail.
func TestCallsFail(t *testing.T) {
	s := bundleOf(t)
	tried := 0
	// Strace counts the calls of each thread for itself. Of some 13 writes the
	// first three are certain to be one thread's.
	for _, test := range []struct {
		what    string
		partial bool // only calls on the partial
		status  int
		named   bool // the final name may be there, whole
	}{
		// There is room, which makes it a fault of the medium.
		{"write:error=ENOSPC:when=1", true, exitMedium, false},
		{"write:error=ENOSPC:when=3", true, exitMedium, false},
		{"write:error=EDQUOT:when=3", true, exitNoSpace, false},
		{"write:error=EIO:when=1", true, exitMedium, false},
		{"write:error=EIO:when=2", true, exitMedium, false},
		{"write:error=EFBIG:when=3", true, exitMedium, false},
		{"fsync:error=EIO:when=1", true, exitMedium, false},
		{"fsync:error=ENOSPC:when=1", true, exitMedium, false},
		{"close:error=EIO:when=1", true, exitMedium, false},
		{"read:error=EIO:when=1+", true, exitMedium, false},
		{"read:error=EIO:when=2", true, exitMedium, false},
		{"renameat2:error=EIO:when=1", false, exitMedium, false},
		{"renameat2:error=EROFS:when=1", false, exitMedium, false},
		{"syncfs:error=EIO:when=1", false, exitMedium, true},
	} {
		dir := folder(t)
		only := ""
		if test.partial {
			only = filepath.Join(dir, s.partial())
		}
		status, text := strace(t, test.what, only, "send", dir)
		tried++
		if status != test.status || !strings.Contains(text, dir) || strings.Contains(text, "sent, ") {
			t.Errorf("%s: status %d, expected %d:\n%s", test.what, status, test.status, text)
		}
		if there, whole := s.final(t, dir); there && (!test.named || !whole) {
			t.Errorf("%s: the final name is there, whole: %t", test.what, whole)
		}
		ends(t, 0, "", "send", dir)
		s.arrived(t, dir)
	}
	t.Logf("F3: %d errors, all told, wrong results 0", tried)
}

// TestCallsForLockFail (F3) has what only helps to tell whether a lock's owner is
// alive fail: that is nothing to fail for, and the lock is gone afterwards.
func TestCallsForLockFail(t *testing.T) {
	s := bundleOf(t)
	for _, what := range []string{
		"flock:error=ENOLCK", "pwrite64:error=ENOSPC", "pwrite64:error=EIO", "fsync:error=EIO", "close:error=EIO", "unlinkat:error=EBUSY:when=1",
	} {
		dir := folder(t)
		status, text := strace(t, what, filepath.Join(dir, "."+bundleName+".lock"), "send", dir)
		if status != 0 || !strings.Contains(text, "sent, ") {
			t.Errorf("%s: status %d:\n%s", what, status, text)
		}
		s.arrived(t, dir)
	}
}
