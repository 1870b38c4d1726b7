package transfer

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
)

// SendStream is Send for bytes whose number and hash are known only at their
// end. Nothing of it is resumed, since nothing can be recognised: whatever goes
// wrong, the partial is removed.
func SendStream(ctx context.Context, p Place, name string, data io.Reader, o SendOptions) (Receipt, error) {
	o = o.withDefaults()
	s := &sending{place: p, owner: newOwner(), file: fileToCome(name), SendOptions: o}
	err := s.alone(ctx, func(ctx context.Context) error {
		if err := s.find(ctx); err != nil {
			return err
		}
		err := s.stream(ctx, data)
		if err != nil {
			// Where the way there is broken nothing can be removed, and the first error is the one to tell.
			if left := p.Discard(context.WithoutCancel(ctx)); left != nil {
				o.Note("%s could not be removed: %v", s.found.Partial, left)
			}
		}
		return err
	})
	if err == nil {
		err = s.sync(ctx)
	}
	return s.receipt, err
}

// fileToCome stands for a file that is not known yet. Nobody else's partial
// has the name of its partial.
func fileToCome(name string) File {
	random := rand.Text()
	return File{Name: name, Temporary: "." + name + "." + random[:8] + ".partial"}
}

func (s *sending) stream(ctx context.Context, data io.Reader) error {
	sum := sha256.New()
	if err := s.clear(ctx); err != nil {
		return err
	}
	limited := s.limited(ctx, ContextReader(ctx, &upTo{data, s.found.Limit, s.found}))
	if err := s.place.Write(ctx, 0, &counted{io.TeeReader(limited, sum), s}); err != nil {
		return s.atLeast(err)
	}
	s.file.Size, s.file.SHA256 = s.receipt.Sent, hex.EncodeToString(sum.Sum(nil))
	s.receipt.Size, s.receipt.SHA256 = s.file.Size, s.file.SHA256
	if s.Name == nil {
		return s.finish(ctx)
	}
	before := s.file.Name
	s.file.Name = s.Name()
	finish := func(ctx context.Context) error {
		if err := s.find(ctx); err != nil {
			return err
		}
		return s.finish(ctx)
	}
	if s.file.Name == before {
		return finish(ctx)
	}
	return s.alone(ctx, finish)
}

// atLeast says in a full place's error what is known of how much was needed.
func (s *sending) atLeast(err error) error {
	var full *NoSpaceError
	if errors.As(err, &full) {
		full.Need = max(full.Need, s.receipt.Sent)
	}
	return err
}

// upTo fails where a file becomes larger than its place takes; a limit of 0 is
// none.
type upTo struct {
	r     io.Reader
	left  int64
	found Found
}

func (u *upTo) Read(p []byte) (int, error) {
	n, err := u.r.Read(p)
	if u.found.Limit <= 0 {
		return n, err
	}
	if u.left -= int64(n); u.left < 0 {
		return 0, &MediumError{u.found.Path, fmt.Errorf("at most %d bytes can be written to a file there, and there are more", u.found.Limit)}
	}
	return n, err
}
