package list

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

const service = "services: {a: {image: 'a:1'}}\n"

// zeros and pipe stand for files that are no files.
const zeros, pipe = "\x00zeros", "\x00pipe"

// folder makes files, and says where compose.yaml is.
func folder(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		var err error
		switch text {
		case zeros:
			err = os.Symlink("/dev/zero", path)
		case pipe:
			err = unix.Mkfifo(path, 0o600)
		default:
			err = os.WriteFile(path, []byte(text), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, "compose.yaml")
}

// waiting are shapes with a pipe that the reading comes to.
var waiting = map[string]map[string]string{
	"pipe":         {"pipe": pipe, "compose.yaml": "include: [pipe]\n" + service},
	".env":         {".env": pipe, "compose.yaml": service},
	"base":         {"base": pipe, "compose.yaml": "services: {a: {extends: {file: base, service: a}}}\n"},
	"vars":         {"vars": pipe, "compose.yaml": "include: [{path: o.yaml, env_file: vars}]\n" + service, "o.yaml": "services: {b: {image: 'b:1'}}\n"},
	"compose.yaml": {"compose.yaml": pipe},
}

// atPipe opens a pipe for writing once somebody reads it.
func atPipe(t *testing.T, path, name string) *os.File {
	t.Helper()
	w, err := os.OpenFile(filepath.Join(filepath.Dir(path), name), os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close() })
	return w
}

// TestInterruptedAtPipe ends at once when the context does, and so does the process that waits.
func TestInterruptedAtPipe(t *testing.T) {
	boom := errors.New("boom")
	for name, files := range waiting {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancelCause(t.Context())
			path, ended := folder(t, files), make(chan error)
			go func() {
				_, state, err := read(ctx, nil, Options{Path: path})
				if state == nil {
					t.Error("the reader has not ended")
				}
				ended <- err
			}()
			atPipe(t, path, name)
			cancel(boom)
			if err := <-ended; !errors.Is(err, boom) {
				t.Errorf("error %v", err)
			}
		})
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	in, out := io.Pipe()
	defer out.Close()
	go func() {
		io.WriteString(out, service)
		cancel(boom)
	}()
	if _, err := Read(ctx, in, Options{}); !errors.Is(err, boom) {
		t.Errorf("at standard input: %v", err)
	}
}

// TestNobodyWaits ends the reader when who has asked is gone, without having said so.
func TestNobodyWaits(t *testing.T) {
	path := folder(t, waiting["pipe"])
	cmd := exec.Command(os.Args[0], readerArg)
	question, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if err := ask(question, nil, Options{Path: path}); err != nil {
		t.Fatal(err)
	}
	atPipe(t, path, "pipe")
	question.Close()
	if cmd.Wait(); cmd.ProcessState.ExitCode() != 1 {
		t.Errorf("it ended so: %v", cmd.ProcessState)
	}
}

// TestComposeFromPipe reads a file that can be read only once, as a shell's <(…) is.
func TestComposeFromPipe(t *testing.T) {
	path := folder(t, waiting["compose.yaml"])
	go func() {
		w := atPipe(t, path, "compose.yaml")
		io.WriteString(w, service)
		w.Close()
	}()
	if l, err := Read(t.Context(), nil, Options{Path: path}); err != nil || fmt.Sprint(l.Images) != "[a:1]" {
		t.Errorf("%v, %v", l.Images, err)
	}
}

// TestLabelsAreNotRead takes images and does not ask for what is beside them.
func TestLabelsAreNotRead(t *testing.T) {
	for _, where := range []string{"/dev/zero", "missing"} {
		path := folder(t, map[string]string{"compose.yaml": "services: {a: {image: 'a:1', label_file: " + where + "}}\n"})
		if l, err := Read(t.Context(), nil, Options{Path: path}); err != nil || fmt.Sprint(l.Images) != "[a:1]" {
			t.Errorf("%s: %v, %v", where, l.Images, err)
		}
	}
}
