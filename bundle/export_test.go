package bundle

// FrameLength is the length of the zstd frame at the start of b.
func FrameLength(b []byte) (int, bool) {
	n, _, err := measureFrame(b)
	return n, err == nil
}

// ParseManifest reads airgap.json.
var ParseManifest = parseManifest

// Encode is the canonical form.
func (m *Manifest) Encode() ([]byte, error) { return m.encode() }
