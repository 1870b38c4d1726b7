package image_test

import (
	"bytes"
	"errors"
	"io"
	"math"
	"strings"
	"testing"
	"testing/iotest"

	"airgap/bundle/image"
)

func describe(b []byte) image.Descriptor {
	return image.Descriptor{Digest: image.SHA256(b), Size: int64(len(b))}
}

// TestReader runs the verifying reader over readers of all manners.
func TestReader(t *testing.T) {
	manners := map[string]func(io.Reader) io.Reader{
		"plain":                   func(r io.Reader) io.Reader { return r },
		"one byte":                iotest.OneByteReader,
		"half":                    iotest.HalfReader,
		"EOF with the last bytes": iotest.DataErrReader,
	}
	for _, size := range []int{0, 1, 2, 1000, 100_000} {
		content := bytes.Repeat([]byte("x"), size)
		for name, manner := range manners {
			r := image.NewReader(io.NopCloser(manner(bytes.NewReader(content))), describe(content))
			if err := iotest.TestReader(r, content); err != nil {
				t.Errorf("%d bytes, %s: %v", size, name, err)
			}
		}
	}
}

// TestLyingReader gives other bytes than the descriptor names: never more than
// its size, and never a clean end.
func TestLyingReader(t *testing.T) {
	content := []byte("the right bytes")
	d := describe(content)
	for what, given := range map[string]string{
		"wrong": "the wrong bytes", "short": "the right", "long": "the right bytes and more", "nothing": "",
	} {
		r := image.NewReader(io.NopCloser(strings.NewReader(given)), d)
		got, err := io.ReadAll(r)
		var digestErr *image.DigestError
		if !errors.As(err, &digestErr) || int64(len(got)) > d.Size {
			t.Errorf("%s: %q, error %v, want a DigestError", what, got, err)
		}
		if _, again := r.Read(make([]byte, 1)); again != err {
			t.Errorf("%s: the error does not stay: %v", what, again)
		}
	}
}

// TestLyingSize has the right digest and another size, from no use to absurd.
func TestLyingSize(t *testing.T) {
	content := []byte("bytes")
	for _, size := range []int64{math.MinInt64, -1, 0, 4, 6, math.MaxInt64} {
		d := describe(content)
		d.Size = size
		got, err := io.ReadAll(image.NewReader(io.NopCloser(bytes.NewReader(content)), d))
		var digestErr *image.DigestError
		if !errors.As(err, &digestErr) || int64(len(got)) > max(0, size) {
			t.Errorf("size %d: %q, error %v, want a DigestError", size, got, err)
		}
	}
}

func TestReaderPassesErrors(t *testing.T) {
	broken := errors.New("broken")
	for _, n := range []int{0, 3, 5} {
		source := io.MultiReader(strings.NewReader("bytes"[:n]), iotest.ErrReader(broken))
		got, err := io.ReadAll(image.NewReader(io.NopCloser(source), describe([]byte("bytes"))))
		if err != broken || len(got) != n {
			t.Errorf("after %d bytes: %q, error %v", n, got, err)
		}
	}
}

func TestDigestErrorText(t *testing.T) {
	for given, want := range map[string]string{"byte": "expected 5 bytes, got 4", "bytes!": "got more", "bites": "have the digest sha256:"} {
		_, err := io.ReadAll(image.NewReader(io.NopCloser(strings.NewReader(given)), describe([]byte("bytes"))))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want %q in it", given, err, want)
		}
	}
}

func TestCheckDigest(t *testing.T) {
	good := image.SHA256(nil)
	if err := image.CheckDigest(good); err != nil {
		t.Error(err)
	}
	for _, bad := range []image.Digest{
		{}, {Algorithm: "sha256"}, {Algorithm: "sha512", Hex: good.Hex + good.Hex}, {Algorithm: "SHA256", Hex: good.Hex}, {Algorithm: "../sha256", Hex: good.Hex},
		{Algorithm: "sha256", Hex: strings.ToUpper(good.Hex)}, {Algorithm: "sha256", Hex: good.Hex[2:]}, {Algorithm: "sha256", Hex: good.Hex + "00"},
		{Algorithm: "sha256", Hex: "../" + good.Hex[3:]}, {Algorithm: "sha256", Hex: good.Hex[:62] + "\x00a"},
	} {
		if err := image.CheckDigest(bad); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
}
