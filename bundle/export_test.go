package bundle

// FrameLength is the length of the zstd frame at the start of b.
func FrameLength(b []byte) (int, bool) {
	n, _, err := measureFrame(b)
	return n, err == nil
}
