// Package storetest is the suite that every place of images passes: [Sources]
// for random access, [Streamers] for engines and archives that stream, [Sinks]
// for destinations. It makes its own images ([Fixtures]), has a place in memory
// to compare with ([Memory]), and faults to inject ([Faults]).
//
// It is for tests only. A suite knows a place by the interfaces of package
// image and by what the test lends it: how the place is filled, how it is
// looked into behind its own back, how it is spoiled.
package storetest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"slices"
	"strings"
	"testing"

	"airgap/bundle/image"
)

// Require skips a test whose real part is missing, loudly; where the
// environment variable AIRGAP_REQUIRE, a list with commas, has the part's
// name, the test fails instead.
func Require(t testing.TB, part string, there bool, why string) {
	t.Helper()
	switch required := slices.Contains(strings.Split(os.Getenv("AIRGAP_REQUIRE"), ","), part); {
	case there:
	case required:
		t.Fatalf("%s is required and not there: %s", part, why)
	default:
		t.Skipf("SKIPPED for want of %s: %s", part, why)
	}
}

// readAll reads a blob to its end.
func readAll(ctx context.Context, from image.Fetcher, d image.Descriptor) ([]byte, error) {
	r, err := from.Fetch(ctx, d)
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(r)
	return b, closeWith(r, err)
}

// sameBlobs fails the test unless from gives the same bytes for all blobs of
// an image as the fixture has.
func sameBlobs(t *testing.T, from image.Fetcher, f Fixture, g *image.Graph) {
	t.Helper()
	for _, d := range append(g.Documents(), g.Layers()...) {
		got, err := readAll(t.Context(), from, d)
		if err != nil {
			t.Errorf("reading %s %s: %v", d.MediaType, d.Digest, err)
		} else if !bytes.Equal(got, f.Images.Bytes(d.Digest)) {
			t.Errorf("%s %s: other bytes", d.MediaType, d.Digest)
		}
	}
}

// wantNotFound fails the test unless err wraps image.ErrNotFound and quotes name.
func wantNotFound(t *testing.T, err error, name string) {
	t.Helper()
	if !errors.Is(err, image.ErrNotFound) || !strings.Contains(err.Error(), name) {
		t.Errorf("error %v: want one that wraps ErrNotFound and names %q", err, name)
	}
}

// mustOpen opens names and closes the set when the test ends.
func mustOpen(t *testing.T, s image.Source, names []string, want image.Platforms) image.Set {
	t.Helper()
	set, err := s.Open(t.Context(), names, want)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := set.Close(); err != nil {
			t.Errorf("closing the set: %v", err)
		}
	})
	return set
}

// same is the identity, where a place does not spell names in its own way.
func same(name string) string { return name }

func either(spell func(string) string) func(string) string {
	if spell == nil {
		return same
	}
	return spell
}

func each(names []string, spell func(string) string) []string {
	var out []string
	for _, name := range names {
		out = append(out, spell(name))
	}
	return out
}
