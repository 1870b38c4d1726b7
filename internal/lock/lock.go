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

// errTaken says that another has the lock.
var errTaken = errors.New("the lock is taken")

// Take locks what open opens, a file or a folder, and waits while another has
// it: waiting is then called, once. It is opened anew at each try, for it may be
// removed and made again meanwhile. The error wraps errors.ErrUnsupported where
// it cannot be locked.
func Take(ctx context.Context, open func() (*os.File, error), waiting func()) (*os.File, error) {
	for told := false; ; {
		f, err := try(open)
		if !errors.Is(err, errTaken) {
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

// try is one try. What has been removed since it was opened, so that others
// cannot meet at it, counts as taken.
func try(open func() (*os.File, error)) (*os.File, error) {
	f, err := open()
	if err != nil {
		return nil, err
	}
	if err := lock(f); err != nil {
		f.Close()
		return nil, err
	}
	held, err := f.Stat()
	if there, statErr := os.Stat(f.Name()); err != nil || statErr != nil || !os.SameFile(held, there) {
		f.Close()
		return nil, errors.Join(err, errTaken)
	}
	return f, nil
}
