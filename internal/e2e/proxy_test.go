//go:build linux

package e2e_test

import (
	"bytes"
	"net"
	"sync"
	"testing"
)

// proxy stands between airgap and a service, counts the bytes, and does
// something at a byte that a test names: no test has to guess at times.
type proxy struct {
	addr     string
	listener net.Listener
	network  string // of the service
	service  string

	mu    sync.Mutex
	conns map[net.Conn]bool
	count [2]int64
	traps [2]*trap
	shut  bool
}

// The directions of bytes.
const (
	up   = iota // from airgap to the service
	down        // from the service to airgap
)

// trap is sprung by the byte at which it lies, or by words.
type trap struct {
	at     int64
	words  []byte // nil: at counts
	do     func()
	sprung chan struct{}
}

func startProxy(t *testing.T, network, addr, serviceNetwork, service string) *proxy {
	t.Helper()
	l, err := net.Listen(network, addr)
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{addr: l.Addr().String(), listener: l, network: serviceNetwork, service: service, conns: map[net.Conn]bool{}}
	go p.serve()
	t.Cleanup(p.close)
	return p
}

func (p *proxy) serve() {
	for {
		c, err := p.listener.Accept()
		if err != nil {
			return
		}
		go p.connect(c)
	}
}

func (p *proxy) connect(c net.Conn) {
	s, err := net.Dial(p.network, p.service)
	if err != nil || !p.keep(c, s) {
		c.Close()
		if s != nil {
			s.Close()
		}
		return
	}
	var both sync.WaitGroup
	both.Go(func() { p.copy(up, s, c) })
	both.Go(func() { p.copy(down, c, s) })
	both.Wait()
	p.drop(c, s)
}

// copy forwards one direction, and its end.
func (p *proxy) copy(way int, dst, src net.Conn) {
	buf := make([]byte, 16<<10)
	for {
		n, err := src.Read(buf)
		p.pass(way, buf[:n])
		if _, werr := dst.Write(buf[:n]); werr != nil || err != nil {
			break
		}
	}
	if half, ok := dst.(interface{ CloseWrite() error }); ok {
		half.CloseWrite()
	}
}

// pass counts bytes and springs the trap that lies among them.
func (p *proxy) pass(way int, b []byte) {
	p.mu.Lock()
	p.count[way] += int64(len(b))
	trap := p.traps[way]
	if trap == nil || p.count[way] < trap.at || !bytes.Contains(b, trap.words) {
		p.mu.Unlock()
		return
	}
	p.traps[way] = nil
	p.mu.Unlock()
	trap.do()
	close(trap.sprung)
}

// set lays a trap n bytes from now. While do runs, the bytes wait. The
// channel that it returns is closed afterwards.
func (p *proxy) set(way int, n int64, do func()) <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.traps[way] = &trap{p.count[way] + n, nil, do, make(chan struct{})}
	return p.traps[way].sprung
}

// setAt is set for the first bytes with some words in them, such as the line of
// a request.
func (p *proxy) setAt(way int, words string, do func()) <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.traps[way] = &trap{0, []byte(words), do, make(chan struct{})}
	return p.traps[way].sprung
}

// passed is how many bytes went one way so far.
func (p *proxy) passed(way int) int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.count[way]
}

// cut ends all connections and refuses new ones until mend.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.shut = true
	for c := range p.conns {
		c.Close()
	}
}

func (p *proxy) mend() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.shut = false
}

func (p *proxy) close() {
	p.listener.Close()
	p.cut()
}

func (p *proxy) keep(conns ...net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range conns {
		p.conns[c] = !p.shut
	}
	return !p.shut
}

func (p *proxy) drop(conns ...net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range conns {
		c.Close()
		delete(p.conns, c)
	}
}
