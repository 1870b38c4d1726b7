package docker_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/types"

	"airgap/bundle/image"
	"airgap/bundle/store/docker"
	"airgap/bundle/store/storetest"
)

// newPulling is an engine with containerd's store that has nothing. It takes in
// the fixture's image by a load, or as pull does.
func newPulling(t *testing.T, pull func(p *pushing, name string) error) (p *pushing, e *docker.Engine, loads *int) {
	p, e = newPushing(t)
	m, _ := storetest.Chosen(p.g, storetest.Host)
	whole := map[string]any{
		"Id": p.g.Root.Desc.Digest.String(), "Os": storetest.Host.OS, "Architecture": storetest.Host.Architecture,
		"RootFS":    map[string]any{"Type": "layers", "Layers": m.DiffIDs},
		"Manifests": []map[string]any{{"Descriptor": m.Desc, "Available": true}},
	}
	p.held, p.create, loads = map[string]any{}, 201, new(int)
	p.load = func(w http.ResponseWriter, r *http.Request) {
		*loads++
		io.Copy(io.Discard, r.Body)
		p.held[p.g.Root.Desc.Digest.String()] = whole
		fmt.Fprintln(w, "{}")
	}
	p.pull = func(name string) error {
		err := pull(p, name)
		if err == nil {
			p.held[p.g.Root.Desc.Digest.String()] = whole
		}
		return err
	}
	return p, e, loads
}

// pullAll reads an image as an engine does: its index, one platform's documents
// and layers. Its digests are checked by whoever has them in his hands.
func pullAll(name string) error {
	host, rest, _ := strings.Cut(name, "/")
	repository, tag, _ := strings.Cut(rest, ":")
	base := "http://" + host + "/v2/" + repository
	var index struct{ Manifests []image.Descriptor }
	if err := getJSON(base+"/manifests/"+tag, types.OCIImageIndex, &index); err != nil {
		return err
	}
	var m struct {
		Config image.Descriptor
		Layers []image.Descriptor
	}
	d := index.Manifests[0]
	if err := getJSON(base+"/manifests/"+d.Digest.String(), d.MediaType, &m); err != nil {
		return err
	}
	for _, d := range append(m.Layers, m.Config) {
		raw, err := get(base+"/blobs/"+d.Digest.String(), "")
		if err == nil && image.SHA256(raw) != d.Digest {
			err = fmt.Errorf("blob %s has other bytes", d.Digest)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func getJSON(url string, mediaType types.MediaType, v any) error {
	raw, err := get(url, mediaType)
	if err != nil {
		return err
	}
	return json.Unmarshal(raw, v)
}

func get(url string, mediaType types.MediaType) ([]byte, error) {
	resp, err := http.Get(url)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK || mediaType != "" && resp.Header.Get("Content-Type") != string(mediaType) {
		return nil, fmt.Errorf("%s: %s, %s", url, resp.Status, resp.Header.Get("Content-Type"))
	}
	return io.ReadAll(resp.Body)
}

// TestPull brings an image by a pull, or by a load where the engine pulls none. In
// the end it has the image's own name alone.
func TestPull(t *testing.T) {
	unreachable := errors.New("dial tcp 127.0.0.1: connection refused")
	for name, c := range map[string]struct {
		pull  func(p *pushing, name string) error
		loads int
		names int // given and taken away on the way
	}{
		"honest":       {func(_ *pushing, name string) error { return pullAll(name) }, 0, 1},
		"out of reach": {func(*pushing, string) error { return unreachable }, 1, 2},
		"says it did":  {func(p *pushing, _ string) error { p.create = 404; return nil }, 1, 2},
		"breaks off":   {func(_ *pushing, name string) error { return errors.Join(pullAll(name), unreachable) }, 1, 2},
	} {
		t.Run(name, func(t *testing.T) {
			p, e, loads := newPulling(t, c.pull)
			load := p.load
			p.load = func(w http.ResponseWriter, r *http.Request) { p.create = 201; load(w, r) }
			txn, err := e.Begin(t.Context(), image.Import{Graph: p.g, Names: p.f.Names})
			if err != nil {
				t.Fatal(err)
			}
			var done int64
			if err := txn.Write(t.Context(), p.f.Images, func(n int64) { done += n }); err != nil || done != txn.State().Size {
				t.Fatalf("error %v, %d of %d bytes settled", err, done, txn.State().Size)
			}
			if _, err := txn.Commit(t.Context()); err != nil {
				t.Fatal(err)
			}
			if *loads != c.loads || len(p.taken) != c.names || p.tagged.Load() != 1 {
				t.Errorf("%d loads, taken away %q, %d names given", *loads, p.taken, p.tagged.Load())
			}
		})
	}
}

// TestPullOnce: an engine that does not come is not asked to again.
func TestPullOnce(t *testing.T) {
	asked := 0
	p, e, loads := newPulling(t, func(*pushing, string) error { asked++; return errors.New("connection refused") })
	for range 2 {
		p.held = map[string]any{}
		txn, err := e.Begin(t.Context(), image.Import{Graph: p.g, Names: p.f.Names})
		if err != nil {
			t.Fatal(err)
		}
		if err := txn.Write(t.Context(), p.f.Images, func(int64) {}); err != nil {
			t.Fatal(err)
		}
	}
	if asked != 1 || *loads != 2 {
		t.Errorf("%d pulls, %d loads", asked, *loads)
	}
}

// TestNoPull: what has no name, or is to be brought again, is loaded.
func TestNoPull(t *testing.T) {
	for name, img := range map[string]image.Import{"untagged": {}, "again": {Names: []string{"docker.io/library/a:1"}, Reload: true}} {
		t.Run(name, func(t *testing.T) {
			p, e, loads := newPulling(t, func(*pushing, string) error { t.Error("it was asked to pull"); return nil })
			img.Graph = p.g
			txn, err := e.Begin(t.Context(), img)
			if err == nil {
				err = txn.Write(t.Context(), p.f.Images, func(int64) {})
			}
			if err != nil || *loads != 1 {
				t.Errorf("error %v, %d loads", err, *loads)
			}
		})
	}
}

// TestPullOfWrongBytes: a wrong byte is not the engine's fault, which is asked no
// further and has nothing in the end.
func TestPullOfWrongBytes(t *testing.T) {
	p, e, loads := newPulling(t, func(_ *pushing, name string) error {
		_ = pullAll(name)
		return pullAll(name) // engines try again
	})
	wrong := p.g.Layers()[0]
	raw := p.f.Images.Bytes(wrong.Digest)
	raw[len(raw)/2] ^= 1
	defer func() { raw[len(raw)/2] ^= 1 }()
	txn, err := e.Begin(t.Context(), image.Import{Graph: p.g, Names: p.f.Names})
	if err != nil {
		t.Fatal(err)
	}
	var digest *image.DigestError
	if err := txn.Write(t.Context(), p.f.Images, func(int64) {}); !errors.As(err, &digest) || *loads != 0 {
		t.Errorf("error %v, %d loads", err, *loads)
	}
	if err := txn.Abort(t.Context()); err != nil || len(p.taken) != 1 || p.tagged.Load() != 0 {
		t.Errorf("abort: %v, taken away %q, %d names given", err, p.taken, p.tagged.Load())
	}
}

// TestPullInterrupted: the name that a pull may have left goes.
func TestPullInterrupted(t *testing.T) {
	ctx, stop := context.WithCancelCause(t.Context())
	stopped := errors.New("stopped")
	p, e, loads := newPulling(t, func(_ *pushing, name string) error {
		stop(stopped)
		return pullAll(name)
	})
	txn, err := e.Begin(t.Context(), image.Import{Graph: p.g, Names: p.f.Names})
	if err != nil {
		t.Fatal(err)
	}
	if err := txn.Write(ctx, p.f.Images, func(int64) {}); !errors.Is(err, stopped) || *loads != 0 {
		t.Errorf("error %v, %d loads", err, *loads)
	}
	if err := txn.Abort(t.Context()); err != nil || len(p.taken) != 1 || !strings.Contains(p.taken[0], "/airgap-import/") {
		t.Errorf("abort: %v, taken away %q", err, p.taken)
	}
}

// TestOutboxIsPrivate: who does not know the repository's name is told nothing.
func TestOutboxIsPrivate(t *testing.T) {
	p, e, _ := newPulling(t, func(p *pushing, name string) error {
		host, rest, _ := strings.Cut(name, "/")
		_, tag, _ := strings.Cut(rest, ":")
		for _, path := range []string{"airgap-import/guess/manifests/" + tag, "airgap-import/guess/blobs/" + p.g.Layers()[0].Digest.String(), "_catalog"} {
			if _, err := get("http://"+host+"/v2/"+path, ""); err == nil || !strings.Contains(err.Error(), "404") {
				return fmt.Errorf("%s: %w", path, err)
			}
		}
		return pullAll(name)
	})
	txn, err := e.Begin(t.Context(), image.Import{Graph: p.g, Names: p.f.Names})
	if err == nil {
		err = txn.Write(t.Context(), p.f.Images, func(int64) {})
	}
	if err != nil {
		t.Error(err)
	}
}
