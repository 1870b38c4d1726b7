package main

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"sort"
	"strings"
	"time"
)

// version is that of the applications in the images.
const version = "v1"

// made is the time of every file and config: images must not change with the
// hour in which they are made.
var made = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// layer is a file system change and how it came about.
type layer struct {
	tar       []byte
	createdBy string
}

// toolNames are what the tools binary answers to.
var toolNames = []string{"cat", "echo", "env", "ls", "sha256sum", "sleep"}

// baseLayer is what both images stand on.
func baseLayer(work, arch string) (layer, error) {
	tools, err := compile(work, "tools", arch)
	if err != nil {
		return layer{}, err
	}
	t := newTree()
	t.file("bin/tools", 0o755, tools)
	for _, name := range toolNames {
		t.link("bin/"+name, "tools")
	}
	t.file("etc/os-release", 0o644, []byte("ID=airgap-demo\nPRETTY_NAME=\"airgap demo\"\n"))
	t.file("etc/passwd", 0o644, []byte("root:x:0:0:root:/:/bin/false\nnobody:x:65534:65534:nobody:/:/bin/false\n"))
	t.file("etc/group", 0o644, []byte("root:x:0:\nnogroup:x:65534:\n"))
	if err := addZones(t); err != nil {
		return layer{}, fmt.Errorf("adding the time zones: %w", err)
	}
	return t.layer("COPY tools /bin/tools # and the time zones of the world")
}

// appLayer is an application's binary and its version.
func appLayer(work, name, arch string) (layer, error) {
	binary, err := compile(work, name, arch)
	if err != nil {
		return layer{}, err
	}
	t := newTree()
	t.file("usr/local/bin/"+name, 0o755, binary)
	t.file("srv/version", 0o644, []byte(name+" "+version+"\n"))
	return t.layer("COPY " + name + " /usr/local/bin/" + name)
}

// compile builds the program of a folder beside this file for Linux.
func compile(work, program, arch string) ([]byte, error) {
	out := filepath.Join(work, program+"-"+arch)
	if b, err := os.ReadFile(out); err == nil {
		return b, nil
	}
	cmd := exec.Command("go", "build", "-trimpath", "-buildvcs=false",
		"-ldflags=-s -w -buildid= -X main.version="+version, "-o", out, "airgap/testdata/samples/"+program)
	cmd.Env = append(os.Environ(), "GOOS=linux", "GOARCH="+arch, "CGO_ENABLED=0", "GOFLAGS=")
	if text, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("compiling %s for linux/%s: %w\n%s", program, arch, err, text)
	}
	return os.ReadFile(out)
}

// addZones adds the time zones that come with Go.
func addZones(t *tree) error {
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		return err
	}
	z, err := zip.OpenReader(filepath.Join(strings.TrimSpace(string(root)), "lib", "time", "zoneinfo.zip"))
	if err != nil {
		return err
	}
	defer z.Close()
	for _, f := range z.File {
		if strings.HasSuffix(f.Name, "/") {
			continue
		}
		r, err := f.Open()
		if err != nil {
			return err
		}
		b, err := io.ReadAll(r)
		r.Close()
		if err != nil {
			return err
		}
		t.file("usr/share/zoneinfo/"+f.Name, 0o644, b)
	}
	return nil
}

// tree is a file system in the making.
type tree struct {
	headers map[string]*tar.Header
	content map[string][]byte
}

func newTree() *tree { return &tree{map[string]*tar.Header{}, map[string][]byte{}} }

// add notes an entry and the folders above it.
func (t *tree) add(h *tar.Header) {
	h.ModTime, h.Format = made, tar.FormatUSTAR
	t.headers[h.Name] = h
	if dir := path.Dir(strings.TrimSuffix(h.Name, "/")); dir != "." && t.headers[dir+"/"] == nil {
		t.add(&tar.Header{Typeflag: tar.TypeDir, Name: dir + "/", Mode: 0o755})
	}
}

func (t *tree) file(name string, mode int64, content []byte) {
	t.content[name] = content
	t.add(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: mode, Size: int64(len(content))})
}

func (t *tree) link(name, target string) {
	t.add(&tar.Header{Typeflag: tar.TypeSymlink, Name: name, Linkname: target, Mode: 0o777})
}

// layer writes the tree as a tar, in the order of the names.
func (t *tree) layer(createdBy string) (layer, error) {
	var names []string
	for name := range t.headers {
		names = append(names, name)
	}
	sort.Strings(names)
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, name := range names {
		if err := w.WriteHeader(t.headers[name]); err != nil {
			return layer{}, err
		}
		if _, err := w.Write(t.content[name]); err != nil {
			return layer{}, err
		}
	}
	if err := w.Close(); err != nil {
		return layer{}, err
	}
	return layer{b.Bytes(), createdBy}, nil
}

// compress is the layer as registries have it.
func (l layer) compress() ([]byte, error) {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write(l.tar); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}
