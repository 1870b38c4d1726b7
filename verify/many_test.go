package verify_test

import (
	"bytes"
	"io"
	"math/rand/v2"
	"strconv"
	"sync/atomic"
	"testing"

	"airgap/bundle/store/storetest"
	"airgap/verify"
)

// counting counts the reads of a file.
type counting struct {
	io.ReaderAt
	reads atomic.Int64
}

func (c *counting) ReadAt(p []byte, off int64) (int, error) {
	c.reads.Add(1)
	return c.ReaderAt.ReadAt(p, off)
}

// TestSmallBlobsInOrder: small blobs share frames, and each frame is opened a
// few times, not once for each of its blobs, whatever their sizes.
func TestSmallBlobsInOrder(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	m := storetest.NewMemory()
	var layers []storetest.Layer
	for i := range 400 {
		content := make([]byte, 20_000+random.IntN(40_000))
		for j := range content {
			content[j] = byte(random.Uint32())
		}
		layers = append(layers, m.Layer(storetest.Raw, storetest.File{Name: strconv.Itoa(i), Content: string(content)}))
	}
	root := m.Manifest(storetest.Config{Platform: storetest.Host}, layers...)
	root.Platform = nil
	m.Name("docker.io/library/small:1", root)
	file := packedFrom(t, m)
	r := &counting{ReaderAt: bytes.NewReader(file)}
	docs := documents(t, r, int64(len(file)))
	r.reads.Store(0)
	if _, _, err := verify.Check(t.Context(), docs, verify.Policy{Jobs: 2}); err != nil {
		t.Fatal(err)
	}
	// The file has some 4 frames of 4 MiB, and is read once besides, 1 MiB at a time.
	if reads, most := r.reads.Load(), int64(len(file)>>20+20); reads > most {
		t.Errorf("%d reads for %d layers in %d MiB, expected at most %d", reads, len(layers), len(file)>>20, most)
	}
}
