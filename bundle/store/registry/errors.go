package registry

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"airgap/bundle/image"
)

// Kind says what a caller can do about an [Error].
type Kind int

const (
	Failed       Kind = iota // the registry answered with something unexpected
	Unreachable              // no connection, or none that can be trusted
	Unauthorized             // credentials are missing, wrong, or do not suffice
	Limited                  // too many requests, even after waiting
	Credentials              // what this machine has stored for logging in cannot be read
)

// Error is what a registry, or the way to it, is to blame for. Its text holds
// neither credentials nor addresses with signatures in them.
type Error struct {
	Host string // with port, as in image names
	Op   string // such as "getting blob sha256:…"
	Kind Kind
	Err  error
}

func (e *Error) Error() string { return fmt.Sprintf("registry %s: %s: %v", e.Host, e.Op, e.Err) }
func (e *Error) Unwrap() error { return e.Err }

// explain turns what came of a request into an error for callers.
func explain(ctx context.Context, host, op string, err error) error {
	var known *Error
	var wrong *image.DigestError
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("registry %s: %s: %w", host, op, context.Cause(ctx))
	case errors.Is(err, image.ErrNotFound), errors.As(err, &known), errors.As(err, &wrong):
		return err
	}
	// The first url.Error is that of HTTPS where HTTP was tried after it. Its
	// address is left out, for it may bear a signature.
	var where *url.Error
	if errors.As(err, &where) {
		err = where.Err
	}
	var status *transport.Error
	if errors.As(err, &status) {
		return explainStatus(host, op, status)
	}
	if where != nil {
		return &Error{host, op, Unreachable, err}
	}
	var network net.Error
	if errors.As(err, &network) || errors.Is(err, errSlow) {
		return &Error{host, op, Unreachable, err}
	}
	if strings.HasPrefix(err.Error(), "no token in bearer response") {
		err = errors.New("its token service sent no token") // what it sent may be secret
	}
	return &Error{host, op, Failed, err}
}

func explainStatus(host, op string, status *transport.Error) error {
	err := errors.New(statusText(status))
	switch status.StatusCode {
	case http.StatusNotFound:
		return fmt.Errorf("registry %s: %w (%w)", host, image.ErrNotFound, err)
	case http.StatusUnauthorized, http.StatusForbidden:
		return &Error{host, op, Unauthorized, err}
	case http.StatusTooManyRequests:
		return &Error{host, op, Limited, err}
	}
	return &Error{host, op, Failed, err}
}

// statusText is the answer in a line: the number and what the registry says.
func statusText(status *transport.Error) string {
	text := fmt.Sprintf("%d %s", status.StatusCode, http.StatusText(status.StatusCode))
	for _, d := range status.Errors {
		text += fmt.Sprintf("; %s: %s", d.Code, d.Message)
	}
	const most = 300
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "") + "…"
	}
	return text
}
