package transfertest

import (
	"io"
	"net"
	"time"
)

// Distance is what a network does to what passes through it.
type Distance struct {
	RoundTrip time.Duration // half of it each way
	Rate      int64         // bytes a second each way; 0: no limit
}

// Far is a way to a server that leads far away.
type Far struct {
	Addr     string
	listener net.Listener
}

// NewFar puts a server at a distance, for those who connect to Addr.
func NewFar(addr string, d Distance) (*Far, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	f := &Far{l.Addr().String(), l}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go d.join(conn, addr)
		}
	}()
	return f, nil
}

// Close takes no more connections; those that are there stay.
func (f *Far) Close() error { return f.listener.Close() }

func (d Distance) join(conn net.Conn, addr string) {
	server, err := net.Dial("tcp", addr)
	if err != nil {
		conn.Close()
		return
	}
	go d.carry(conn, server)
	d.carry(server, conn)
}

// parcel is what arrives together.
type parcel struct {
	content []byte
	due     time.Time
}

// underWay is how many parcels a line holds: more than the windows of SSH and
// TCP let anybody send, so that nothing but they limits the speed.
const underWay = 4096

// carry brings all from one side to the other, late. Either's end is the
// other's.
func (d Distance) carry(to, from net.Conn) {
	line := make(chan parcel, underWay)
	go func() {
		defer close(line)
		d.take(line, from)
	}()
	for p := range line {
		time.Sleep(time.Until(p.due))
		if _, err := to.Write(p.content); err != nil {
			break
		}
	}
	to.Close()
	from.Close()
	for range line { // so that nobody waits for room in it
	}
}

// take reads as fast as the rate allows.
func (d Distance) take(line chan<- parcel, from io.Reader) {
	var free time.Time // when the line has room for the next
	for {
		content := make([]byte, 64<<10)
		n, err := from.Read(content)
		if n > 0 {
			now := time.Now()
			if free.Before(now) {
				free = now
			}
			if d.Rate > 0 {
				free = free.Add(time.Duration(int64(n) * int64(time.Second) / d.Rate))
				time.Sleep(free.Sub(now))
			}
			line <- parcel{content[:n], free.Add(d.RoundTrip / 2)}
		}
		if err != nil {
			return
		}
	}
}
