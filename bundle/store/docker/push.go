package docker

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/moby/moby/client"

	"airgap/bundle/image"
)

// inbox is a registry on loopback for what an engine pushes to this process.
// From containerd's store that takes a third of the time of an export: the
// engine sends the blobs that it has, several at once, and none twice.
//
// Its repository has a name that nobody can guess. It believes nothing: blobs
// and manifests have the digests that they are sent under, or are refused.
type inbox struct {
	ctx        context.Context
	put        image.Put
	listener   net.Listener
	server     *http.Server
	repository string

	mu    sync.Mutex
	err   error // of put
	blobs map[image.Digest]bool
	docs  map[image.Digest][]byte
	kept  int // bytes of docs
	roots map[string]image.Descriptor
}

// openInbox listens. What comes goes to put until the inbox is closed.
func openInbox(ctx context.Context, put image.Put) (*inbox, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	b := &inbox{
		ctx: ctx, put: put, listener: l, repository: exports + strings.ToLower(rand.Text()),
		blobs: map[image.Digest]bool{}, docs: map[image.Digest][]byte{}, roots: map[string]image.Descriptor{},
	}
	prefix := "/v2/" + b.repository
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v2/{$}", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("GET "+prefix+"/blobs/{digest}", b.look) // HEAD too
	mux.HandleFunc("GET "+prefix+"/manifests/{id}", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotFound) })
	mux.HandleFunc("POST "+prefix+"/blobs/uploads/", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", prefix+"/blobs/uploads/it")
		w.WriteHeader(http.StatusAccepted)
	})
	mux.HandleFunc("PUT "+prefix+"/blobs/uploads/it", b.answer(b.takeBlob))
	mux.HandleFunc("PUT "+prefix+"/manifests/{id}", b.answer(b.takeManifest))
	b.server = &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = b.server.Serve(l) }() // until close
	return b, nil
}

func (b *inbox) close() { _ = b.server.Close() }

// look tells which blobs need not be sent again.
func (b *inbox) look(w http.ResponseWriter, r *http.Request) {
	d, err := parseID(r.PathValue("digest"))
	b.mu.Lock()
	defer b.mu.Unlock()
	if err != nil || !b.blobs[d] {
		w.WriteHeader(http.StatusNotFound)
	}
}

// answer tells the engine whether something was taken.
func (b *inbox) answer(take func(r *http.Request) (image.Digest, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		d, err := take(r)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		w.Header().Set("Docker-Content-Digest", d.String())
		w.Header().Set("Location", "/v2/"+b.repository+"/blobs/"+d.String())
		w.WriteHeader(http.StatusCreated)
	}
}

// takeBlob hands a blob on, and keeps what may be a config.
func (b *inbox) takeBlob(r *http.Request) (image.Digest, error) {
	d, err := parseID(r.URL.Query().Get("digest"))
	if err != nil {
		return d, err
	}
	if r.ContentLength < 0 {
		return d, errors.New("the size is not told")
	}
	sent := &exportReader{r: image.NewReader(r.Body, image.Descriptor{Digest: d, Size: r.ContentLength})}
	content := bufio.NewReader(sent)
	var whole io.Reader = content
	if head, _ := content.Peek(1); r.ContentLength <= image.MaxDocument && bytes.Equal(head, []byte("{")) {
		raw, err := io.ReadAll(content)
		if err == nil {
			err = b.keep(d, raw)
		}
		if err != nil {
			return d, err
		}
		whole = bytes.NewReader(raw)
	}
	// Without a key: what breaks off must not stand for what is sent again.
	_, err = b.put(b.ctx, "", r.ContentLength, whole)
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case err == nil:
		b.blobs[d] = true
	case sent.err == nil:
		b.err = err // it is not the engine that is to blame
	}
	return d, err
}

// takeManifest keeps a manifest or index, and what its tag stands for.
func (b *inbox) takeManifest(r *http.Request) (image.Digest, error) {
	raw, err := io.ReadAll(io.LimitReader(r.Body, image.MaxDocument+1))
	if err != nil {
		return image.Digest{}, err
	}
	if len(raw) > image.MaxDocument {
		return image.Digest{}, errors.New("the manifest is too large")
	}
	d := image.Descriptor{MediaType: types.MediaType(r.Header.Get("Content-Type")), Digest: image.SHA256(raw), Size: int64(len(raw))}
	id := r.PathValue("id")
	if strings.Contains(id, ":") && id != d.Digest.String() {
		return d.Digest, fmt.Errorf("its digest is %s", d.Digest)
	}
	if err := b.keep(d.Digest, raw); err != nil {
		return d.Digest, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.roots[id] = d
	return d.Digest, nil
}

func (b *inbox) keep(d image.Digest, raw []byte) error {
	const most = 64 << 20
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.kept += len(raw); b.kept > most {
		return fmt.Errorf("documents of more than %d bytes", most)
	}
	b.docs[d] = raw
	return nil
}

// Documents lists those that Fetch gives.
func (b *inbox) Documents() []image.Digest {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Collect(maps.Keys(b.docs))
}

// Fetch implements image.Fetcher, for documents.
func (b *inbox) Fetch(_ context.Context, d image.Descriptor) (io.ReadCloser, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	raw, ok := b.docs[d.Digest]
	if !ok {
		return nil, fmt.Errorf("document %s: %w in what was pushed", d.Digest, image.ErrNotFound)
	}
	return image.NewReader(io.NopCloser(bytes.NewReader(raw)), d), nil
}

// failed is why put did not take something.
func (b *inbox) failed() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.err
}

// pushes says whether a push may do for an export: only containerd's store has
// what it once pulled, and only an image with a name keeps it when another one
// is taken back.
func (e *Engine) pushes(img found) bool { return e.store == containerd && e.local && img.tagged }

// push has the engine push an image to the inbox, under a name that it has for
// that long. The error says why an export is needed; the one exception is that
// of put, which inbox.failed tells.
func (e *Engine) push(ctx context.Context, img found, b *inbox) (image.Descriptor, error) {
	if err := context.Cause(ctx); err != nil {
		return image.Descriptor{}, err
	}
	tag := strings.ToLower(rand.Text())
	name := b.listener.Addr().String() + "/" + b.repository + ":" + tag
	err := e.tag(ctx, img.id, name)
	if err == nil {
		err = e.send(ctx, name)
	}
	if err := errors.Join(err, e.untag(ctx, name)); err != nil {
		return image.Descriptor{}, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	root, ok := b.roots[tag]
	if !ok || root.Digest != img.id {
		return root, errors.New("the engine pushed another image") // as older ones do where platforms are missing
	}
	return root, nil
}

// tagTime is how long an engine may take to set or remove a name.
const tagTime = 30 * time.Second

// tag names an image. It is not broken off: the engine would do it all the same,
// perhaps after the name has been taken away.
func (e *Engine) tag(ctx context.Context, id image.Digest, name string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), tagTime)
	defer cancel()
	_, err := e.client.ImageTag(ctx, client.ImageTagOptions{Source: id.String(), Target: name})
	return err
}

// untag takes a name away, however the rest has ended.
func (e *Engine) untag(ctx context.Context, name string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), tagTime)
	defer cancel()
	_, err := e.client.ImageRemove(ctx, name, client.ImageRemoveOptions{})
	return err
}

// exports begins the names of the repositories of inboxes, and export is the whole
// of a name for a push.
const exports = "airgap-export/"

var export = regexp.MustCompile(`^(127\.0\.0\.1:[0-9]+)/` + exports + `[a-z2-7]{26}:[a-z2-7]{26}$`)

// dropExports takes away the names of pushes to inboxes that are gone with their
// processes. Where somebody listens the push may be going on.
func (e *Engine) dropExports(ctx context.Context) error {
	list, err := e.client.ImageList(ctx, client.ImageListOptions{})
	if err != nil {
		return e.explain("listing images", err)
	}
	for _, item := range list.Items {
		for _, name := range item.RepoTags {
			if at := export.FindStringSubmatch(name); at != nil && refuses(ctx, at[1]) {
				_ = e.untag(ctx, name) // another run may have done so, or a container use it
			}
		}
	}
	return nil
}

// refuses says that nobody listens at an address.
func refuses(ctx context.Context, addr string) bool {
	conn, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "tcp", addr)
	if err == nil {
		conn.Close()
	}
	return errors.Is(err, syscall.ECONNREFUSED)
}

// noPassword is {} as the engine's API takes passwords.
const noPassword = "e30="

// send has the engine push a name, without a password.
func (e *Engine) send(ctx context.Context, name string) error {
	answer, err := e.client.ImagePush(ctx, name, client.ImagePushOptions{RegistryAuth: noPassword})
	if err != nil {
		return err
	}
	defer answer.Close()
	return readAnswer(answer, &settled{})
}
