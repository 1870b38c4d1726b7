//go:build !linux

package docker

// flush cannot reach the engine's disk: on other systems it is in a virtual
// machine.
func flush(string) (durable bool, why string, err error) {
	return false, "the engine's disk cannot be flushed from here", nil
}
