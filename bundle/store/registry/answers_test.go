package registry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"airgap/bundle/image"
	"airgap/bundle/store/storetest"

	"github.com/google/go-containerregistry/pkg/v1/types"
)

// failing answers the first n requests for manifests with a status.
func (o *one) failing(n int, status int, header http.Header) {
	var count atomic.Int64
	o.hook(func(w http.ResponseWriter, req *http.Request) bool {
		if !strings.Contains(req.URL.Path, "/manifests/") || count.Add(1) > int64(n) {
			return false
		}
		for key, values := range header {
			w.Header()[key] = values
		}
		http.Error(w, `{"errors":[{"code":"TOOMANYREQUESTS","message":"slow down"}]}`, status)
		return true
	})
}

// pauses makes a Registry note how long it would wait.
func pauses(r *Registry) *[]time.Duration {
	var list []time.Duration
	r.pause = func(ctx context.Context, d time.Duration) error {
		list = append(list, d)
		return context.Cause(ctx)
	}
	return &list
}

func TestRetryAfter(t *testing.T) {
	date := "Mon, 23 Nov 2026 16:29:33 GMT"
	for what, c := range map[string]struct {
		header http.Header
		least  time.Duration
	}{
		"seconds": {http.Header{"Retry-After": {"7"}}, 7 * time.Second},
		"date":    {http.Header{"Retry-After": {"Mon, 23 Nov 2026 16:29:44 GMT"}, "Date": {date}}, 11 * time.Second},
		"past":    {http.Header{"Retry-After": {"Mon, 23 Nov 2026 16:29:00 GMT"}, "Date": {date}}, firstGap},
		"nothing": {nil, firstGap},
		"garbage": {http.Header{"Retry-After": {"soon"}}, firstGap},
	} {
		t.Run(what, func(t *testing.T) {
			o := startOne(t)
			o.failing(2, http.StatusTooManyRequests, c.header)
			var notes []string
			r := open(t, Options{Note: func(format string, args ...any) { notes = append(notes, fmt.Sprintf(format, args...)) }})
			waited := pauses(r)
			o.open(t, r)
			if len(*waited) != 2 || (*waited)[0] < c.least || (*waited)[0] > c.least+time.Second {
				t.Errorf("waited %v, want two pauses of at least %v", *waited, c.least)
			}
			if told := len(notes) > 0; told != (c.least >= noteGap) {
				t.Errorf("notes %q", notes)
			}
		})
	}
}

func TestLimitedForGood(t *testing.T) {
	o := startOne(t)
	o.failing(1000, http.StatusTooManyRequests, nil)
	r := open(t, Options{})
	waited := pauses(r)
	_, err := r.Open(t.Context(), []string{o.name}, image.Platforms{})
	if e := wantKind(t, err, Limited); !strings.Contains(e.Error(), "slow down") || e.Host != o.host {
		t.Errorf("error %v", err)
	}
	if len(*waited) != maxTries-1 || !slices.IsSorted(*waited) {
		t.Errorf("waited %v", *waited)
	}
}

// TestLimitedTooLong does not sit out an hour.
func TestLimitedTooLong(t *testing.T) {
	o := startOne(t)
	o.failing(1000, http.StatusTooManyRequests, http.Header{"Retry-After": {"3600"}})
	r := open(t, Options{})
	waited := pauses(r)
	_, err := r.Open(t.Context(), []string{o.name}, image.Platforms{})
	wantKind(t, err, Limited)
	if len(*waited) != 0 {
		t.Errorf("waited %v", *waited)
	}
}

func TestServerErrors(t *testing.T) {
	for _, status := range []int{http.StatusInternalServerError, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout} {
		o := startOne(t)
		o.failing(3, status, nil)
		o.open(t, open(t, Options{}))

		o.failing(1000, status, nil)
		_, err := open(t, Options{}).Open(t.Context(), []string{o.name}, image.Platforms{})
		wantKind(t, err, Failed)
	}
}

// TestBrokenConnection closes connections before answering.
func TestBrokenConnection(t *testing.T) {
	o := startOne(t)
	var count atomic.Int64
	o.hook(func(http.ResponseWriter, *http.Request) bool {
		if count.Add(1)%2 == 1 {
			panic(http.ErrAbortHandler)
		}
		return false
	})
	set := o.open(t, open(t, Options{}))
	if _, err := read(t.Context(), set, o.layer()); err != nil {
		t.Error(err)
	}
}

func TestDown(t *testing.T) {
	o := startOne(t)
	r := open(t, Options{})
	server := httptest.NewServer(nil)
	host := strings.TrimPrefix(server.URL, "http://")
	server.Close()
	_, err := r.Open(t.Context(), []string{o.name, host + "/x:1"}, image.Platforms{})
	if e := wantKind(t, err, Unreachable); e.Host != host {
		t.Errorf("error %v does not name %s", err, host)
	}
}

// TestLyingManifests has a registry that sends other documents than asked for.
func TestLyingManifests(t *testing.T) {
	o := startOne(t)
	var header http.Header
	raw := bytes.Clone(o.f.Images.Bytes(o.g.Root.Desc.Digest))
	o.hook(func(w http.ResponseWriter, req *http.Request) bool {
		if !strings.Contains(req.URL.Path, "/manifests/") {
			return false
		}
		for key, values := range header {
			w.Header()[key] = values
		}
		w.Write(raw)
		return true
	})
	r := open(t, Options{})
	var digestErr *image.DigestError
	byDigest := strings.TrimSuffix(o.name, ":one") + "@" + o.g.Root.Desc.Digest.String()

	raw = append(raw, ' ')
	if _, err := r.Open(t.Context(), []string{byDigest}, image.Platforms{}); !errors.As(err, &digestErr) {
		t.Errorf("by digest: error %v, want a DigestError", err)
	}
	header = http.Header{"Docker-Content-Digest": {o.g.Root.Desc.Digest.String()}}
	if _, err := r.Open(t.Context(), []string{o.name}, image.Platforms{}); !errors.As(err, &digestErr) {
		t.Errorf("header and bytes disagree: error %v, want a DigestError", err)
	}
	header, raw = nil, bytes.Repeat([]byte(" "), image.MaxDocument+1)
	if _, err := r.Open(t.Context(), []string{o.name}, image.Platforms{}); err == nil || errors.As(err, &digestErr) {
		t.Errorf("endless manifest: error %v", err)
	}
	raw = []byte(`{"schemaVersion":1,"fsLayers":[]}`)
	header = http.Header{"Content-Type": {string(types.DockerManifestSchema1Signed)}, "Docker-Content-Digest": {o.g.Root.Desc.Digest.String()}}
	all := image.Platforms{All: true}
	set := o.open(t, r)
	if _, err := image.Read(t.Context(), set, set.Roots()[0], all.Select); err == nil || !strings.Contains(err.Error(), "schema 1") {
		t.Errorf("schema 1: error %v", err)
	}
}

// TestMediaTypes learns what a document is from itself first.
func TestMediaTypes(t *testing.T) {
	for _, c := range []struct {
		header, raw string
		want        types.MediaType
	}{
		{"application/vnd.oci.image.index.v1+json", `{"mediaType":"application/vnd.docker.distribution.manifest.v2+json"}`, types.DockerManifestSchema2},
		{"application/vnd.oci.image.index.v1+json; charset=utf-8", `{"manifests":[]}`, types.OCIImageIndex},
		{"application/vnd.docker.distribution.manifest.list.v2+json", `{"manifests":[]}`, types.DockerManifestList},
		{"text/plain", `{"manifests":[]}`, types.OCIImageIndex},
		{"", `{"config":{}}`, types.OCIManifestSchema1},
	} {
		if got := mediaType(http.Header{"Content-Type": {c.header}}, []byte(c.raw)); got != c.want {
			t.Errorf("%s as %q is %s, want %s", c.raw, c.header, got, c.want)
		}
	}
}

func TestByDigest(t *testing.T) {
	o := startOne(t)
	name := strings.TrimSuffix(o.name, ":one") + "@" + o.g.Root.Desc.Digest.String()
	set, err := open(t, Options{}).Open(t.Context(), []string{"docker://" + name, "docker://" + o.name}, image.Platforms{})
	if err != nil {
		t.Fatal(err)
	}
	roots := set.Roots()
	if roots[0].Name != name || roots[1].Name != o.name || roots[0].Desc.Digest != o.g.Root.Desc.Digest {
		t.Errorf("roots %+v", roots)
	}
}

// TestRequests counts what is asked for: nothing twice, nothing besides.
func TestRequests(t *testing.T) {
	o := startOne(t)
	set := o.open(t, open(t, Options{}))
	all := image.Platforms{All: true}
	g, err := image.Read(t.Context(), set, set.Roots()[0], all.Select)
	if err != nil {
		t.Fatal(err)
	}
	base := "GET /v2/airgap-test/single/"
	want := []string{"GET /v2/", base + "manifests/one", base + "blobs/" + g.Manifests[0].Config.Digest.String()}
	for _, l := range g.Layers() {
		if _, err := read(t.Context(), set, l); err != nil {
			t.Error(err)
		}
		want = append(want, base+"blobs/"+l.Digest.String())
	}
	if got := o.requests(); !slices.Equal(got, want) {
		t.Errorf("asked for %q, want %q", got, want)
	}
}

// TestOtherRepository has a blob only where nobody would look first.
func TestOtherRepository(t *testing.T) {
	f := storetest.NewFixture(t, "shared layers", "other")
	m, host := start(t, f)
	shared := f.Graph(t, f.Names[0]).Layers()[0]
	m.hook(func(w http.ResponseWriter, req *http.Request) bool {
		gone := strings.HasSuffix(req.URL.Path, "shared-b/blobs/"+shared.Digest.String())
		if gone {
			w.WriteHeader(http.StatusNotFound)
		}
		return gone
	})
	set, err := open(t, Options{}).Open(t.Context(), []string{at(host)(f.Names[0]), at(host)(f.Names[1])}, image.Platforms{})
	if err != nil {
		t.Fatal(err)
	}
	m.requests()
	if b, err := read(t.Context(), set, shared); err != nil || !bytes.Equal(b, f.Images.Bytes(shared.Digest)) {
		t.Errorf("%d bytes, error %v", len(b), err)
	}
	if got := m.requests(); len(got) != 2 {
		t.Errorf("asked for %q", got)
	}
	// A layer of the second image is asked for in its own repository at once.
	own := f.Graph(t, f.Names[1]).Layers()[1]
	if _, err := read(t.Context(), set, own); err != nil {
		t.Error(err)
	}
	if got := m.requests(); len(got) != 1 || !strings.Contains(got[0], "shared-a") {
		t.Errorf("asked for %q", got)
	}
}

// TestChildrenOfAnIndex are asked for where the index is, and so are theirs.
func TestChildrenOfAnIndex(t *testing.T) {
	first, second := storetest.NewFixture(t, "single manifest", "first"), storetest.NewFixture(t, "index with attestations", "second")
	m, host := start(t, second)
	server := httptest.NewServer(m.next)
	defer server.Close()
	push(t, server.Client(), server.URL, first)
	set, err := open(t, Options{}).Open(t.Context(), []string{at(host)(first.Names[0]), at(host)(second.Names[0])}, image.Platforms{})
	if err != nil {
		t.Fatal(err)
	}
	m.requests()
	all := image.Platforms{All: true}
	g, err := image.Read(t.Context(), set, set.Roots()[1], all.Select)
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range g.Layers() {
		if _, err := read(t.Context(), set, l); err != nil {
			t.Error(err)
		}
	}
	for _, request := range m.requests() {
		if !strings.Contains(request, "/airgap-test/index/") {
			t.Errorf("asked for %q", request)
		}
	}
}
