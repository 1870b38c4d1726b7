package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"airgap/bundle"
	"airgap/bundle/image"
	"airgap/cmd/airgap/internal/ui"
	"airgap/internal/vectors"
	"airgap/verify"
)

// TestVectors has every reader look at every vector of testdata/vectors.
func TestVectors(t *testing.T) {
	list, err := vectors.Load()
	if err != nil {
		t.Fatal(err)
	}
	bundles, others := 0, 0
	for _, v := range list {
		if v.Large && os.Getenv("AIRGAP_TORTURE") == "" {
			continue // TestLargeVector has the time for some of it
		}
		if v.IsBundle() {
			bundles++
		} else {
			others++
		}
		t.Run(v.Name, func(t *testing.T) {
			files, err := v.Read()
			if err != nil {
				t.Fatal(err)
			}
			if v.IsBundle() {
				provenAlone(t, v, files[v.Arg])
			}
			commanded(t, v, files)
		})
	}
	if bundles < 150 || others < 30 {
		t.Errorf("only %d bundles and %d others", bundles, others)
	}
}

// provenAlone opens a bundle, from a file and from a stream, and proves it.
func provenAlone(t *testing.T, v vectors.Vector, content []byte) {
	t.Helper()
	b, err := bundle.Open(bytes.NewReader(content), int64(len(content)))
	if err == nil {
		err = proven(t.Context(), b)
	}
	judged(t, v, "Open", exitOf(t, err), v.Verify, err)
	f, err := os.Create(filepath.Join(t.TempDir(), "staged"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	size, err := bundle.Stage(t.Context(), bytes.NewReader(content), f)
	if err == nil {
		if b, err = bundle.Open(f, size); err == nil {
			err = proven(t.Context(), b)
		}
	}
	judged(t, v, "Stage", exitOf(t, err), v.Verify, err)
}

func proven(ctx context.Context, b *bundle.Bundle) error {
	docs, err := verify.Read(ctx, b)
	if err == nil {
		_, _, err = verify.Check(ctx, docs, verify.Policy{})
	}
	return err
}

// exitOf is the exit status that a command has with an error.
func exitOf(t *testing.T, err error) int {
	t.Helper()
	if err == nil {
		return 0
	}
	var out *ui.Error
	if !errors.As(explain(t.Context(), "airgap verify", err), &out) {
		t.Fatal(err)
	}
	return int(out.Code)
}

// judged compares what a reader says with what the table says.
func judged(t *testing.T, v vectors.Vector, reader string, code, want int, message any) {
	t.Helper()
	text := ""
	switch m := message.(type) {
	case error:
		text = m.Error()
	case string:
		text = m
	}
	if code != want || want != 0 && !strings.Contains(text, v.Phrase) {
		t.Errorf("%s: exit status %d, expected %d and %q: %s", reader, code, want, v.Phrase, text)
	}
}

// commanded runs the commands on a vector.
func commanded(t *testing.T, v vectors.Vector, files map[string][]byte) {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	arg, in := filepath.Join(dir, v.Arg), []byte(nil)
	if v.IsStream() {
		arg = "-"
		for _, in = range files {
		}
	}
	to := filepath.Join(t.TempDir(), "oci")
	run := func(want int, args ...string) {
		t.Helper()
		env, _, messages := newEnv()
		env.In = bytes.NewReader(in)
		judged(t, v, args[0], Main(append(args, "--quiet"), env), want, messages.String())
	}
	run(v.Unpack, "unpack", arg, "--to", "oci:"+to)
	if _, err := os.Stat(filepath.Join(to, "index.json")); (err == nil) != (v.Unpack == 0) {
		t.Errorf("unpack exits %d, and its index.json: %v", v.Unpack, err)
	}
	if v.IsStream() {
		return
	}
	run(v.Verify, "verify", arg)
	run(v.Inspect, "inspect", arg)
	if v.Serve != 0 {
		run(v.Serve, "serve", "--addr", "127.0.0.1:0", arg)
		return
	}
	served(t, arg)
}

// served has a bundle served, and pulls the roots of its images.
func served(t *testing.T, arg string) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	env, _, messages := newEnv()
	out, answers := io.Pipe()
	env.Out, env.JSON = answers, true
	ended := make(chan error, 1)
	go func() {
		err := runServe(ctx, env, serveOptions{addr: "127.0.0.1:0"}, []string{arg})
		answers.CloseWithError(err)
		ended <- err
	}()
	var answer struct {
		URL    string
		Images []struct {
			Name   string
			Digest image.Digest
		}
	}
	if err := json.NewDecoder(out).Decode(&answer); err != nil {
		t.Errorf("serve: %v: %s", err, messages)
		return
	}
	for _, img := range answer.Images {
		repository := strings.TrimPrefix(img.Name, strings.TrimPrefix(answer.URL, "http://")+"/")
		if i := strings.LastIndexAny(repository, ":@"); i > 0 {
			repository = strings.TrimSuffix(repository[:i], "@sha256")
		}
		resp, err := http.Get(answer.URL + "/v2/" + repository + "/manifests/" + img.Digest.String())
		if err != nil {
			t.Fatal(err)
		}
		raw, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || resp.StatusCode != http.StatusOK || image.SHA256(raw) != img.Digest {
			t.Errorf("serve: %s of %s: %s, %v", img.Digest, repository, resp.Status, err)
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("serve: %v", err)
	}
}

// TestLargeVector opens the one of 8 GiB, and proves all but those.
func TestLargeVector(t *testing.T) {
	list, err := vectors.Load()
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(list, func(v vectors.Vector) bool { return v.Large })
	if i < 0 {
		t.Fatal("there is none")
	}
	files, err := list[i].Read()
	if err != nil {
		t.Fatal(err)
	}
	content := files[list[i].Arg]
	b, err := bundle.Open(bytes.NewReader(content), int64(len(content)))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := verify.Read(t.Context(), b); err != nil {
		t.Error(err)
	}
	content[len(content)/3] ^= 1 // in one of the frames of zeros
	if _, err := b.Sum(t.Context(), func(int64) {}); err == nil {
		t.Error("a byte is another, and the trailer does not tell")
	}
}
