package containerd

import "golang.org/x/sys/unix"

// flush writes all file systems to their disks: where containerd keeps its
// content is not for everybody to know.
func flush() (durable bool, why string) {
	unix.Sync()
	return true, ""
}
