//go:build !linux

package containerd

func flush() (durable bool, why string) {
	return false, "this system cannot flush what containerd has written"
}
