package media

import (
	"errors"
	"os"

	"golang.org/x/sys/windows"

	"airgap/transfer"
)

// Locks of Windows keep others from reading: this one is about a byte that no
// file has.
const lockedByte = 1 << 30

func lockByte(f *os.File, flags uint32) error {
	at := &windows.Overlapped{OffsetHigh: lockedByte}
	return windows.LockFileEx(windows.Handle(f.Fd()), flags|windows.LOCKFILE_FAIL_IMMEDIATELY, 0, 1, 0, at)
}

// flock locks a file until it is closed.
func flock(f *os.File) error { return lockByte(f, windows.LOCKFILE_EXCLUSIVE_LOCK) }

// fateOf is what became of whoever has locked a file.
func fateOf(f *os.File) transfer.Fate {
	switch err := lockByte(f, 0); {
	case err == nil:
		return transfer.Dead
	case errors.Is(err, windows.ERROR_LOCK_VIOLATION):
		return transfer.Alive
	}
	return transfer.Unknown
}
