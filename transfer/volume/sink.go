package volume

import (
	"context"
	"io"

	"airgap/transfer"
)

// To opens the files of a Writer at a place, each through
// transfer.SendStream; done, which may be nil, hears of each that has arrived.
// One file is open at a time.
func To(ctx context.Context, p transfer.Place, o transfer.SendOptions, done func(transfer.Receipt)) func(name string) (Sink, error) {
	return func(name string) (Sink, error) {
		s := &stream{name: name, done: done, ended: make(chan error, 1)}
		var data *io.PipeReader
		data, s.PipeWriter = io.Pipe()
		o.Name = func() string { return s.name }
		go s.send(ctx, p, data, o)
		return s, nil
	}
}

// stream is a Sink at a place.
type stream struct {
	*io.PipeWriter
	name    string // settled before the pipe is closed
	done    func(transfer.Receipt)
	receipt transfer.Receipt
	ended   chan error
}

func (s *stream) send(ctx context.Context, p transfer.Place, data *io.PipeReader, o transfer.SendOptions) {
	var err error
	s.receipt, err = transfer.SendStream(ctx, p, s.name, data, o)
	if err != nil {
		data.CloseWithError(err)
	}
	s.ended <- err
}

// Commit implements Sink.
func (s *stream) Commit(name string) error {
	s.name = name
	s.Close()
	err := <-s.ended
	if err == nil && s.done != nil {
		s.done(s.receipt)
	}
	return err
}

// Abort implements Sink.
func (s *stream) Abort(cause error) {
	s.CloseWithError(cause)
	<-s.ended //nolint:errcheck // it is the cause
}
