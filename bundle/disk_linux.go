package bundle

import (
	"os"

	"golang.org/x/sys/unix"
)

// startWriteback lets the disk begin with a stretch of a file, so that the
// sync at the end finds little left to do. It is only a hint.
func startWriteback(f *os.File, off, n int64) {
	_ = unix.SyncFileRange(int(f.Fd()), off, n, unix.SYNC_FILE_RANGE_WRITE)
}

// release gives the space of a stretch of a file back, on the disk and in
// memory: whoever copies a file and does not need it afterwards never has it
// twice. It is only a hint.
func release(f *os.File, off, n int64) {
	_ = unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, off, n)
}
