package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"airgap/bundle"
	"airgap/bundle/image"
	"airgap/bundle/store"
	"airgap/bundle/store/docker"
	"airgap/cmd/airgap/internal/ui"
	"airgap/verify"
	"airgap/verify/load"
)

// unpackOptions are unpack's flags.
type unpackOptions struct {
	registryOptions
	to, platform      string
	only, rename      []string
	noReplace, dryRun bool
	pruneReplaced     bool
	reload            bool
	attended          bool
	expect            string // the id that the bundle must have; empty: any
	files             string
	wanted            image.Platforms
	load              load.Options
}

func newUnpack() *cobra.Command {
	var o unpackOptions
	cmd := &cobra.Command{
		Use:   "unpack [BUNDLE|-]",
		Short: "verify a bundle and import its images",
		Long: `Unpack proves a bundle and then imports its images into the Docker engine of
DOCKER_HOST or of the current context, into podman (CONTAINER_HOST, else its
usual socket), into containerd (CONTAINERD_ADDRESS, else its or k3s's socket;
namespace k8s.io unless given), into a registry, or into an OCI image layout.
Nothing gets a name before everything is proven and the place holds
exactly what the bundle says; names are set last. Names move as with docker
load, each with what it pointed to before. An image that is there already is
neither read nor written; --reload removes it and brings it again, which repairs
what a disk has damaged, unless a container or another image needs some of it.
If another airgap of yours is at work in the same place, unpack waits for it.

--to docker://registry.internal:5000/mirror pushes indexes with all platforms in
the bundle, byte for byte, and puts all names below that registry and folder:
postgres:15 becomes registry.internal:5000/mirror/library/postgres:15. Logins are
those of docker and podman.

BUNDLE is bundle.tar.zst unless given; a bundle that has been decompressed
(bundle.tar) is as good. With - it comes from standard input and is kept in the
folder for temporary files until all of it is verified.

--rename takes a whole name, or a prefix that ends in "/":
--rename 127.0.0.1:5000/= takes that registry off all names. An image without a
name is renamed by its digest. With --only and --rename a name by digest goes
with the tag beside it. Docker's classic image store has no names by digest: those
are not kept there, and listed.`,
		Example: `  airgap unpack
  airgap unpack --dry-run /media/usb/bundle.tar.zst
  airgap unpack --only 'my-app:*' --rename my-app:v1=registry.internal/my-app:v1
  airgap unpack --to docker://registry.internal:5000
  airgap unpack --to oci:layout
  airgap unpack --files /srv/app && docker compose -f /srv/app/compose.yaml up --pull never
  DOCKER_HOST=ssh://user@server airgap unpack`,
		Args:        wantArgs(0, 1, "at most one bundle"),
		Annotations: statuses(ui.Damaged, ui.Refused, ui.NoSpace, ui.Medium, ui.Engine),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := o.parse(cmd); err != nil {
				return err
			}
			run := func(ctx context.Context) error { return runUnpack(ctx, ui.From(ctx), o, bundleArg(args)) }
			if o.attended {
				return attended(cmd.Context(), ui.From(cmd.Context()), run)
			}
			return run(cmd.Context())
		},
	}
	flags := cmd.Flags()
	o.which(flags)
	flags.BoolVar(&o.dryRun, "dry-run", false, "print what would change and change nothing")
	flags.BoolVar(&o.attended, "attended", false, "stop when standard input ends: send has gone, or the way to it has broken")
	flags.Lookup("attended").Hidden = true // it is send's
	o.asked(flags)
	o.flags(flags)
	environment(flags, "to", "AIRGAP_TO")
	return cmd
}

// which are the flags that say what is imported, into what and how. Send has
// them too, for the far side.
func (o *unpackOptions) which(flags *pflag.FlagSet) {
	flags.StringVar(&o.to, "to", "docker", "import into `docker|podman|containerd[:NAMESPACE]|docker://HOST[/FOLDER]|oci:DIR`")
	flags.StringArrayVar(&o.only, "only", nil, "import only images whose name matches `GLOB`; may be repeated")
	flags.StringArrayVar(&o.rename, "rename", nil, "give images other names: `OLD=NEW`; may be repeated, the first that fits counts")
	flags.StringVar(&o.platform, "platform", "", "import only the platforms of this `LIST` (default: what the engine runs; for a layout all)")
	flags.BoolVar(&o.noReplace, "no-replace", false, "refuse to move a name that points to another image")
	flags.BoolVar(&o.pruneReplaced, "prune-replaced", false, "remove images afterwards whose names were moved and that nothing uses (Docker, podman)")
	flags.BoolVar(&o.reload, "reload", false, "remove images that are there and bring them again, for layers that a disk has damaged (Docker, podman)")
	flags.StringVar(&o.files, "files", "", "write the files that travel along into `DIR`; what is replaced there is kept as NAME.bak, NAME.bak.1 and so on")
}

// asked are the flags by which send asks for something.
func (o *unpackOptions) asked(flags *pflag.FlagSet) {
	flags.StringVar(&o.expect, "expect", "", "refuse any bundle but the one of this `ID`")
	flags.Lookup("expect").Hidden = true
}

// isExpected refuses another bundle than the one that was sent.
func (o unpackOptions) isExpected(b *bundle.Bundle) error {
	if got := b.ID().String(); o.expect != "" && got != o.expect {
		return &unexpectedError{o.expect, got}
	}
	return nil
}

// parse checks the flags.
func (o *unpackOptions) parse(cmd *cobra.Command) (err error) {
	if err := store.CheckSink(o.to); err != nil {
		return usage(cmd, "--to: %w", err)
	}
	under, err := store.Under(o.to)
	if err != nil {
		return usage(cmd, "--to: %w", err)
	}
	if o.pruneReplaced && o.to != "docker" && o.to != "podman" {
		return usage(cmd, "--prune-replaced is for docker and podman")
	}
	if o.reload && o.to != "docker" && o.to != "podman" {
		return usage(cmd, "--reload is for docker and podman")
	}
	if o.wanted, err = image.ParsePlatforms(o.platform); err != nil {
		return usage(cmd, "--platform: %w", err)
	}
	o.load = load.Options{Only: o.only, Under: under, NoReplace: o.noReplace, Reload: o.reload}
	for _, text := range o.rename {
		r, err := load.ParseRename(text)
		if err != nil {
			return usage(cmd, "--rename: %w", err)
		}
		o.load.Rename = append(o.load.Rename, r)
	}
	return nil
}

// runUnpack is the whole of `airgap unpack`.
func runUnpack(ctx context.Context, env *ui.Env, o unpackOptions, name string) error {
	b, err := openOrStage(ctx, env, name)
	if err != nil {
		return inState(untouched, err)
	}
	defer b.Close()
	if o.expect == "" {
		warnIfExposed(env, name)
	}
	docs, err := verify.Read(ctx, b.Bundle)
	if err == nil {
		err = o.isExpected(b.Bundle)
	}
	if err != nil {
		return inState(untouched, named(b.name, err))
	}
	p, err := o.decide(ctx, env, b.name, docs, !o.dryRun)
	if err != nil {
		return inState(untouched, err)
	}
	defer p.Close()
	if o.dryRun || p.Unchanged() {
		if !o.dryRun {
			p.tidy(ctx, env)
		}
		return env.Report(o.kind(), newUnpackAnswer(o, b.name, p, load.Summary{Durable: true}))
	}
	verified, _, err := check(ctx, env, b, docs, level(p.sink))
	if err != nil {
		return inState(untouched, named(b.name, err))
	}
	parallel := sideBySide(p.sink)
	if b.spread() {
		parallel = 1
	}
	summary, err := o.carryOut(ctx, env, p, verified, parallel)
	b.noteRebuilt(env)
	if err != nil {
		return err
	}
	if err := p.files.Write(ctx, verified); err != nil {
		return inState("all images are there and named, but not all files", err)
	}
	answer := newUnpackAnswer(o, b.name, p, summary)
	answer.Verified = true
	if answer.Pruned, err = o.prune(ctx, p.sink, summary.Tags); err != nil {
		return inState("all images are there and named", err)
	}
	p.tidy(ctx, env)
	return env.Report(o.kind(), answer)
}

// decided is what unpack will do, and where.
type decided struct {
	*load.Plan
	docs    *verify.Documents
	sink    image.Sink
	files   *load.FilePlan
	removed *load.Removed // nil for places that nothing is removed from
	release func() error  // lets other airgaps into the place
}

// Close closes the place.
func (d *decided) Close() error { return errors.Join(d.sink.Close(), d.release()) }

// tidy removes what others have left in the place, and tells what they have not
// brought again.
func (d *decided) tidy(ctx context.Context, env *ui.Env) {
	sweep(ctx, env, d.sink)
	if d.removed != nil {
		warnOfRemoved(env, d.removed)
	}
}

// Unchanged says that there is nothing to do.
func (d *decided) Unchanged() bool { return d.Plan.Unchanged() && d.files.Unchanged() }

// decide asks the place what it has, and changes nothing. Who is to change it
// has it for himself from here on. The caller closes what is decided.
func (o unpackOptions) decide(ctx context.Context, env *ui.Env, name string, docs *verify.Documents, toChange bool) (*decided, error) {
	sink, err := store.OpenSink(ctx, o.to, o.store(env))
	if err != nil {
		return nil, err
	}
	d := &decided{docs: docs, sink: sink, release: func() error { return nil }}
	if toChange {
		if d.release, err = alone(ctx, env, o.to, sink); err != nil {
			return nil, errors.Join(err, sink.Close())
		}
	}
	if d.removed, err = o.removed(ctx, env, sink, fmt.Sprintf("%s (bundle id %s)", absolute(name), docs.Bundle().ID()), toChange); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	if d.removed != nil {
		o.load.Removed = d.removed
	}
	if d.Plan, err = load.NewPlan(ctx, onlyPlatforms(sink, docs.Bundle(), o.wanted), docs, o.load); err == nil {
		d.files, err = o.planFiles(env, docs)
	}
	if err == nil && o.reload {
		err = d.mayReload()
	}
	if err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

// removed is what broken-off reloads of the place have removed, of which names are
// given back now if it is to be changed. That it cannot be read is a reason not to
// remove more, and none not to import.
func (o unpackOptions) removed(ctx context.Context, env *ui.Env, sink image.Sink, bundle string, toChange bool) (*load.Removed, error) {
	r, err := removedFrom(env, o.to, sink, bundle)
	if err != nil && !o.reload {
		env.Warn("%v", err)
		return nil, nil
	}
	if err != nil || !toChange {
		return r, err
	}
	return r, giveBack(ctx, env, sink, r)
}

// mayReload refuses to remove images where there may not be room to bring them
// again: an engine keeps what it is given, too, until it has unpacked that.
func (d *decided) mayReload() error {
	const copies = 2
	root, here, ok := d.disk()
	if need := copies * d.Need(); ok && need > here.free {
		return &roomError{root, need, here.free}
	}
	return nil
}

// planFiles compares the files that travel along with their folder, if they are
// wanted.
func (o unpackOptions) planFiles(env *ui.Env, docs *verify.Documents) (*load.FilePlan, error) {
	if o.files == "" {
		if n := len(docs.Bundle().Manifest().Files); n > 0 {
			env.Note("%s of the bundle %s not written: --files DIR does that", ui.Plural(n, "file"), isOrAre(n))
		}
		return &load.FilePlan{}, nil
	}
	plan, err := load.PlanFiles(docs, o.files)
	if err != nil || !o.noReplace {
		return plan, err
	}
	for _, f := range plan.Files {
		if f.Backup != "" {
			return nil, &ui.Error{Err: fmt.Errorf("%q is there and is another file", f.Path), Code: ui.Refused, State: untouched}
		}
	}
	return plan, nil
}

func isOrAre(n int) string {
	if n == 1 {
		return "is"
	}
	return "are"
}

// prune removes replaced images, if that is wanted.
func (o unpackOptions) prune(ctx context.Context, sink image.Sink, tags []image.Tag) (*prunedImages, error) {
	place, ok := sink.(image.Tidier)
	if !o.pruneReplaced || !ok {
		return nil, nil
	}
	p, err := load.PruneReplaced(ctx, place, tags)
	return &prunedImages{len(p.Removed), len(p.Kept), p.Freed}, err
}

// sweep removes what imports that were killed have left in a place. Where that
// fails, a later one does it.
func sweep(ctx context.Context, env *ui.Env, sink image.Sink) {
	place, ok := sink.(image.Sweeper)
	if !ok {
		return
	}
	if err := place.Sweep(ctx); err != nil {
		env.Warn("what an import that was killed has left could not be removed: %v", err)
	}
}

// after is the state of things after an import that failed.
func (o unpackOptions) after(err error) string {
	var half *load.CommitError
	var changed *load.ChangedError
	var unflushed *load.FlushError
	var kept *load.AbortError
	switch {
	case errors.As(err, &half) && len(half.Done) == 0:
		if half.Left != nil {
			return leftBehind("it is not known whether a name is set", half.Left)
		}
		return "it is not known whether all names are as they were; images without one were taken back"
	case errors.As(err, &half):
		if half.Left != nil {
			return leftBehind("not all names are set", half.Left)
		}
		return "not all names are set, and images without one were taken back"
	case errors.As(err, &changed):
		return "all images were there and named"
	case errors.As(err, &unflushed):
		return "all images are there and named, but it is not certain that the disk has them"
	case errors.As(err, &kept):
		return leftBehind("no name has changed", kept.Left)
	case o.load.Under != "":
		return "no name has changed; what was pushed stays until the registry collects its garbage"
	}
	return "what had been brought was taken back, and no name has changed"
}

// leftBehind is the state of things where something could not be taken back.
func leftBehind(names string, why error) string {
	var engine *docker.Error
	var removed *docker.RemovedError
	if errors.As(why, &removed) {
		return fmt.Sprintf("images had been removed to be brought again, and are gone with their names until the same command brings them: %v", why)
	}
	switch isEngine := errors.As(why, &engine); {
	case isEngine && engine.Kind == docker.Unreachable:
		return fmt.Sprintf("the engine has ended, or does not answer any more; %s, and what it has of this import the next unpack there removes", names)
	case isEngine:
		return fmt.Sprintf("%s, and not all of what had been brought could be taken back, which the next unpack there does: %v", names, why)
	}
	return fmt.Sprintf("%s, and not all of what had been brought could be taken back: %v", names, why)
}

// untouched is the state of things before anything is imported.
const untouched = "nothing has been changed"

// openOrStage opens a bundle, from standard input too.
func openOrStage(ctx context.Context, env *ui.Env, name string) (*bundleFile, error) {
	if name == stdio {
		return stageBundle(ctx, env, "")
	}
	return openBundle(ctx, env, name)
}

// level is what has to be proven beforehand: layers are opened here unless the
// place is known to compare them with their diffIDs while it unpacks them.
func level(sink image.Sink) verify.Level {
	if place, ok := sink.(interface{ ChecksDiffIDs() bool }); ok && place.ChecksDiffIDs() {
		return verify.Digests
	}
	return verify.Full
}

// sideBySide is how many images the place likes to be given at once.
func sideBySide(sink image.Sink) int {
	if place, ok := sink.(interface{ Parallel() int }); ok {
		return place.Parallel()
	}
	return 1
}

func (o unpackOptions) kind() string {
	if o.dryRun {
		return "plan"
	}
	return "summary"
}

// carryOut imports what has been planned, showing how far the place is.
func (o unpackOptions) carryOut(ctx context.Context, env *ui.Env, p *decided, v *verify.Verified, parallel int) (load.Summary, error) {
	progress := env.Progress("importing", p.Need())
	defer progress.Stop()
	names := newNoting(env, o.to, p)
	summary, err := p.Run(ctx, v, load.RunOptions{Parallel: parallel, Settled: progress.Add, Naming: names.naming})
	names.end(summary, err)
	if err != nil {
		return summary, inState(o.after(err), err)
	}
	progress.Done()
	if !summary.Durable && o.load.Under == "" {
		env.Warn("it is not confirmed that everything is on the disk: %s", summary.Why)
	}
	return summary, nil
}
