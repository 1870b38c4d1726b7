package main

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"regexp"
	"strings"
	"text/template"

	"airgap/cmd/airgap/internal/ui"
	"airgap/transfer"
	"airgap/transfer/volume"
)

// readmeText is what somebody reads who has the medium and nothing else.
//
//go:embed readme.txt
var readmeText string

var readmeTemplate = template.Must(template.New("README.txt").Parse(readmeText))

// dataVolume is the name of a volume, not of parity.
var dataVolume = regexp.MustCompile(`\.[0-9]{3,}$`)

// readmeFacts are what the text speaks of.
type readmeFacts struct {
	Bundle   string // its file's name
	ID       string
	Version  string
	Programs []string
	Images   []string
	Files    []readmeFile
	Slices   []readmeFile // of those: volumes, in their order
	Parity   bool
	Footer   int // bytes at the end of a volume
}

type readmeFile struct {
	Name, Size string
	Slice      int64 // bytes of the bundle in it, of a volume
}

// readme is the text for a medium with these files.
func readme(b *bundleFile, files, programs []transfer.File) transfer.File {
	facts := readmeFacts{ID: b.ID().String(), Version: thisVersion(), Footer: volume.FooterSize}
	for _, p := range programs {
		facts.Programs = append(facts.Programs, p.Name)
	}
	for _, img := range b.Manifest().Images {
		facts.Images = append(facts.Images, ui.Escape(label(nonEmpty(img.Name), img.Root.Digest)))
	}
	for _, f := range files {
		facts.add(f)
	}
	var text bytes.Buffer
	if err := readmeTemplate.Execute(&text, facts); err != nil {
		panic(err) // the template is a constant, and so are the types of what it speaks of
	}
	sum := sha256.Sum256(text.Bytes())
	return transfer.File{
		Name: "README.txt", Size: int64(text.Len()), SHA256: hex.EncodeToString(sum[:]), Data: bytes.NewReader(text.Bytes()),
	}
}

func (r *readmeFacts) add(f transfer.File) {
	out := readmeFile{Name: f.Name, Size: ui.Size(f.Size)}
	whole := f.Name
	switch {
	case dataVolume.MatchString(f.Name) && !strings.Contains(f.Name, ".par"):
		out.Slice = f.Size - volume.FooterSize
		whole = dataVolume.ReplaceAllString(f.Name, "")
	case strings.Contains(f.Name, ".par"):
		r.Parity = true
		whole, _, _ = strings.Cut(f.Name, ".par")
	}
	r.Bundle = whole
	r.Files = append(r.Files, out)
	if out.Slice > 0 {
		r.Slices = append(r.Slices, out)
	}
}

func nonEmpty(s string) []string {
	if s == "" {
		return nil
	}
	return []string{s}
}
