//go:build linux

package faults_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
)

// insideVariable tells the second start of the tests where everything is.
const insideVariable = "AIRGAP_FAULTS_DIR"

// world is what all tests share.
var world struct {
	dir    string // everything that the tests write is below it
	airgap string // the command
}

// The exit statuses that the command promises.
const (
	exitDamaged  = 3
	exitRefused  = 4
	exitTransfer = 6
	exitNoSpace  = 7
	exitMedium   = 8
)

func TestMain(m *testing.M) {
	flag.Parse()
	run := outside
	if dir := os.Getenv(insideVariable); dir != "" {
		run = func() (int, error) { return inside(m, dir) }
	}
	code, err := run()
	if err != nil {
		fmt.Fprintln(os.Stderr, "faults:", err)
		code = 1
	}
	os.Exit(code)
}

// outside builds the command and runs the tests: as root in a mount namespace,
// so that no mount outlives them, and OpenSSH's ~/.ssh is theirs.
func outside() (code int, err error) {
	dir, err := os.MkdirTemp("", "airgap-faults-")
	if err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	build := exec.Command("go", "build", "-buildvcs=false", "-o", filepath.Join(dir, "airgap"), "airgap/cmd/airgap")
	if text, err := build.CombinedOutput(); err != nil {
		return 1, fmt.Errorf("building airgap: %w\n%s", err, text)
	}
	runtime.LockOSThread() // the thread's end would end the child
	cmd := exec.Command(os.Args[0], os.Args[1:]...)
	cmd.Env = append(os.Environ(), insideVariable+"="+dir)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	if os.Getuid() == 0 {
		cmd.SysProcAttr.Unshareflags = syscall.CLONE_NEWNS
	}
	err = cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exit.ExitCode(), nil
	}
	return 0, err
}

func inside(m *testing.M, dir string) (int, error) {
	world.dir, world.airgap = dir, filepath.Join(dir, "airgap")
	if os.Getuid() == 0 {
		ssh := filepath.Join(dir, "ssh")
		if err := errors.Join(os.MkdirAll(ssh, 0o700), os.MkdirAll("/root/.ssh", 0o700)); err != nil {
			return 1, err
		}
		if err := syscall.Mount(ssh, "/root/.ssh", "", syscall.MS_BIND, ""); err != nil {
			return 1, fmt.Errorf("covering root's ~/.ssh: %w", err)
		}
	}
	return m.Run(), nil
}

// long says whether the long forms are wanted.
func long() bool { return os.Getenv("AIRGAP_FAULTS") != "" }

// times is how often a fault is tried.
func times(short, whenLong int) int {
	if long() {
		return whenLong
	}
	return short
}

// need skips the test for want of a program, or fails where it is required.
func need(t *testing.T, part, name string) string {
	t.Helper()
	for _, dir := range append(filepath.SplitList(os.Getenv("PATH")), "/usr/sbin", "/sbin", "/usr/lib/openssh") {
		if path := filepath.Join(dir, name); executable(path) {
			return path
		}
	}
	missing(t, part, "the program "+name+" is not on PATH")
	return ""
}

func executable(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
}

func missing(t *testing.T, part, why string) {
	t.Helper()
	if slices.Contains(strings.Split(os.Getenv("AIRGAP_REQUIRE"), ","), part) {
		t.Fatalf("AIRGAP_REQUIRE names %s, but %s", part, why)
	}
	t.Skipf("NOT TESTED for want of %s: %s", part, why)
}

// needRoot skips what only root can set up.
func needRoot(t *testing.T, part string) {
	t.Helper()
	if os.Getuid() != 0 {
		missing(t, part, "only root can set this test up")
	}
}

// folder is a new folder below the world's.
func folder(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp(world.dir, "t-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// patience is how long a command may take before the test gives up on it.
func patience() time.Duration {
	if long() {
		return time.Hour
	}
	return 2 * time.Minute
}

// command is a command in the folder of the shared bundle.
func command(t *testing.T, name string, args ...string) *exec.Cmd {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience())
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = bundleOf(t).dir
	cmd.Env = append(os.Environ(), "TMPDIR="+world.dir, "HOME=/root")
	return cmd
}

// run runs a command to its end; a status of -1 is that of a killed one.
func run(t *testing.T, name string, args ...string) (status int, text string) {
	t.Helper()
	var out bytes.Buffer
	cmd := command(t, name, args...)
	cmd.Stdout, cmd.Stderr = &out, &out
	return finished(t, cmd, cmd.Run()), out.String()
}

func finished(t *testing.T, cmd *exec.Cmd, err error) int {
	t.Helper()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode()
}

// airgap runs the command.
func airgap(t *testing.T, args ...string) (status int, text string) {
	t.Helper()
	return run(t, world.airgap, args...)
}

// ends runs the command and demands a status and words.
func ends(t *testing.T, want int, words string, args ...string) string {
	t.Helper()
	status, text := airgap(t, args...)
	if status != want || !strings.Contains(text, words) || strings.Contains(text, "goroutine ") {
		t.Fatalf("airgap %q: status %d, expected %d and %q:\n%s", args, status, want, words, text)
	}
	return text
}

// must runs what sets a test up.
func must(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %q: %v\n%s", name, args, err, out)
	}
	return string(out)
}

// sample is a bundle that is whole.
type sample struct {
	dir, sum string
	raw      []byte
}

// bundleName is its name, which is that of airgap pack.
const bundleName = "bundle.tar.zst"

var (
	packed = sync.OnceValues(func() (sample, error) { return pack("packed", 12<<20) })
	larger = sync.OnceValues(func() (sample, error) { return pack("larger", 64<<20) })
)

// bundleOf is the bundle that nearly all tests send: some 12 MiB.
func bundleOf(t *testing.T) sample {
	t.Helper()
	s, err := packed()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// pack makes a bundle, unless another start of the tests has.
func pack(name string, size int64) (sample, error) {
	s := sample{dir: filepath.Join(world.dir, name)}
	if err := s.read(); err == nil {
		return s, nil
	}
	img, err := random.Image(size, 1)
	if err != nil {
		return s, err
	}
	img, err = mutate.ConfigFile(img, &v1.ConfigFile{OS: "linux", Architecture: runtime.GOARCH, RootFS: rootFS(img)})
	if err != nil {
		return s, err
	}
	l, err := layout.Write(filepath.Join(s.dir, "images"), empty.Index)
	if err != nil {
		return s, err
	}
	named := layout.WithAnnotations(map[string]string{"org.opencontainers.image.ref.name": "faults/random:v1"})
	if err := l.AppendImage(img, named); err != nil {
		return s, err
	}
	cmd := exec.Command(world.airgap, "pack", "oci:images")
	cmd.Dir = s.dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return s, fmt.Errorf("packing: %w\n%s", err, out)
	}
	return s, s.read()
}

func (s *sample) read() (err error) {
	s.raw, err = os.ReadFile(filepath.Join(s.dir, bundleName))
	s.sum = fmt.Sprintf("%x", sha256.Sum256(s.raw))
	return err
}

func rootFS(img v1.Image) v1.RootFS {
	config, err := img.ConfigFile()
	if err != nil {
		return v1.RootFS{Type: "layers"}
	}
	return config.RootFS
}

// final is what has the final name in a folder: nothing, the whole or something
// else.
func (s sample) final(t *testing.T, dir string) (there, whole bool) {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(dir, bundleName))
	if errors.Is(err, os.ErrNotExist) {
		return false, false
	}
	if err != nil {
		t.Fatal(err)
	}
	return true, bytes.Equal(raw, s.raw)
}

// arrived demands the bundle and its sum in a folder, and nothing else.
func (s sample) arrived(t *testing.T, dir string) {
	t.Helper()
	if _, whole := s.final(t, dir); !whole {
		t.Errorf("%s: the bundle is not whole", dir)
	}
	if sums, err := os.ReadFile(filepath.Join(dir, bundleName+".sha256")); err != nil || !strings.HasPrefix(string(sums), s.sum) {
		t.Errorf("%s: sums %q, %v", dir, sums, err)
	}
	if names := list(t, dir); len(names) != 2 {
		t.Errorf("%s: there is %q", dir, names)
	}
}

// list is what is in a folder.
func list(t *testing.T, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Name() != "lost+found" {
			names = append(names, e.Name())
		}
	}
	return names
}

// partial is the name under which the bundle grows.
func (s sample) partial() string { return "." + bundleName + "." + s.sum[:8] + ".partial" }

// watch looks at the final name in a folder again and again: it must never have
// anything but the whole. The function that it returns ends that, and says how
// often it has looked.
func (s sample) watch(t *testing.T, dir string) (looks func() int) {
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan int, 1)
	go func() {
		n := 0
		var known os.FileInfo
		for ; ctx.Err() == nil; n++ {
			known = s.look(t, filepath.Join(dir, bundleName), known)
			time.Sleep(time.Millisecond)
		}
		done <- n
	}()
	return func() int { stop(); return <-done }
}

// look reads what has the final name, unless it is known.
func (s sample) look(t *testing.T, path string, known os.FileInfo) os.FileInfo {
	f, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || known != nil && os.SameFile(known, info) && known.ModTime().Equal(info.ModTime()) {
		return info
	}
	h := sha256.New()
	if n, err := io.Copy(h, f); err == nil && (n != int64(len(s.raw)) || fmt.Sprintf("%x", h.Sum(nil)) != s.sum) {
		t.Errorf("%s: something else than the whole has the final name: %d bytes", path, n)
	}
	return info
}
