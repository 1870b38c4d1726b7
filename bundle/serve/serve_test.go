package serve_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/klauspost/compress/zstd"
	"golang.org/x/crypto/bcrypt"
	"golang.org/x/sync/errgroup"

	"airgap/bundle"
	"airgap/bundle/image"
	"airgap/bundle/serve"
	"airgap/bundle/store/registry"
	"airgap/bundle/store/storetest"
	"airgap/verify"
)

// pack packs images into a file, as a bundle or as the plain tar inside it,
// and proves it.
func pack(t *testing.T, images *storetest.Memory, names []string, plain bool) []serve.Image {
	t.Helper()
	return prove(t, write(t, images, names, plain))
}

// write packs images into a file.
func write(t *testing.T, images *storetest.Memory, names []string, plain bool) (path string) {
	t.Helper()
	all := image.Platforms{All: true}
	set, err := images.Open(t.Context(), names, all)
	if err != nil {
		t.Fatal(err)
	}
	plan, err := bundle.NewPlan(t.Context(), []image.Set{set}, all)
	if err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(t.TempDir(), "bundle.tar.zst")
	if _, err := plan.WriteFile(t.Context(), path, bundle.WriteOptions{TempDir: t.TempDir()}); err != nil {
		t.Fatal(err)
	}
	if plain {
		decompress(t, path)
	}
	return path
}

// prove opens a file and proves what it holds.
func prove(t *testing.T, path string) []serve.Image {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	info, err := file.Stat()
	if err != nil {
		t.Fatal(err)
	}
	b, err := bundle.Open(file, info.Size())
	if err != nil {
		t.Fatal(err)
	}
	docs, err := verify.Read(t.Context(), b)
	if err != nil {
		t.Fatal(err)
	}
	verified, _, err := verify.Check(t.Context(), docs, verify.Policy{})
	if err != nil {
		t.Fatal(err)
	}
	var list []serve.Image
	for _, img := range verified.Images() {
		list = append(list, serve.Image{Names: img.Names, Graph: img.Graph, From: verified})
	}
	return list
}

// decompress makes a bundle the plain tar inside it.
func decompress(t *testing.T, path string) {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	dec, err := zstd.NewReader(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer dec.Close()
	if raw, err = dec.DecodeAll(raw, nil); err == nil {
		err = os.WriteFile(path, raw, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// start serves images, with what stands before them.
func start(t *testing.T, images []serve.Image, before func(http.Handler) http.Handler) string {
	t.Helper()
	r, conflicts, err := serve.New(images, serve.Events{Asked: t.Logf})
	if err != nil || len(conflicts) > 0 {
		t.Fatal(err, conflicts)
	}
	var handler http.Handler = r
	if before != nil {
		handler = before(r)
	}
	server := httptest.NewUnstartedServer(handler)
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.Start()
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://")
}

// TestSuite pulls with airgap's own client what the suite of sources demands.
func TestSuite(t *testing.T) {
	for _, plain := range []bool{false, true} {
		t.Run(fmt.Sprintf("plain tar %t", plain), func(t *testing.T) {
			storetest.Sources{New: func(t *testing.T, f storetest.Fixture) storetest.SourcePlace {
				instead := map[string]http.HandlerFunc{}
				host := start(t, pack(t, f.Images, f.Names, plain), func(next http.Handler) http.Handler {
					return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
						if h := instead[req.URL.Path[strings.LastIndexByte(req.URL.Path, '/')+1:]]; h != nil {
							next = h
						}
						next.ServeHTTP(w, req)
					})
				})
				source, err := registry.Open(registry.Options{})
				if err != nil {
					t.Fatal(err)
				}
				at := func(name string) string { return host + "/" + strings.TrimPrefix(name, "docker.io/") }
				return storetest.SourcePlace{
					Source: source, Origin: registry.Origin, Ask: at, Named: at,
					Spoil: func(_ *testing.T, d image.Digest) {
						b := bytes.Clone(f.Images.Bytes(d))
						b[len(b)/2] ^= 1
						instead[d.String()] = func(w http.ResponseWriter, _ *http.Request) { w.Write(b) }
					},
					Lose: func(_ *testing.T, d image.Digest) { instead[d.String()] = http.NotFound },
				}
			}}.Run(t)
		})
	}
}

// get asks, and gives status, body and header.
func get(t *testing.T, host, path string, header ...string) (*http.Response, []byte) {
	t.Helper()
	resp, body, err := try(t, http.MethodGet, host, path, header...)
	if err != nil {
		t.Fatal(err)
	}
	return resp, body
}

func try(t *testing.T, method, host, path string, header ...string) (*http.Response, []byte, error) {
	t.Helper()
	req, err := http.NewRequest(method, "http://"+host+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return resp, body, err
}

// random is content of many frames that does not compress.
func random(n int) string {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{}).Read(b)
	return string(b)
}

// TestRanges compares whole blobs and stretches of them, across the borders of
// frames and blocks, for layers that lie in the file as they are and for those
// that are compressed there.
func TestRanges(t *testing.T) {
	m := storetest.NewMemory()
	const name = "docker.io/airgap-test/ranges:1"
	const size = 9 << 20
	layers := []storetest.Layer{
		m.Layer(storetest.Gzip, storetest.File{Name: "gzip", Content: random(size)}),
		m.Layer(storetest.Raw, storetest.File{Name: "raw", Content: random(size) + strings.Repeat("and again ", 100_000)}),
		m.Layer(storetest.Gzip, storetest.File{Name: "small", Content: "small"}),
	}
	m.Name(name, m.Manifest(storetest.Config{Platform: storetest.Host}, layers...))
	for _, plain := range []bool{false, true} {
		host := start(t, pack(t, m, []string{name}, plain), nil)
		for _, l := range layers {
			path, want := "/v2/airgap-test/ranges/blobs/"+l.Desc.Digest.String(), m.Bytes(l.Desc.Digest)
			if resp, body := get(t, host, path); resp.StatusCode != 200 || !bytes.Equal(body, want) || resp.ContentLength != int64(len(want)) {
				t.Errorf("plain %t, whole blob %s: %s, %d bytes", plain, l.Desc.Digest, resp.Status, len(body))
			}
			borders := []int{0, 1, 9, 128 << 10, 128<<10 + 1, 4<<20 - 1, 4 << 20, 4<<20 + 1, 8 << 20, len(want) - 1, len(want)}
			for _, from := range borders {
				for _, to := range borders {
					if from >= to || to > len(want) {
						continue
					}
					resp, body := get(t, host, path, "Range", fmt.Sprintf("bytes=%d-%d", from, to-1))
					if resp.StatusCode != http.StatusPartialContent || !bytes.Equal(body, want[from:to]) {
						t.Errorf("plain %t, bytes %d to %d: %s, %d bytes", plain, from, to, resp.Status, len(body))
					}
				}
			}
			if resp, body := get(t, host, path, "Range", "bytes=-3"); !bytes.Equal(body, want[len(want)-3:]) {
				t.Errorf("the last bytes: %s, %q", resp.Status, body)
			}
			if resp, _ := get(t, host, path, "Range", fmt.Sprintf("bytes=%d-", len(want))); resp.StatusCode != http.StatusRequestedRangeNotSatisfiable {
				t.Errorf("beyond the end: %s", resp.Status)
			}
		}
	}
}

// TestAPI asks for everything that the specification has for readers.
func TestAPI(t *testing.T) {
	m := storetest.NewMemory()
	root := m.Manifest(storetest.Config{Platform: storetest.Host}, m.Layer(storetest.Gzip, storetest.File{Name: "a", Content: "a"}))
	config := m.PutJSON("application/vnd.example.sbom", map[string]any{})
	belongs := m.PutJSON(types.OCIManifestSchema1, map[string]any{
		"schemaVersion": 2, "mediaType": types.OCIManifestSchema1, "config": config, "layers": []image.Descriptor{},
		"subject": root, "annotations": map[string]string{"about": "it"},
	})
	m.Name("docker.io/library/app:1", root)
	m.Name("docker.io/library/app:2", root)
	m.Name("docker.io/library/app:sbom", belongs)
	m.Name("quay.io/team/blobs/tool:v1", root)
	host := start(t, pack(t, m, m.Names(), false), nil)
	blob, none := config.Digest.String(), image.SHA256([]byte("none")).String()
	for _, c := range []struct {
		method, path string
		status       int
		want         string // in the body
	}{
		{"GET", "/v2/", 200, "{}"},
		{"GET", "/v2", 200, "{}"},
		{"GET", "/", 404, ""},
		{"GET", "/v2x", 404, ""},
		{"GET", "/v2/app", 404, ""},
		{"GET", "/v2/_catalog", 200, `{"repositories":["library/app","team/blobs/tool"]}`},
		{"GET", "/v2/_catalog?n=1", 200, `{"repositories":["library/app"]}`},
		{"GET", "/v2/_catalog?n=1&last=library/app", 200, `{"repositories":["team/blobs/tool"]}`},
		{"GET", "/v2/library/app/tags/list", 200, `{"name":"library/app","tags":["1","2","sbom"]}`},
		{"GET", "/v2/library/app/tags/list?n=2", 200, `"tags":["1","2"]}`},
		{"GET", "/v2/library/app/tags/list?n=0", 200, `"tags":[]}`},
		{"GET", "/v2/library/app/tags/list?last=1x&n=7", 200, `"tags":["2","sbom"]}`},
		{"GET", "/v2/nothing/tags/list", 404, "NAME_UNKNOWN"},
		{"GET", "/v2/app/manifests/1", 200, `"schemaVersion"`},
		{"GET", "/v2/library/app/manifests/" + root.Digest.String(), 200, `"schemaVersion"`},
		{"GET", "/v2/docker.io/library/app/manifests/1", 200, `"schemaVersion"`},
		{"GET", "/v2/team/blobs/tool/manifests/v1", 200, `"schemaVersion"`},
		{"GET", "/v2/team/blobs/tool/manifests/v1?ns=quay.io", 200, `"schemaVersion"`},
		{"GET", "/v2/tool/manifests/v1", 404, "NAME_UNKNOWN"},
		{"GET", "/v2/app/manifests/3", 404, "MANIFEST_UNKNOWN"},
		{"GET", "/v2/app/manifests/" + none, 404, "MANIFEST_UNKNOWN"},
		{"GET", "/v2/app/manifests/" + blob, 404, "MANIFEST_UNKNOWN"},
		{"GET", "/v2/app/manifests/sha256:abc", 404, "MANIFEST_UNKNOWN"},
		{"GET", "/v2/app/blobs/" + blob, 200, "{}"},
		{"GET", "/v2/app/blobs/" + none, 404, "BLOB_UNKNOWN"},
		{"GET", "/v2/app/blobs/sha256:abc", 400, "DIGEST_INVALID"},
		{"GET", "/v2/team/blobs/tool/blobs/" + blob, 404, "BLOB_UNKNOWN"}, // another repository's
		{"GET", "/v2/app/referrers/" + root.Digest.String(), 200, `"artifactType":"application/vnd.example.sbom"`},
		{"GET", "/v2/app/referrers/" + root.Digest.String() + "?artifactType=other", 200, `"manifests":[]`},
		{"GET", "/v2/app/referrers/" + none, 200, `"manifests":[]`},
		{"GET", "/v2/app/referrers/rubbish", 400, "DIGEST_INVALID"},
		{"HEAD", "/v2/app/manifests/1", 200, ""},
		{"HEAD", "/v2/app/blobs/" + blob, 200, ""},
		{"HEAD", "/v2/app/blobs/" + none, 404, ""},
		{"PUT", "/v2/app/manifests/1", 405, "UNSUPPORTED"},
		{"POST", "/v2/app/blobs/uploads/", 405, "UNSUPPORTED"},
		{"DELETE", "/v2/app/manifests/1", 405, "UNSUPPORTED"},
	} {
		resp, body, err := try(t, c.method, host, c.path)
		if err != nil || resp.StatusCode != c.status || !strings.Contains(string(body), c.want) {
			t.Errorf("%s %s: %v, %v\n%s", c.method, c.path, resp.Status, err, body)
		}
		if c.status >= 400 && c.status != 404 && !json.Valid(body) && c.method != "HEAD" {
			t.Errorf("%s %s: the error is not JSON: %s", c.method, c.path, body)
		}
	}
	resp, body := get(t, host, "/v2/app/manifests/1")
	if resp.Header.Get("Docker-Content-Digest") != root.Digest.String() || resp.Header.Get("Content-Type") != string(root.MediaType) || !bytes.Equal(body, m.Bytes(root.Digest)) {
		t.Errorf("a manifest: %v", resp.Header)
	}
	if resp, _ := get(t, host, "/v2/library/app/tags/list?n=2"); resp.Header.Get("Link") != `</v2/library/app/tags/list?last=2&n=2>; rel="next"` {
		t.Errorf("the next page is %q", resp.Header.Get("Link"))
	}
	if resp, _ := get(t, host, "/v2/app/manifests/1", "If-None-Match", `"`+root.Digest.String()+`"`); resp.StatusCode != http.StatusNotModified {
		t.Errorf("a manifest that is known: %s", resp.Status)
	}
}

// TestConflict: two registries have a path in common, but not the image.
func TestConflict(t *testing.T) {
	m := storetest.NewMemory()
	a := m.Manifest(storetest.Config{Platform: storetest.Host, Note: "a"})
	b := m.Manifest(storetest.Config{Platform: storetest.Host, Note: "b"})
	m.Name("ghcr.io/team/app:1", a)
	m.Name("quay.io/team/app:1", b)
	r, conflicts, err := serve.New(pack(t, m, m.Names(), false), serve.Events{})
	if err != nil || !slices.Equal(conflicts, []serve.Conflict{{Name: "team/app:1", Served: a.Digest, Not: b.Digest}}) {
		t.Fatalf("%v, %v", conflicts, err)
	}
	for path, want := range map[string]image.Digest{
		"/v2/team/app/manifests/1":                      a.Digest,
		"/v2/team/app/manifests/1?ns=quay.io":           b.Digest,
		"/v2/quay.io/team/app/manifests/1":              b.Digest,
		"/v2/team/app/manifests/" + b.Digest.String():   b.Digest,
		"/v2/ghcr.io/team/app/manifests/1?ns=docker.io": a.Digest,
	} {
		w := httptest.NewRecorder()
		r.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		if got := w.Header().Get("Docker-Content-Digest"); got != want.String() {
			t.Errorf("%s is %s, expected %s", path, got, want)
		}
	}
}

// TestChanged serves a file that is written to after it was proven: what is sent
// is what was proven, or the answer breaks off and somebody hears of it.
func TestChanged(t *testing.T) {
	const name = "docker.io/airgap-test/changed:1"
	build := func(content string) (*storetest.Memory, storetest.Layer) {
		m := storetest.NewMemory()
		l := m.Layer(storetest.Gzip, storetest.File{Name: "random", Content: content})
		m.Name(name, m.Manifest(storetest.Config{Platform: storetest.Host}, l))
		return m, l
	}
	const size = 9 << 20
	m, layer := build(random(size))
	other, _ := build(random(size + 1)[1:]) // whose frames have the same sizes, and good sums of their own
	for what, change := range map[string]func(t *testing.T, path string, plain bool){
		"truncated": func(t *testing.T, path string, _ bool) { check(t, os.Truncate(path, size/2)) },
		"emptied":   func(t *testing.T, path string, _ bool) { check(t, os.Truncate(path, 0)) },
		"overwritten by another bundle": func(t *testing.T, path string, plain bool) {
			b, err := os.ReadFile(write(t, other, []string{name}, plain))
			check(t, err)
			check(t, os.WriteFile(path, b, 0o600))
		},
		"a bit flipped": func(t *testing.T, path string, _ bool) {
			b, err := os.ReadFile(path)
			check(t, err)
			b[len(b)/2] ^= 1
			check(t, os.WriteFile(path, b, 0o600))
		},
	} {
		for _, plain := range []bool{false, true} {
			path := write(t, m, []string{name}, plain)
			images := prove(t, path)
			var broken []error
			r, _, err := serve.New(images, serve.Events{Broken: func(_ image.Descriptor, err error) { broken = append(broken, err) }})
			check(t, err)
			change(t, path, plain)
			want, at := m.Bytes(layer.Desc.Digest), "/v2/airgap-test/changed/blobs/"+layer.Desc.Digest.String()
			asked := 0
			for _, part := range []string{"", "bytes=1-", fmt.Sprintf("bytes=%d-%d", size/2-10, size/2+10), "bytes=-5"} {
				asked++
				w, req := httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, at, nil)
				from, to := 0, len(want)
				if part != "" {
					req.Header.Set("Range", part)
				}
				aborted := serveOne(r, w, req)
				if n, err := fmt.Sscanf(w.Header().Get("Content-Range"), "bytes %d-%d/", &from, &to); err == nil && n == 2 {
					to++
				}
				got := w.Body.Bytes()
				if !bytes.HasPrefix(want[from:to], got) {
					t.Errorf("%s, plain %t, %q: other bytes than were proven", what, plain, part)
				}
				if whole := len(got) == to-from; whole == aborted {
					t.Errorf("%s, plain %t, %q: %d of %d bytes, aborted %t", what, plain, part, len(got), to-from, aborted)
				}
				if part == "" && !aborted {
					t.Errorf("%s, plain %t: the whole blob was sent", what, plain)
				}
			}
			if len(broken) == 0 || len(broken) > asked {
				t.Errorf("%s, plain %t: told %d times: %v", what, plain, len(broken), broken)
			}
		}
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// serveOne says whether an answer was broken off.
func serveOne(h http.Handler, w http.ResponseWriter, req *http.Request) (aborted bool) {
	defer func() {
		if err := recover(); err != nil {
			aborted = err == http.ErrAbortHandler
		}
	}()
	h.ServeHTTP(w, req)
	return false
}

// held is content that is given out one blob at a time, and counts.
type held struct {
	serve.Content
	open, most *atomic.Int64
	release    chan struct{}
}

func (c held) Section(d image.Descriptor, off int64) (io.ReadCloser, error) {
	for now, most := c.open.Add(1), c.most.Load(); now > most && !c.most.CompareAndSwap(most, now); most = c.most.Load() {
	}
	<-c.release
	r, err := c.Content.Section(d, off)
	return onClose{r, func() { c.open.Add(-1) }}, err
}

type onClose struct {
	io.ReadCloser
	do func()
}

func (c onClose) Close() error { c.do(); return c.ReadCloser.Close() }

// TestManyClients: a hundred clients get what they ask for, and few at once.
func TestManyClients(t *testing.T) {
	f := storetest.NewFixture(t, "single manifest", "many")
	images := pack(t, f.Images, f.Names, false)
	c := held{images[0].From, new(atomic.Int64), new(atomic.Int64), make(chan struct{})}
	images[0].From = c
	host := start(t, images, nil)
	path := "/v2/airgap-test/single/blobs/" + images[0].Graph.Layers()[0].Digest.String()
	const clients = 100
	var group errgroup.Group
	for range clients {
		group.Go(func() error {
			resp, err := http.Get("http://" + host + path)
			if err == nil {
				_, err = io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
			}
			return err
		})
	}
	for range clients {
		c.release <- struct{}{}
		if resp, _, err := try(t, http.MethodHead, host, path); err != nil || resp.StatusCode != http.StatusOK {
			t.Errorf("HEAD waits for others: %v", err)
		}
	}
	if err := group.Wait(); err != nil {
		t.Error(err)
	}
	if n := c.most.Load(); n < 2 || n > serve.MaxSending {
		t.Errorf("%d blobs were sent at once", n)
	}
}

// slowly is a client that takes what it is sent, part by part.
type slowly struct {
	*httptest.ResponseRecorder
	parts    int
	deadline time.Time
}

func (s *slowly) SetWriteDeadline(t time.Time) error { s.deadline = t; return nil }

func (s *slowly) Write(b []byte) (int, error) {
	if s.parts++; !s.deadline.IsZero() {
		return 0, os.ErrDeadlineExceeded
	}
	return s.ResponseRecorder.Write(b)
}

// TestStall: a client has time for each part of a blob, however long the whole
// takes.
func TestStall(t *testing.T) {
	m := storetest.NewMemory()
	const name = "docker.io/airgap-test/stall:1"
	l := m.Layer(storetest.Gzip, storetest.File{Name: "random", Content: random(5 << 20)})
	m.Name(name, m.Manifest(storetest.Config{Platform: storetest.Host}, l))
	r, _, err := serve.New(pack(t, m, []string{name}, false), serve.Events{})
	check(t, err)
	w := &slowly{ResponseRecorder: httptest.NewRecorder(), deadline: time.Unix(1, 0)} // the server's has passed
	r.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/v2/airgap-test/stall/blobs/"+l.Desc.Digest.String(), nil))
	if w.Body.Len() != int(l.Desc.Size) || w.parts < 20 {
		t.Errorf("%d of %d bytes in %d parts", w.Body.Len(), l.Desc.Size, w.parts)
	}
}

// TestSilentClient: a client that takes nothing more is given up.
func TestSilentClient(t *testing.T) {
	m := storetest.NewMemory()
	const name = "docker.io/airgap-test/silent:1"
	l := m.Layer(storetest.Raw, storetest.File{Name: "large", Content: random(32 << 20)}) // more than any socket's buffer
	m.Name(name, m.Manifest(storetest.Config{Platform: storetest.Host}, l))
	r, _, err := serve.New(pack(t, m, []string{name}, false), serve.Events{})
	check(t, err)
	r.Impatient(10 * time.Millisecond)
	ended := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		defer close(ended)
		r.ServeHTTP(w, req)
	}))
	defer server.Close()
	resp, err := http.Get(server.URL + "/v2/airgap-test/silent/blobs/" + l.Desc.Digest.String())
	<-ended
	if err != nil {
		return // it was given up before its first byte: this machine is slow
	}
	defer resp.Body.Close()
	if n, err := io.Copy(io.Discard, resp.Body); err == nil {
		t.Errorf("it was sent %d of %d bytes", n, l.Desc.Size)
	}
}

// TestProtect lets in who knows the password.
func TestProtect(t *testing.T) {
	hash, err := bcrypt.GenerateFromPassword([]byte("open"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	inside := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "inside") })
	users, err := serve.ReadUsers(strings.NewReader("# people\n\nsomebody:" + string(hash) + "\n"))
	if err != nil {
		t.Fatal(err)
	}
	handler := users.Protect(inside)
	for _, c := range []struct {
		user, password string
		status         int
	}{
		{"somebody", "open", 200}, {"somebody", "open", 200}, {"somebody", "shut", 401}, {"nobody", "open", 401}, {"", "", 401},
	} {
		w, req := httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/v2/", nil)
		if c.user != "" {
			req.SetBasicAuth(c.user, c.password)
		}
		handler.ServeHTTP(w, req)
		if w.Code != c.status || (w.Body.String() == "inside") != (c.status == 200) {
			t.Errorf("%s:%s gets %d, %s", c.user, c.password, w.Code, w.Body)
		}
	}
	for _, file := range []string{"", "somebody", "somebody:open", "somebody:$apr1$abc$def", ":" + string(hash)} {
		if _, err := serve.ReadUsers(strings.NewReader(file)); err == nil {
			t.Errorf("%q was accepted", file)
		}
	}
}
