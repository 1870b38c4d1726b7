//go:build linux

package world

import (
	"bytes"
	"fmt"
	"io"
	"log"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-containerregistry/pkg/registry"
	"pgregory.net/rapid"
)

// registryPlace is a registry that images are pushed into, below a folder of it.
type registryPlace struct {
	visitors
	address   string
	mu        sync.Mutex
	registry  http.Handler      // of this world
	names     map[string]string // digests by name, as the model has them
	asked     []string          // about manifests
	meanwhile func()            // what somebody else does before number at of these
	at        int
}

// startRegistry serves one that is empty.
func startRegistry(t *testing.T) *registryPlace {
	t.Helper()
	p := &registryPlace{visitors: newVisitors()}
	p.reset()
	server := httptest.NewUnstartedServer(p)
	server.Config.ConnState = p.connected
	server.Start()
	t.Cleanup(server.Close)
	p.address = strings.TrimPrefix(server.URL, "http://")
	return p
}

func (p *registryPlace) reset() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.registry = registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	p.names, p.asked, p.meanwhile = map[string]string{}, nil, nil
}

// ServeHTTP answers, after what somebody else does at that moment.
func (p *registryPlace) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	if strings.Contains(r.URL.Path, "/manifests/") {
		if p.meanwhile != nil && len(p.asked) == p.at {
			p.meanwhile()
			p.meanwhile, p.asked = nil, append(p.asked, "meanwhile")
		}
		p.asked = append(p.asked, r.URL.Path)
	}
	to := p.registry
	p.mu.Unlock()
	to.ServeHTTP(w, r)
}

// disarm forgets what somebody else would have done, and says whether he has.
func (p *registryPlace) disarm() (met bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.meanwhile = nil
	return slices.Contains(p.asked, "meanwhile")
}

// mirror is the folder of the registry.
const mirror = "mirror"

// do asks the registry without anybody between.
func (p *registryPlace) do(method, path string, body []byte) (status int, answer []byte) {
	r := httptest.NewRequest(method, "/v2/"+path, bytes.NewReader(body))
	if method == http.MethodPut {
		r.Header.Set("Content-Type", "application/vnd.oci.image.manifest.v1+json")
	}
	w := httptest.NewRecorder()
	p.registry.ServeHTTP(w, r)
	return w.Code, w.Body.Bytes()
}

// at gives the repository of a name, and its tag.
func inRegistry(name string) (repository, tag string) {
	repository, tag, _ = strings.Cut(strings.TrimPrefix(name, "docker.io/"), ":")
	return mirror + "/" + repository, tag
}

// look reads what the registry holds, and proves it.
func (p *registryPlace) look() (map[string]string, error) {
	found := map[string]string{}
	for _, name := range []string{app, db} {
		repository, tag := inRegistry(name)
		status, raw := p.do(http.MethodGet, repository+"/manifests/"+tag, nil)
		if status != http.StatusOK {
			continue
		}
		root := descriptor{Digest: "sha256:" + sum(raw), Size: len(raw)}
		err := proveImage(func(blob string) ([]byte, error) {
			digest := strings.Replace(strings.TrimPrefix(blob, "blobs/"), "/", ":", 1)
			if digest == root.Digest {
				return raw, nil
			}
			status, raw := p.do(http.MethodGet, repository+"/blobs/"+digest, nil)
			if status != http.StatusOK {
				return nil, fmt.Errorf("blob %s: status %d", digest, status)
			}
			return raw, nil
		}, root)
		if err != nil {
			return nil, fmt.Errorf("image %q: %w", name, err)
		}
		if _, tags := p.do(http.MethodGet, repository+"/tags/list", nil); !bytes.Contains(tags, []byte(`["`+tag+`"]`)) {
			return nil, fmt.Errorf("%s has other tags too: %s", repository, tags)
		}
		found[name] = root.Digest
	}
	return found, nil
}

// push pushes an image of a day, as somebody else.
func (p *registryPlace) push(day, name, digest string) error {
	read := func(digest string) ([]byte, error) {
		return os.ReadFile(filepath.Join("src", day, "blobs", strings.Replace(digest, ":", "/", 1)))
	}
	raw, err := read(digest)
	if err != nil {
		return err
	}
	repository, tag := inRegistry(name)
	return proveImage(func(blob string) ([]byte, error) {
		digest := strings.Replace(strings.TrimPrefix(blob, "blobs/"), "/", ":", 1)
		content, err := read(digest)
		if err == nil && digest == "sha256:"+sum(raw) {
			p.do(http.MethodPut, repository+"/manifests/"+tag, raw)
		} else if err == nil {
			p.do(http.MethodPost, repository+"/blobs/uploads/?digest="+digest, content)
		}
		return content, err
	}, descriptor{Digest: digest, Size: len(raw)})
}

// drawAtRegistry is something that somebody else does there, and the name that it
// is about.
func (w *world) drawAtRegistry(t *rapid.T) (what, name string, do func()) {
	p := w.registry
	name = rapid.SampledFrom([]string{app, db}).Draw(t, "image")
	repository, tag := inRegistry(name)
	switch rapid.SampledFrom([]string{"push", "push", "delete", "delete by digest"}).Draw(t, "how") {
	case "push":
		day := rapid.SampledFrom(days).Draw(t, "day")
		return fmt.Sprintf("crane push %s of %s", name, day), name, func() { w.must(p.push(day, name, w.images[day][name])) }
	case "delete":
		return "crane delete " + name, name, func() { p.do(http.MethodDelete, repository+"/manifests/"+tag, nil) }
	}
	return "crane delete the digest of " + name, name, func() {
		if status, raw := p.do(http.MethodGet, repository+"/manifests/"+tag, nil); status == http.StatusOK {
			p.do(http.MethodDelete, repository+"/manifests/sha256:"+sum(raw), nil)
			p.do(http.MethodDelete, repository+"/manifests/"+tag, nil) // goes along
		}
	}
}

// AtRegistry does something at the registry that is not airgap's.
func (w *world) AtRegistry(t *rapid.T) {
	what, _, do := w.drawAtRegistry(t)
	w.note("%s", what)
	do()
	now, err := w.registry.look()
	w.must(err)
	w.registry.names = now
}

// UnpackIntoRegistry imports something into the registry, while somebody else may
// do something there. Only the long form has that: several requests are made at
// once, so that it is not a function of the seed.
func (w *world) UnpackIntoRegistry(t *rapid.T) {
	p := w.registry
	name := w.drawName(t)
	want := w.named(name)
	var what, about string
	p.asked = nil
	if w.long && rapid.Bool().Draw(t, "meanwhile") {
		p.at = rapid.IntRange(0, 6).Draw(t, "request")
		what, about, p.meanwhile = w.drawAtRegistry(t)
	}
	r := w.airgap("unpack", "--to", "docker://"+p.address+"/"+mirror, name)
	met := p.disarm()
	if met {
		w.ends[fmt.Sprintf("meanwhile at the registry %d", r.Status)]++
		w.script[len(w.script)-1] += "   # meanwhile: " + what
	}
	w.settle(untouched)
	now, err := p.look()
	if err != nil {
		w.fail("the registry: %v", err)
	}
	before := p.names
	p.names = now
	if r.Status != 0 && met {
		return // that is a reason; names may be half set
	}
	expected := maps.Clone(before)
	if b := w.judge(r, name, want); b != nil {
		maps.Copy(expected, b.Images)
	}
	if met && p.afterwards(about) {
		expected[about] = now[about]
	}
	maps.DeleteFunc(expected, func(_, digest string) bool { return digest == "" })
	if !maps.Equal(now, expected) {
		w.fail("the registry holds %v, expected %v", now, expected)
	}
}

// afterwards says that what somebody else did happened when airgap was done with
// that name.
func (p *registryPlace) afterwards(name string) bool {
	repository, tag := inRegistry(name)
	last := -1
	for i, path := range p.asked {
		if path == "/v2/"+repository+"/manifests/"+tag {
			last = i
		}
	}
	return last < slices.Index(p.asked, "meanwhile")
}
