package serve

import (
	"context"
	"io"
	"net/http"
	"time"
)

// Limits on what clients can hold on to.
const (
	// MaxStall is how long a client may take for an answer, or for the next
	// part of a blob: the WriteTimeout of a server.
	MaxStall = 30 * time.Second

	// MaxHeader is how much a client may send before its request is known: the
	// MaxHeaderBytes of a server.
	MaxHeader = 16 << 10

	maxSending = 8 // blobs on their way at once, each with a frame or two in memory; others wait
	sendUnit   = 256 << 10
)

// slots lets a number of blobs be sent at once.
type slots chan struct{}

// take waits for a place; the answer is false when the client has gone away.
func (s slots) take(ctx context.Context) bool {
	select {
	case s <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

func (s slots) leave() { <-s }

// patient writes to a client for as long as it keeps taking something: a
// deadline for the whole would break off large blobs on slow lines.
type patient struct {
	http.ResponseWriter
	stall time.Duration
}

// ReadFrom implements io.ReaderFrom for http.ServeContent.
func (w patient) ReadFrom(r io.Reader) (sent int64, err error) {
	conn := http.NewResponseController(w.ResponseWriter)
	_ = conn.SetWriteDeadline(time.Time{}) // the server's; what has no deadlines is no network
	stall := time.AfterFunc(w.stall, func() { _ = conn.SetWriteDeadline(time.Unix(1, 0)) })
	defer stall.Stop()
	buf := make([]byte, sendUnit)
	for {
		stall.Stop() // it is the client that is waited for, not the medium
		n, err := r.Read(buf)
		stall.Reset(w.stall)
		written, failed := w.Write(buf[:n])
		sent += int64(written)
		switch {
		case failed != nil:
			return sent, failed
		case err == io.EOF:
			return sent, conn.Flush()
		case err != nil:
			return sent, err
		}
	}
}
