package media

import (
	"errors"
	"io"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// openUncached opens a file so that its bytes come from the medium: directly
// where the file system can do that, else after the page cache has been told to
// forget them (which it can, since they have been synced) and has been looked at.
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
	if !forget(f) {
		return f, "read back, perhaps from the page cache: it would not forget the file", nil
	}
	return f, "read back past the page cache (fadvise)", nil
}

// forget drops a file's pages, and says whether really none has stayed.
func forget(f *os.File) bool {
	info, err := f.Stat()
	if err != nil || unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED) != nil {
		return false
	}
	const window = 1 << 30 // of addresses, not of memory
	for off := int64(0); off < info.Size(); off += window {
		if n, err := resident(f, off, min(window, info.Size()-off)); err != nil || n > 0 {
			return false
		}
	}
	return true
}

// resident counts the pages of a stretch that the page cache holds.
func resident(f *os.File, off, n int64) (pages int, err error) {
	mapped, err := unix.Mmap(int(f.Fd()), off, int(n), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return 0, err
	}
	state := make([]byte, (int(n)+os.Getpagesize()-1)/os.Getpagesize())
	_, _, errno := unix.Syscall(unix.SYS_MINCORE, uintptr(unsafe.Pointer(&mapped[0])), uintptr(n), uintptr(unsafe.Pointer(&state[0])))
	if errno != 0 {
		err = errno
	}
	for _, s := range state {
		pages += int(s & 1)
	}
	return pages, errors.Join(err, unix.Munmap(mapped))
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
