package registry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync"
	"time"

	"airgap/bundle/image"
)

// hasBlob says whether the repository has a blob of that digest and size.
func (r *repository) hasBlob(ctx context.Context, d image.Descriptor) (bool, error) {
	path := "blobs/" + d.Digest.String()
	resp, err := r.send(ctx, request{method: http.MethodHead, at: path, op: "looking for " + path}, http.StatusOK)
	if errors.Is(err, image.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	resp.Body.Close()
	return resp.ContentLength < 0 || resp.ContentLength == d.Size, nil
}

// hasManifest reads a manifest back, which proves that it is there whole.
func (r *repository) hasManifest(ctx context.Context, d image.Descriptor) (bool, error) {
	got, _, err := r.manifest(ctx, d.Digest.String())
	if errors.Is(err, image.ErrNotFound) {
		return false, nil
	}
	return err == nil && got.Size == d.Size, err
}

// putBlob brings a blob: from another repository of the registry where it can
// be mounted, else by an upload, which starts over when it breaks off.
func (r *repository) putBlob(ctx context.Context, from image.Fetcher, d image.Descriptor, mount *repository) error {
	for try := 1; ; try++ {
		at, err := r.startUpload(ctx, d, mount)
		if err == nil && at == "" {
			return nil // mounted
		}
		if err == nil {
			err = r.upload(ctx, at, from, d)
		}
		var known *Error
		if err == nil || try >= tries(err) || !errors.As(err, &known) || known.Kind != Unreachable {
			return err
		}
		if err := r.from.pause(ctx, gap(try)); err != nil {
			return err
		}
	}
}

// startUpload asks where to upload a blob. An empty answer: it was mounted.
func (r *repository) startUpload(ctx context.Context, d image.Descriptor, mount *repository) (at string, err error) {
	path, op := "blobs/uploads/", "starting the upload of blob "+d.Digest.String()
	if mount != nil && mount != r {
		path += "?" + url.Values{"mount": {d.Digest.String()}, "from": {mount.RepositoryStr()}}.Encode()
	}
	resp, err := r.send(ctx, request{method: http.MethodPost, at: path, op: op}, http.StatusAccepted, http.StatusCreated)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusCreated {
		return "", nil
	}
	where, err := resp.Request.URL.Parse(resp.Header.Get("Location"))
	if err != nil || resp.Header.Get("Location") == "" {
		return "", &Error{r.host(), op, Failed, errors.New("it does not say where to upload to")}
	}
	query := where.Query()
	query.Set("digest", d.Digest.String())
	where.RawQuery = query.Encode()
	return where.String(), nil
}

// upload sends a blob in one request. A registry that stops taking bytes, or
// does not answer in the end, is given up.
func (r *repository) upload(ctx context.Context, at string, from image.Fetcher, d image.Descriptor) error {
	content, err := from.Fetch(ctx, d)
	if err != nil {
		return err
	}
	op := "uploading blob " + d.Digest.String()
	uploading, cancel := context.WithCancelCause(transferring(ctx))
	defer cancel(nil)
	// Verified here, whatever the fetcher does: a short read must not look like
	// a broken connection.
	body := &uploadBody{ReadCloser: image.NewReader(content, d), idle: r.from.idle}
	body.stall = time.AfterFunc(r.from.idle, func() { cancel(errStalled) })
	defer body.stall.Stop()
	header := http.Header{"Content-Type": {"application/octet-stream"}}
	resp, err := r.send(uploading, request{http.MethodPut, at, op, header, body, d.Size}, http.StatusCreated)
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case body.failed() != nil:
		return body.failed() // the bundle's fault, not the registry's
	case errors.Is(err, errStalled):
		return &Error{r.host(), op, Unreachable, errStalled}
	case err != nil:
		return err
	}
	return resp.Body.Close()
}

// uploadBody is a blob on its way. It remembers its own error, so that the
// registry is not blamed for it.
type uploadBody struct {
	io.ReadCloser
	stall *time.Timer
	idle  time.Duration

	mu  sync.Mutex
	err error
}

// answerTime is how many times longer than for taking bytes a registry may
// take to answer when it has all of them: it may copy them first.
const answerTime = 10

func (b *uploadBody) Read(p []byte) (int, error) {
	b.stall.Reset(b.idle)
	n, err := b.ReadCloser.Read(p)
	switch {
	case err == io.EOF:
		b.stall.Reset(answerTime * b.idle)
	case err != nil:
		b.mu.Lock()
		b.err = err
		b.mu.Unlock()
	}
	return n, err
}

func (b *uploadBody) failed() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.err
}

// putManifest stores a manifest or index under a digest or a tag.
func (r *repository) putManifest(ctx context.Context, id string, d image.Descriptor, raw []byte) error {
	_, err := r.putOver(ctx, id, "", d, raw)
	return err
}

// putOver stores a manifest or index where another version is, if the registry
// tells versions apart and that is known.
func (r *repository) putOver(ctx context.Context, id, version string, d image.Descriptor, raw []byte) (done bool, err error) {
	header := http.Header{"Content-Type": {string(d.MediaType)}}
	statuses := []int{http.StatusCreated, http.StatusOK, http.StatusAccepted}
	if version != "" {
		header.Set("If-Match", version)
		statuses = append(statuses, http.StatusPreconditionFailed)
	}
	resp, err := r.send(ctx, request{
		method: http.MethodPut, at: "manifests/" + id, op: "putting manifest " + id,
		header: header, body: bytes.NewReader(raw), size: int64(len(raw)),
	}, statuses...)
	if err != nil {
		return false, err
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusPreconditionFailed {
		return false, nil
	}
	return true, checkSaid(d, resp.Header.Get("Docker-Content-Digest"))
}

// SparseError says that a registry refuses an index because the bundle does
// not carry all of its platforms.
type SparseError struct {
	Image string
	Have  []image.Platform
	Err   error
}

func (e *SparseError) Error() string {
	return fmt.Sprintf("the bundle holds only %v of its platforms, and the registry takes no index without all of them: %v", e.Have, e.Err)
}

func (e *SparseError) Unwrap() error { return e.Err }
