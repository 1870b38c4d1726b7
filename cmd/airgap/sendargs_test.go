package main

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	"airgap/cmd/airgap/internal/ui"
)

// TestSendArgs tells bundles from destinations; "-" is a refusal.
func TestSendArgs(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, name := range []string{"bundle.tar.zst", "app", "cut.tar.zst.001"} {
		if err := os.WriteFile(name, nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"stick", "old.tar.zst"} {
		if err := os.Mkdir(name, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for args, want := range map[string]string{
		"stick":                          "bundle.tar.zst stick",
		"old.tar.zst":                    "bundle.tar.zst old.tar.zst", // a folder, whatever its name
		"app stick":                      "app stick",
		"app server:tmp stick":           "app server:tmp stick",
		"app my-app:v1":                  "app my-app:v1",
		"cut.tar.zst stick":              "cut.tar.zst stick",
		"cut.tar.zst.001 stick":          "cut.tar.zst.001 stick",
		"server:tmp":                     "bundle.tar.zst server:tmp",
		"server:new.tar.zst":             "bundle.tar.zst server:new.tar.zst",
		"server: other:":                 "bundle.tar.zst server: other:",
		"server:/srv other:a/b":          "bundle.tar.zst server:/srv other:a/b",
		"u@server:tmp u@other:tmp":       "bundle.tar.zst u@server:tmp u@other:tmp",
		"sftp://h/x.tar.zst stick":       "bundle.tar.zst sftp://h/x.tar.zst stick",
		"usb":                            "bundle.tar.zst usb", // a medium that is not in
		"bundle.tar.zst stick usb":       "bundle.tar.zst stick usb",
		"[::1]:tmp [fe80::1%eth0]:":      "bundle.tar.zst [::1]:tmp [fe80::1%eth0]:",
		"usb stick":                      "-",
		"stick usb":                      "-",
		"my-app:v1 stick":                "-",
		"stick my-app:v1":                "-",
		"server1:tmp server2:tmp":        "-",
		"new.tar.zst":                    "-",
		"new.tar.zst stick":              "-",
		"./new.tar stick":                "-",
		"a/new.tar.zst.par stick":        "-",
		"new.tar.zst.001 stick":          "-",
		"stick app":                      "-",
		"app bundle.tar.zst stick":       "-",
		"app new.tar.zst stick":          "-",
		"registry.internal/app:v1":       "-",
		"library/postgres:15 stick":      "-",
		"localhost:5000/app:v1":          "-",
		"app localhost:5000/a/b:v1":      "-",
		"docker-daemon:app:v1":           "-",
		"docker://postgres:15":           "-",
		"app@sha256:" + zeros(64):        "-",
		"h:5000/a/b@sha256:" + zeros(64): "-",
	} {
		name, dests, err := splitSendArgs(newSend(), strings.Fields(args), nil)
		var refused *ui.Error
		got := strings.Join(append([]string{name}, dests...), " ")
		if err != nil {
			got = "-"
		}
		if got != want {
			t.Errorf("send %s: %s, %v; expected %s", args, got, err, want)
		}
		if err != nil && (!errors.As(err, &refused) || refused.Code != ui.Usage || refused.State != unsent || len(refused.Hints) == 0) {
			t.Errorf("send %s: %+v", args, err)
		}
	}
	// Lines of --hosts are destinations, and one argument beside them is one of several.
	if _, dests, err := splitSendArgs(newSend(), nil, []string{"a:b", "c:d"}); err != nil || !slices.Equal(dests, []string{"a:b", "c:d"}) {
		t.Errorf("%q, %v", dests, err)
	}
	if _, _, err := splitSendArgs(newSend(), []string{"my-app:v1"}, []string{"stick"}); err == nil {
		t.Error("an image beside --hosts is taken for a host")
	}
}

func zeros(n int) string { return strings.Repeat("0", n) }

// TestSendExamples understands what the help shows.
func TestSendExamples(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.WriteFile("bundle.tar.zst", nil, 0o644); err != nil {
		t.Fatal(err)
	}
	example := regexp.MustCompile(`'[^']*'|\S+`)
	lines := strings.Split(newSend().Example, "\n")
	if len(lines) < 5 {
		t.Fatalf("%d examples", len(lines))
	}
	for _, line := range lines {
		cmd := newSend()
		if err := cmd.ParseFlags(example.FindAllString(line, -1)[2:]); err != nil {
			t.Fatal(err)
		}
		if _, dests, err := splitSendArgs(cmd, cmd.Flags().Args(), nil); err != nil || len(dests) == 0 && !strings.Contains(line, "--hosts") {
			t.Errorf("%s: %q, %v", line, dests, err)
		}
	}
}

// TestHosts reads lists as editors write them.
func TestHosts(t *testing.T) {
	path := filepath.Join(t.TempDir(), "hosts")
	for content, want := range map[string]string{
		"a:\n# none\n\nb: # b\n": "a: b:", "\ufeffa:\r\nb:\r\n": "a: b:", "a:": "a:", "": "-", "\ufeff": "-", "#\n": "-",
		"\xff\xfea\x00:\x00\n\x00": "-", // UTF-16
	} {
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		dests, err := readHosts(path)
		if got := strings.Join(dests, " "); err == nil && got != want || err != nil && want != "-" {
			t.Errorf("%q: %s, %v", content, got, err)
		}
	}
}

// TestBuiltFor knows this very program, and what is none.
func TestBuiltFor(t *testing.T) {
	here := runtime.GOOS + "/" + runtime.GOARCH
	if runtime.GOOS == "windows" {
		here = "windows"
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(self)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if got := builtFor(f); got != here {
		t.Errorf("this program is for %q, expected %q", got, here)
	}
	for content, want := range map[string]string{
		"": "", "\x7fELF": "", "#!/bin/sh\nexec airgap \"$@\"\n": "",
		"\x7fELF\x01" + strings.Repeat("\x00", 13) + "\x28\x00": "another processor",
	} {
		if got := builtFor(strings.NewReader(content)); got != want {
			t.Errorf("%q is for %q, expected %q", content, got, want)
		}
	}
}
