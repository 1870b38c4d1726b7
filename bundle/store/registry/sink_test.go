package registry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os/exec"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"airgap/bundle/image"
	"airgap/bundle/store/storetest"
)

// elsewhere gives images the names that they have in a registry under test.
type elsewhere struct {
	image.Sink
	host string
}

func (e elsewhere) Begin(ctx context.Context, img image.Import) (image.Txn, error) {
	given := img.Names
	img.Names = nil
	for _, name := range given {
		img.Names = append(img.Names, at(e.host)(name))
	}
	txn, err := e.Sink.Begin(ctx, img)
	if err != nil {
		return nil, err
	}
	return renamed{txn, given}, nil
}

// renamed speaks of names as they were given.
type renamed struct {
	image.Txn
	names []string
}

func (r renamed) State() image.State {
	s := r.Txn.State()
	s.Tags = r.back(s.Tags)
	return s
}

func (r renamed) Commit(ctx context.Context) ([]image.Tag, error) {
	tags, err := r.Txn.Commit(ctx)
	return r.back(tags), err
}

func (r renamed) back(tags []image.Tag) []image.Tag {
	tags = slices.Clone(tags)
	for i := range tags {
		tags[i].Name = r.names[i]
	}
	return tags
}

// held asks a registry, without the code under test.
func held(t *testing.T, host, path string) (status int, body []byte) {
	t.Helper()
	req, err := http.NewRequest(http.MethodGet, "http://"+host+"/v2/"+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept", accepted)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err = io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, body
}

func remove(t *testing.T, url string) {
	t.Helper()
	req, err := http.NewRequest(http.MethodDelete, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusAccepted {
		t.Fatalf("removing %s: %s", url, resp.Status)
	}
}

// sinkSuite runs the suite of destinations on a registry that is empty each time.
func sinkSuite(t *testing.T, serve func(t *testing.T) (host string)) {
	storetest.Sinks{Salt: "push", New: func(t *testing.T) storetest.SinkPlace {
		host := serve(t)
		return storetest.SinkPlace{
			Sink: elsewhere{open(t, Options{Push: true}), host}, Named: true,
			Find: func(t *testing.T, name string) image.Digest {
				repo, tag := split(name)
				status, body := held(t, host, repo+"/manifests/"+tag)
				if status == http.StatusNotFound {
					return image.Digest{}
				}
				return image.SHA256(body)
			},
			Check: func(t *testing.T, f storetest.Fixture, g *image.Graph) {
				repo, _ := split(g.Root.Name)
				for _, d := range append(g.Documents(), g.Layers()...) {
					kind := "blobs"
					if isManifest(d.MediaType) {
						kind = "manifests"
					}
					if _, body := held(t, host, fmt.Sprintf("%s/%s/%s", repo, kind, d.Digest)); !bytes.Equal(body, f.Images.Bytes(d.Digest)) {
						t.Errorf("the registry's %s %s has other bytes", kind, d.Digest)
					}
				}
			},
			// What has no tag is the registry's own to collect.
			Left: func(*testing.T, *image.Graph) []string { return nil },
			Remove: func(t *testing.T, g *image.Graph) {
				repo, _ := split(g.Root.Name)
				remove(t, "http://"+host+"/v2/"+repo+"/manifests/"+g.Root.Desc.Digest.String())
			},
			Point: func(t *testing.T, name string, g *image.Graph) {
				repo, tag := split(name)
				root := g.Root.Desc
				put(t, http.DefaultClient, "http://"+host+"/v2/"+repo+"/manifests/"+tag, string(root.MediaType), g.Document(root.Digest))
			},
		}
	}}.Run(t)
}

func TestSinkInMemory(t *testing.T) {
	sinkSuite(t, func(t *testing.T) string {
		_, host := start(t, storetest.Fixture{})
		return host
	})
}

func TestSinkDockerRegistry(t *testing.T) {
	program, err := exec.LookPath("docker-registry")
	storetest.Require(t, "docker-registry", err == nil, fmt.Sprint(err))
	sinkSuite(t, func(t *testing.T) string {
		return serve(t, program, t.TempDir())
	})
}

// pushing begins a push of a fixture's first image under all its names.
func pushing(t *testing.T, host string, f storetest.Fixture, g *image.Graph) image.Txn {
	t.Helper()
	var names []string
	for _, name := range f.Names {
		names = append(names, at(host)(name))
	}
	txn, err := open(t, Options{Push: true}).Begin(t.Context(), image.Import{Graph: g, Names: names})
	if err != nil {
		t.Fatal(err)
	}
	return txn
}

// TestMount sends each blob once, and has it mounted where else it is needed.
func TestMount(t *testing.T) {
	program, err := exec.LookPath("docker-registry")
	storetest.Require(t, "docker-registry", err == nil, fmt.Sprint(err))
	f := storetest.NewFixture(t, "one image under two names", "mount")
	g := f.Graph(t, f.Names[0])
	m := newMeddler()
	to, err := url.Parse("http://" + serve(t, program, t.TempDir()))
	if err != nil {
		t.Fatal(err)
	}
	m.next = httputil.NewSingleHostReverseProxy(to)
	server := httptest.NewServer(m)
	t.Cleanup(server.Close)
	txn := pushing(t, strings.TrimPrefix(server.URL, "http://"), f, g)
	if err := txn.Write(t.Context(), f.Images, func(int64) {}); err != nil {
		t.Fatal(err)
	}
	uploads := 0
	for _, line := range m.requests() {
		if strings.HasPrefix(line, "PUT ") && strings.Contains(line, "/blobs/uploads/") {
			uploads++
		}
	}
	if want := len(g.Layers()) + 1; uploads != want { // and the config
		t.Errorf("%d uploads for two repositories, want %d", uploads, want)
	}
}

// TestSparseIndex: a registry that wants all platforms says so, and the error
// tells which there are.
func TestSparseIndex(t *testing.T) {
	program, err := exec.LookPath("docker-registry")
	storetest.Require(t, "docker-registry", err == nil, fmt.Sprint(err))
	f := storetest.NewFixture(t, "index with attestations", "sparse")
	name := f.Names[0]
	whole := f.Graph(t, name)
	one := image.Platforms{List: []image.Platform{storetest.Host}}
	g, err := image.Read(t.Context(), f.Images, whole.Root, one.Select)
	if err != nil {
		t.Fatal(err)
	}
	host := serve(t, program, t.TempDir())
	txn := pushing(t, host, f, g)
	var sparse *SparseError
	if err := txn.Write(t.Context(), f.Images, func(int64) {}); !errors.As(err, &sparse) || len(sparse.Have) != 1 {
		t.Errorf("error %v", err)
	}
	if err := txn.Abort(t.Context()); err != nil {
		t.Error(err)
	}
	repo, tag := split(name)
	if status, _ := held(t, host, repo+"/manifests/"+tag); status != http.StatusNotFound {
		t.Errorf("the tag after Abort: %d", status)
	}
}

// TestAddresses: a registry may refuse layers that their vendor offers too;
// docker-registry's own words for it help nobody.
func TestAddresses(t *testing.T) {
	f := storetest.NewFixture(t, "Windows beside Linux", "addresses")
	m, host := start(t, storetest.Fixture{})
	m.hook(func(w http.ResponseWriter, req *http.Request) bool {
		body, _ := io.ReadAll(req.Body)
		req.Body = io.NopCloser(bytes.NewReader(body))
		if !bytes.Contains(body, []byte("vendor.example")) {
			return false
		}
		w.WriteHeader(http.StatusBadRequest)
		return true
	})
	err := pushing(t, host, f, f.Graph(t, f.Names[0])).Write(t.Context(), f.Images, func(int64) {})
	if err == nil || !strings.Contains(err.Error(), "validation.manifests.urls.allow") {
		t.Errorf("error %v", err)
	}
}

// TestPushFaults: what passes is tried again, what does not is an error.
func TestPushFaults(t *testing.T) {
	isUpload := func(req *http.Request) bool {
		return req.Method == http.MethodPut && strings.Contains(req.URL.Path, "/blobs/uploads/")
	}
	times := func(n int, do http.HandlerFunc, of func(*http.Request) bool) func(http.ResponseWriter, *http.Request) bool {
		var left atomic.Int32
		left.Store(int32(n))
		return func(w http.ResponseWriter, req *http.Request) bool {
			if !of(req) || left.Add(-1) < 0 {
				return false
			}
			do(w, req)
			return true
		}
	}
	status := func(code int) http.HandlerFunc {
		return func(w http.ResponseWriter, req *http.Request) {
			io.Copy(io.Discard, req.Body)
			w.WriteHeader(code)
		}
	}
	cut := func(w http.ResponseWriter, req *http.Request) {
		io.CopyN(io.Discard, req.Body, 10)
		panic(http.ErrAbortHandler)
	}
	for name, c := range map[string]struct {
		hook func(http.ResponseWriter, *http.Request) bool
		kind Kind // of the error; -1 for none
	}{
		"connection cut once":   {times(1, cut, isUpload), -1},
		"connection always cut": {times(1000, cut, isUpload), Unreachable},
		"busy for a while":      {times(2, status(503), func(r *http.Request) bool { return r.Method == http.MethodPost }), -1},
		"manifest refused a while": {times(2, status(500), func(r *http.Request) bool {
			return r.Method == http.MethodPut && strings.Contains(r.URL.Path, "/manifests/")
		}), -1},
		"not allowed":      {times(1000, status(403), func(r *http.Request) bool { return r.Method == http.MethodPost }), Unauthorized},
		"disk is full":     {times(1000, status(507), isUpload), Failed},
		"does not keep it": {times(1000, status(201), isUpload), Failed},
		"no location":      {times(1000, status(202), func(r *http.Request) bool { return r.Method == http.MethodPost }), Failed},
	} {
		t.Run(name, func(t *testing.T) {
			f := storetest.NewFixture(t, "raw layers", "faults")
			m, host := start(t, storetest.Fixture{})
			m.hook(c.hook)
			g := f.Graph(t, f.Names[0])
			txn := pushing(t, host, f, g)
			var settled atomic.Int64
			err := txn.Write(t.Context(), f.Images, func(n int64) { settled.Add(n) })
			var failed *Error
			switch {
			case c.kind < 0 && (err != nil || settled.Load() != txn.State().Size):
				t.Errorf("error %v, %d of %d bytes settled", err, settled.Load(), txn.State().Size)
			case c.kind >= 0 && (!errors.As(err, &failed) || failed.Kind != c.kind):
				t.Errorf("error %v", err)
			}
		})
	}
}

// TestAbortLeavesOthers: a registry that deletes a manifest deletes all its
// tags, and those of an index that has it are broken.
func TestAbortLeavesOthers(t *testing.T) {
	program, err := exec.LookPath("docker-registry")
	storetest.Require(t, "docker-registry", err == nil, fmt.Sprint(err))
	f := storetest.NewFixture(t, "single manifest", "others")
	g := f.Graph(t, f.Names[0])
	host := serve(t, program, t.TempDir())
	txn := pushing(t, host, f, g)
	if err := txn.Write(t.Context(), f.Images, func(int64) {}); err != nil {
		t.Fatal(err)
	}
	repo, tag := split(f.Names[0])
	root := g.Root.Desc
	put(t, http.DefaultClient, "http://"+host+"/v2/"+repo+"/manifests/theirs", string(root.MediaType), f.Images.Bytes(root.Digest))
	if err := txn.Abort(t.Context()); err != nil {
		t.Fatal(err)
	}
	for id, want := range map[string]int{"theirs": http.StatusOK, tag: http.StatusNotFound} {
		if status, _ := held(t, host, repo+"/manifests/"+id); status != want {
			t.Errorf("manifest %s after Abort: %d, want %d", id, status, want)
		}
	}
}
