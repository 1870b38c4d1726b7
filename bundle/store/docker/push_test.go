package docker_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"airgap/bundle/image"
	"airgap/bundle/image/dockertar"
	"airgap/bundle/store/docker"
	"airgap/bundle/store/storetest"
)

// pushing is an engine with containerd's store that pushes an image as it is
// told to, and can export it.
type pushing struct {
	*fake
	f        storetest.Fixture
	g        *image.Graph
	exported bool
}

func newPushing(t *testing.T) (*pushing, *docker.Engine) {
	t.Helper()
	f := storetest.NewFixture(t, "index with attestations", "push")
	p := &pushing{fake: &fake{store: "io.containerd.snapshotter.v1"}, f: f, g: f.Graph(t, f.Names[0])}
	m, _ := storetest.Chosen(p.g, storetest.Host)
	says := map[string]any{"Id": p.g.Root.Desc.Digest.String(), "RepoTags": f.Names, "Os": storetest.Host.OS, "Architecture": storetest.Host.Architecture}
	p.held = map[string]any{f.Names[0]: says, p.g.Root.Desc.Digest.String(): says}
	p.save = func(w http.ResponseWriter) {
		p.exported = true
		c := dockertar.Content{Dialect: dockertar.OCI, Graph: p.g, Manifest: m}
		if err := dockertar.Write(context.Background(), w, c, f.Images); err != nil {
			t.Error(err)
		}
	}
	l, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(p.fake)
	server.Listener.Close()
	server.Listener = l
	server.Start()
	t.Cleanup(server.Close)
	e, err := docker.Open(t.Context(), docker.Options{Host: "unix://" + l.Addr().String()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	return p, e
}

// all pushes everything as an engine does; change may change what is sent.
func (p *pushing) all(repository, tag string, change func(d image.Descriptor, b []byte) []byte) error {
	send := func(method, url, mediaType string, body []byte, want int) error {
		req, err := http.NewRequest(method, url, bytes.NewReader(body))
		if err != nil {
			return err
		}
		req.Header.Set("Content-Type", mediaType)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if resp.StatusCode != want {
			text, _ := io.ReadAll(resp.Body)
			return fmt.Errorf("%s: %s: %s", method, resp.Status, text)
		}
		return nil
	}
	docs := p.g.Documents()
	slices.Reverse(docs)
	for _, d := range append(p.g.Layers(), docs...) {
		b := change(d, p.f.Images.Bytes(d.Digest))
		switch isManifest := d.MediaType.IsImage() || d.MediaType.IsIndex(); {
		case isManifest && d.Digest == p.g.Root.Desc.Digest:
			if err := send(http.MethodPut, repository+"/manifests/"+tag, string(d.MediaType), b, http.StatusCreated); err != nil {
				return err
			}
		case isManifest:
			if err := send(http.MethodPut, repository+"/manifests/"+d.Digest.String(), string(d.MediaType), b, http.StatusCreated); err != nil {
				return err
			}
		default:
			at := repository + "/blobs/" + d.Digest.String()
			if send(http.MethodHead, at, "", nil, http.StatusOK) == nil {
				continue // a config is listed with the documents and the layers
			}
			err := errors.Join(send(http.MethodPost, repository+"/blobs/uploads/", "", nil, http.StatusAccepted),
				send(http.MethodPut, repository+"/blobs/uploads/it?digest="+d.Digest.String(), "", b, http.StatusCreated),
				send(http.MethodHead, at, "", nil, http.StatusOK))
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// TestPush takes an image that the engine pushes, or exports where a push does
// not do; the name that it had for that is gone afterwards.
func TestPush(t *testing.T) {
	same := func(_ image.Descriptor, b []byte) []byte { return b }
	for name, c := range map[string]struct {
		push   func(p *pushing, repository, tag string) error
		export bool
	}{
		"honest":       {func(p *pushing, repository, tag string) error { return p.all(repository, tag, same) }, false},
		"out of reach": {func(*pushing, string, string) error { return errors.New("dial tcp: network is unreachable") }, true},
		"gives up": {func(p *pushing, repository, tag string) error {
			err := p.all(repository, tag, func(d image.Descriptor, b []byte) []byte {
				if d.Digest == p.g.Root.Desc.Digest {
					return nil
				}
				return b
			})
			return errors.Join(err, errors.New("content digest not found"))
		}, true},
		"another root": {func(p *pushing, repository, tag string) error {
			return p.all(repository, tag, func(d image.Descriptor, b []byte) []byte {
				if d.Digest == p.g.Root.Desc.Digest {
					return append(b, ' ')
				}
				return b
			})
		}, true},
		"wrong bytes": {func(p *pushing, repository, tag string) error {
			return p.all(repository, tag, func(d image.Descriptor, b []byte) []byte {
				if d.Digest == p.g.Layers()[0].Digest {
					b = bytes.Clone(b)
					b[len(b)/2] ^= 1
				}
				return b
			})
		}, true},
		"breaks off within a blob": {func(p *pushing, repository, _ string) error {
			conn, err := net.Dial("tcp", strings.Split(repository, "/")[2])
			if err != nil {
				return err
			}
			d := p.g.Layers()[0]
			path := repository[strings.Index(repository, "/v2/"):] + "/blobs/uploads/it?digest=" + d.Digest.String()
			fmt.Fprintf(conn, "PUT %s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", path, d.Size, p.f.Images.Bytes(d.Digest)[:10])
			return errors.Join(conn.(*net.TCPConn).CloseWrite(), waitClosed(conn), errors.New("content digest not found"))
		}, true},
		"says it did": {func(*pushing, string, string) error { return nil }, true},
	} {
		t.Run(name, func(t *testing.T) {
			p, e := newPushing(t)
			p.push = func(repository, tag string) error { return c.push(p, repository, tag) }
			set, err := e.Open(t.Context(), p.f.Names, image.Platforms{})
			if err != nil {
				t.Fatal(err)
			}
			var mu sync.Mutex
			got := map[image.Digest]bool{}
			err = set.(image.Streamer).Stream(t.Context(), func(_ context.Context, _ string, _ int64, r io.Reader) (image.Digest, error) {
				b, err := io.ReadAll(r)
				mu.Lock()
				defer mu.Unlock()
				got[image.SHA256(b)] = err == nil
				return image.SHA256(b), err
			})
			if err != nil {
				t.Fatal(err)
			}
			if p.exported != c.export || p.tagged.Load() != 1 || p.removed.Load() != 1 {
				t.Errorf("exported: %v, %d names given, %d taken", p.exported, p.tagged.Load(), p.removed.Load())
			}
			if roots := set.Roots(); len(roots) != 1 || roots[0].Desc.Digest != p.g.Root.Desc.Digest || roots[0].DigestLost {
				t.Fatalf("roots %+v", roots)
			}
			g, err := image.Read(t.Context(), set, set.Roots()[0], image.Platforms{List: []image.Platform{storetest.Host}}.Select)
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range g.Layers() {
				if !got[d.Digest] {
					t.Errorf("layer %s did not come", d.Digest)
				}
			}
		})
	}
}

// waitClosed reads until the other side has done with a connection.
func waitClosed(conn net.Conn) error {
	_, err := io.Copy(io.Discard, conn)
	return errors.Join(err, conn.Close())
}

// TestPushRefused: what put does not take, as on a full disk, is the end; an
// export would fare no better.
func TestPushRefused(t *testing.T) {
	p, e := newPushing(t)
	p.push = func(repository, tag string) error {
		return p.all(repository, tag, func(_ image.Descriptor, b []byte) []byte { return b })
	}
	set, err := e.Open(t.Context(), p.f.Names, image.Platforms{})
	if err != nil {
		t.Fatal(err)
	}
	full := errors.New("no space left on device")
	err = set.(image.Streamer).Stream(t.Context(), func(context.Context, string, int64, io.Reader) (image.Digest, error) {
		return image.Digest{}, full
	})
	if !errors.Is(err, full) || p.exported || p.removed.Load() != 1 {
		t.Errorf("error %v, exported: %v, %d names taken back", err, p.exported, p.removed.Load())
	}
}

// TestPushInterrupted: a name that the engine is just giving to the image is given
// and taken away again, whatever the interruption hits.
func TestPushInterrupted(t *testing.T) {
	for _, at := range []string{"tag", "push"} {
		t.Run(at, func(t *testing.T) {
			p, e := newPushing(t)
			ctx, stop := context.WithCancelCause(t.Context())
			stopped := errors.New("stopped")
			p.push = func(repository, tag string) error {
				stop(stopped)
				return p.all(repository, tag, func(_ image.Descriptor, b []byte) []byte { return b })
			}
			if at == "tag" {
				p.tag = func() { stop(stopped) }
			}
			set, err := e.Open(ctx, p.f.Names, image.Platforms{})
			if err != nil {
				t.Fatal(err)
			}
			err = set.(image.Streamer).Stream(ctx, func(_ context.Context, _ string, _ int64, r io.Reader) (image.Digest, error) {
				b, err := io.ReadAll(r)
				return image.SHA256(b), err
			})
			if !errors.Is(err, stopped) || p.tagged.Load() != 1 || p.removed.Load() != 1 {
				t.Errorf("error %v, %d names given, %d taken away", err, p.tagged.Load(), p.removed.Load())
			}
		})
	}
}

// TestLeftExports: names of pushes to a process that is gone go with the next
// run; others, and those of one that lives, stay.
func TestLeftExports(t *testing.T) {
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	lives, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer lives.Close()
	dead := gone.Addr().String()
	gone.Close()
	random := strings.Repeat("ab", 13)
	ours := "/airgap-export/" + random + ":" + random
	p, e := newPushing(t)
	p.push = func(repository, tag string) error {
		return p.all(repository, tag, func(_ image.Descriptor, b []byte) []byte { return b })
	}
	p.named = []string{
		dead + ours, lives.Addr().String() + ours, "localhost:1" + ours, dead + "/airgap-export/" + random + ":v1",
		dead + "/x" + ours, dead + "/airgap-export/mine:1", "airgap-export/" + random + ":" + random,
	}
	set, err := e.Open(t.Context(), p.f.Names, image.Platforms{})
	if err != nil {
		t.Fatal(err)
	}
	err = set.(image.Streamer).Stream(t.Context(), func(_ context.Context, _ string, _ int64, r io.Reader) (image.Digest, error) {
		b, err := io.ReadAll(r)
		return image.SHA256(b), err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(p.taken) != 2 || p.taken[0] != dead+ours {
		t.Errorf("taken away: %q", p.taken)
	}
}

// TestPushElsewhere: nobody is asked to push to an engine's own machine.
func TestPushElsewhere(t *testing.T) {
	p, _ := newPushing(t)
	p.push = func(string, string) error { t.Error("it was asked to push"); return nil }
	e := p.open(t) // over TCP
	set, err := e.Open(t.Context(), p.f.Names, image.Platforms{})
	if err != nil {
		t.Fatal(err)
	}
	err = set.(image.Streamer).Stream(t.Context(), func(_ context.Context, _ string, _ int64, r io.Reader) (image.Digest, error) {
		b, err := io.ReadAll(r)
		return image.SHA256(b), err
	})
	if err != nil || !p.exported {
		t.Errorf("error %v, exported: %v", err, p.exported)
	}
}

// TestInboxIsPrivate: who does not know the repository's name is told nothing.
func TestInboxIsPrivate(t *testing.T) {
	p, e := newPushing(t)
	p.push = func(repository, tag string) error {
		base := repository[:strings.LastIndex(repository, "/")]
		for _, path := range []string{"/guess/blobs/uploads/", "/guess/manifests/" + tag} {
			resp, err := http.Post(base+path, "", nil)
			if err != nil {
				return err
			}
			resp.Body.Close()
			if resp.StatusCode != http.StatusNotFound {
				t.Errorf("%s: %s", path, resp.Status)
			}
		}
		return p.all(repository, tag, func(_ image.Descriptor, b []byte) []byte { return b })
	}
	set, err := e.Open(t.Context(), p.f.Names, image.Platforms{})
	if err != nil {
		t.Fatal(err)
	}
	err = set.(image.Streamer).Stream(t.Context(), func(_ context.Context, _ string, _ int64, r io.Reader) (image.Digest, error) {
		b, err := io.ReadAll(r)
		return image.SHA256(b), err
	})
	if err != nil || p.exported {
		t.Errorf("error %v, exported: %v", err, p.exported)
	}
}
