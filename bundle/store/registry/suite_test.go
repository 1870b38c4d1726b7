package registry

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/registry"

	"airgap/bundle/image"
	"airgap/bundle/store/storetest"
)

// open opens a Registry that does not wait between tries and knows no
// credentials but those of the test.
func open(t *testing.T, o Options) *Registry {
	t.Helper()
	noCredentials(t)
	r, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	r.pause = func(ctx context.Context, _ time.Duration) error { return context.Cause(ctx) }
	t.Cleanup(func() { r.Close() })
	return r
}

func noCredentials(t *testing.T) {
	t.Helper()
	none := t.TempDir()
	t.Setenv("REGISTRY_AUTH_FILE", "") // to have it back afterwards
	os.Unsetenv("REGISTRY_AUTH_FILE")  // docker-registry has a use of its own for it
	for _, name := range []string{"HOME", "DOCKER_CONFIG", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME"} {
		t.Setenv(name, none)
	}
}

// push puts the images of a fixture into a registry that needs no login.
func push(t *testing.T, client *http.Client, base string, f storetest.Fixture) {
	t.Helper()
	for _, name := range f.Names {
		repo, tag := split(name)
		g := f.Graph(t, name)
		var manifests []image.Descriptor
		for _, d := range append(g.Layers(), g.Documents()...) {
			if isManifest(d.MediaType) {
				manifests = append(manifests, d)
			} else {
				pushBlob(t, client, base+"/v2/"+repo, f.Images.Bytes(d.Digest))
			}
		}
		slices.Reverse(manifests) // children before their index
		for _, d := range manifests {
			put(t, client, base+"/v2/"+repo+"/manifests/"+d.Digest.String(), string(d.MediaType), f.Images.Bytes(d.Digest))
		}
		root := g.Root.Desc
		put(t, client, base+"/v2/"+repo+"/manifests/"+tag, string(root.MediaType), f.Images.Bytes(root.Digest))
	}
}

// split takes a fixture's name apart, without its host.
func split(name string) (repo, tag string) {
	if _, _, digest, pinned := image.Pin(name); pinned {
		return strings.TrimPrefix(image.Repository(name), "docker.io/"), digest.String()
	}
	repo, tag, _ = strings.Cut(strings.TrimPrefix(name, "docker.io/"), ":")
	return repo, tag
}

func pushBlob(t *testing.T, client *http.Client, base string, b []byte) {
	t.Helper()
	resp, err := client.Post(base+"/blobs/uploads/", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	at, err := resp.Request.URL.Parse(resp.Header.Get("Location"))
	if err != nil {
		t.Fatal(err)
	}
	query := at.Query()
	query.Set("digest", image.SHA256(b).String())
	at.RawQuery = query.Encode()
	put(t, client, at.String(), "application/octet-stream", b)
}

func put(t *testing.T, client *http.Client, url, mediaType string, b []byte) {
	t.Helper()
	req, err := http.NewRequest(http.MethodPut, url, bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", mediaType)
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusCreated {
		text, _ := io.ReadAll(resp.Body)
		t.Fatalf("PUT %s: %s: %s", url, resp.Status, text)
	}
}

// meddler stands before a registry and does what a test tells it to.
type meddler struct {
	next http.Handler

	mu    sync.Mutex
	hooks []func(w http.ResponseWriter, req *http.Request) bool // true: answered
	seen  []string
}

func newMeddler() *meddler {
	return &meddler{next: registry.New(registry.Logger(log.New(io.Discard, "", 0)))}
}

func (m *meddler) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	m.mu.Lock()
	hooks := slices.Clone(m.hooks)
	m.seen = append(m.seen, strings.TrimSpace(req.Method+" "+req.URL.Path+" "+req.Header.Get("Range")))
	m.mu.Unlock()
	for _, hook := range hooks {
		if hook(w, req) {
			return
		}
	}
	m.next.ServeHTTP(w, req)
}

func (m *meddler) hook(h func(w http.ResponseWriter, req *http.Request) bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.hooks = append(m.hooks, h)
}

// requests lists what was asked for since the last call.
func (m *meddler) requests() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	defer func() { m.seen = nil }()
	return m.seen
}

// start serves a meddler and fills the registry behind it.
func start(t *testing.T, f storetest.Fixture) (*meddler, string) {
	t.Helper()
	m := newMeddler()
	server := httptest.NewUnstartedServer(m)
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // of connections broken on purpose
	server.Start()
	t.Cleanup(server.Close)
	push(t, server.Client(), server.URL, f)
	m.requests()
	return m, strings.TrimPrefix(server.URL, "http://")
}

// at spells a fixture's name for a host.
func at(host string) func(name string) string {
	return func(name string) string { return host + "/" + strings.TrimPrefix(name, "docker.io/") }
}

func TestSuiteInMemory(t *testing.T) {
	storetest.Sources{New: func(t *testing.T, f storetest.Fixture) storetest.SourcePlace {
		m, host := start(t, f)
		answer := func(d image.Digest, do func(w http.ResponseWriter)) {
			m.hook(func(w http.ResponseWriter, req *http.Request) bool {
				if !strings.HasSuffix(req.URL.Path, d.String()) {
					return false
				}
				do(w)
				return true
			})
		}
		return storetest.SourcePlace{
			Source: open(t, Options{}), Origin: Origin, Ask: at(host), Named: at(host),
			Spoil: func(_ *testing.T, d image.Digest) {
				b := bytes.Clone(f.Images.Bytes(d))
				b[len(b)/2] ^= 1
				answer(d, func(w http.ResponseWriter) { w.Write(b) })
			},
			Lose: func(_ *testing.T, d image.Digest) {
				answer(d, func(w http.ResponseWriter) { http.Error(w, "", http.StatusNotFound) })
			},
		}
	}}.Run(t)
}

func TestSuiteDockerRegistry(t *testing.T) {
	program, err := exec.LookPath("docker-registry")
	storetest.Require(t, "docker-registry", err == nil, fmt.Sprint(err))
	storetest.Sources{New: func(t *testing.T, f storetest.Fixture) storetest.SourcePlace {
		dir := t.TempDir()
		host := serve(t, program, dir)
		push(t, http.DefaultClient, "http://"+host, f)
		data := func(d image.Digest) string {
			return filepath.Join(dir, "docker/registry/v2/blobs/sha256", d.Hex[:2], d.Hex, "data")
		}
		return storetest.SourcePlace{
			Source: open(t, Options{}), Origin: Origin, Ask: at(host), Named: at(host),
			Spoil: func(t *testing.T, d image.Digest) {
				b, err := os.ReadFile(data(d))
				if err != nil {
					t.Fatal(err)
				}
				b[len(b)/2] ^= 1
				if err := os.WriteFile(data(d), b, 0o644); err != nil {
					t.Fatal(err)
				}
			},
			Lose: func(t *testing.T, d image.Digest) {
				if err := os.Remove(data(d)); err != nil {
					t.Fatal(err)
				}
			},
		}
	}}.Run(t)
}

// serve runs a real registry on a free port of the loopback interface.
func serve(t *testing.T, program, dir string, more ...string) (host string) {
	t.Helper()
	var out string
	for range 5 { // somebody else may take the port meanwhile
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		host = l.Addr().String()
		l.Close()
		config := filepath.Join(dir, "config.yml")
		text := fmt.Sprintf("version: 0.1\nlog: {level: error, accesslog: {disabled: true}}\nstorage: {filesystem: {rootdirectory: %q}, delete: {enabled: true}}\nvalidation: {manifests: {urls: {allow: [vendor.example]}}}\nhttp: {addr: %q}\n", dir, host)
		if err := os.WriteFile(config, []byte(text+strings.Join(more, "\n")), 0o600); err != nil {
			t.Fatal(err)
		}
		var up bool
		answers := func() bool {
			resp, err := http.Get("http://" + host + "/v2/")
			if err == nil {
				resp.Body.Close()
			}
			return err == nil
		}
		if out, up = storetest.Serve(t, answers, program, "serve", config); up {
			return host
		}
	}
	t.Fatalf("%s ended: %s", program, out)
	return ""
}
