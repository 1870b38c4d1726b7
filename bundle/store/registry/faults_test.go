package registry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"airgap/bundle/image"
	"airgap/bundle/store/storetest"
)

// one is a registry with the simplest image.
type one struct {
	*meddler
	f    storetest.Fixture
	host string
	name string // of the image
	g    *image.Graph
}

func startOne(t *testing.T) *one {
	t.Helper()
	f := storetest.NewFixture(t, "single manifest", "one")
	m, host := start(t, f)
	return &one{m, f, host, at(host)(f.Names[0]), f.Graph(t, f.Names[0])}
}

func (o *one) layer() image.Descriptor { return o.g.Layers()[0] }

// open opens the image.
func (o *one) open(t *testing.T, r *Registry) image.Set {
	t.Helper()
	set, err := r.Open(t.Context(), []string{o.name}, image.Platforms{})
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func read(ctx context.Context, set image.Fetcher, d image.Descriptor) ([]byte, error) {
	r, err := set.Fetch(ctx, d)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}

// onBlob hooks the answers for a blob.
func (o *one) onBlob(d image.Digest, h func(w http.ResponseWriter, req *http.Request) bool) {
	o.hook(func(w http.ResponseWriter, req *http.Request) bool {
		return strings.HasSuffix(req.URL.Path, "/blobs/"+d.String()) && h(w, req)
	})
}

func wantKind(t *testing.T, err error, kind Kind) *Error {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) || e.Kind != kind {
		t.Fatalf("error %v, want an Error of kind %d", err, kind)
	}
	return e
}

// cut sends the blob from the offset asked for and breaks off after n bytes.
func (o *one) cut(w http.ResponseWriter, req *http.Request, b []byte, n int) {
	off := 0
	if text, ok := strings.CutPrefix(req.Header.Get("Range"), "bytes="); ok {
		off, _ = strconv.Atoi(strings.TrimSuffix(text, "-"))
		w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", off, len(b)-1, len(b)))
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(b)-off))
	if off > 0 {
		w.WriteHeader(http.StatusPartialContent)
	}
	w.Write(b[off:min(off+n, len(b))])
	if off+n < len(b) {
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}
}

// TestCutBlob cuts a blob off again and again: each time it goes on where it
// stopped, and no byte is sent twice.
func TestCutBlob(t *testing.T) {
	o := startOne(t)
	content := o.f.Images.Bytes(o.layer().Digest)
	piece := len(content)/10 + 1
	o.onBlob(o.layer().Digest, func(w http.ResponseWriter, req *http.Request) bool {
		o.cut(w, req, content, piece)
		return true
	})
	set := o.open(t, open(t, Options{}))
	o.requests()
	got, err := read(t.Context(), set, o.layer())
	if err != nil || !bytes.Equal(got, content) {
		t.Fatalf("%d bytes, error %v", len(got), err)
	}
	var want []string
	for off := 0; off < len(content); off += piece {
		ask := "GET /v2/airgap-test/single/blobs/" + o.layer().Digest.String()
		if off > 0 {
			ask += fmt.Sprintf(" bytes=%d-", off)
		}
		want = append(want, ask)
	}
	if got := o.requests(); !slices.Equal(got, want) {
		t.Errorf("asked for %q, want %q", got, want)
	}
}

// TestCutForGood stops sending for ever.
func TestCutForGood(t *testing.T) {
	o := startOne(t)
	content := o.f.Images.Bytes(o.layer().Digest)
	o.onBlob(o.layer().Digest, func(w http.ResponseWriter, req *http.Request) bool {
		n := 0
		if req.Header.Get("Range") == "" {
			n = 100
		}
		o.cut(w, req, content, n)
		return true
	})
	got, err := read(t.Context(), o.open(t, open(t, Options{})), o.layer())
	e := wantKind(t, err, Unreachable)
	if len(got) != 100 || !strings.Contains(e.Op, "after 100 of") {
		t.Errorf("%d bytes, error %v", len(got), err)
	}
}

// TestCutWithoutRanges meets registries that cannot go on, or go on elsewhere.
func TestCutWithoutRanges(t *testing.T) {
	for what, second := range map[string]func(w http.ResponseWriter, b []byte){
		"starts over": func(w http.ResponseWriter, b []byte) { w.Write(b) },
		"starts over, is cut in what is known and goes on": func() func(w http.ResponseWriter, b []byte) {
			n := 0
			return func(w http.ResponseWriter, b []byte) {
				if n++; n == 1 {
					new(one).cut(w, &http.Request{}, b, 50)
				}
				w.Write(b)
			}
		}(),
		"other range": func(w http.ResponseWriter, b []byte) {
			w.Header().Set("Content-Range", fmt.Sprintf("bytes 0-%d/%d", len(b)-1, len(b)))
			w.WriteHeader(http.StatusPartialContent)
			w.Write(b)
		},
		"other bytes": func(w http.ResponseWriter, b []byte) { w.Write(bytes.Repeat([]byte{7}, len(b))) },
		"gone":        func(w http.ResponseWriter, _ []byte) { w.WriteHeader(http.StatusNotFound) },
	} {
		t.Run(what, func(t *testing.T) {
			o := startOne(t)
			content := o.f.Images.Bytes(o.layer().Digest)
			o.onBlob(o.layer().Digest, func(w http.ResponseWriter, req *http.Request) bool {
				if req.Header.Get("Range") == "" {
					o.cut(w, req, content, 100)
				}
				second(w, content)
				return true
			})
			got, err := read(t.Context(), o.open(t, open(t, Options{})), o.layer())
			var digestErr *image.DigestError
			switch what {
			case "starts over", "starts over, is cut in what is known and goes on":
				if err != nil || !bytes.Equal(got, content) {
					t.Errorf("%d bytes, error %v", len(got), err)
				}
			case "other range":
				wantKind(t, err, Failed)
			case "other bytes":
				if !errors.As(err, &digestErr) {
					t.Errorf("error %v, want a DigestError", err)
				}
			case "gone":
				if !errors.Is(err, image.ErrNotFound) {
					t.Errorf("error %v, want ErrNotFound", err)
				}
			}
		})
	}
}

// TestStall has a registry that stops in the middle without closing.
func TestStall(t *testing.T) {
	o := startOne(t)
	content := o.f.Images.Bytes(o.layer().Digest)
	o.onBlob(o.layer().Digest, func(w http.ResponseWriter, req *http.Request) bool {
		if req.Header.Get("Range") != "" {
			o.cut(w, req, content, len(content))
			return true
		}
		w.Header().Set("Content-Length", strconv.Itoa(len(content)))
		w.Write(content[:100])
		w.(http.Flusher).Flush()
		<-req.Context().Done() // until the client hangs up
		return true
	})
	r := open(t, Options{})
	r.idle = 20 * time.Millisecond
	got, err := read(t.Context(), o.open(t, r), o.layer())
	if err != nil || !bytes.Equal(got, content) {
		t.Errorf("%d bytes, error %v", len(got), err)
	}
}

// TestHang has a registry that takes requests and never answers. Each has cost
// a minute by then, so that none is made often.
func TestHang(t *testing.T) {
	for what, c := range map[string]struct {
		method, in string
		most       int
	}{
		"at the login":              {"GET", "/v2/", 2},
		"at a manifest":             {"GET", "/manifests/", 2},
		"at a blob":                 {"GET", "/blobs/", 2},
		"in the middle of a blob":   {"GET", "/blobs/", 3},
		"at the start of an upload": {"POST", "/blobs/uploads/", 4},
		"at the end of an upload":   {"PUT", "/blobs/uploads/", 2},
	} {
		t.Run(what, func(t *testing.T) {
			o := startOne(t)
			content := o.f.Images.Bytes(o.layer().Digest)
			var asked atomic.Int32
			o.hook(func(w http.ResponseWriter, req *http.Request) bool {
				exactly := c.in == "/v2/" && req.URL.Path != c.in
				if req.Method != c.method || exactly || !strings.Contains(req.URL.Path, c.in) {
					return false
				}
				if asked.Add(1) == 1 && what == "in the middle of a blob" {
					w.Header().Set("Content-Length", strconv.Itoa(len(content)))
					w.Write(content[:100])
					w.(http.Flusher).Flush()
				}
				io.Copy(io.Discard, req.Body)
				<-req.Context().Done() // until the client hangs up
				return true
			})
			r := open(t, Options{Push: true})
			r.idle, r.base.ResponseHeaderTimeout = 20*time.Millisecond, 20*time.Millisecond
			set, err := r.Open(t.Context(), []string{o.name}, image.Platforms{})
			if err == nil && c.method == "GET" {
				_, err = read(t.Context(), set, o.layer())
			}
			if c.method != "GET" {
				err = pushElsewhere(t, r, o)
			}
			wantKind(t, err, Unreachable)
			if got := int(asked.Load()); got != c.most {
				t.Errorf("it was asked %d times, expected %d", got, c.most)
			}
		})
	}
}

// pushElsewhere pushes the image into another repository of the registry.
func pushElsewhere(t *testing.T, r *Registry, o *one) error {
	t.Helper()
	f := storetest.NewFixture(t, "single manifest", "elsewhere")
	g := f.Graph(t, f.Names[0])
	txn, err := r.Begin(t.Context(), image.Import{Graph: g, Names: []string{o.host + "/elsewhere:1"}})
	if err != nil {
		t.Fatal(err)
	}
	r.jobs = 1
	return txn.Write(t.Context(), f.Images, func(int64) {})
}

// TestTrickle has a registry whose answers never end but always go on: each is
// given up, but for a blob, which may take as long as it likes.
func TestTrickle(t *testing.T) {
	trickle := func(w http.ResponseWriter, req *http.Request) bool {
		for req.Context().Err() == nil {
			if _, err := w.Write([]byte(" ")); err != nil {
				break
			}
			w.(http.Flusher).Flush()
			time.Sleep(time.Millisecond)
		}
		return true
	}
	for what, in := range map[string]string{"a manifest": "/manifests/", "a list of referrers": "/referrers/", "a token": "/token"} {
		t.Run(what, func(t *testing.T) {
			o := startOne(t)
			o.hook(func(w http.ResponseWriter, req *http.Request) bool {
				switch {
				case req.URL.Path == "/v2/" && what == "a token":
					w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm="http://%s/token",service="x"`, o.host))
					w.WriteHeader(http.StatusUnauthorized)
					return true
				case strings.Contains(req.URL.Path, in):
					return trickle(w, req)
				}
				return false
			})
			r := open(t, Options{})
			r.patience = 50 * time.Millisecond
			set, err := r.Open(t.Context(), []string{o.name}, image.Platforms{})
			if err == nil {
				_, err = set.(image.Referring).Referrers(t.Context(), o.g)
			}
			if !errors.Is(err, errSlow) {
				t.Errorf("error %v, want errSlow", err)
			}
		})
	}
	t.Run("a blob", func(t *testing.T) {
		o := startOne(t)
		content := o.f.Images.Bytes(o.layer().Digest)
		r := open(t, Options{})
		set := o.open(t, r)
		r.patience = time.Nanosecond
		o.onBlob(o.layer().Digest, func(w http.ResponseWriter, _ *http.Request) bool {
			for i := range content {
				w.Write(content[i : i+1])
				w.(http.Flusher).Flush()
			}
			return true
		})
		if got, err := read(t.Context(), set, o.layer()); err != nil || !bytes.Equal(got, content) {
			t.Errorf("%d bytes, error %v", len(got), err)
		}
	})
}

// TestCancelInBlob cancels while nothing comes.
func TestCancelInBlob(t *testing.T) {
	o := startOne(t)
	ctx, cancel := context.WithCancel(t.Context())
	o.onBlob(o.layer().Digest, func(w http.ResponseWriter, req *http.Request) bool {
		w.Header().Set("Content-Length", strconv.FormatInt(o.layer().Size, 10))
		w.Write([]byte("x"))
		w.(http.Flusher).Flush()
		cancel()
		<-req.Context().Done()
		return true
	})
	if _, err := read(ctx, o.open(t, open(t, Options{})), o.layer()); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want context.Canceled", err)
	}
}
