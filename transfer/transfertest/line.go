package transfertest

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
)

// Line is a connection that passes through a place where it can be cut.
type Line struct {
	Addr string

	passed atomic.Int64 // bytes towards the server

	mu   sync.Mutex
	left int64         // bytes towards the server until the fate; negative: none comes
	fate func() Fate   // of the connection that carries the byte
	next chan struct{} // closed when another connection comes, or the test ends
}

// Fate is what becomes of a connection.
type Fate int

// The fates.
const (
	Pass   Fate = iota // it goes on
	Doomed             // it goes on, but something else ends it: its bytes do not count any more
	Reset              // both sides hear of a reset
	Stall              // nothing more passes to the server, and it stays open until another connection comes
)

// NewLine starts a line to addr.
func NewLine(t testing.TB, addr string) *Line {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	line := &Line{Addr: l.Addr().String(), left: -1, next: make(chan struct{})}
	t.Cleanup(func() { l.Close(); line.another() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go line.pass(conn, addr, line.another())
		}
	}()
	return line
}

// At has fate decide, once, about the connection by which the last of n more
// bytes has passed to the server. Fate may be another At.
func (l *Line) At(n int64, fate func() Fate) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.left, l.fate = n, fate
}

// CutAfter cuts the connections of the line after n more bytes to the server,
// until it is healed.
func (l *Line) CutAfter(n int64) { l.allAfter(n, Reset) }

// StallAfter has nothing more pass after n more bytes to the server, until it
// is healed.
func (l *Line) StallAfter(n int64) { l.allAfter(n, Stall) }

func (l *Line) allAfter(n int64, f Fate) {
	l.At(n, func() Fate {
		l.allAfter(0, f)
		return f
	})
}

// Heal lets everything pass again.
func (l *Line) Heal() { l.At(-1, nil) }

// Passed is the number of bytes that have passed to the server.
func (l *Line) Passed() int64 { return l.passed.Load() }

// another ends the stall of the connections before; what it answers is closed
// when the stall of a new one ends.
func (l *Line) another() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	close(l.next)
	l.next = make(chan struct{})
	return l.next
}

// take gives how many of n bytes pass before fate decides, if it is to.
func (l *Line) take(n int) (passing int, fate func() Fate) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.left < 0 {
		return n, nil
	}
	passing = int(min(int64(n), l.left))
	if l.left -= int64(passing); l.left > 0 {
		return passing, nil
	}
	l.left = -1
	return passing, l.fate
}

func (l *Line) pass(conn net.Conn, addr string, another <-chan struct{}) {
	defer conn.Close()
	server, err := net.Dial("tcp", addr)
	if err != nil {
		return
	}
	defer server.Close()
	go func() {
		_, _ = io.Copy(conn, server) // however it ends, the connection has ended
		conn.Close()
	}()
	take := l.take
	buf := make([]byte, 16<<10)
	for {
		n, err := conn.Read(buf)
		if err != nil {
			return
		}
		switch l.carry(server, buf[:n], take) {
		case Doomed:
			take = takeAll
		case Reset:
			server.(*net.TCPConn).SetLinger(0)
			conn.(*net.TCPConn).SetLinger(0)
			return
		case Stall:
			<-another
			return
		}
	}
}

// takeAll is take for a connection that is doomed.
func takeAll(n int) (int, func() Fate) { return n, nil }

// carry takes bytes to the server, as far as they may pass. Where the server
// has gone, the other direction ends the connection.
func (l *Line) carry(server io.Writer, data []byte, take func(int) (int, func() Fate)) (f Fate) {
	for len(data) > 0 {
		passing, fate := take(len(data))
		n, err := server.Write(data[:passing])
		l.passed.Add(int64(n))
		if err != nil {
			if fate != nil { // it is that of a connection that carries something
				l.At(1, fate)
			}
			return Pass
		}
		data = data[passing:]
		if fate == nil {
			continue
		}
		switch f = fate(); f {
		case Doomed:
			take = takeAll
		case Reset, Stall:
			return f
		}
	}
	return f
}
