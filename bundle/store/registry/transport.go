package registry

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

// newTransport is tuned for blobs of many megabytes: HTTP/1.1, because a
// connection per blob outruns streams of HTTP/2 under one window, a buffer that
// saves system calls (a tenth of the time against 64 KiB, from loopback), and
// no compression, which would change the bytes.
func newTransport(o Options) (*http.Transport, error) {
	roots, err := certificates(o.CAFile)
	if err != nil {
		return nil, err
	}
	t := &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: 15 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		TLSClientConfig:       &tls.Config{RootCAs: roots},
		TLSHandshakeTimeout:   15 * time.Second,
		ResponseHeaderTimeout: time.Minute,
		IdleConnTimeout:       90 * time.Second,
		MaxIdleConnsPerHost:   16,
		ReadBufferSize:        512 << 10,
		DisableCompression:    true,
		Protocols:             new(http.Protocols),
	}
	t.Protocols.SetHTTP1(true)
	return t, nil
}

// certificates are the system's and those of a file. Nil stands for the
// system's.
func certificates(file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("reading certificates: %w", err)
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("reading certificates: %q holds none in PEM form", file)
	}
	return pool, nil
}

// wrap puts what is true for every request around the transport.
func (r *Registry) wrap(base http.RoundTripper, o Options) http.RoundTripper {
	again := &retrier{next: realms{punctual{guard{base, r.plain}, r}, r}, pause: func(ctx context.Context, d time.Duration) error { return r.pause(ctx, d) }, note: r.note}
	return transport.NewUserAgent(again, o.UserAgent)
}

// plainHosts are the hosts that may be reached without TLS.
type plainHosts []string

func (p plainHosts) allow(host string) bool {
	bare := hostOnly(host)
	for _, listed := range p {
		if strings.EqualFold(listed, host) || strings.EqualFold(listed, bare) {
			return true
		}
	}
	return isLoopback(bare)
}

func hostOnly(hostport string) string {
	if host, _, err := net.SplitHostPort(hostport); err == nil {
		return host
	}
	return strings.Trim(hostport, "[]")
}

func isLoopback(host string) bool {
	if host == "localhost" {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Unmap().IsLoopback()
}

// guard lets no request pass without TLS that is not meant to. It overrules
// what ggcr takes to be local.
type guard struct {
	next  http.RoundTripper
	plain plainHosts
}

func (g guard) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.URL.Scheme != "https" && !g.plain.allow(req.URL.Host) {
		return nil, fmt.Errorf("plain HTTP to %s: refused", req.URL.Host)
	}
	return g.next.RoundTrip(req)
}

// checkRedirect keeps a registry from sending us into a network that it cannot
// reach itself: from a public host (or a name) to a private address.
func (r *Registry) checkRedirect(req *http.Request, via []*http.Request) error {
	const most = 10
	from, to := via[0].URL, req.URL
	switch {
	case len(via) >= most:
		return errors.New("too many redirects")
	case r.mayLead(from, to):
		return nil
	}
	return fmt.Errorf("redirect from %s to the private address %s refused", from.Hostname(), to.Hostname())
}

// mayLead says whether a host may send us to another.
func (r *Registry) mayLead(from, to *url.URL) bool {
	return from.Hostname() == to.Hostname() || isPrivate(from.Hostname()) || !isPrivate(to.Hostname()) ||
		!isLoopback(to.Hostname()) && r.plain.allow(to.Host)
}

// realms lets a registry have its tokens given out at a private address, where it may
// lead us there. go-containerregistry refuses those unless they are the registry's own,
// port and all; so it sees such an address as a name, which this takes back.
type realms struct {
	next http.RoundTripper
	of   *Registry
}

// veil ends such names: a domain that is never given to anybody.
const veil = ".private.invalid"

var realm = regexp.MustCompile(`realm="([^"]*)"`)

func (t realms) RoundTrip(req *http.Request) (*http.Response, error) {
	if host, veiled := strings.CutSuffix(req.URL.Hostname(), veil); veiled {
		req = req.Clone(req.Context())
		req.URL.Host = withPort(strings.ReplaceAll(host, "-", ":"), req.URL.Port())
		req.Host = req.URL.Host
	}
	resp, err := t.next.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	for i, challenge := range resp.Header["Www-Authenticate"] {
		resp.Header["Www-Authenticate"][i] = realm.ReplaceAllStringFunc(challenge, func(part string) string {
			at, err := url.Parse(realm.FindStringSubmatch(part)[1])
			if err != nil || !isPrivate(at.Hostname()) || !t.of.mayLead(req.URL, at) {
				return part
			}
			at.Host = withPort(strings.ReplaceAll(at.Hostname(), ":", "-")+veil, at.Port())
			return fmt.Sprintf("realm=%q", at)
		})
	}
	return resp, nil
}

// withPort is a host with a port, if it has one.
func withPort(host, port string) string {
	if port != "" {
		return net.JoinHostPort(host, port)
	}
	if strings.Contains(host, ":") {
		return "[" + host + "]"
	}
	return host
}

// isPrivate says whether a host is an address that is not public, in the usual
// form or one that only resolvers understand (127.1, 0x7f000001).
func isPrivate(host string) bool {
	addr, err := netip.ParseAddr(host)
	if err != nil {
		last := host[strings.LastIndexByte(strings.TrimSuffix(host, "."), '.')+1:]
		_, err := strconv.ParseUint(strings.TrimSuffix(last, "."), 0, 64)
		return err == nil || host == "localhost"
	}
	addr = addr.Unmap()
	return addr.IsLoopback() || addr.IsPrivate() || addr.IsLinkLocalUnicast() || addr.IsMulticast() || addr.IsUnspecified()
}

// pause waits, or ends with the context.
type pause func(ctx context.Context, d time.Duration) error

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// maxAnswer is how long a registry may take for a document or a token: a few MiB
// at most. Pauses that it asks for are not counted.
const maxAnswer = 5 * time.Minute

// errSlow is the cause of an answer that is given up for being slow.
var errSlow = errors.New("its answer took too long")

// punctual gives up answers that never end, which trickle enough bytes to look
// alive. Blobs have a clock of their own: see transferring.
type punctual struct {
	next http.RoundTripper
	of   *Registry
}

// transfer marks requests whose bytes are counted on their way.
type transfer struct{}

// transferring marks what is asked with a context as a transfer.
func transferring(ctx context.Context) context.Context {
	return context.WithValue(ctx, transfer{}, true)
}

func (p punctual) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Context().Value(transfer{}) != nil {
		return p.next.RoundTrip(req)
	}
	ctx, cancel := context.WithCancelCause(req.Context())
	late := time.AfterFunc(p.of.patience, func() { cancel(errSlow) })
	end := func() { late.Stop(); cancel(nil) }
	resp, err := p.next.RoundTrip(req.WithContext(ctx))
	if err != nil {
		end()
		return nil, err
	}
	resp.Body = endedBody{resp.Body, end}
	return resp, nil
}

// endedBody does something when it is closed.
type endedBody struct {
	io.ReadCloser
	end func()
}

func (b endedBody) Close() error {
	b.end()
	return b.ReadCloser.Close()
}

// Tries of a request, and pauses between them.
const (
	maxTries = 5
	maxPause = 2 * time.Minute // a registry that asks for more is given up
	firstGap = 500 * time.Millisecond
	noteGap  = 5 * time.Second
)

// gap is the pause after the nth failure, a little different for everybody.
func gap(n int) time.Duration {
	d := firstGap << (n - 1)
	return d + rand.N(d/4)
}

// retrier tries requests again that failed for now.
type retrier struct {
	next  http.RoundTripper
	pause pause
	note  func(format string, args ...any)
}

func (t *retrier) RoundTrip(req *http.Request) (*http.Response, error) {
	for try := 1; ; try++ {
		if try > 1 && req.GetBody != nil {
			body, err := req.GetBody()
			if err != nil {
				return nil, err
			}
			req = req.Clone(req.Context())
			req.Body = body
		}
		resp, err := t.next.RoundTrip(req)
		wait, again := t.again(req, resp, err, try)
		if !again {
			return resp, err
		}
		if resp != nil {
			_, _ = io.CopyN(io.Discard, resp.Body, 64<<10) // so that the connection can be used again
			resp.Body.Close()
		}
		if wait >= noteGap {
			t.note("registry %s asks to wait for %s", req.URL.Host, wait)
		}
		if err := t.pause(req.Context(), wait); err != nil {
			return nil, err
		}
	}
}

// again says whether a request is to be tried again, and after which pause.
func (t *retrier) again(req *http.Request, resp *http.Response, err error, try int) (time.Duration, bool) {
	switch {
	case try == maxTries, req.Body != nil && req.GetBody == nil, req.Context().Err() != nil:
		return 0, false
	case err != nil:
		return gap(try), try < tries(err) && isPassing(err)
	}
	switch resp.StatusCode {
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		wait, ok := retryAfter(resp.Header)
		return max(wait, gap(try)), !ok || wait <= maxPause
	case http.StatusRequestTimeout, http.StatusInternalServerError, http.StatusBadGateway, http.StatusGatewayTimeout:
		return gap(try), true
	}
	return 0, false
}

// tries is how often something may fail in this way. Silence, which has cost a
// minute each time, and a host that takes no connections get a second chance, no
// more.
func tries(err error) int {
	var op *net.OpError
	var network net.Error
	if errors.Is(err, errStalled) || errors.As(err, &op) && op.Op == "dial" || errors.As(err, &network) && network.Timeout() {
		return 2
	}
	return maxTries
}

// isPassing says whether a failure to connect or to hear an answer may pass.
func isPassing(err error) bool {
	var network net.Error
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.As(err, &network) {
		return !isTLS(err)
	}
	return false
}

func isTLS(err error) bool {
	var cert *tls.CertificateVerificationError
	var alert tls.AlertError
	var record tls.RecordHeaderError
	return errors.As(err, &cert) || errors.As(err, &alert) || errors.As(err, &record)
}

// retryAfter reads how long the registry asks to wait: seconds, or a date, which
// is taken against the registry's own clock.
func retryAfter(h http.Header) (time.Duration, bool) {
	text := h.Get("Retry-After")
	if seconds, err := strconv.Atoi(text); err == nil && seconds >= 0 {
		return time.Duration(min(seconds, 1<<20)) * time.Second, true
	}
	until, err := http.ParseTime(text)
	now, errNow := http.ParseTime(h.Get("Date"))
	if err != nil || errNow != nil {
		return 0, false
	}
	return max(0, until.Sub(now)), true
}
