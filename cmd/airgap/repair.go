package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"airgap/cmd/airgap/internal/ui"
	"airgap/transfer/media"
	"airgap/transfer/volume"
)

func newRepair() *cobra.Command {
	return &cobra.Command{
		Use:   "repair [BUNDLE|DIR]",
		Short: "make a damaged bundle good again by its parity",
		Long: `Repair makes a bundle whole on its medium, by the parity that pack or send has
put beside it with --parity: what is damaged is written again where it belongs,
volumes and parity files that are lost are made anew, and all that was written
is read back from the medium. What is good is not touched. If the parity is not
enough, nothing is written, and how much more is needed is told.

It is not needed for airgap unpack, which reads damaged bundles as well as it can.`,
		Example: `  airgap repair /media/usb
  airgap repair bundle.tar.zst`,
		Args:        wantArgs(0, 1, "at most one bundle"),
		Annotations: statuses(ui.Damaged, ui.NoSpace, ui.Medium),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runRepair(cmd.Context(), ui.From(cmd.Context()), bundleArg(args))
		},
	}
}

// runRepair is the whole of `airgap repair`.
func runRepair(ctx context.Context, env *ui.Env, name string) (err error) {
	n, err := lookUp(ctx, name, volume.OpenOptions{Partly: true})
	if err != nil {
		return inState(untouched, err)
	}
	if err := n.tell(env); err != nil {
		return errors.Join(err, n.close())
	}
	set := n.set
	if set == nil {
		return &ui.Error{
			Err: fmt.Errorf("%q has no parity beside it", n.file), Code: ui.Failed, State: untouched,
			Hints: []string{"airgap verify tells whether it needs repair; get it again with airgap send --parity 10%"},
		}
	}
	defer func() { err = errors.Join(err, set.Close()) }()
	place, err := media.Open(set.Dir())
	if err != nil {
		return inState(untouched, err)
	}
	defer place.Close()
	progress := env.Progress("repairing", set.Size())
	defer progress.Stop()
	report, err := set.Repair(ctx, place, progress.Add)
	if err != nil {
		return inState("what was good is as it was", err)
	}
	progress.Done()
	return env.Report("summary", volumesAnswer{"repair", filepath.ToSlash(name), report})
}

// volumesAnswer is the state of the volumes of a bundle.
type volumesAnswer struct {
	Command string        `json:"command"`
	Path    string        `json:"path"`
	Report  volume.Report `json:"volumes"`
}

func (a volumesAnswer) Text(p *ui.Printer) {
	r := a.Report
	var rows [][]string
	for _, n := range slices.Sorted(slices.Values(slices.Concat(r.There, r.Missing))) {
		rows = append(rows, []string{fmt.Sprint(n), a.state(n)})
	}
	p.Table([]string{"VOLUME", "STATE"}, rows)
	for _, v := range r.Renamed {
		p.Line("%s holds volume %d", v.Name, v.Number)
	}
	for _, name := range slices.Concat(r.Stale, r.Foreign, r.Twice) {
		p.Line("%s is not of this set and is not needed", name)
	}
	if parity := r.Parity; parity != nil {
		p.Line("parity: %s", parityState(parity))
	}
	for _, name := range r.Repaired {
		p.Line("%s: repaired", name)
	}
	if a.Command == "repair" && len(r.Repaired) == 0 {
		p.Line("%s: nothing to repair", a.Path)
	}
}

// state is that of one volume.
func (a volumesAnswer) state(n int) string {
	switch {
	case slices.Contains(a.Report.Missing, n):
		return "missing"
	case slices.Contains(a.Report.Damaged, n):
		return "damaged"
	}
	return "good"
}

func parityState(r *volume.ParityReport) string {
	switch {
	case r.Short > 0:
		return fmt.Sprintf("not enough, each %d KiB counts: %d more good pieces are needed in one group", volume.Shard>>10, r.Short)
	case r.Lost > 0:
		return fmt.Sprintf("%s lost, all of which it makes good", ui.Size(r.Lost))
	}
	return "good"
}
