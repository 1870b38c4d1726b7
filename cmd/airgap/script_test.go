package main

import (
	"crypto/sha256"
	"errors"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"airgap/cmd/airgap/internal/list"
)

func TestMain(m *testing.M) {
	list.ServeReader() // for what runs in the test's own process
	testscript.Main(m, map[string]func(){"airgap": main})
}

// TestScripts runs testdata/script. Beside testscript's own, scripts have
// these commands:
//
//	exits N airgap ARG…            run airgap, demand the exit status N
//	layout DIR NAME[@PLATFORM,…]…  make an OCI layout of small images
//	wrong DIR NAME                 make one of an image that is not what its config says
//	registry [-tls|-login]         serve an empty registry at $REGISTRY
//	push NAME DIR                  push an image of a layout to a registry
//	serving ARG…                   run airgap serve at $SERVED
//	login USER PASSWORD            log in to $SERVED as docker login does
//	certificate                    write cert.pem and key.pem for 127.0.0.1
//	sftpserver DIR [-shell]        serve DIR over SFTP at $SFTP; see sftp_test.go
//	otherkey KNOWN_HOSTS           let its hosts be known by another key
//	plaintar BUNDLE TAR            decompress a bundle
//	sign TAR SIGNED FILE           put FILE into a decompressed bundle as its signature
//	random FILE SIZE SEED          write bytes that do not compress
//	lose IN OUT N                  copy but for every Nth stretch of 1400 bytes
//	corrupt FILE OFFSET            change the byte there; negative from the end
//	truncate FILE SIZE             cut; a negative SIZE cuts so much off the end
//	dockersave LAYOUT FILE         write a file as docker save does
//	empty DIR                      demand that a folder holds nothing
//	replace OLD NEW FILE           put NEW for OLD in a file
//	age FILE…                      make files as old as what was left an hour ago
//	jsonlines N                    demand that stdout is N lines of JSON
//
// There is no engine and no OpenSSH in their world: those are package e2e's.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup:               setupScript,
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"exits":       scriptExits,
			"layout":      scriptLayout,
			"wrong":       scriptWrong,
			"registry":    scriptRegistry,
			"push":        scriptPush,
			"attach":      scriptAttach,
			"serving":     scriptServing,
			"login":       scriptLogin,
			"certificate": scriptCertificate,
			"random":      scriptRandom,
			"lose":        scriptLose,
			"corrupt":     scriptCorrupt,
			"truncate":    scriptTruncate,
			"dockersave":  scriptDockerSave,
			"empty":       scriptEmpty,
			"replace":     scriptReplace,
			"age":         scriptAge,
			"jsonlines":   scriptJSONLines,
			"plaintar":    scriptPlainTar,
			"sign":        scriptSign,
			"sftpserver":  scriptSFTPServer,
			"otherkey":    scriptOtherKey,
		},
	})
}

// setupScript gives every script a home of its own, and no engine.
func setupScript(env *testscript.Env) error {
	home := filepath.Join(env.WorkDir, ".home")
	if err := os.MkdirAll(filepath.Join(home, ".ssh"), 0o700); err != nil {
		return err
	}
	for name, value := range map[string]string{
		"HOME": home, "USERPROFILE": home, "XDG_RUNTIME_DIR": home, "TERM": "xterm",
		"DOCKER_HOST":   "unix://" + filepath.Join(env.WorkDir, ".no-engine.sock"),
		"DOCKER_CONFIG": filepath.Join(home, ".docker"),
		"SSH_AUTH_SOCK": "",
		"PATH":          firstDir(env.Getenv("PATH")), // testscript's own: nothing of the machine
	} {
		env.Setenv(name, value)
	}
	return nil
}

func firstDir(path string) string { return filepath.SplitList(path)[0] }

// scriptExits runs a command and compares its exit status.
func scriptExits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits N program [args...]")
	}
	err := ts.Exec(args[1], args[2:]...)
	var exit *exec.ExitError
	code := 0
	if errors.As(err, &exit) {
		code = exit.ExitCode()
	} else if err != nil {
		ts.Fatalf("%v", err)
	}
	if strconv.Itoa(code) != args[0] {
		ts.Fatalf("exit status %d, expected %s", code, args[0])
	}
}

// scriptEmpty demands that a folder is empty.
func scriptEmpty(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 1 {
		ts.Fatalf("usage: [!] empty DIR")
	}
	entries, err := os.ReadDir(ts.MkAbs(args[0]))
	ts.Check(err)
	if (len(entries) == 0) == neg {
		ts.Fatalf("%s holds %d entries: %v", args[0], len(entries), entries)
	}
}

// scriptCorrupt flips a bit of a byte.
func scriptCorrupt(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: corrupt FILE OFFSET")
	}
	f, err := os.OpenFile(ts.MkAbs(args[0]), os.O_RDWR, 0)
	ts.Check(err)
	defer f.Close()
	at := offset(ts, f, args[1])
	b := make([]byte, 1)
	_, err = f.ReadAt(b, at)
	ts.Check(err)
	b[0] ^= 0x10
	_, err = f.WriteAt(b, at)
	ts.Check(err)
}

// scriptTruncate cuts a file.
func scriptTruncate(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: truncate FILE SIZE")
	}
	f, err := os.OpenFile(ts.MkAbs(args[0]), os.O_RDWR, 0)
	ts.Check(err)
	defer f.Close()
	ts.Check(f.Truncate(offset(ts, f, args[1])))
}

// scriptReplace edits a file.
func scriptAge(ts *testscript.TestScript, _ bool, args []string) {
	then := time.Now().Add(-time.Hour)
	for _, name := range args {
		ts.Check(os.Chtimes(ts.MkAbs(name), then, then))
	}
}

func scriptReplace(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 3 {
		ts.Fatalf("usage: replace OLD NEW FILE")
	}
	text := strings.ReplaceAll(ts.ReadFile(args[2]), args[0], args[1])
	ts.Check(os.WriteFile(ts.MkAbs(args[2]), []byte(text), 0o600))
}

// offset is a place in a file, counted from its end if it is negative.
func offset(ts *testscript.TestScript, f *os.File, text string) int64 {
	n, err := strconv.ParseInt(text, 10, 64)
	ts.Check(err)
	if n < 0 {
		info, err := f.Stat()
		ts.Check(err)
		n += info.Size()
	}
	return n
}

func atoi(ts *testscript.TestScript, text string) int {
	n, err := strconv.Atoi(text)
	ts.Check(err)
	return n
}

// scriptRandom writes a file of random bytes, the same for the same seed.
func scriptRandom(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 3 {
		ts.Fatalf("usage: random FILE SIZE SEED")
	}
	content := make([]byte, atoi(ts, args[1]))
	rand.NewChaCha8(sha256.Sum256([]byte(args[2]))).Read(content)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), content, 0o600))
}

// scriptLose copies as a link does that loses datagrams.
func scriptLose(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 3 {
		ts.Fatalf("usage: lose IN OUT N")
	}
	var kept []byte
	for i, stretch := 1, []byte(ts.ReadFile(args[0])); len(stretch) > 0; i++ {
		n := min(1400, len(stretch))
		if i%atoi(ts, args[2]) != 0 {
			kept = append(kept, stretch[:n]...)
		}
		stretch = stretch[n:]
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), kept, 0o600))
}
