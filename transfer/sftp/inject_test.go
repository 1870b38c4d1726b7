package sftp

import (
	"crypto/sha256"
	"encoding/hex"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"airgap/transfer/transfertest"
)

// hostileNames are names of files that do harm where a shell reads them.
func hostileNames() []string {
	pieces := []string{"$(touch canary)", "`touch canary`", "';touch canary;'", "\";touch canary;\"", "'", "''", `'\''`, `\'`, `\`, "\n", "\r\n", "\ntouch canary\n", "&touch canary&", "|touch canary",
		">canary", "<(touch canary)", "$((", "${IFS}", "!!", "~", "~root", "*", "?", "[a-z]", "{a,b}", "-n", "--help", "-c 1", " ", "\t", "#", "é", "日本", "\xff\xfe", "\xc3", "\u202e", "\x1b]0;x\a", "%s%n", "=", "EOF"}
	var names []string
	for c := 1; c < 256; c++ {
		names = append(names, string([]byte{byte(c)})+"touch canary", "x"+string([]byte{byte(c)}))
	}
	names = append(names, pieces...)
	random := rand.New(rand.NewPCG(1, 2))
	for len(names) < 1100 {
		var b strings.Builder
		for range 1 + random.IntN(6) {
			b.WriteString(pieces[random.IntN(len(pieces))])
		}
		names = append(names, b.String())
	}
	return names
}

func noCanary(t *testing.T) {
	t.Helper()
	if _, err := os.Lstat("canary"); err == nil {
		t.Fatal("something has been run")
	}
}

// TestQuoted gives hostile names to a shell.
func TestQuoted(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("SKIPPED for want of a POSIX shell")
	}
	t.Chdir(t.TempDir())
	names := hostileNames()
	var script strings.Builder
	for _, name := range names {
		script.WriteString("printf '%s\\0' " + quoted(name) + "\n")
	}
	out, err := exec.Command("/bin/sh", "-c", script.String()).Output()
	if want := strings.Join(names, "\x00") + "\x00"; err != nil || string(out) != want {
		t.Errorf("%d bytes came back of %d: %v", len(out), len(want), err)
	}
	noCanary(t)
	t.Logf("%d names", len(names))
}

// TestHostileNames has the far side's shell make sums of files with such names.
func TestHostileNames(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("SKIPPED for want of a POSIX shell")
	}
	server := transfertest.NewServer(t, true, anybody)
	dir := t.TempDir()
	t.Chdir(t.TempDir()) // where the server's commands run
	p, err := open(t.Context(), settingsFor(t, server.Addr, server.KnownHosts(t)), dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	names := hostileNames()
	inParallel(len(names), func(i int) {
		// A name that cannot be is looked for all the same.
		path := dir + "/" + names[i]
		want := ""
		if os.WriteFile(path, []byte(names[i]), 0o600) == nil {
			sum := sha256.Sum256([]byte(names[i]))
			want = hex.EncodeToString(sum[:])
		}
		if filepath.Clean(path) == filepath.Clean(dir) {
			return
		}
		got := p.remoteSum(t.Context(), path, int64(len(names[i])))
		if want != "" && got != want {
			t.Errorf("%q: sum %q", names[i], got)
		}
	})
	noCanary(t)
	t.Logf("%d names", len(names))
}
