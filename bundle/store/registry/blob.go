package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"airgap/bundle/image"
)

// errStalled is the cause of a transfer that is given up for want of bytes.
var errStalled = errors.New("no data came for too long")

// openBlob opens a blob. What is read is verified; where the transfer breaks
// off, it goes on from there.
func openBlob(ctx context.Context, repo *repository, d image.Descriptor) (io.ReadCloser, error) {
	b := &blob{ctx: ctx, repo: repo, desc: d}
	if err := b.connect(); err != nil {
		return nil, err
	}
	return image.NewReader(b, d), nil
}

// blob is the body of a blob over as many answers as it takes.
type blob struct {
	ctx  context.Context
	repo *repository
	desc image.Descriptor

	body     io.ReadCloser
	cancel   context.CancelCauseFunc // of the request that body answers
	stall    *time.Timer
	off      int64 // bytes given so far
	skip     int64 // bytes of body that have been given already
	failures int   // since the last byte
}

// connect asks for the blob from the current offset on.
func (b *blob) connect() error {
	ctx, cancel := context.WithCancelCause(transferring(b.ctx))
	resp, err := b.request(ctx)
	if err != nil {
		cancel(nil)
		return err
	}
	b.body, b.cancel = resp.Body, cancel
	b.stall = time.AfterFunc(b.repo.from.idle, func() { cancel(errStalled) })
	b.stall.Stop()
	return nil
}

func (b *blob) request(ctx context.Context) (*http.Response, error) {
	header, path := http.Header{}, "blobs/"+b.desc.Digest.String()
	b.skip = 0
	if b.off == 0 {
		resp, err := b.repo.get(ctx, path, header, http.StatusOK)
		if err != nil {
			return nil, err
		}
		return b.checkLength(resp, 0)
	}
	header.Set("Range", fmt.Sprintf("bytes=%d-", b.off))
	resp, err := b.repo.get(ctx, path, header, http.StatusPartialContent, http.StatusOK)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode == http.StatusPartialContent {
		if at := fmt.Sprintf("bytes %d-", b.off); !strings.HasPrefix(resp.Header.Get("Content-Range"), at) {
			resp.Body.Close()
			return nil, &Error{b.repo.host(), "getting " + path, Failed, errors.New("it sent another range than asked for")}
		}
		return b.checkLength(resp, b.off)
	}
	b.skip = b.off // a registry without ranges starts over
	return b.checkLength(resp, 0)
}

// checkLength refuses an answer that announces another size, before its bytes.
func (b *blob) checkLength(resp *http.Response, off int64) (*http.Response, error) {
	if n := resp.ContentLength; n >= 0 && off+n != b.desc.Size {
		resp.Body.Close()
		return nil, &image.DigestError{Want: b.desc, GotSize: min(off+n, b.desc.Size+1)}
	}
	return resp, nil
}

func (b *blob) Read(p []byte) (int, error) {
	for {
		n, err := b.read(p)
		b.off += int64(n)
		if n > 0 {
			b.failures = 0
			return n, nil
		}
		if len(p) == 0 || err == io.EOF && b.off >= b.desc.Size {
			return 0, err
		}
		if err == nil {
			continue // all of it was skipped
		}
		if err := b.resume(err); err != nil {
			return 0, err
		}
	}
}

// read reads from the current answer what has not been given before.
func (b *blob) read(p []byte) (int, error) {
	b.stall.Reset(b.repo.from.idle)
	n, err := b.body.Read(p)
	b.stall.Stop()
	drop := min(int64(n), b.skip)
	b.skip -= drop
	return copy(p, p[drop:n]), err
}

// resume goes on after a transfer that broke off because of cause, unless that
// has happened too often without a byte in between.
func (b *blob) resume(cause error) error {
	for {
		b.Close()
		if b.failures++; b.failures >= tries(cause) || b.ctx.Err() != nil {
			return b.explain(cause)
		}
		if err := b.repo.from.pause(b.ctx, gap(b.failures)); err != nil {
			return b.explain(err)
		}
		var known *Error
		err := b.connect()
		switch {
		case err == nil:
			return nil
		case errors.As(err, &known) && known.Kind == Unreachable:
			cause = err
		default:
			return b.explain(err)
		}
	}
}

func (b *blob) explain(err error) error {
	op := fmt.Sprintf("reading blob %s after %d of %d bytes", b.desc.Digest, b.off, b.desc.Size)
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	var known *Error
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, errStalled) {
		err = &Error{b.repo.host(), op, Unreachable, err}
	} else if errors.As(err, &known) {
		err = &Error{known.Host, op, known.Kind, known.Err}
	}
	return explain(b.ctx, b.repo.host(), op, err)
}

// Close ends the current answer.
func (b *blob) Close() error {
	b.stall.Stop()
	defer b.cancel(nil)
	return b.body.Close()
}
