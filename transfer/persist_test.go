package transfer_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"slices"
	"testing"
	"time"

	"airgap/transfer"
	"airgap/transfer/transfertest"
)

// flaky is a place in memory whose every connection breaks after some bytes.
type flaky struct {
	held   *[]byte
	breaks int64 // bytes a connection takes; 0 for all
	loses  bool  // what it took is gone
}

func (p *flaky) Lock(ctx context.Context, _ transfer.File, _ transfer.LockOptions) (context.Context, func(), error) {
	return ctx, func() {}, nil
}

func (p *flaky) Find(context.Context, transfer.File) (transfer.Found, error) {
	return transfer.Found{Place: "flaky", Path: "/f", Name: "f", Partial: "/p", Final: -1, Begun: int64(len(*p.held)), Free: -1}, nil
}

func (p *flaky) Hash(_ context.Context, _ transfer.Which, n int64) (string, string, error) {
	sum := sha256.Sum256((*p.held)[:n])
	return hex.EncodeToString(sum[:]), "by hand", nil
}

func (p *flaky) Write(_ context.Context, off int64, data io.Reader) error {
	*p.held = (*p.held)[:off]
	if p.breaks > 0 {
		data = io.LimitReader(data, p.breaks)
	}
	b, err := io.ReadAll(data)
	*p.held = append(*p.held, b...)
	if err == nil && p.breaks > 0 && int64(len(b)) == p.breaks {
		err = &transfer.InterruptedError{Place: "flaky", Partial: "/p", Err: io.ErrUnexpectedEOF}
		if p.loses {
			*p.held = nil
		}
	}
	return err
}

func (p *flaky) Discard(context.Context) error { *p.held = nil; return nil }
func (p *flaky) Close() error                  { return nil }
func (p *flaky) Visit(context.Context, func(transfer.Dir) error) error {
	return errors.ErrUnsupported
}
func (p *flaky) Commit(context.Context, transfer.Which, []byte) error { return nil }
func (p *flaky) Sync(context.Context) (bool, string, error)           { return true, "", nil }

// TestSendOn goes on where the way broke off, as long as there is some gain.
func TestSendOn(t *testing.T) {
	refused := &transfer.AuthError{Host: "flaky"}
	unreachable := &transfer.InterruptedError{Place: "flaky", Err: errors.New("no route to host")}
	for name, c := range map[string]struct {
		breaks   int64
		reopen   func(n int, p transfer.Place) (transfer.Place, error)
		ok       bool
		pauses   int // -1: any number
		wantText error
	}{
		"every 5 MiB": {5 << 20, func(_ int, p transfer.Place) (transfer.Place, error) { return p, nil }, true, -1, nil},
		"away for a while": {5 << 20, func(n int, p transfer.Place) (transfer.Place, error) {
			if n%6 != 0 {
				return nil, unreachable
			}
			return p, nil
		}, true, -1, nil},
		"away for good":         {5 << 20, func(int, transfer.Place) (transfer.Place, error) { return nil, unreachable }, false, 10, io.ErrUnexpectedEOF},
		"no gain":               {1 << 20, func(_ int, p transfer.Place) (transfer.Place, error) { return p, nil }, false, 10, io.ErrUnexpectedEOF},
		"another host suddenly": {5 << 20, func(int, transfer.Place) (transfer.Place, error) { return nil, refused }, false, 1, refused},
	} {
		t.Run(name, func(t *testing.T) {
			f, raw := transfertest.Content("f", 20<<20)
			var held []byte
			pauses, told := 0, int64(0)
			fresh := func() transfer.Place {
				return &flaky{held: &held, breaks: c.breaks, loses: name == "no gain"}
			}
			r, err := transfer.SendOn(t.Context(), fresh(), f, transfer.SendOptions{Progress: func(n int64) { told += n }}, transfer.Persistence{
				Reopen: func(context.Context) (transfer.Place, error) {
					return c.reopen(pauses, fresh())
				},
				Pause: func(_ context.Context, d time.Duration) error {
					pauses++
					if d < time.Second || d > time.Minute {
						t.Errorf("a pause of %v", d)
					}
					return nil
				},
			})
			if (err == nil) != c.ok || c.wantText != nil && !errors.Is(err, c.wantText) {
				t.Errorf("error %v", err)
			}
			if c.pauses >= 0 && pauses != c.pauses {
				t.Errorf("%d pauses", pauses)
			}
			if c.ok && (!bytes.Equal(held, raw) || told != f.Size || r.Cuts == 0 || r.Sent < f.Size) {
				t.Errorf("%d bytes there, %d told of, receipt %+v", len(held), told, r)
			}
		})
	}
}

// TestOpen tries again only where the host has turned somebody away.
func TestOpen(t *testing.T) {
	away := &transfer.InterruptedError{Place: "flaky", Err: io.EOF, Away: true}
	unreachable := &transfer.InterruptedError{Place: "flaky", Err: errors.New("no route to host")}
	refused := &transfer.AuthError{Host: "flaky"}
	for name, c := range map[string]struct {
		errs   []error // of one attempt after the other; then it goes well
		once   bool
		pauses int
		want   error
	}{
		"at once":                {nil, false, 0, nil},
		"away":                   {[]error{away, away, away}, false, 3, nil},
		"away, then unreachable": {[]error{away, unreachable, away}, false, 3, nil},
		"away, then refused":     {[]error{away, refused}, false, 1, refused},
		"unreachable":            {[]error{unreachable}, false, 0, unreachable},
		"refused":                {[]error{refused}, false, 0, refused},
		"away for good":          {slices.Repeat([]error{away}, 100), false, 10, away},
		"not to be tried again":  {[]error{away}, true, 0, away},
	} {
		t.Run(name, func(t *testing.T) {
			attempts, pauses := 0, 0
			open := func(context.Context) (transfer.Place, error) {
				if attempts++; attempts <= len(c.errs) {
					return nil, c.errs[attempts-1]
				}
				return &flaky{}, nil
			}
			again := transfer.Persistence{Reopen: open, Pause: func(context.Context, time.Duration) error { pauses++; return nil }}
			if c.once {
				again = transfer.Persistence{}
			}
			p, err := again.Open(t.Context(), open)
			if !errors.Is(err, c.want) || (p == nil) != (err != nil) || pauses != c.pauses {
				t.Errorf("%v, error %v after %d pauses", p, err, pauses)
			}
		})
	}
}

// TestSendOnce: without leave to connect again, the first cut is the end; so is
// the context's in a pause.
func TestSendOnce(t *testing.T) {
	f, _ := transfertest.Content("f", 20<<20)
	var held []byte
	var cut *transfer.InterruptedError
	_, err := transfer.SendOn(t.Context(), &flaky{held: &held, breaks: 5 << 20}, f, transfer.SendOptions{}, transfer.Persistence{})
	if !errors.As(err, &cut) {
		t.Errorf("error %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	_, err = transfer.SendOn(ctx, &flaky{held: &held, breaks: 5 << 20}, f, transfer.SendOptions{}, transfer.Persistence{
		Reopen: func(context.Context) (transfer.Place, error) { t.Error("connected again"); return nil, nil },
		Pause:  func(ctx context.Context, _ time.Duration) error { cancel(); return context.Cause(ctx) },
	})
	if !errors.As(err, &cut) {
		t.Errorf("error %v", err)
	}
}

// TestLimit: what is sent waits for its turn.
func TestLimit(t *testing.T) {
	f, raw := transfertest.Content("f", 300<<10)
	var held []byte
	started := time.Now()
	if _, err := transfer.Send(t.Context(), &flaky{held: &held}, f, transfer.SendOptions{Limit: 1 << 20}); err != nil {
		t.Fatal(err)
	}
	// 300 KiB at 1 MiB a second, of which a tenth of a second's may go at once.
	if took := time.Since(started); took < 150*time.Millisecond || !bytes.Equal(held, raw) {
		t.Errorf("it took %v", took)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := transfer.Send(ctx, &flaky{held: new([]byte)}, f, transfer.SendOptions{Limit: 1}); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}
