package transfertest

import (
	"bytes"
	"io"
	"net"
	"testing"
	"time"
)

// TestFar sends through a distance and back: all arrives, in order, and not
// before its time.
func TestFar(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		conn, err := l.Accept()
		if err == nil {
			io.Copy(conn, conn)
			conn.Close()
		}
	}()
	far, err := NewFar(l.Addr().String(), Distance{RoundTrip: 40 * time.Millisecond, Rate: 64 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer far.Close()
	conn, err := net.Dial("tcp", far.Addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, raw := Content("far", 3<<20)
	start := time.Now()
	go conn.Write(raw)
	got := make([]byte, len(raw))
	if _, err := io.ReadFull(conn, got[:1]); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(start); took < 40*time.Millisecond {
		t.Errorf("the first byte was back after %v", took)
	}
	if _, err := io.ReadFull(conn, got[1:]); err != nil || !bytes.Equal(got, raw) {
		t.Errorf("other bytes came back, %v", err)
	}
}
