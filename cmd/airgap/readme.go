package main

import (
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"airgap/cmd/airgap/internal/ui"
	"airgap/transfer"
	"airgap/transfer/volume"
)

// readmeText is what somebody reads who has the medium and nothing else.
//
//go:embed readme.txt
var readmeText string

// readmeName is what it is called, and programName what programs beside it are.
const readmeName = "README.txt"

var programName = regexp.MustCompile(`^airgap-[a-z0-9]+-[a-z0-9]+$`)

// repairText is its part about parity.
const repairText = `

IF SOMETHING IS DAMAGED OR LOST

The parity files repair it, as far as they reach: airgap unpack does that while it
reads. To make the medium itself good again:

      /tmp/airgap repair {what}
`

// dataVolume is the end of the name of a volume, and parityFile of parity.
var (
	dataVolume = regexp.MustCompile(`\.[0-9]{3,}$`)
	parityFile = regexp.MustCompile(`\.par[0-9]*$`)
)

// readme is the text for a medium with these files.
func readme(b *bundleFile, files, programs []transfer.File) transfer.File {
	var images, names []string
	for _, img := range b.Manifest().Images {
		images = append(images, ui.Escape(label(nonEmpty(img.Name), img.Root.Digest)))
	}
	repair := ""
	for _, f := range slices.Concat(files, programs) {
		names = append(names, fmt.Sprintf("%s  (%s)", f.Name, ui.Size(f.Size)))
		if parityFile.MatchString(f.Name) {
			repair = strings.ReplaceAll(repairText, "{what}", whatToName(files))
		}
	}
	text := strings.NewReplacer(
		"{id}", b.ID().String(), "{version}", thisVersion(), "{images}", indented(images), "{files}", indented(names),
		"{program}", programs[0].Name, "{parity}", repair, "{plain}", plainCommand(files), "{what}", whatToName(files),
	).Replace(readmeText)
	sum := sha256.Sum256([]byte(text))
	return transfer.File{Name: readmeName, Size: int64(len(text)), SHA256: hex.EncodeToString(sum[:]), Data: strings.NewReader(text), Hashed: true}
}

// plainCommand loads the bundle without airgap: of volumes, all but their footers.
func plainCommand(files []transfer.File) string {
	var parts []string
	for _, f := range files {
		if dataVolume.MatchString(f.Name) {
			parts = append(parts, fmt.Sprintf("head -c %d %s", f.Size-volume.FooterSize, f.Name))
		} else if !parityFile.MatchString(f.Name) {
			return "      zstd -dc " + f.Name + " | docker load"
		}
	}
	return fmt.Sprintf("Each volume ends with a note of %d bytes that is not of the bundle. Docker takes\nthe bundle without these notes:\n\n"+
		"      (%s) |\n        zstd -dc | docker load", volume.FooterSize, strings.Join(parts, "; "))
}

// whatToName is what airgap is told to read: the bundle where it is one file, since
// others may lie beside it, and the folder where it is cut.
func whatToName(files []transfer.File) string {
	for _, f := range files {
		if !parityFile.MatchString(f.Name) && !dataVolume.MatchString(f.Name) {
			return f.Name
		}
	}
	return "."
}

func indented(lines []string) string { return "      " + strings.Join(lines, "\n      ") }

func nonEmpty(s string) []string {
	if s == "" {
		return nil
	}
	return []string{s}
}
