package main

import (
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// grown is what might have been measured.
func grown() []*growing {
	c := &curve{name: "pack & verify"}
	for i, n := range []int64{100, 1000, 4000} {
		c.points = append(c.points, point{n, measure{wall: time.Duration(10<<i) * time.Millisecond, rss: 50 << 20}})
	}
	short := &curve{name: "to an engine", points: c.points[:1]}
	return []*growing{{by: "number of images", about: "Small ones.", unit: func(n int64) string { return thousands(n) + " images" }, curves: []*curve{c, short}}}
}

// TestChart draws what every program that knows XML can read.
func TestChart(t *testing.T) {
	text := chart(panels(grown()))
	for dec := xml.NewDecoder(strings.NewReader(text)); ; {
		_, err := dec.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, want := range []string{">4,000 images<", ">pack &amp; verify<", ">Peak memory by number of images<", ">0.01 s<"} {
		if !strings.Contains(text, want) {
			t.Errorf("it does not say %q", want)
		}
	}
	if strings.Contains(text, "NaN") || strings.Contains(text, "Inf") {
		t.Error("it has numbers that are none")
	}
}

// TestParts: each part of the document is kept when the other is written.
func TestParts(t *testing.T) {
	path := filepath.Join(t.TempDir(), "BENCHMARKS.md")
	if before, after, err := readParts(path); before == "" || after != "" || err != nil {
		t.Errorf("without a document: %q, %q, %v", before, after, err)
	}
	part := growthReport(grown(), "growth.svg")
	for _, want := range []string{"| pack & verify | 0.01 s | 0.02 s | 2.0 | 0.04 s | 2.0 |", "| to an engine | 50 MiB |  |  |", "](growth.svg)"} {
		if !strings.Contains(part, want) {
			t.Errorf("it does not say %q:\n%s", want, part)
		}
	}
	const contests = "# Benchmarks\n\n## Pack\n\n| command |\n"
	if err := os.WriteFile(path, []byte(contests+part), 0o644); err != nil {
		t.Fatal(err)
	}
	if before, after, err := readParts(path); before != contests || after != part || err != nil {
		t.Errorf("%q, %q, %v", before, after, err)
	}
}
