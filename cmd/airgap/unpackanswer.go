package main

import (
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"airgap/bundle/image"
	"airgap/cmd/airgap/internal/ui"
	"airgap/verify"
	"airgap/verify/load"
)

// unpackAnswer is what unpack has done, or would do.
type unpackAnswer struct {
	Command   string           `json:"command"`
	Path      string           `json:"path"`
	Bundle    image.Digest     `json:"bundle"`
	Signature verify.Signature `json:"signature"`
	To        string           `json:"to"`
	Images    []unpackedImage  `json:"images"`
	Left      []string         `json:"leftOut,omitempty"` // artifacts that the place has no use for
	// Verified says that all of the bundle was: it is not read where nothing
	// had to be done, and for a plan.
	Verified bool           `json:"verified"`
	Durable  bool           `json:"durable"` // flushed to the place's disk
	Why      string         `json:"notDurableBecause,omitempty"`
	Pruned   *prunedImages  `json:"pruned,omitempty"`
	Files    []unpackedFile `json:"files,omitempty"`
	dryRun   bool
}

// unpackedFile is a file that travelled along.
type unpackedFile struct {
	Path      string `json:"path"`
	Unchanged bool   `json:"unchanged"`
	Backup    string `json:"backup,omitempty"` // where the file is that was there before
	// Mode is that of the bundle, where only Was has been another.
	Mode string `json:"mode,omitempty"`
	Was  string `json:"was,omitempty"`
}

// prunedImages are those whose names were moved.
type prunedImages struct {
	Removed int   `json:"removed"`
	Kept    int   `json:"kept"`  // because they are used
	Freed   int64 `json:"freed"` // bytes of disk
}

// unpackedImage is one image in the place.
type unpackedImage struct {
	Image     string        `json:"image"` // its name in the bundle
	ID        image.Digest  `json:"id"`    // as the place's own commands show it
	Platform  string        `json:"platform,omitempty"`
	Present   bool          `json:"present"`   // its content was there before
	Unchanged bool          `json:"unchanged"` // and so were its names
	Size      int64         `json:"size"`      // of blobs that were brought, in bytes
	Tags      []unpackedTag `json:"tags"`
	Lost      []string      `json:"notKept,omitempty"`    // names by digest that the place cannot hold
	Of        []string      `json:"referrerOf,omitempty"` // images, if it is no image of its own
}

// unpackedTag is a name in the place.
type unpackedTag struct {
	Name  string `json:"name"`
	In    string `json:"in"`            // the same image's name in the bundle
	Old   string `json:"old,omitempty"` // what it pointed to before
	Moved bool   `json:"moved"`
}

func newUnpackAnswer(o unpackOptions, path string, d *decided, s load.Summary) unpackAnswer {
	a := unpackAnswer{
		Command: "unpack", Path: path, Bundle: d.docs.Bundle().ID(), Signature: d.docs.Signature(), To: o.to, Left: d.Left, Durable: s.Durable, Why: s.Why, dryRun: o.dryRun,
	}
	for _, f := range d.files.Files {
		a.Files = append(a.Files, unpackedFile{Path: f.Path, Unchanged: f.Present && f.Mode == 0, Backup: f.Backup, Mode: modeText(f.Mode), Was: modeText(f.Was)})
	}
	for _, item := range d.Items {
		img := unpackedImage{
			Image: item.Label, ID: item.State.ID, Present: item.State.Present, Unchanged: item.Unchanged(), Tags: []unpackedTag{}, Of: item.Of,
		}
		if item.State.Platform.OS != "" {
			img.Platform = item.State.Platform.String()
		}
		if !img.Present {
			img.Size = item.State.Size
		}
		for _, name := range item.State.Lost {
			img.Lost = append(img.Lost, image.Familiar(name))
		}
		for _, t := range item.State.Tags {
			tag := unpackedTag{Name: image.Familiar(t.Name), In: image.Familiar(item.Was[t.Name]), Moved: t.Moved()}
			if t.Old != (image.Digest{}) {
				tag.Old = t.Old.String()
			}
			img.Tags = append(img.Tags, tag)
		}
		a.Images = append(a.Images, img)
	}
	return a
}

// Text prints a table of the images, then the names that moved, then what came of
// it all.
func (a unpackAnswer) Text(p *ui.Printer) {
	a.printImages(p)
	moved := a.printNames(p)
	switch tidy := a.To == "docker" || a.To == "podman"; {
	case a.Pruned != nil:
		p.Line("replaced images: %s removed, %s kept because they are used, %s freed",
			ui.Count(a.Pruned.Removed), ui.Count(a.Pruned.Kept), ui.Size(a.Pruned.Freed))
	case moved > 0 && !a.dryRun && tidy:
		p.Line("what was replaced is still there: airgap rollback names it again, %s image prune removes it", a.To)
	}
	for _, f := range a.Files {
		p.Line("%s: %s", f.Path, f.did(a.dryRun))
	}
	printSignature(p, a.Signature)
	a.printOutcome(p)
}

// printImages prints the images, and apart from them what belongs to them.
func (a unpackAnswer) printImages(p *ui.Printer) {
	var rows, referrers [][]string
	for _, img := range a.Images {
		if len(img.Of) > 0 {
			referrers = append(referrers, []string{strings.Join(img.Of, " "), img.ID.String(), img.did(a.dryRun)})
			continue
		}
		for _, name := range img.names() {
			rows = append(rows, []string{name, img.Platform, img.ID.String(), img.did(a.dryRun)})
		}
	}
	p.Table([]string{"IMAGE", "PLATFORM", "ID", "RESULT"}, rows)
	if len(referrers) > 0 {
		p.Line("")
		p.Table([]string{"BELONGS TO", "DIGEST", "RESULT"}, referrers)
	}
}

// printNames tells of names that are not kept and of those that moved, and how
// many those are.
func (a unpackAnswer) printNames(p *ui.Printer) (moved int) {
	for _, img := range a.Images {
		for _, name := range img.Lost {
			p.Line("%s: not kept, for this engine's image store has no names by digest (containerd's image store has)", name)
		}
		for _, t := range img.Tags {
			if t.Moved {
				moved++
				p.Line("%s: the name pointed to %s before", t.Name, t.Old)
			}
		}
	}
	return moved
}

// printOutcome says what came of it, and what to do next.
func (a unpackAnswer) printOutcome(p *ui.Printer) {
	images, referrers, unchanged, changed := 0, 0, 0, false
	for _, img := range a.Images {
		changed = changed || !img.Unchanged
		switch {
		case len(img.Of) > 0:
			referrers++
		case img.Unchanged:
			images, unchanged = images+1, unchanged+1
		default:
			images++
		}
	}
	for _, f := range a.Files {
		changed = changed || !f.Unchanged
	}
	switch {
	case a.dryRun:
		p.Line("%s: nothing has been changed", sinkName(a.To))
	case !changed:
		p.Line("%s: unchanged, all images of %s were there already; the bundle itself was not verified", sinkName(a.To), a.Path)
		if a.To == "docker" || a.To == "podman" {
			p.Line("if one of them does not run as it should: --reload brings it again")
		}
	default:
		p.Line("%s: verified and imported %s, %s", a.Path, cargo(images, referrers, len(a.Files)), a.unchangedText(unchanged))
	}
	if compose := a.compose(); compose != "" && !a.dryRun {
		p.Line("next: docker compose -f %s up --pull never", compose)
	}
	if len(a.Left) > 0 {
		p.Line("left out %s, which are no images: a registry or a layout takes them", ui.Plural(len(a.Left), "artifact"))
	}
}

// did says what has been, or would be, done with the file.
func (f unpackedFile) did(dryRun bool) string {
	switch {
	case f.Unchanged:
		return "already there"
	case dryRun && f.Mode != "":
		return "already there, its mode would become " + f.Mode + ", and is " + f.Was
	case f.Mode != "":
		return "already there, its mode is now " + f.Mode + ", and was " + f.Was
	case dryRun && f.Backup != "":
		return "would be written, keeping what is there as " + f.Backup
	case dryRun:
		return "would be written"
	case f.Backup != "":
		return "written, what was there is " + f.Backup
	}
	return "written"
}

// modeText is how modes are written; nothing for none.
func modeText(perm fs.FileMode) string {
	if perm == 0 {
		return ""
	}
	return fmt.Sprintf("%04o", perm)
}

// compose is the compose file among the files, if there is one and the images
// are where docker compose finds them.
func (a unpackAnswer) compose() string {
	if a.To != "docker" {
		return ""
	}
	for _, f := range a.Files {
		switch filepath.Base(f.Path) {
		case "compose.yaml", "compose.yml", "docker-compose.yaml", "docker-compose.yml":
			return f.Path
		}
	}
	return ""
}

// sinkName is what people call the place that images go to.
func sinkName(spec string) string {
	if spec == "docker" {
		return "Docker engine"
	}
	return spec
}

func (a unpackAnswer) unchangedText(n int) string {
	if n == 0 {
		return "bundle id " + a.Bundle.String()
	}
	return ui.Plural(n, "image") + " of these unchanged, bundle id " + a.Bundle.String()
}

// names are those that the image has now, or what stands for none.
func (img unpackedImage) names() []string {
	if len(img.Tags) == 0 {
		return []string{"<untagged>"}
	}
	var names []string
	for _, t := range img.Tags {
		if t.In != t.Name {
			names = append(names, t.In+" -> "+t.Name)
		} else {
			names = append(names, t.Name)
		}
	}
	return names
}

// did says what has been, or would be, done with the image.
func (img unpackedImage) did(dryRun bool) string {
	switch {
	case img.Unchanged:
		return "already there"
	case img.Present && dryRun:
		return "already there, would be named"
	case img.Present:
		return "already there, named"
	case dryRun:
		return "would be imported, " + ui.Size(img.Size)
	}
	return "imported"
}
