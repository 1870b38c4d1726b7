package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"airgap/bundle/image"
	"airgap/bundle/store"
	"airgap/cmd/airgap/internal/ui"
	"airgap/verify"
)

// inspectOptions are inspect's flags.
type inspectOptions struct {
	layers  bool
	sources sourceOptions
	wanted  image.Platforms
}

func newInspect() *cobra.Command {
	var o inspectOptions
	cmd := &cobra.Command{
		Use:   "inspect [BUNDLE|IMAGE]",
		Short: "show what is in a bundle or an image",
		Long: `Inspect shows the images of a bundle, or an image wherever it is: platforms,
digests and sizes, and with --layers what each layer weighs, which other images
share it, and the command that made it. Of a bundle only the documents are read
and proven; airgap verify proves the rest.

What is a file here, or a folder with a bundle in it, is taken as a bundle,
bundle.tar.zst unless given; other names are images, with the prefixes of airgap
pack:

` + sourcesHelp,
		Example: `  airgap inspect
  airgap inspect --layers bundle.tar.zst
  airgap inspect --layers my-app:v1
  airgap inspect --platform all docker://postgres:15-alpine`,
		Args:        wantArgs(0, 1, "at most one bundle or image"),
		Annotations: statuses(ui.Damaged, ui.Refused, ui.Medium, ui.Engine),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if o.wanted, err = o.sources.parse(cmd); err != nil {
				return err
			}
			return runInspect(cmd.Context(), ui.From(cmd.Context()), o, bundleArg(args))
		},
	}
	flags := cmd.Flags()
	flags.BoolVar(&o.layers, "layers", false, "show every layer")
	o.sources.flags(flags)
	return cmd
}

// runInspect is the whole of `airgap inspect`.
func runInspect(ctx context.Context, env *ui.Env, o inspectOptions, what string) error {
	look := inspectImage
	if what == defaultBundle || isFile(what) || isFolder(what) || isNoImage(what) {
		look = inspectBundle
	}
	answer, err := look(ctx, env, o, what)
	if err != nil {
		return err
	}
	if o.layers {
		answer.share()
	} else {
		answer.dropLayers()
	}
	return env.Report("summary", answer)
}

// isFolder knows a folder by a path that cannot be an image's name, or by what is
// in it.
func isFolder(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir() && (filepath.IsAbs(path) || strings.HasPrefix(path, ".") || holdsBundle(path))
}

// isNoImage knows what can only be meant as a bundle: what is called like one, there
// or not, and a pipe or the like.
func isNoImage(name string) bool {
	info, err := os.Stat(name)
	return err == nil && !info.IsDir() || isBundleName(name) && !strings.Contains(name, ":")
}

// inspectBundle reads the documents of a bundle.
func inspectBundle(ctx context.Context, env *ui.Env, _ inspectOptions, name string) (*inspectAnswer, error) {
	b, err := openBundle(ctx, env, name)
	if err != nil {
		return nil, err
	}
	defer b.Close()
	docs, err := verify.Read(ctx, b.Bundle)
	if err != nil {
		return nil, named(name, err)
	}
	a := &inspectAnswer{
		Command: "inspect", Path: name, File: b.size, Bundle: b.ID().String(), Format: b.Manifest().Format,
		Signature: docs.Signature(), Blobs: len(b.Manifest().Blobs), Size: docs.Total(),
	}
	a.addFiles(b.Manifest())
	images := docs.Images()
	for _, img := range images {
		if len(img.Of) > 0 {
			var of []string
			for _, owner := range img.Of {
				of = append(of, images[owner].Label())
			}
			a.Referrers = append(a.Referrers, describeReferrer(of, img.Graph))
			continue
		}
		a.Images = append(a.Images, describeGraph(label(img.Names, img.Graph.Root.Desc.Digest), img.Graph))
	}
	return a, nil
}

// inspectImage reads the documents of an image at its source.
func inspectImage(ctx context.Context, env *ui.Env, o inspectOptions, spec string) (*inspectAnswer, error) {
	if err := checkSpec(spec); err != nil {
		return nil, &ui.Error{Err: err, Code: ui.Usage, Hints: []string{"airgap inspect --help"}}
	}
	opened, err := store.OpenAll(ctx, []string{spec}, o.sources.store(env, o.wanted, 0))
	if err != nil {
		return nil, err
	}
	defer opened.Close()
	a := &inspectAnswer{Command: "inspect"}
	for _, set := range opened.Sets {
		if err := a.addSet(ctx, set, o.wanted); err != nil {
			return nil, err
		}
	}
	return a, nil
}

// addSet describes the images of a set: from their documents, or from what is
// known of those whose documents come only with their bytes.
func (a *inspectAnswer) addSet(ctx context.Context, set image.Set, want image.Platforms) error {
	if s, ok := set.(image.Streamer); ok {
		for _, e := range s.Estimate() {
			a.Images = append(a.Images, describeEstimate(e))
		}
		return nil
	}
	for _, root := range set.Roots() {
		g, err := readGraph(ctx, set, root, want)
		if err != nil {
			return err
		}
		a.Images = append(a.Images, describeGraph(root.Label(), g))
		if err := a.addReferrers(ctx, set, g); err != nil {
			return &image.ReferrersError{Image: root.Label(), Err: err}
		}
	}
	return nil
}

// addReferrers describes what belongs to an image, where the place can tell.
func (a *inspectAnswer) addReferrers(ctx context.Context, set image.Set, g *image.Graph) error {
	place, ok := set.(image.Referring)
	if !ok {
		return nil
	}
	roots, err := place.Referrers(ctx, g)
	if err != nil {
		return err
	}
	for _, root := range roots {
		r, err := image.Read(ctx, set, root, image.Platforms{All: true}.Select)
		if errors.Is(err, image.ErrNotFound) {
			continue
		}
		if err != nil {
			return err
		}
		a.Referrers = append(a.Referrers, describeReferrer([]string{g.Root.Label()}, r))
	}
	return nil
}

// readGraph reads an image for the wanted platforms; unless told otherwise for
// this machine's or, where that is not there, for all that are.
func readGraph(ctx context.Context, set image.Set, root image.Root, want image.Platforms) (*image.Graph, error) {
	chosen := want.Or(image.HostPlatform())
	g, err := image.Read(ctx, set, root, chosen.Select)
	if want.IsDefault() && (errors.Is(err, image.ErrNotFound) || err == nil && len(g.Manifests) == 0) {
		return image.Read(ctx, set, root, func(children []image.Descriptor) ([]image.Descriptor, []image.Left) {
			return image.SelectPresent(present(ctx, set, children))(children)
		})
	}
	if err == nil && len(g.Manifests) == 0 {
		err = &image.PlatformError{Image: root.Label(), Want: chosen.List, Have: g.Offered()}
	}
	return g, err
}

// present says which of an index's manifests can be had.
func present(ctx context.Context, set image.Set, children []image.Descriptor) func(image.Digest) bool {
	there := map[image.Digest]bool{}
	for _, d := range children {
		_, err := image.ReadDocument(ctx, set, d)
		there[d.Digest] = err == nil
	}
	return func(d image.Digest) bool { return there[d] }
}
