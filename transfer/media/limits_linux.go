package media

import (
	"errors"
	"io"
	"math"
	"os"

	"golang.org/x/sys/unix"
)

// limits tells how much can be written, and how large one file can be.
func limits(dir string) (free, largest int64, err error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return -1, 0, &os.PathError{Op: "statfs", Path: dir, Err: err}
	}
	const fat = 0x4d44
	if st.Type == fat {
		largest = math.MaxUint32
	}
	return int64(st.Bavail) * st.Bsize, largest, nil
}

func isNoSpace(err error) bool {
	return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT)
}

// openUncached opens a file so that its bytes come from the medium: directly
// where the file system can do that, else after the page cache has been told to
// forget them (which it can, since they have been synced).
func openUncached(path string) (r io.ReadCloser, how string, err error) {
	if f, err := os.OpenFile(path, os.O_RDONLY|unix.O_DIRECT, 0); err == nil {
		if direct := newAligned(f); direct != nil {
			return direct, "read back past the page cache (O_DIRECT)", nil
		}
		f.Close()
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, "", err
	}
	if unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED) != nil {
		return f, "read back", nil
	}
	return f, "read back past the page cache (fadvise)", nil
}

// aligned reads with buffers, offsets and lengths as O_DIRECT wants them.
type aligned struct {
	*os.File
	buf  []byte
	rest []byte
	end  bool
}

const (
	alignment = 4096
	chunk     = 1 << 20
)

// newAligned tries a first read, which fails where O_DIRECT is accepted but not
// possible; nil then.
func newAligned(f *os.File) *aligned {
	// Memory that is mapped is aligned to pages.
	buf, err := unix.Mmap(-1, 0, chunk, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		return nil
	}
	a := &aligned{File: f, buf: buf}
	if a.fill() != nil {
		_ = unix.Munmap(buf) // memory that is not returned is all that could go wrong
		return nil
	}
	return a
}

func (a *aligned) fill() error {
	n, err := a.File.Read(a.buf)
	if err != nil && err != io.EOF {
		return err
	}
	a.rest = a.buf[:n]
	a.end = err == io.EOF || n%alignment != 0
	return nil
}

func (a *aligned) Read(p []byte) (int, error) {
	if len(a.rest) == 0 && !a.end {
		if err := a.fill(); err != nil {
			return 0, err
		}
	}
	if len(a.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(p, a.rest)
	a.rest = a.rest[n:]
	return n, nil
}

// WriteTo is not os.File's: that would read behind the buffer.
func (a *aligned) WriteTo(w io.Writer) (int64, error) {
	return io.Copy(w, struct{ io.Reader }{a})
}

func (a *aligned) Close() error {
	return errors.Join(a.File.Close(), unix.Munmap(a.buf))
}

// syncFolder makes renames in a folder durable.
func syncFolder(dir string) (durable bool, why string, err error) {
	f, err := os.Open(dir)
	if err != nil {
		return false, "", err
	}
	defer f.Close()
	if err := errors.Join(f.Sync(), unix.Syncfs(int(f.Fd()))); err != nil {
		return false, "its file system cannot sync a folder: " + err.Error(), nil
	}
	return true, "", nil
}
