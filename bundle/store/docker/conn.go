package docker

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os/exec"
	"strings"
	"sync"
	"time"
)

// runConn is a connection to the standard streams of a command.
func runConn(name string, args ...string) (net.Conn, error) {
	c := &conn{cmd: exec.Command(name, args...)}
	var err error
	if c.in, err = c.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if c.out, err = c.cmd.StdoutPipe(); err != nil {
		return nil, err
	}
	c.cmd.Stderr = &c.stderr
	return c, c.cmd.Start()
}

// conn is a command as a net.Conn. Deadlines are not supported; closing it
// ends the command.
type conn struct {
	cmd    *exec.Cmd
	in     io.WriteCloser
	out    io.ReadCloser
	stderr tail
	once   sync.Once
}

func (c *conn) Read(p []byte) (int, error) {
	n, err := c.out.Read(p)
	if err == io.EOF {
		if text := c.stderr.String(); text != "" {
			err = fmt.Errorf("%s: %s", c.cmd.Path, text)
		}
	}
	return n, err
}

func (c *conn) Write(p []byte) (int, error) { return c.in.Write(p) }

// CloseWrite tells the other side that nothing more will come.
func (c *conn) CloseWrite() error { return c.in.Close() }

func (c *conn) Close() error {
	c.once.Do(func() {
		c.in.Close()
		c.cmd.Process.Kill()
		c.cmd.Wait() //nolint:errcheck // it has been killed
	})
	return nil
}

func (c *conn) LocalAddr() net.Addr                { return addr{} }
func (c *conn) RemoteAddr() net.Addr               { return addr{} }
func (c *conn) SetDeadline(time.Time) error        { return errors.ErrUnsupported }
func (c *conn) SetReadDeadline(t time.Time) error  { return c.SetDeadline(t) }
func (c *conn) SetWriteDeadline(t time.Time) error { return c.SetDeadline(t) }

type addr struct{}

func (addr) Network() string { return "ssh" }
func (addr) String() string  { return "ssh" }

// tail keeps the start of what a command complains of.
type tail struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

const maxStderr = 4 << 10 // bytes

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf.Write(p[:min(len(p), max(0, maxStderr-t.buf.Len()))])
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.TrimSpace(t.buf.String())
}
