package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"airgap/cmd/airgap/internal/ui"
	"airgap/transfer/sftp"
)

// patience is how long a host is waited for that is asked something, which is
// said after a while. Questions change nothing there and wait for no lock.
type patience struct{ note, most time.Duration }

var usualPatience = patience{note: 5 * time.Second, most: 5 * time.Minute}

// question asks a host something by a command. The time that a slow connection
// takes for the input is not counted: the host is silent when nothing of that
// moves any more. What it prints does not count as an answer before its end.
func (h *hop) question(ctx context.Context, what string, in io.Reader, args ...string) (*bounded, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	host, most := h.remote().Host(), h.o.patience.most
	silent := time.AfterFunc(most, func() { cancel(&silentError{host, what, most}) })
	defer silent.Stop()
	note := time.AfterFunc(h.o.patience.note, func() {
		h.env.Note("%s: waiting at most %s for an answer: %s", host, ui.Duration(most), what)
	})
	defer note.Stop()
	if in != nil {
		in = counted{in, func(int64) { silent.Reset(most) }}
	}
	out := &bounded{full: cancel}
	return out, h.remote().Run(ctx, sftp.Command{Args: args, Stdin: in, Stdout: out})
}

// into names what the bundle is to be unpacked into, where this side knows that.
func (h *hop) into() string {
	if to := h.o.given.Lookup("to"); to.Changed {
		return " (--to " + to.Value.String() + ")"
	}
	return ""
}

// silentError says that a host has not answered in time.
type silentError struct {
	Host, What string
	Within     time.Duration
}

func (e *silentError) Error() string {
	return fmt.Sprintf("%s has not answered within %s: %s", e.Host, ui.Duration(e.Within), e.What)
}

// bounded is a buffer that holds so much of what a host says.
type bounded struct {
	bytes.Buffer
	full context.CancelCauseFunc // ends what is said; nil: the writer does that
}

const maxAnswer = 32 << 20

var errTooMuch = errors.New("the host says too much")

func (b *bounded) Write(p []byte) (int, error) {
	if b.Len()+len(p) > maxAnswer {
		if b.full != nil {
			b.full(errTooMuch)
		}
		return 0, errTooMuch
	}
	return b.Buffer.Write(p)
}

// find gives the object of that type among the lines. Others, such as a shell's
// greeting, are none of ours; where a greeting has no line's end, the object follows
// it in its line.
func (b *bounded) find(kind string, into any) bool {
	begin := []byte(`{"type":"` + kind + `"`)
	for line := range bytes.Lines(b.Bytes()) {
		line = line[max(0, bytes.LastIndex(line, begin)):]
		var head struct{ Type string }
		if json.Unmarshal(line, &head) == nil && head.Type == kind {
			return json.Unmarshal(line, into) == nil
		}
	}
	return false
}
