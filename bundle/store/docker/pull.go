package docker

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/moby/moby/client"

	"airgap/bundle/image"
)

// outbox is a registry on loopback from which an engine pulls one image out of
// this process. Containerd's store takes that in faster than an archive: several
// blobs at once, each unpacked as soon as it is there, and none that it has.
//
// Its repository has a name that nobody can guess.
type outbox struct {
	ctx     context.Context
	from    image.Fetcher
	graph   *image.Graph
	content map[image.Digest]image.Descriptor // what may be asked for
	name    string                            // of the image, for the engine
	server  *http.Server

	mu    sync.Mutex
	asked bool  // by the engine
	err   error // of from
}

// imports begins the names of the repositories of outboxes.
const imports = "airgap-import/"

// openOutbox listens. The image has a name there by which a later run knows whose
// it is.
func (t *txn) openOutbox(ctx context.Context, from image.Fetcher) (*outbox, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	repository := imports + strings.ToLower(rand.Text())
	b := &outbox{
		ctx: ctx, from: from, graph: t.img.Graph, content: map[image.Digest]image.Descriptor{},
		name: t.engine.nameIn(l.Addr().String()+"/"+repository, t.state.ID),
	}
	for _, d := range t.img.Graph.Documents() {
		b.content[d.Digest] = d
	}
	for _, m := range t.choices { // what it takes is for the engine to say
		for _, l := range m.Layers {
			b.content[l.Digest] = l
		}
	}
	prefix := "/v2/" + repository
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v2/{$}", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("GET "+prefix+"/manifests/{id}", b.give) // HEAD too
	mux.HandleFunc("GET "+prefix+"/blobs/{id}", b.give)
	b.server = &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = b.server.Serve(l) }() // until close
	return b, nil
}

func (b *outbox) close() { _ = b.server.Close() }

// give answers with what has a digest, and to whatever tag with the root. An
// engine that has been given something wrong would try again: it gets no more.
func (b *outbox) give(w http.ResponseWriter, r *http.Request) {
	if b.hear() != nil {
		w.WriteHeader(http.StatusGone)
		return
	}
	id := b.graph.Root.Desc.Digest
	if asked := r.PathValue("id"); strings.Contains(asked, ":") {
		id, _ = parseID(asked)
	}
	d, ok := b.content[id]
	if !ok {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	w.Header().Set("Content-Type", string(d.MediaType))
	w.Header().Set("Docker-Content-Digest", d.Digest.String())
	w.Header().Set("Content-Length", strconv.FormatInt(d.Size, 10))
	if r.Method == http.MethodHead {
		return
	}
	if err := b.send(w, d); err != nil { // nobody shall take what has been sent for the whole
		panic(http.ErrAbortHandler)
	}
}

func (b *outbox) send(w io.Writer, d image.Descriptor) error {
	if raw := b.graph.Document(d.Digest); raw != nil {
		_, err := w.Write(raw)
		return err
	}
	content, err := b.from.Fetch(b.ctx, d)
	if err != nil {
		b.failed(err)
		return err
	}
	defer content.Close()
	reader := &exportReader{r: content}
	_, err = io.Copy(w, reader)
	b.failed(reader.err)
	return err
}

// hear notes that the engine has come, and tells what has gone wrong before.
func (b *outbox) hear() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.asked = true
	return b.err
}

// failed keeps the first error that is not the engine's.
func (b *outbox) failed(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err == nil {
		b.err = err
	}
}

// heard is whether the engine has come, and what was wrong with what it was given.
func (b *outbox) heard() (asked bool, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.asked, b.err
}

// mayPull says whether a pull may do for a load: only containerd's store keeps
// what it pulls as it is and gains from it, and what is pulled has a name. What is
// to be brought again must not be taken from what the store has.
func (t *txn) mayPull() bool {
	e := t.engine
	return e.store == containerd && e.local && !e.deaf.Load() && len(t.state.Tags) > 0 && !t.img.Reload
}

// pull has the engine pull the image, under a name that keeps it then. An engine
// that cannot, such as one in a network of its own, is for load: done is false.
func (t *txn) pull(ctx context.Context, from image.Fetcher, s *settled) (done bool, err error) {
	box, err := t.openOutbox(ctx, image.Counting(image.Verifying(from), s.add))
	if err != nil {
		return false, nil
	}
	defer box.close()
	before := t.kept
	t.kept = box.name
	if err = t.fetchFrom(ctx, box); err == nil {
		err = t.check(ctx)
	}
	asked, wrong := box.heard()
	switch {
	case ctx.Err() != nil:
		return true, context.Cause(ctx)
	case wrong != nil:
		return true, wrong
	case err == nil:
		s.finish()
		return true, nil
	case !asked:
		t.engine.deaf.Store(true)
	}
	if err := t.letGo(context.WithoutCancel(ctx)); err != nil {
		return true, err
	}
	t.kept, t.written = before, true
	return false, nil
}

// fetchFrom has the engine pull, and hears its answer. As with a load, it is
// waited for after the context has ended: with all that it needs it makes the
// image all the same.
func (t *txn) fetchFrom(ctx context.Context, box *outbox) error {
	request, cancel := outlasting(ctx, t.engine.patience)
	defer cancel()
	defer context.AfterFunc(ctx, box.close)()
	answer, err := t.engine.client.ImagePull(request, box.name, client.ImagePullOptions{RegistryAuth: noPassword})
	if err == nil {
		err = readAnswer(answer, &settled{})
		err = errors.Join(err, answer.Close())
	}
	t.busy = request.Err() != nil
	return err
}
