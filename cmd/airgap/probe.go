package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"github.com/spf13/cobra"

	"airgap/bundle"
	"airgap/cmd/airgap/internal/excerpt"
	"airgap/cmd/airgap/internal/ui"
	"airgap/verify"
	"airgap/verify/load"
)

// probeOptions are probe's flags.
type probeOptions struct {
	unpackOptions
	beside string // where the bundle will be
	rest   int64  // bytes of it that are still to come
}

// newProbe is the command by which send asks, before it sends anything, what
// unpack would do. It reads an excerpt of the bundle, which is as much as a plan
// needs, from standard input. People have no use for it.
func newProbe() *cobra.Command {
	var o probeOptions
	cmd := &cobra.Command{
		Use: "probe", Short: "answer what send asks before it sends", Hidden: true,
		Args: wantArgs(0, 0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.parse(cmd); err != nil {
				return err
			}
			return runProbe(cmd.Context(), ui.From(cmd.Context()), o)
		},
	}
	flags := cmd.Flags()
	o.which(flags)
	environment(flags, "to", "AIRGAP_TO")
	o.flags(flags)
	o.asked(flags)
	flags.StringVar(&o.beside, "beside", "", "the bundle will be at `PATH`")
	flags.Int64Var(&o.rest, "rest", 0, "so many `BYTES` of it are still to come")
	return cmd
}

// runProbe is the whole of `airgap probe`.
func runProbe(ctx context.Context, env *ui.Env, o probeOptions) error {
	in, stop := leavable(ctx, env.In)
	defer stop()
	part, err := excerpt.Read(in)
	if err != nil {
		return err
	}
	b, err := bundle.Open(part, part.Size())
	if err != nil {
		return err
	}
	if err := o.isExpected(b); err != nil {
		return err
	}
	docs, err := verify.Read(ctx, b)
	if err != nil {
		return err
	}
	d, err := o.decide(ctx, env, "", docs, false)
	if err != nil {
		return err
	}
	defer d.Close()
	if err := o.fits(d); err != nil {
		return err
	}
	return env.Report("probe", probeAnswer{
		Command: "probe", Version: thisVersion(), Platform: runtime.GOOS + "/" + runtime.GOARCH,
		Unchanged: d.Unchanged(), Need: d.Need(),
		Plan: newUnpackAnswer(o.unpackOptions, o.beside, d, load.Summary{Durable: true}),
	})
}

// probeAnswer is what unpack would do.
type probeAnswer struct {
	Command   string       `json:"command"`
	Version   string       `json:"version"`
	Platform  string       `json:"platform"` // of this airgap
	Unchanged bool         `json:"unchanged"`
	Need      int64        `json:"need"` // bytes of blobs that would be imported
	Plan      unpackAnswer `json:"plan"`
}

func (a probeAnswer) Text(p *ui.Printer) { a.Plan.Text(p) }

// roomError says that the images have no room where they would be kept.
type roomError struct {
	Dir        string
	Need, Free int64 // bytes
}

func (e *roomError) Error() string {
	return fmt.Sprintf("not enough space at %q for the images: at least %d bytes needed, %d free", e.Dir, e.Need, e.Free)
}

// fits refuses what certainly has no room. Blobs take at least their own size
// where they are unpacked, and the bundle may come to lie on the same disk.
func (o probeOptions) fits(d *decided) error {
	root, here, ok := d.disk()
	if !ok {
		return nil
	}
	need := d.Need()
	if bundle, ok := diskOf(existing(o.beside)); ok && bundle.device == here.device {
		need += o.rest
	}
	if d.Need() > 0 && need > here.free {
		return &roomError{root, need, here.free}
	}
	return nil
}

// disk is where the images are kept, if it is of this machine.
func (d *decided) disk() (root string, here disk, ok bool) {
	keeper, ok := d.sink.(interface{ Root() string })
	if !ok || keeper.Root() == "" {
		return "", disk{}, false
	}
	here, ok = diskOf(existing(keeper.Root()))
	return keeper.Root(), here, ok
}

// disk is a file system.
type disk struct {
	free   int64 // bytes for this user
	device uint64
}

// existing is the folder nearest to path that is there.
func existing(path string) string {
	for {
		if _, err := os.Stat(path); err == nil || path == filepath.Dir(path) {
			return path
		}
		path = filepath.Dir(path)
	}
}

// attended runs a command that somebody waits for at the other end of standard
// input. Its end is theirs: the command stops as it does at Ctrl-C.
func attended(ctx context.Context, env *ui.Env, run func(ctx context.Context) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		buf := make([]byte, 512)
		for {
			if _, err := env.In.Read(buf); err != nil {
				cancel(errInterrupted)
				return
			}
		}
	}()
	err := run(ctx)
	var s *stateError
	switch {
	case err == nil || !errors.Is(context.Cause(ctx), errInterrupted):
		return err
	case errors.As(err, &s):
		return &ui.Error{Err: errInterrupted, Code: ui.Interrupted, State: s.state}
	}
	return &ui.Error{Err: errInterrupted, Code: ui.Interrupted}
}
