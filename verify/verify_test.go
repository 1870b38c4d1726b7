package verify_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/types"

	"airgap/bundle"
	"airgap/bundle/image"
	"airgap/bundle/store/storetest"
	"airgap/verify"
)

// packed is the bundle of a fixture, as a plain tar, in which single bytes can
// be changed without the whole falling apart.
func packed(t *testing.T, label string) []byte {
	t.Helper()
	return packedFrom(t, storetest.NewFixture(t, label, "verify").Images)
}

// packedFrom is the bundle of all images that are in memory.
func packedFrom(t *testing.T, m *storetest.Memory) []byte {
	t.Helper()
	all := image.Platforms{All: true}
	set, err := m.Open(t.Context(), m.Names(), all)
	if err != nil {
		t.Fatal(err)
	}
	plan, err := bundle.NewPlan(t.Context(), []image.Set{set}, all)
	if err != nil {
		t.Fatal(err)
	}
	var file bytes.Buffer
	if _, err := plan.WriteTo(t.Context(), &file, bundle.WriteOptions{TempDir: t.TempDir()}); err != nil {
		t.Fatal(err)
	}
	return file.Bytes()
}

// documents opens a bundle and reads its documents.
func documents(t *testing.T, r io.ReaderAt, size int64) *verify.Documents {
	t.Helper()
	b, err := bundle.Open(r, size)
	if err != nil {
		t.Fatal(err)
	}
	docs, err := verify.Read(t.Context(), b)
	if err != nil {
		t.Fatal(err)
	}
	return docs
}

func check(t *testing.T, file []byte, p verify.Policy) (*verify.Report, error) {
	t.Helper()
	v, report, err := verify.Check(t.Context(), documents(t, bytes.NewReader(file), int64(len(file))), p)
	if (v == nil) != (err != nil) {
		t.Errorf("verified %v with error %v", v, err)
	}
	return report, err
}

// TestReport tells what has been proven.
func TestReport(t *testing.T) {
	file := packed(t, "index with attestations")
	var seen atomic.Int64
	report, err := check(t, file, verify.Policy{Progress: func(n int64) { seen.Add(n) }})
	if err != nil {
		t.Fatal(err)
	}
	if seen.Load() != report.Size || report.Size == 0 {
		t.Errorf("progress of %d bytes out of %d", seen.Load(), report.Size)
	}
	raw, err := json.Marshal(report)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"findings":[]`, `"diffIDs":true`, `"platforms":["linux/`, `"names":["docker.io/airgap-test/index:verify"]`} {
		if !strings.Contains(string(raw), want) {
			t.Errorf("report %s does not say %s", raw, want)
		}
	}
}

// TestAllFindings goes on after damage: every layer that is damaged is named.
func TestAllFindings(t *testing.T) {
	file := packed(t, "raw layers")
	starts := frameStarts(file) // the layers' frames are the third and the fifth
	file[starts[2]+30] ^= 0xff
	file[starts[4]+30] ^= 0xff
	for _, inOrder := range []bool{false, true} {
		report, err := check(t, file, verify.Policy{InOrder: inOrder})
		var damage *bundle.DamagedError
		if !errors.As(err, &damage) || len(report.Findings) < 3 { // and the trailer
			t.Errorf("%d findings: %v", len(report.Findings), err)
		}
		raw, err := json.Marshal(report)
		if err != nil || !strings.Contains(string(raw), "trailer") {
			t.Errorf("report %s, %v", raw, err)
		}
	}
}

// frameStarts finds the frames by their magic number.
func frameStarts(file []byte) []int {
	var starts []int
	for at := range file {
		if bytes.HasPrefix(file[at:], []byte{0x28, 0xb5, 0x2f, 0xfd}) {
			starts = append(starts, at)
		}
	}
	return starts
}

// TestMediumFails ends the check with the medium's error, not with damage.
func TestMediumFails(t *testing.T) {
	m := &medium{ReaderAt: bytes.NewReader(packed(t, "raw layers"))}
	docs := documents(t, m, m.Size())
	m.err = errors.New("input/output error")
	_, _, err := verify.Check(t.Context(), docs, verify.Policy{})
	var damage *bundle.DamagedError
	var read *bundle.ReadError
	if !errors.As(err, &read) || !errors.Is(err, m.err) || errors.As(err, &damage) {
		t.Errorf("error %v", err)
	}
}

// medium cannot be read once err is set.
type medium struct {
	ReaderAt interface {
		io.ReaderAt
		Size() int64
	}
	err error
}

func (m *medium) Size() int64 { return m.ReaderAt.Size() }

func (m *medium) ReadAt(p []byte, off int64) (int, error) {
	if m.err != nil {
		return 0, m.err
	}
	return m.ReaderAt.ReadAt(p, off)
}

// TestCanceled ends the check, and all that waits within it.
func TestCanceled(t *testing.T) {
	file := packed(t, "many layers")
	docs := documents(t, bytes.NewReader(file), int64(len(file)))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := verify.Check(ctx, docs, verify.Policy{}); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

// wrongImage is an image with n layers of which none has the content that its
// config names; the first cannot even be opened.
func wrongImage(m *storetest.Memory, n int) image.Descriptor {
	layers, ids := []image.Descriptor{}, []image.Digest{}
	for i := range n {
		l := m.Layer(storetest.Gzip, storetest.File{Name: "f", Content: string(rune(i))})
		d := l.Desc
		if i == 0 {
			d = m.Put(d.MediaType, []byte("\x1f\x8b and no gzip"))
		}
		layers, ids = append(layers, d), append(ids, image.SHA256([]byte{byte(i), 1}))
	}
	config := m.PutJSON(types.OCIConfigJSON, map[string]any{
		"os": "linux", "architecture": "amd64", "rootfs": map[string]any{"type": "layers", "diff_ids": ids},
	})
	return m.PutJSON(types.OCIManifestSchema1, map[string]any{
		"schemaVersion": 2, "mediaType": types.OCIManifestSchema1, "config": config, "layers": layers,
	})
}

// TestWrongImage: layers that have their digest and other content make the image
// wrong and not the bundle. Three are told of, all are in the report.
func TestWrongImage(t *testing.T) {
	m := storetest.NewMemory()
	root := wrongImage(m, 25)
	m.Name("docker.io/library/a:1", root)
	m.Name("docker.io/library/b:1", root)
	file := packedFrom(t, m)
	report, err := check(t, file, verify.Policy{})
	var wrong *image.WrongLayerError
	var damage *bundle.DamagedError
	if !errors.As(err, &wrong) || errors.As(err, &damage) || len(report.Findings) != 25 {
		t.Fatalf("%d findings: %v", len(report.Findings), err)
	}
	text := err.Error()
	if lines := strings.Count(text, "\n") + 1; lines != 4 || !strings.HasSuffix(text, "\nand 22 more") || !strings.Contains(text, `wrong image "a:1"`) {
		t.Errorf("%d lines: %s", lines, text)
	}
	// What is damaged as well is told first.
	file[bytes.LastIndex(file, []byte("airgap/1"))+10] ^= 1
	if _, err := check(t, file, verify.Policy{}); !errors.As(err, &damage) || !strings.HasPrefix(err.Error(), "bundle damaged: ") {
		t.Errorf("damaged and wrong: %v", err)
	}
}
