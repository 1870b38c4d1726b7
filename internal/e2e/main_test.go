//go:build linux

package e2e_test

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
)

// world is what all tests share.
var world struct {
	dir     string // everything that the tests write is below it
	airgap  string // the command
	home    string // HOME of every command that is run
	private bool   // OpenSSH's ~/.ssh is home's
}

// insideVariable tells the second start of the tests their world.
const insideVariable = "AIRGAP_E2E_DIR"

func TestMain(m *testing.M) {
	if path := os.Getenv(peakVariable); path != "" {
		os.Exit(tellPeak(path))
	}
	flag.Parse()
	if dir := os.Getenv(insideVariable); dir != "" {
		os.Exit(inside(m, dir))
	}
	code, err := outside(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		code = 1
	}
	os.Exit(code)
}

// outside builds the command and runs the tests, as root in a mount namespace
// of their own.
func outside(m *testing.M) (code int, err error) {
	dir, err := os.MkdirTemp("", "airgap-e2e-")
	if err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if err := os.Chmod(dir, 0o755); err != nil { // other users run the command too
		return 1, err
	}
	build := exec.Command("go", "build", "-buildvcs=false", "-o", filepath.Join(dir, "airgap"), "airgap/cmd/airgap")
	if text, err := build.CombinedOutput(); err != nil {
		return 1, fmt.Errorf("building airgap: %w\n%s", err, text)
	}
	if os.Getuid() != 0 {
		return inside(m, dir), nil
	}
	ssh, err := sshFolder()
	if err != nil {
		return 1, err
	}
	// It is a mount point only, and stays: removing it would take the mount
	// from other tests that run at the same time.
	if err := os.MkdirAll(ssh, 0o700); err != nil {
		return 1, err
	}
	return again(dir)
}

// sshFolder is root's ~/.ssh as OpenSSH finds it: by the system's list of
// users, whatever HOME says.
func sshFolder() (string, error) {
	root, err := user.LookupId("0")
	if err != nil {
		return "", err
	}
	return filepath.Join(root.HomeDir, ".ssh"), nil
}

// again starts the test binary a second time in a new mount namespace.
func again(dir string) (int, error) {
	runtime.LockOSThread() // the thread's end would end the child
	cmd := exec.Command(os.Args[0], os.Args[1:]...)
	cmd.Env = append(os.Environ(), insideVariable+"="+dir)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGTERM}
	err := cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exit.ExitCode(), nil
	}
	return 0, err
}

// inside runs the tests.
func inside(m *testing.M, dir string) int {
	world.dir, world.airgap, world.home = dir, filepath.Join(dir, "airgap"), filepath.Join(dir, "home")
	if err := os.MkdirAll(filepath.Join(world.home, ".ssh"), 0o700); err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		return 1
	}
	if os.Getenv(insideVariable) != "" {
		if err := coverSSH(); err != nil {
			fmt.Fprintln(os.Stderr, "e2e: covering root's ~/.ssh:", err)
			return 1
		}
	}
	code := m.Run()
	return max(code, takeDown())
}

// coverSSH puts the tests' ~/.ssh where OpenSSH looks for it, for the
// processes of this mount namespace only.
func coverSSH() error {
	ssh, err := sshFolder()
	if err != nil {
		return err
	}
	world.private = true
	return syscall.Mount(filepath.Join(world.home, ".ssh"), ssh, "", syscall.MS_BIND, "")
}

// later holds what takeDown undoes, in reverse order.
var later []func() error

// takeDown stops what the tests share.
func takeDown() (code int) {
	for i := len(later) - 1; i >= 0; i-- {
		if err := later[i](); err != nil {
			fmt.Fprintln(os.Stderr, "e2e: taking down:", err)
			code = 1
		}
	}
	return code
}

// missing skips the test for want of a part, or fails where it is required.
func missing(t *testing.T, part, why string) {
	t.Helper()
	why = strings.Join(strings.Fields(why), " ")
	for _, required := range strings.Split(os.Getenv("AIRGAP_REQUIRE"), ",") {
		if strings.TrimSpace(required) == part {
			t.Fatalf("AIRGAP_REQUIRE names %s, but %s", part, why)
		}
	}
	t.Skipf("NOT TESTED for want of %s: %s", part, why)
}

// program finds a program that a part of the tests needs.
func program(t *testing.T, part, name string) string {
	t.Helper()
	for _, dir := range append(filepath.SplitList(os.Getenv("PATH")), "/usr/local/sbin", "/usr/sbin", "/sbin") {
		path := filepath.Join(dir, name)
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return path
		}
	}
	missing(t, part, "the program "+name+" is not on PATH")
	return ""
}

// needRoot skips what only root can set up; part is what it is needed for.
func needRoot(t *testing.T, part string) {
	t.Helper()
	if !world.private {
		missing(t, part, "only root can set this test up")
	}
}
