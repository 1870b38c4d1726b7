package docker

import (
	"context"
	"io"
	"testing"

	"airgap/bundle/image"
)

// export is the documents of one image, asked for so many times.
type testExport struct {
	docs  []image.Digest
	asked int
}

func (e *testExport) Documents() []image.Digest { return e.docs }

func (e *testExport) Fetch(context.Context, image.Descriptor) (io.ReadCloser, error) {
	e.asked++
	return nil, io.ErrUnexpectedEOF
}

// TestFetchFromMany asks only the export that has a document, of however many.
func TestFetchFromMany(t *testing.T) {
	const n = 50
	s := &set{exported: make([]exported, n)}
	var exports []*testExport
	for i := range n {
		e := &testExport{docs: []image.Digest{image.SHA256([]byte{byte(i)})}}
		exports, s.exported[i] = append(exports, e), exported{docs: e}
	}
	s.findDocuments()
	for i := range n {
		if _, err := s.Fetch(t.Context(), image.Descriptor{Digest: image.SHA256([]byte{byte(i)})}); err != io.ErrUnexpectedEOF {
			t.Errorf("error %v is not that of the export", err)
		}
	}
	for i, e := range exports {
		if e.asked != 1 {
			t.Errorf("export %d was asked %d times for its one document", i, e.asked)
		}
	}
}
