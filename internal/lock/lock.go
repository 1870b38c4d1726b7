// Package lock keeps processes apart that would do the same thing at once. A
// lock is an open file: closing it gives it back, and so does the end of its
// process, however that ends.
package lock

import (
	"context"
	"errors"
	"os"
	"time"
)

// gap is how long a lock that is taken is left alone.
const gap = 100 * time.Millisecond

// ErrTaken says that another has the lock.
var ErrTaken = errors.New("the lock is taken")

// Take locks what open opens, a file or a folder, and waits while another has
// it: waiting is then called, once. It is opened anew at each try, for it may be
// removed and made again meanwhile. The error wraps errors.ErrUnsupported where
// it cannot be locked.
func Take(ctx context.Context, open func() (*os.File, error), waiting func()) (*os.File, error) {
	for told := false; ; {
		f, err := try(open)
		if !errors.Is(err, ErrTaken) {
			return f, err
		}
		if !told {
			waiting()
			told = true
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(gap):
		}
	}
}

// try is one try.
func try(open func() (*os.File, error)) (*os.File, error) {
	f, err := open()
	if err != nil {
		return nil, err
	}
	if err := File(f); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// File locks an open file, without waiting: the error wraps ErrTaken if another
// has it. What has been removed since it was opened, so that others cannot meet
// at it, counts as taken.
func File(f *os.File) error {
	if err := lock(f); err != nil {
		return err
	}
	held, err := f.Stat()
	if there, statErr := os.Stat(f.Name()); err != nil || statErr != nil || !os.SameFile(held, there) {
		return errors.Join(err, ErrTaken)
	}
	return nil
}
