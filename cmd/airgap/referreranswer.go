package main

import (
	"strings"

	"airgap/bundle/image"
	"airgap/cmd/airgap/internal/ui"
)

// referrer is a signature, an attestation or an SBOM of images.
type referrer struct {
	Of     []string     `json:"of"`             // images
	Name   string       `json:"name,omitempty"` // where cosign gives it a tag
	Type   string       `json:"artifactType"`
	Digest image.Digest `json:"digest"`
	Size   int64        `json:"size"` // of its blobs, in bytes
}

// printReferrers prints a table, if there are any.
func printReferrers(p *ui.Printer, list []referrer) {
	if len(list) == 0 {
		return
	}
	p.Line("")
	var rows [][]string
	for _, r := range list {
		rows = append(rows, []string{strings.Join(r.Of, " "), r.Type, ui.Size(r.Size), r.Digest.String()})
	}
	p.Table([]string{"BELONGS TO", "TYPE", "SIZE", "DIGEST"}, rows)
}

// cargo counts what travels.
func cargo(images, referrers, files int) string {
	text := ui.Plural(images, "image")
	if referrers > 0 {
		text += " with " + ui.Plural(referrers, "referrer")
	}
	if files > 0 {
		text += " and " + ui.Plural(files, "file")
	}
	return text
}
