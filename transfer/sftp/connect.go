package sftp

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/ssh"

	"airgap/transfer"
)

// How long is waited for a host.
const (
	dialTimeout      = 30 * time.Second
	handshakeTimeout = 30 * time.Second // without the time that people take to answer
	keepalive        = 15 * time.Second
	keepaliveMisses  = 3
)

// link is an SSH connection with all hops before it.
type link struct {
	client  *ssh.Client
	closers []io.Closer // in the order in which they are closed
	heard   *hearing
	pulse   time.Duration // between keepalives
	misses  int           // keepalives without an answer that end it
	dead    atomic.Bool   // it was closed for want of an answer
}

// told adds to an error of the connection that we have ended it, and why.
func (l *link) told(err error) error {
	if l.dead.Load() {
		return fmt.Errorf("no answer for %s: %w", l.pulse+l.silence(), err)
	}
	return err
}

// silence is how long nothing may come after a keepalive.
func (l *link) silence() time.Duration { return l.pulse * time.Duration(max(1, l.misses-1)) }

func (l *link) Close() error {
	var errs []error
	for _, c := range l.closers {
		if err := c.Close(); err != nil && !errors.Is(err, net.ErrClosed) && !errors.Is(err, io.EOF) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// maxHops bounds hops that name each other.
const maxHops = 8

// dial connects to a host, through the hops that its settings name. depth is
// the number of hops that led here.
func dial(ctx context.Context, s settings, o Options, depth int) (*link, error) {
	if depth == maxHops {
		return nil, fmt.Errorf("host %q: more than %d hops", s.Alias, maxHops)
	}
	over, toHop := &link{}, o
	toHop.Password = "" // which is for the host, and for no other to hear
	for _, hop := range s.Jumps {
		next, err := settle(ctx, hop)
		if err != nil {
			return nil, errors.Join(err, over.Close())
		}
		if over.client != nil {
			next.Jumps = nil // reached through the hop before it
		}
		if over, err = over.extend(ctx, next, toHop, depth+1); err != nil {
			return nil, err
		}
	}
	return over.extend(ctx, s, o, depth)
}

// extend goes one host further. After an error nothing is left open.
func (l *link) extend(ctx context.Context, s settings, o Options, depth int) (*link, error) {
	if l.client == nil && depth > 0 && len(s.Jumps) > 0 {
		return dial(ctx, s, o, depth)
	}
	addr := net.JoinHostPort(s.Host, s.Port)
	conn, err := l.conn(ctx, s.network(), addr, s.Timeout)
	if err != nil {
		return nil, errors.Join(&transfer.InterruptedError{Place: s.Alias, Err: err}, l.Close())
	}
	heard := &hearing{Conn: conn}
	client, agent, err := handshake(ctx, heard, addr, s, o)
	if err != nil {
		return nil, errors.Join(heard.turnedAway(err), l.Close())
	}
	next := &link{client: client, heard: heard, pulse: cmp.Or(o.keepalive, s.pulse()), misses: s.misses()}
	next.closers = append([]io.Closer{client}, l.closers...)
	if agent != nil {
		next.closers = append(next.closers, agent)
	}
	go next.keepAlive()
	return next, nil
}

// pulse and misses are those of the configuration where a dead connection is
// noticed sooner by them: some systems' ssh is very patient in batch mode.
func (s settings) pulse() time.Duration { return min(cmp.Or(s.Pulse, keepalive), keepalive) }
func (s settings) misses() int          { return min(cmp.Or(s.Misses, keepaliveMisses), keepaliveMisses) }

func (l *link) conn(ctx context.Context, network, addr string, timeout time.Duration) (net.Conn, error) {
	if l.client != nil {
		return l.client.DialContext(ctx, "tcp", addr)
	}
	return (&net.Dialer{Timeout: cmp.Or(timeout, dialTimeout)}).DialContext(ctx, network, addr)
}

// network is what addresses are taken of.
func (s settings) network() string {
	switch s.Family {
	case "inet":
		return "tcp4"
	case "inet6":
		return "tcp6"
	}
	return "tcp"
}

// handshake proves the host and logs in.
func handshake(ctx context.Context, conn net.Conn, addr string, s settings, o Options) (*ssh.Client, io.Closer, error) {
	if s.Batch {
		o.Ask = nil
	}
	keys, err := loadHostKeys(s, o)
	if err != nil {
		conn.Close()
		return nil, nil, err
	}
	clock := time.AfterFunc(handshakeTimeout, func() { conn.Close() })
	defer clock.Stop()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	pause := func(ask func() error) error {
		clock.Stop()
		defer clock.Reset(handshakeTimeout)
		return ask()
	}
	if o.Ask != nil {
		keys.ask = pausing{o.Ask, pause}
	}
	l := &login{settings: s, ctx: ctx, ask: o.Ask, password: o.Password, pause: pause}
	c, channels, requests, err := ssh.NewClientConn(conn, addr, &ssh.ClientConfig{
		User: s.User, Auth: l.methods(), HostKeyCallback: keys.check(ctx), HostKeyAlgorithms: keys.algorithms(),
		ClientVersion: "SSH-2.0-airgap",
		Config:        ssh.Config{Ciphers: s.ciphers(), MACs: s.MACs, KeyExchanges: s.Exchanges, RekeyThreshold: s.RekeyBytes},
	})
	if err != nil {
		conn.Close()
		return nil, nil, l.explain(ctx, err)
	}
	return ssh.NewClient(c, channels, requests), l.agent, nil
}

// pausing stops the clock while somebody thinks about a host key.
type pausing struct {
	Asker
	pause func(func() error) error
}

func (p pausing) Confirm(ctx context.Context, question string) (ok bool, err error) {
	err = p.pause(func() error {
		ok, err = p.Asker.Confirm(ctx, question)
		return err
	})
	return ok, err
}

// explain sorts the errors of a handshake.
func (l *login) explain(ctx context.Context, err error) error {
	if l.agent != nil {
		l.agent.Close()
	}
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	var hostKey *transfer.HostKeyError
	var config *ConfigError
	var apart *ssh.AlgorithmNegotiationError
	switch {
	case errors.As(err, &hostKey):
		return hostKey
	case errors.As(err, &config):
		return config
	case errors.As(err, &apart):
		return &ConfigError{l.Alias, fmt.Sprintf("one of the host's algorithms for %s: %s", apart.What, strings.Join(apart.RequestedAlgorithms, ","))}
	case l.wanted != "":
		return &ConfigError{l.Alias, l.wanted}
	case refusedLogin(err):
		if l.beyond != "" && l.password == "" {
			return &ConfigError{l.Alias, l.beyond}
		}
		return &transfer.AuthError{Host: l.Alias, User: l.User, Tried: l.tried, Err: err}
	}
	return &transfer.InterruptedError{Place: l.Alias, Err: err}
}

// refusedLogin knows what the library says when all has been tried, when a
// refusal (message 51) comes in place of a question, and what servers say when
// they have been asked too often.
func refusedLogin(err error) bool {
	return slices.ContainsFunc([]string{"unable to authenticate", "unexpected message type 51", "oo many authentication failures"}, func(s string) bool {
		return strings.Contains(err.Error(), s)
	})
}

// hearing is a connection that counts what comes from the other side, and hears
// it greet.
type hearing struct {
	net.Conn
	bytes   atomic.Int64
	first   []byte // of what it says
	greeted bool
}

func (h *hearing) Read(b []byte) (int, error) {
	n, err := h.Conn.Read(b)
	h.bytes.Add(int64(n))
	if !h.greeted && len(h.first) < maxFirst {
		h.first = append(h.first, b[:n]...)
		h.greeted = bytes.HasPrefix(h.first, greeting) || bytes.Contains(h.first, append([]byte("\n"), greeting...))
	}
	return n, err
}

// A host may say something else before its greeting, on lines of their own.
const maxFirst = 1 << 10

var greeting = []byte("SSH-")

// turnedAway marks the error of a host that has hung up on us without a greeting.
func (h *hearing) turnedAway(err error) error {
	var cut *transfer.InterruptedError
	if errors.As(err, &cut) && !h.greeted && !errors.Is(err, net.ErrClosed) {
		cut.Away = true
	}
	return err
}

// keepAlive closes a connection on which nothing comes any more: the SFTP
// client itself would wait for ever. On a slow one the answer may be long in
// coming, behind all that is in flight, but something else will come before.
func (l *link) keepAlive() {
	ended := make(chan struct{})
	go func() {
		_ = l.client.Wait() // why it ended is told by the call that it ended
		close(ended)
	}()
	tick := time.NewTicker(l.pulse)
	defer tick.Stop()
	for {
		select {
		case <-ended:
			return
		case <-tick.C:
		}
		stop := l.hangUpInSilence(l.silence())
		_, _, err := l.client.SendRequest("keepalive@openssh.com", true, nil)
		stop()
		if err != nil {
			return
		}
	}
}

// hangUpInSilence closes the connection when nothing has come for so long.
func (l *link) hangUpInSilence(limit time.Duration) (stop func()) {
	ctx, stop := context.WithCancel(context.Background())
	go func() {
		tick := time.NewTicker(limit)
		defer tick.Stop()
		for before := l.heard.bytes.Load(); ; {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			now := l.heard.bytes.Load()
			if now == before {
				l.dead.Store(true)
				l.client.Close()
				return
			}
			before = now
		}
	}()
	return stop
}
