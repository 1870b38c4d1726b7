package main

import (
	"context"
	"errors"
	"strings"

	"github.com/spf13/cobra"

	"airgap/bundle/image"
	"airgap/cmd/airgap/internal/ui"
	"airgap/transfer/volume"
	"airgap/verify"
)

func newVerify() *cobra.Command {
	return &cobra.Command{
		Use:   "verify [BUNDLE]",
		Short: "prove that a bundle is whole and sound",
		Long: `Verify finds out everything about a bundle that can be known without a network
and without an engine: that the file is complete, that every byte has the digest
that its image names, that manifests, configs and layers belong together, and
that every layer unpacks to the content that its image was built with. The file
is read once. BUNDLE is bundle.tar.zst unless given; a bundle that has been
decompressed (bundle.tar) is as good.

A folder, or any of its volumes, stands for a bundle that was cut: which volumes
are missing, damaged or of another run is told first, and whether the parity is
enough for them. A folder with two bundles is refused, whether they are whole or
not: name a file of the one that is meant. What parity can repair is damage all
the same (exit status 3), though airgap unpack reads it; airgap repair makes it
good.

A whole bundle can hold a wrong image: one whose layers do not have the content
that its config names. Nothing is damaged then, and sending the bundle again does
not help (exit status 4). airgap pack --verify finds such an image before it
travels.`,
		Example: `  airgap verify
  airgap verify /media/usb
  airgap verify /media/usb/bundle.tar.zst
  airgap verify --json | jq .images`,
		Args:        wantArgs(0, 1, "at most one bundle"),
		Annotations: statuses(ui.Damaged, ui.Refused, ui.Medium),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runVerify(cmd.Context(), ui.From(cmd.Context()), bundleArg(args))
		},
	}
}

// runVerify is the whole of `airgap verify`.
func runVerify(ctx context.Context, env *ui.Env, name string) error {
	b, damage, err := openToVerify(ctx, env, name)
	if err != nil {
		return err
	}
	defer b.Close()
	warnIfExposed(env, name)
	docs, err := verify.Read(ctx, b.Bundle)
	if err != nil {
		return named(name, err)
	}
	_, report, err := check(ctx, env, b, docs, verify.Full)
	if report != nil && err != nil && env.JSON { // people get the first of them with the error
		for _, f := range report.Findings {
			if err := env.Report("finding", findingAnswer{f.What, f.Err.Error()}); err != nil {
				return err
			}
		}
	}
	if err != nil {
		return named(name, err)
	}
	if damage != nil {
		return inState("the parity is enough: every byte of the bundle can be read", damage)
	}
	return env.Report("summary", verifyAnswer{"verify", name, b.size, report})
}

// openToVerify opens a bundle. Of one that was cut it tells first how its volumes
// are; damage is what parity makes good.
func openToVerify(ctx context.Context, env *ui.Env, name string) (b *bundleFile, damage, err error) {
	n, err := lookUp(ctx, name, volume.OpenOptions{Partly: true})
	if err != nil {
		return nil, nil, err
	}
	if err := n.tell(env); err != nil {
		return nil, nil, errors.Join(err, n.close())
	}
	set := n.set
	if set == nil {
		b, err = openFile(n.file)
		return b, nil, err
	}
	report, err := checkVolumes(ctx, env, set)
	if err == nil {
		err = env.Report("volumes", volumesAnswer{"verify", name, report})
	}
	if err == nil && !report.Readable() {
		err = report.Err()
	}
	if err != nil {
		return nil, nil, errors.Join(err, set.Close())
	}
	b, err = bundleOf(set, name)
	return b, report.Err(), err
}

// check proves a bundle, showing how far it is.
func check(ctx context.Context, env *ui.Env, b *bundleFile, docs *verify.Documents, level verify.Level) (*verify.Verified, *verify.Report, error) {
	progress := env.Progress("verifying", docs.Total())
	defer progress.Stop()
	v, report, err := verify.Check(ctx, docs, verify.Policy{Level: level, Progress: progress.Add, InOrder: b.spread()})
	if err == nil {
		progress.Done()
	}
	return v, report, err
}

type findingAnswer struct {
	What  string `json:"what"`
	Error string `json:"error"`
}

func (a findingAnswer) Text(p *ui.Printer) { p.Line("%s", a.Error) }

type verifyAnswer struct {
	Command string `json:"command"`
	Path    string `json:"path"`
	File    int64  `json:"fileSize"` // in bytes
	*verify.Report
}

func (a verifyAnswer) Text(p *ui.Printer) {
	var rows [][]string
	var referrers []referrer
	for _, img := range a.Images {
		if len(img.Of) > 0 {
			referrers = append(referrers, referrer{Of: img.Of, Type: img.Type, Digest: img.Digest, Size: img.Size})
			continue
		}
		rows = append(rows, []string{
			label(img.Names, img.Digest), strings.Join(img.Platforms, " "), ui.Count(img.Layers), ui.Size(img.Size), img.Digest.String(),
		})
	}
	p.Table([]string{"IMAGE", "PLATFORMS", "LAYERS", "SIZE", "DIGEST"}, rows)
	printReferrers(p, referrers)
	printSignature(p, a.Signature)
	p.Line("%s: verified, every digest and the content of every layer: %s, %s, bundle id %s",
		a.Path, cargo(len(rows), len(referrers), len(a.Files)), ui.Plural(a.Blobs, "blob"), a.Bundle)
}

// printSignature says what is known of a signature, if there is one.
func printSignature(p *ui.Printer, s verify.Signature) {
	if s != verify.Unsigned && s != "" {
		p.Line("signature: %s", s)
	}
}

// label is what people call an image.
func label(names []string, digest image.Digest) string {
	if len(names) == 0 {
		return untagged(digest)
	}
	familiar := make([]string, len(names))
	for i, name := range names {
		familiar[i] = image.Familiar(name)
	}
	return strings.Join(familiar, " ")
}

// untagged stands for an image without a name.
func untagged(digest image.Digest) string { return "<untagged> " + short(digest) }

// short is enough of a digest to tell images apart by eye.
func short(d image.Digest) string {
	if len(d.Hex) < 12 {
		return d.Hex
	}
	return d.Hex[:12]
}
