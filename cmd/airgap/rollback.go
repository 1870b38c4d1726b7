package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"airgap/bundle/image"
	"airgap/bundle/store"
	"airgap/cmd/airgap/internal/ui"
	"airgap/verify/load"
)

func newRollback() *cobra.Command {
	var dryRun bool
	cmd := &cobra.Command{
		Use:   "rollback",
		Short: "put the names back that the last unpack moved",
		Long: `Rollback undoes what the last unpack of this user did to the names of images in
Docker or podman: each points again to what it pointed to before, and a name
that was new is removed, with its image if that has no other. Names that have
been moved since, and names whose former image is gone, are left as they are and
listed.`,
		Example: `  airgap rollback --dry-run
  airgap rollback`,
		Args:        wantArgs(0, 0, "no arguments"),
		Annotations: statuses(ui.Engine),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runRollback(cmd.Context(), ui.From(cmd.Context()), dryRun)
		},
	}
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "print what would change and change nothing")
	return cmd
}

// runRollback is the whole of `airgap rollback`.
func runRollback(ctx context.Context, env *ui.Env, dryRun bool) error {
	path, err := journalPath(env)
	if err != nil {
		return err
	}
	journal, err := load.ReadJournal(path)
	if errors.Is(err, fs.ErrNotExist) {
		return &ui.Error{Err: errors.New("there is nothing to put back: no unpack into Docker or podman has been noted"), Code: ui.Failed, Hints: []string{"names can be set by hand: docker tag ID NAME"}}
	}
	if err != nil {
		return err
	}
	sink, err := store.OpenSink(ctx, journal.To, store.Options{Note: env.Note})
	if err != nil {
		return inState(untouched, err)
	}
	defer sink.Close()
	place, ok := sink.(image.Tidier)
	if !ok || place.Address() != journal.Address {
		return &ui.Error{
			Err:  fmt.Errorf("the last unpack went to %s, which is not what answers now", journal.Address),
			Code: ui.Refused, State: untouched,
			Hints: []string{"set DOCKER_HOST, or CONTAINER_HOST for podman, as it was then"},
		}
	}
	plan, err := journal.PlanUndo(ctx, place)
	if err != nil {
		return inState(untouched, err)
	}
	if !dryRun {
		if err := load.RunUndo(ctx, place, plan); err != nil {
			return inState("some names may have been put back; the same command puts back the rest", err)
		}
		if err := os.Remove(path); err != nil {
			return err
		}
	}
	a := newRollbackAnswer(journal, plan, dryRun)
	if err := env.Report(a.kind(), a); err != nil {
		return err
	}
	if left := a.left(); left > 0 && !dryRun {
		return &ui.Error{Err: fmt.Errorf("names left as they are: %d", left), Code: ui.Failed, Hints: []string{"look at them with docker images, and name them by hand: docker tag ID NAME"}}
	}
	return nil
}

// journalPath is where the last unpack is noted.
func journalPath(env *ui.Env) (string, error) {
	dir, err := stateDir(env)
	return filepath.Join(dir, "last-unpack.json"), err
}

// note keeps the journal of an import before its first name is set. That it
// cannot be kept is no reason to stop.
func note(env *ui.Env, to string, sink image.Sink, tags []image.Tag) {
	place, ok := sink.(image.Tidier)
	if !ok {
		return
	}
	path, err := journalPath(env)
	if err == nil {
		err = load.Journal{To: to, Address: place.Address(), Tags: tags}.Save(path)
	}
	if err != nil {
		env.Warn("airgap rollback will not be possible: %v", err)
	}
}

// rollbackAnswer is what rollback has done, or would do.
type rollbackAnswer struct {
	Command string       `json:"command"`
	To      string       `json:"to"`
	Names   []rolledBack `json:"names"`
	dryRun  bool
}

type rolledBack struct {
	Name string `json:"name"`
	Was  string `json:"was"`            // what the unpack made of it
	Is   string `json:"is,omitempty"`   // what it is put back to; nothing for a name that was new
	Left string `json:"left,omitempty"` // why it is left as it is
}

func newRollbackAnswer(j load.Journal, plan []load.Undo, dryRun bool) rollbackAnswer {
	a := rollbackAnswer{Command: "rollback", To: j.To, Names: []rolledBack{}, dryRun: dryRun}
	for _, u := range plan {
		r := rolledBack{Name: image.Familiar(u.Tag.Name), Was: u.Tag.New.String(), Left: u.Why}
		if u.Tag.Old != (image.Digest{}) {
			r.Is = u.Tag.Old.String()
		}
		a.Names = append(a.Names, r)
	}
	return a
}

func (a rollbackAnswer) kind() string {
	if a.dryRun {
		return "plan"
	}
	return "summary"
}

func (a rollbackAnswer) left() (n int) {
	for _, r := range a.Names {
		if r.Left != "" {
			n++
		}
	}
	return n
}

// Text prints a table of the names.
func (a rollbackAnswer) Text(p *ui.Printer) {
	var rows [][]string
	for _, r := range a.Names {
		result := "points again to " + r.Is
		switch {
		case r.Left != "":
			result = "left: " + r.Left
		case r.Is == "" && a.dryRun:
			result = "would be removed"
		case r.Is == "":
			result = "removed, for it was new"
		case a.dryRun:
			result = "would point again to " + r.Is
		}
		rows = append(rows, []string{r.Name, result})
	}
	p.Table([]string{"NAME", "RESULT"}, rows)
	if len(a.Names) == 0 {
		p.Line("%s: the last unpack moved no name", sinkName(a.To))
	}
}
