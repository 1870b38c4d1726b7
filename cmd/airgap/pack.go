package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"airgap/bundle"
	"airgap/bundle/image"
	"airgap/bundle/store"
	"airgap/cmd/airgap/internal/list"
	"airgap/cmd/airgap/internal/ui"
	"airgap/transfer/volume"
	"airgap/transfer/volume/parity"
	"airgap/verify"
)

// packOptions are pack's flags.
type packOptions struct {
	output           string
	lists, profiles  []string
	include          []string
	level, tempDir   string
	dryRun, verify   bool
	noClobber        bool
	jobs             int
	cut              cutOptions
	stream           io.Writer // standard output, when the bundle goes there
	sources          sourceOptions
	wanted           image.Platforms
	bound            []list.Bound // services of the lists that have a platform of their own
	compressionLevel bundle.Level
}

func newPack() *cobra.Command {
	var o packOptions
	cmd := &cobra.Command{
		Use:   "pack IMAGE…",
		Short: "put images into one bundle",
		Long: `Pack writes images, with what they share only once, to one file: the bundle.
Beside it goes its sum for sha256sum -c. Equal images give an equal bundle.

An IMAGE is a name or an image ID. Without a prefix it is taken from the local
engine if that has it for the wanted platform, otherwise from its registry.
A prefix says where from:

` + sourcesHelp + `

A FILE of images (-f) is a list with one per line, where # starts a comment, a
compose file, read as docker compose reads it, or Kubernetes manifests, whose
pods and templates are looked through; which of these it is, its content tells.

A name may have a digest, with a tag or without (app:v1@sha256:…, as GitOps
writes it): the image has both names behind the gap. An engine that does not keep
digests is passed over for the registry.

From a registry or a layout the digests of the images are kept; from an engine
with a classic store only the image ID is, since that engine has nothing else.
Signatures, attestations and SBOMs that a registry or layout keeps beside an
image travel along, and with --include-files what else is needed behind the gap,
such as a compose file: airgap unpack --files writes it out.
Nothing has the bundle's name before it is whole and on the disk.

If the output is a folder, it is a medium: the bundle is written straight to it,
cut into volumes where its file system needs that (FAT: 4 GiB) or as --volume-size
says, and read back from it. --parity 10% adds what damage of up to a tenth, lost
volumes included, is repaired with. On standard output it makes packets for a
one-way link: any tenth of them may be lost, also at random. The stream is then
about a quarter larger than the bundle.`,
		Example: `  airgap pack postgres:15-alpine my-app:v1
  airgap pack --platform linux/amd64,linux/arm64 docker://registry.example/app:v1
  airgap pack -f images.txt -o /media/usb/bundle.tar.zst --verify
  airgap pack -f compose.yaml --profile debug
  helm template chart | airgap pack -f -
  airgap pack -f compose.yaml --include-files compose.yaml --include-files config/
  airgap pack --dry-run my-app:v1
  airgap pack -o /media/usb --parity 10% postgres:15-alpine my-app:v1
  airgap pack -o - my-app:v1 | ssh server airgap unpack -`,
		Annotations: statuses(ui.Damaged, ui.Refused, ui.NoSpace, ui.Engine),
		RunE: func(cmd *cobra.Command, args []string) error {
			env := ui.From(cmd.Context())
			if slices.Contains([]string{"/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"}, o.output) {
				o.output = stdio // and no sums beside whatever that is
			}
			if o.output == stdio && !o.dryRun {
				// Standard output is the bundle's alone: not even an error's JSON goes there.
				o.stream, env.Out = env.Out, env.Err
			}
			specs, err := o.parse(cmd, args)
			if err != nil {
				return err
			}
			return runPack(cmd.Context(), env, o, specs)
		},
	}
	flags := cmd.Flags()
	flags.StringVarP(&o.output, "output", "o", defaultBundle, "write the bundle to `FILE`, to a medium if it is a folder, or with - to standard output")
	flags.StringArrayVarP(&o.lists, "file", "f", nil, "take the images that `FILE` asks for too: a list, a compose file or Kubernetes manifests; - for standard input; may be repeated")
	flags.StringSliceVar(&o.profiles, "profile", nil, "take the services of these `PROFILES` of a compose file too (default: those of COMPOSE_PROFILES)")
	flags.StringArrayVar(&o.include, "include-files", nil, "carry a `FILE`, or a folder with all that is in it, along with the images; may be repeated")
	flags.StringVar(&o.level, "level", "default", "how hard to compress: `fast|default|better`")
	o.cut.flags(flags)
	flags.BoolVar(&o.dryRun, "dry-run", false, "print what would be packed and write nothing")
	flags.BoolVar(&o.verify, "verify", false, "read the bundle again afterwards and prove all of it, layers' contents too")
	flags.BoolVar(&o.noClobber, "no-clobber", false, "refuse to replace a file")
	flags.IntVar(&o.jobs, "jobs", 0, "do `N` things side by side; 0 for what suits the machine")
	flags.StringVar(&o.tempDir, "tmpdir", "", "keep what an engine sends in `DIR` until it is packed (default the folder of the bundle)")
	environment(flags, "level", "AIRGAP_LEVEL")
	environment(flags, "jobs", "AIRGAP_JOBS")
	environment(flags, "tmpdir", "AIRGAP_TMPDIR")
	o.sources.flags(flags)
	return cmd
}

// parse checks everything that can be checked before anything is opened.
func (o *packOptions) parse(cmd *cobra.Command, args []string) (specs []string, err error) {
	if o.compressionLevel, err = bundle.ParseLevel(o.level); err != nil {
		return nil, usage(cmd, "%w", err)
	}
	if o.wanted, err = o.sources.parse(cmd); err != nil {
		return nil, err
	}
	if err := o.cut.parse(cmd); err != nil {
		return nil, err
	}
	if specs, err = o.specs(cmd, args); err != nil {
		return nil, err
	}
	switch {
	case len(specs) == 0:
		return nil, usage(cmd, "%s needs at least one image", cmd.CommandPath())
	case o.jobs < 0:
		return nil, usage(cmd, "--jobs %d is less than nothing", o.jobs)
	case o.output == "":
		return nil, usage(cmd, "--output is empty")
	case o.output == stdio && o.verify:
		return nil, usage(cmd, "--verify needs a file to read again, not standard output")
	case o.output == stdio && o.cut.parity > parity.MaxLoss:
		return nil, usage(cmd, "--parity: on standard output it says how many packets may be lost, at most %d%%", parity.MaxLoss)
	case o.output == stdio && o.cut.size > 0:
		return nil, usage(cmd, "--volume-size needs a folder, not standard output")
	}
	if o.output != stdio {
		o.output = followed(o.output)
	}
	return specs, o.checkOutput(cmd, specs)
}

// followed is the path of the file that is written under a name: where a link
// leads to, be it nowhere yet. Replacing would otherwise hit the link.
func followed(path string) string {
	for range 40 { // as many as Linux follows
		if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
			return path // such as /dev/stdout, and folders
		}
		to, err := os.Readlink(path)
		dir, dirErr := filepath.EvalSymlinks(filepath.Dir(path)) // so that ".." means what it means there
		if err != nil || dirErr != nil {
			return path
		}
		if path = to; !filepath.IsAbs(to) {
			path = filepath.Join(dir, to)
		}
	}
	return path
}

// checkOutput refuses to write over what is read, or archive bytes to a
// terminal.
func (o *packOptions) checkOutput(cmd *cobra.Command, specs []string) error {
	if o.output == stdio {
		if ui.From(cmd.Context()).OutTerminal && !o.dryRun {
			return usage(cmd, "refusing to write a bundle to a terminal: send standard output to a file or a program")
		}
		return nil
	}
	dir, name := o.outputIn()
	inputs := slices.Concat(o.lists, o.include)
	for _, spec := range specs {
		inputs = append(inputs, filesOf(spec, name)...)
	}
	for _, input := range inputs {
		for _, output := range []string{filepath.Join(dir, name), filepath.Join(dir, name+".sha256")} {
			if isFile(output) && sameFile(input, output) {
				return usage(cmd, "%q is to be read and written at once", output)
			}
		}
	}
	for _, path := range o.include { // what is in a folder is left out, but this is wanted
		if isRegular(path) && o.isOutput(path) {
			return usage(cmd, "%q is to be carried along, and is what this pack writes or removes", path)
		}
	}
	return nil
}

// runPack is the whole of `airgap pack`.
func runPack(ctx context.Context, env *ui.Env, o packOptions, specs []string) error {
	opened, err := store.OpenAll(ctx, specs, o.sources.store(env, o.wanted, o.jobs))
	if err != nil {
		return inState("nothing has been written", err)
	}
	defer opened.Close()
	plan, err := bundle.NewPlan(ctx, opened.Sets, o.wanted)
	if err != nil {
		return inState("nothing has been written", err)
	}
	if err := o.checkBound(env, plan); err != nil {
		return inState("nothing has been written", err)
	}
	if err := plan.Include(o.include, o.isOutput); err != nil {
		return inState("nothing has been written", err)
	}
	if o.dryRun {
		noteLosses(env, plan.Totals)
		return env.Report("plan", newPlanAnswer(plan, o.output))
	}
	written, err := o.write(ctx, env, plan)
	if err != nil {
		return inState(writtenState(err), err)
	}
	noteLosses(env, written.Totals)
	if o.verify {
		if err := proveWritten(ctx, env, written.first); err != nil {
			return inState("the bundle is there, but do not use it", err)
		}
	}
	return env.Report("summary", newPackAnswer(written.Summary, o.verify))
}

// write carries the plan out.
func (o packOptions) write(ctx context.Context, env *ui.Env, plan *bundle.Plan) (packed, error) {
	progress := env.Progress("packing", plan.Size)
	defer progress.Stop()
	options := bundle.WriteOptions{
		Level: o.compressionLevel, Jobs: o.jobs, TempDir: o.tempDir, NoClobber: o.noClobber, Progress: progress.Add,
	}
	written, err := o.put(ctx, env, plan, options)
	if err == nil {
		progress.Done()
	}
	return written, err
}

// writtenState is the state of things after packing that has failed.
func writtenState(err error) string {
	var one *bundle.WrittenError
	var several *volume.UntidyError
	switch {
	case errors.As(err, &several):
		return "the bundle is there whole, but its names, parity and sums may not be, and something of an earlier one may be, too"
	case !errors.As(err, &one):
		return "no bundle has been written"
	case one.Sums:
		return "the bundle and its sums are there whole, but it is not certain that the disk has them"
	case one.Unsure:
		return "the bundle is there whole, without its sums, but it is not certain that the disk has it"
	}
	return "the bundle is there whole, without its sums"
}

// put writes the bundle to where it is wanted.
func (o packOptions) put(ctx context.Context, env *ui.Env, plan *bundle.Plan, options bundle.WriteOptions) (p packed, err error) {
	switch {
	case o.stream != nil && o.cut.parity > 0:
		p.Summary, err = o.writePackets(ctx, env, plan, options)
	case o.stream != nil:
		p.Summary, err = plan.WriteTo(ctx, o.stream, options)
	case o.toMedium():
		return o.writeVolumes(ctx, env, plan, options)
	default:
		return o.writeOne(ctx, env, plan, options)
	}
	return p, err
}

// noteLosses says what a person might expect to be in the bundle and is not, a
// line per image and reason and per file, and which names cannot be kept everywhere.
func noteLosses(env *ui.Env, t bundle.Totals) {
	for _, img := range t.Images {
		for _, l := range img.Lost {
			env.Warn("%s: not kept: %s", l.Name, l.Reason)
		}
		var reasons []string
		parts := map[string][]string{}
		for _, l := range img.Left {
			if parts[l.Reason] == nil {
				reasons = append(reasons, l.Reason)
			}
			what := short(l.Desc.Digest)
			if p := l.Desc.Platform; p != nil && p.OS != "unknown" {
				what = p.String()
			}
			parts[l.Reason] = append(parts[l.Reason], what)
		}
		for _, reason := range reasons {
			env.Note("%s: left out %s: %s", img.Name, strings.Join(parts[reason], ", "), reason)
		}
	}
	for _, f := range t.LeftFiles {
		env.Note("%s: left out: %s", f.Name, f.Reason)
	}
	if n := digestOnly(t); n > 0 {
		env.Note("%s by digest only: a Docker engine with the classic image store cannot keep that name; NAME:TAG@DIGEST gives a tag too", ui.Plural(n, "name"))
	}
}

// digestOnly counts the images that have a name by digest and no tag.
func digestOnly(t bundle.Totals) int {
	tagged, pinned := map[image.Digest]bool{}, map[image.Digest]bool{}
	for _, img := range t.Images {
		tag, _, _, isPinned := image.Pin(img.Name)
		tagged[img.Digest] = tagged[img.Digest] || tag != ""
		pinned[img.Digest] = pinned[img.Digest] || isPinned
	}
	n := 0
	for digest := range pinned {
		if pinned[digest] && !tagged[digest] {
			n++
		}
	}
	return n
}

// proveWritten reads what has just been written as `airgap verify` would.
func proveWritten(ctx context.Context, env *ui.Env, path string) error {
	b, err := openBundle(ctx, env, path)
	if err != nil {
		return err
	}
	defer b.Close()
	docs, err := verify.Read(ctx, b.Bundle)
	if err != nil {
		return named(path, err)
	}
	_, _, err = check(ctx, env, b, docs, verify.Full)
	return named(path, err)
}

// specs are the images of the command line and of the list.
func (o *packOptions) specs(cmd *cobra.Command, args []string) ([]string, error) {
	specs := args
	for _, path := range o.lists {
		listed, err := o.readList(cmd.Context(), ui.From(cmd.Context()), path)
		if err != nil {
			return nil, fmt.Errorf("reading the images that %s asks for: %w", listName(path), err)
		}
		specs = append(specs, listed...)
	}
	var errs []error
	for _, spec := range specs {
		errs = append(errs, checkSpec(spec))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, usage(cmd, "%w", err)
	}
	return specs, nil
}

// readList reads the images that a file asks for.
func (o *packOptions) readList(ctx context.Context, env *ui.Env, path string) ([]string, error) {
	options := list.Options{Path: path, Profiles: o.profiles}
	if path == stdio {
		options.Path = ""
	}
	l, err := list.Read(ctx, env.In, options)
	if err != nil {
		return nil, err
	}
	for _, b := range l.Built {
		env.Warn("service %s names no image, only how to build one: it is not packed; if it is built, pack %s too", b.Service, b.Image)
	}
	o.bound = append(o.bound, l.Bound...)
	if l.Kind != "list" {
		env.Note("%s: %s of a %s file", listName(path), ui.Plural(len(l.Images), "image"), l.Kind)
	}
	return l.Images, nil
}

// checkBound refuses to leave out the platform on which a service of a compose file
// says that it runs, unless the user has named other platforms.
func (o packOptions) checkBound(env *ui.Env, plan *bundle.Plan) error {
	packed := map[string][]string{} // platforms, by familiar names
	for _, img := range plan.Images {
		packed[img.Name] = append(packed[img.Name], img.Platforms...)
	}
	for _, b := range o.bound {
		left := leftBound(b, packed)
		switch {
		case left == "":
		case !o.wanted.IsDefault():
			env.Warn("%s", left)
		default:
			return &ui.Error{
				Err: errors.New(left), Code: ui.Refused,
				Hints: []string{"say for which platforms all images are packed: airgap pack --platform LIST"},
			}
		}
	}
	return nil
}

// leftBound says that a service's platform is not among those that its image is packed
// for, by familiar names; empty if it is, or if nobody can tell.
func leftBound(b list.Bound, packed map[string][]string) string {
	name, err := image.Normalize(b.Image)
	platforms := packed[image.Familiar(name)]
	if err != nil || len(platforms) == 0 {
		return ""
	}
	want, err := image.ParsePlatforms(b.Platform)
	if err == nil && slices.ContainsFunc(platforms, func(p string) bool {
		have, err := image.ParsePlatforms(p)
		return err == nil && len(have.List) == 1 && want.Match(have.List[0])
	}) {
		return ""
	}
	return fmt.Sprintf("service %s runs on %s, and its image %q is packed for %s", b.Service, b.Platform, b.Image, strings.Join(platforms, ", "))
}

// listName is what people call the place of a list.
func listName(path string) string {
	if path == stdio {
		return "standard input"
	}
	return strconv.Quote(path)
}

// place is where a bundle is, for people.
func place(path string) string {
	if path == "" {
		return "standard output"
	}
	return filepath.ToSlash(path)
}
