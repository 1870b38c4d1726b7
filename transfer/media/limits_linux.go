package media

import (
	"errors"
	"math"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// The types of file systems that are told apart, as statfs gives them.
const (
	typeFAT   = 0x4d44
	typeExFAT = 0x2011bab0
)

// largeFiles are types whose files can be larger than any bundle.
var largeFiles = map[int64]bool{
	typeExFAT: true, unix.EXT4_SUPER_MAGIC: true, unix.XFS_SUPER_MAGIC: true, unix.BTRFS_SUPER_MAGIC: true,
	unix.F2FS_SUPER_MAGIC: true, unix.TMPFS_MAGIC: true, unix.OVERLAYFS_SUPER_MAGIC: true,
}

// limits tells how much can be written into a folder, and how large one file
// of it can be; 0 is no limit. size is that of the file in question, or 0 if it
// is not known. A folder that cannot be written to is an error.
func limits(dir string, size int64) (free, largest int64, err error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return -1, 0, &os.PathError{Op: "statfs", Path: dir, Err: err}
	}
	if st.Flags&unix.ST_RDONLY != 0 {
		return -1, 0, &os.PathError{Op: "writing to", Path: dir, Err: unix.EROFS}
	}
	free = int64(st.Bavail) * st.Bsize
	beyond := (size == 0 || size > math.MaxUint32) && free > math.MaxUint32
	if st.Type == typeFAT || beyond && !largeFiles[st.Type] && !takesLarge(dir) {
		largest = math.MaxUint32
	}
	return free, ownLimit(largest), nil
}

// ownLimit applies the limit that this process has itself: ulimit -f.
func ownLimit(largest int64) int64 {
	var own unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_FSIZE, &own) != nil || own.Cur > math.MaxInt64 {
		return largest
	}
	if largest == 0 {
		return int64(own.Cur)
	}
	return min(largest, int64(own.Cur))
}

// takesLarge tries a byte behind what 32 bits can count. Behind FUSE and on
// servers there may be any file system; it says so at once if it cannot do that.
func takesLarge(dir string) bool {
	f, err := create(filepath.Join(dir, ".airgap-large.partial"), 0o600)
	if err != nil {
		return true // writing will tell what is wrong
	}
	defer os.Remove(f.Name())
	defer f.Close()
	_, err = f.WriteAt([]byte{0}, math.MaxUint32+1)
	return !errors.Is(err, unix.EFBIG)
}

func isNoSpace(err error) bool { return errors.Is(err, unix.ENOSPC) || isQuota(err) }

func isQuota(err error) bool { return errors.Is(err, unix.EDQUOT) }
