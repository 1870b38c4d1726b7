//go:build linux

package world

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"pgregory.net/rapid"
)

// Serve has something served and pulls all of it, while somebody else may do
// something to its files: what is pulled is what was served, or nothing.
func (w *world) Serve(t *rapid.T) {
	name := w.drawName(t)
	want := w.named(name)
	s := w.serve(name)
	if s.url == "" {
		w.judge(s.end(w), name, want)
		w.settle(untouched)
		return
	}
	b := s.served(want.may)
	if b == nil {
		w.fail("%s was named, which may be %v, and served is %v", name, want.may, s.images)
	}
	before, what := rapid.IntRange(0, 5).Draw(t, "request"), w.drawHarm(t, name)
	n := 0
	get := func(path string) ([]byte, error) {
		if n == before && what.do != nil {
			w.must(what.do())
		}
		n++
		return s.get(path)
	}
	for _, image := range slices.Sorted(maps.Keys(b.Images)) {
		if err := pull(get, strings.TrimPrefix(image, "docker.io/"), b.Images[image]); isWrong(err) || err != nil && (n <= before || what.do == nil) {
			w.fail("%s was served, %s: %v", name, what.line, err)
		} else if err != nil {
			w.ends["pull broken off"]++
		} else {
			w.ends["pull"]++
		}
	}
	if r := s.end(w); r.Status != 0 {
		w.fail("serve ended with %d: %s", r.Status, r.Err)
	}
	if n <= before || what.do == nil {
		w.settle(untouched)
		return
	}
	w.note("# meanwhile: %s", what.line)
	w.settle(what.rule)
}

// serving is an airgap serve that runs.
type serving struct {
	cmd    *exec.Cmd
	out    *bufio.Reader
	first  string // line of its answer
	stderr bytes.Buffer
	url    string            // of the registry; empty: there is none
	images map[string]string // digests by name
}

// serve starts it, and waits for its answer.
func (w *world) serve(name string) *serving {
	w.note("airgap serve --addr 127.0.0.1:0 %s &", name)
	s := &serving{cmd: exec.Command("airgap", "serve", "--json", "--addr", "127.0.0.1:0", name), images: map[string]string{}}
	s.cmd.Stderr = &s.stderr
	out, err := s.cmd.StdoutPipe()
	w.must(err)
	w.must(s.cmd.Start())
	s.out = bufio.NewReader(out)
	s.first, _ = s.out.ReadString('\n') // none is told by its end
	var answer struct {
		Type, URL string
		Images    []struct{ Name, Digest string }
	}
	if json.Unmarshal([]byte(s.first), &answer) == nil && answer.Type == "serving" {
		s.url = answer.URL
		for _, img := range answer.Images {
			_, path, _ := strings.Cut(img.Name, "/")
			s.images["docker.io/"+path] = img.Digest
		}
	}
	return s
}

// served is that of some bundles whose images are shown.
func (s *serving) served(may []*Bundle) *Bundle {
	for _, b := range may {
		if maps.Equal(b.Images, s.images) {
			return b
		}
	}
	return nil
}

// end ends it as Ctrl-C does, and says how it ended.
func (s *serving) end(w *world) Result {
	if s.url != "" {
		w.must(s.cmd.Process.Signal(os.Interrupt))
	}
	rest, err := io.ReadAll(s.out)
	w.must(err)
	_ = s.cmd.Wait() // its status tells
	r := Result{s.cmd.ProcessState.ExitCode(), s.first + string(rest), s.stderr.String()}
	w.script[len(w.script)-1] += fmt.Sprintf("   # %d", r.Status)
	w.ends[fmt.Sprintf("serve %d", r.Status)]++
	return r
}

// client asks for one thing each, and is not kept waiting.
var client = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: time.Minute}

// get asks for something, and gives all of it or an error.
func (s *serving) get(path string) ([]byte, error) {
	resp, err := client.Get(s.url + "/v2/" + path)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", path, resp.Status)
	}
	return io.ReadAll(resp.Body)
}

// pull gets an image from a registry as docker pull does, and proves it.
func pull(get func(path string) ([]byte, error), name, digest string) error {
	repository, tag, _ := strings.Cut(name, ":")
	raw, err := get(repository + "/manifests/" + tag)
	if err != nil {
		return err
	}
	if "sha256:"+sum(raw) != digest {
		return &wrongError{name}
	}
	var manifest struct {
		Config descriptor
		Layers []descriptor
	}
	if err := json.Unmarshal(raw, &manifest); err != nil {
		return err
	}
	for _, d := range append(manifest.Layers, manifest.Config) {
		raw, err := get(repository + "/blobs/" + d.Digest)
		if err != nil {
			return err
		}
		if len(raw) != d.Size || "sha256:"+sum(raw) != d.Digest {
			return &wrongError{d.Digest}
		}
	}
	return nil
}

// wrongError says that other bytes came than were asked for, and as if all were well.
type wrongError struct{ what string }

func (e *wrongError) Error() string { return e.what + " came with other bytes" }

func isWrong(err error) bool {
	wrong := (*wrongError)(nil)
	return errors.As(err, &wrong)
}

// harm is what somebody does to a file.
type harm struct {
	line string // as one would type it
	do   func() error
	rule func(c change) (*Content, error)
}

// drawHarm is something that happens to what a name stands for, or nothing.
func (w *world) drawHarm(t *rapid.T, name string) harm {
	list := w.paths(func(path string, c *Content) bool {
		return path == name || filepath.Dir(path) == name || w.content(name) == nil && filepath.Dir(path) == filepath.Dir(name)
	})
	list = slices.DeleteFunc(list, w.isEmpty)
	others := w.paths(anyFile)
	if len(list) == 0 || len(others) == 0 {
		return harm{}
	}
	path := rapid.SampledFrom(list).Draw(t, "harmed")
	other := rapid.SampledFrom(others).Draw(t, "other")
	how := rapid.SampledFrom([]string{"", "cp", "mv", "truncate", "zero", "rm"}).Draw(t, "harm")
	if other == path && (how == "cp" || how == "mv") {
		how = "rm"
	}
	half := func(do func(f *os.File, half int64) error) func() error {
		return func() error {
			f, err := os.OpenFile(path, os.O_RDWR, 0)
			if err != nil {
				return err
			}
			defer f.Close()
			info, err := f.Stat()
			if err != nil {
				return err
			}
			return do(f, info.Size()/2)
		}
	}
	hurt := moved(path, damaged(w.content(path)), "")
	switch how {
	case "cp":
		raw, err := os.ReadFile(other)
		w.must(err)
		return harm{"cp " + other + " " + path, func() error { return os.WriteFile(path, raw, 0o644) }, moved(path, w.content(other), "")}
	case "mv":
		return harm{"mv " + other + " " + path, func() error { return os.Rename(other, path) }, moved(path, w.content(other), other)}
	case "truncate":
		return harm{"truncate the half of " + path, half(func(f *os.File, half int64) error { return f.Truncate(half) }), hurt}
	case "zero":
		return harm{"dd if=/dev/zero of=" + path + " over its second half", half(func(f *os.File, half int64) error {
			_, err := f.WriteAt(make([]byte, half), half)
			return err
		}), hurt}
	case "rm":
		return harm{"rm " + path, func() error { return os.Remove(path) }, moved("", nil, path)}
	}
	return harm{}
}
