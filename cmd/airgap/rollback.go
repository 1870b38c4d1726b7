package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"airgap/bundle/image"
	"airgap/bundle/store"
	"airgap/cmd/airgap/internal/ui"
	"airgap/verify/load"
)

// rollbackOptions are rollback's flags.
type rollbackOptions struct {
	number       int // of the unpack; 0 for the last one
	list, dryRun bool
}

func newRollback() *cobra.Command {
	var o rollbackOptions
	cmd := &cobra.Command{
		Use:   "rollback [NUMBER]",
		Short: "put the names back that an unpack moved",
		Long: `Rollback undoes what the last unpack of this user did to the names of images in
Docker or podman: each points again to what it pointed to before, and a name
that was new is removed, with its image if the unpack brought that and it has no
other name. What had been there before stays. Names that have been moved since,
and names whose former image is gone or that a container uses, are left as they
are and listed; the same command tries them again.

An unpack that was broken off between two names is undone together with the one
that completed it; a name that it was about to move counts as moved by it. Names
by digest are never taken along: a tag with which one would go is left.

--list shows the last ten unpacks into each engine; NUMBER undoes one of them
instead of the last.`,
		Example: `  airgap rollback --dry-run
  airgap rollback
  airgap rollback --list`,
		Args:        wantArgs(0, 1, "at most one number"),
		Annotations: statuses(ui.Refused, ui.Engine),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if len(args) > 0 {
				if o.number, err = strconv.Atoi(args[0]); err != nil || o.number < 1 {
					return usage(cmd, "%q is no number of an unpack", args[0])
				}
			}
			if o.list && (o.dryRun || o.number > 0) {
				return usage(cmd, "--list goes with nothing else")
			}
			if o.list {
				return listUnpacks(ui.From(cmd.Context()))
			}
			return runRollback(cmd.Context(), ui.From(cmd.Context()), o)
		},
	}
	cmd.Flags().BoolVar(&o.dryRun, "dry-run", false, "print what would change and change nothing")
	cmd.Flags().BoolVar(&o.list, "list", false, "list the unpacks that are noted")
	return cmd
}

// runRollback is the whole of `airgap rollback`.
func runRollback(ctx context.Context, env *ui.Env, o rollbackOptions) error {
	defer warnOfAllRemoved(env) // of what is missing still
	journals, err := journalsOf(env)
	if err != nil {
		return err
	}
	attempts, err := o.choose(env, journals)
	if err != nil {
		return err
	}
	place, release, err := o.open(ctx, env, attempts[0])
	if err != nil {
		return inState(untouched, err)
	}
	defer release() //nolint:errcheck // nothing is written by it
	o.number = attempts[0].Number
	if attempts, err = o.choose(env, journals); err != nil { // another may have been waited for
		return err
	}
	if !o.dryRun {
		if removed, err := removedFrom(env, attempts[0].To, place, ""); err == nil { // else it is warned of
			if err := giveBack(ctx, env, place, removed); err != nil {
				return inState(untouched, err)
			}
		}
		sweep(ctx, env, place) // or it would count as used, or be left
	}
	journal := load.Join(attempts)
	plan, err := journal.PlanUndo(ctx, place)
	if err != nil {
		return inState(untouched, err)
	}
	if !o.dryRun {
		if err := load.RunUndo(ctx, place, plan); err != nil {
			return inState("some names may have been put back; the same command puts back the rest", err)
		}
		if err := journals.Settle(attempts, plan); err != nil {
			return inState("the names have been put back, but that is not noted", err)
		}
	}
	a := newRollbackAnswer(journal, plan, o.dryRun)
	if err := env.Report(a.kind(), a); err != nil {
		return err
	}
	if left := a.left(); left > 0 && !o.dryRun {
		return &ui.Error{
			Err: fmt.Errorf("names left as they are: %d", left), Code: ui.Failed,
			Hints: []string{
				fmt.Sprintf("when nothing is in their way any more: airgap rollback %d", journal.Number),
				"or look at them with docker images, and name them by hand: docker tag ID NAME",
			},
		}
	}
	return nil
}

// choose finds the unpack that is meant, with attempts before it that it has
// completed.
func (o rollbackOptions) choose(env *ui.Env, journals load.Journals) ([]load.Journal, error) {
	list, err := journals.List()
	if err != nil {
		env.Warn("not all that is noted of unpacks can be read: %v", err)
	}
	end := len(list)
	if o.number > 0 {
		end = 1 + slices.IndexFunc(list, func(j load.Journal) bool { return j.Number == o.number })
	}
	none := &ui.Error{Code: ui.Failed, State: untouched, Hints: []string{"airgap rollback --list shows the unpacks that can be undone"}}
	switch {
	case end == 0 && o.number > 0:
		none.Err = fmt.Errorf("there is no unpack %d", o.number)
	case end == 0:
		none.Err = errors.New("there is nothing to put back: no unpack into Docker or podman has been noted")
		none.Hints = []string{"names can be set by hand: docker tag ID NAME"}
	case list[end-1].State == load.Undone:
		none.Err = fmt.Errorf("there is nothing to put back: unpack %d has been undone already", list[end-1].Number)
	default:
		return load.Attempts(list[:end]), nil
	}
	return nil, none
}

// open connects to the place of an unpack, and keeps others out of it if it is
// to be changed.
func (o rollbackOptions) open(ctx context.Context, env *ui.Env, j load.Journal) (image.Tidier, func() error, error) {
	sink, err := store.OpenSink(ctx, j.To, store.Options{Note: env.Note})
	if err != nil {
		return nil, nil, err
	}
	place, ok := sink.(image.Tidier)
	if !ok || addressOf(j.To, sink) != j.Address || j.Engine != "" && place.Identity() != j.Engine {
		return nil, nil, errors.Join(sink.Close(), &ui.Error{
			Err:  fmt.Errorf("unpack %d went to %s, which is not what answers now", j.Number, j.Address),
			Code: ui.Refused, State: untouched,
			Hints: []string{"set DOCKER_HOST, or CONTAINER_HOST for podman, as it was then"},
		})
	}
	if o.dryRun {
		return place, sink.Close, nil
	}
	release, err := alone(ctx, env, j.To, sink)
	if err != nil {
		return nil, nil, errors.Join(err, sink.Close())
	}
	return place, func() error { return errors.Join(sink.Close(), release()) }, nil
}

// journalsOf are this user's.
func journalsOf(env *ui.Env) (load.Journals, error) {
	dir, err := stateDir(env)
	return load.Journals(filepath.Join(dir, "unpacks")), err
}

// noting notes what an import does to names. That this is not possible is no
// reason to stop the import.
type noting struct {
	env     *ui.Env
	journal load.Journal
	removed *load.Removed // by broken-off reloads; nil: not known
	broken  bool          // it is not possible
}

// newNoting begins nothing yet; it is nil for places that have no rollback.
func newNoting(env *ui.Env, to string, d *decided) *noting {
	place, ok := d.sink.(image.Tidier)
	if !ok {
		return nil
	}
	return &noting{env: env, removed: d.removed, journal: load.Journal{
		To: to, Address: addressOf(to, d.sink), Engine: place.Identity(), Bundle: d.docs.Bundle().ID(), Time: env.Now().UTC(), State: load.Naming,
		Brought: d.Brought(),
	}}
}

// naming keeps the journal before the first name is set, and when more is known
// of what a name pointed to.
func (n *noting) naming(tags []image.Tag) error {
	if n != nil {
		if n.removed != nil {
			tags = n.removed.Before(tags)
		}
		n.journal.Tags = tags
		n.keep()
	}
	return nil
}

// end notes that all names are set, or that none is.
func (n *noting) end(s load.Summary, err error) {
	if n == nil || n.journal.Number == 0 {
		return
	}
	var half *load.CommitError
	switch {
	case errors.As(err, &half): // some are
	case err == nil, len(s.Tags) > 0: // whatever went wrong afterwards
		n.journal.State = load.Named
		n.keep()
	default:
		n.do(func(journals load.Journals) error { return journals.Remove(n.journal) })
	}
}

func (n *noting) keep() {
	n.do(func(journals load.Journals) error { return journals.Keep(&n.journal) })
}

func (n *noting) do(change func(load.Journals) error) {
	if n.broken {
		return
	}
	journals, err := journalsOf(n.env)
	if err == nil {
		err = change(journals)
	}
	if err != nil {
		n.broken = true
		n.env.Warn("airgap rollback may not be possible: %v", err)
	}
}

// listUnpacks is the whole of `airgap rollback --list`.
func listUnpacks(env *ui.Env) error {
	journals, err := journalsOf(env)
	if err != nil {
		return err
	}
	list, err := journals.List()
	if err != nil {
		env.Warn("not all that is noted of unpacks can be read: %v", err)
	}
	a := unpacksAnswer{Command: "rollback", Unpacks: []noted{}}
	for _, j := range slices.Backward(list) {
		a.Unpacks = append(a.Unpacks, newNoted(j))
	}
	return env.Report("list", a)
}

// noted is an unpack of which there is a journal.
type noted struct {
	Number  int               `json:"number"`
	Time    time.Time         `json:"time"`
	To      string            `json:"to"`
	Address string            `json:"address"`
	Bundle  image.Digest      `json:"bundle"`
	State   load.JournalState `json:"state"`
	Names   []rolledBack      `json:"names"` // that it has moved, and that are not put back
}

func newNoted(j load.Journal) noted {
	n := noted{Number: j.Number, Time: j.Time, To: j.To, Address: j.Address, Bundle: j.Bundle, State: j.State, Names: []rolledBack{}}
	for _, t := range j.Tags {
		n.Names = append(n.Names, newRolledBack(load.Undo{Tag: t}))
	}
	return n
}

// unpacksAnswer is what is noted, the last one first.
type unpacksAnswer struct {
	Command string  `json:"command"`
	Unpacks []noted `json:"unpacks"`
}

// Text prints a table of them.
func (a unpacksAnswer) Text(p *ui.Printer) {
	var rows [][]string
	for _, n := range a.Unpacks {
		rows = append(rows, []string{strconv.Itoa(n.Number), n.Time.Local().Format(time.DateTime), n.Address, ui.Plural(len(n.Names), "name"), string(n.State), n.Bundle.String()})
	}
	if len(rows) == 0 {
		p.Line("no unpack into Docker or podman has been noted")
		return
	}
	p.Table([]string{"NUMBER", "TIME", "INTO", "MOVED", "STATE", "BUNDLE"}, rows)
}

// rollbackAnswer is what rollback has done, or would do.
type rollbackAnswer struct {
	Command string       `json:"command"`
	Number  int          `json:"number"`
	Time    time.Time    `json:"time"`
	To      string       `json:"to"`
	Bundle  image.Digest `json:"bundle"`
	Names   []rolledBack `json:"names"`
	dryRun  bool
}

type rolledBack struct {
	Name    string `json:"name"`
	Was     string `json:"was"`               // what the unpack made of it
	Is      string `json:"is,omitempty"`      // what it is put back to; nothing for a name that was new
	Already bool   `json:"already,omitempty"` // it pointed there before the rollback
	Left    string `json:"left,omitempty"`    // why it is left as it is
}

func newRolledBack(u load.Undo) rolledBack {
	r := rolledBack{Name: image.Familiar(u.Tag.Name), Was: u.Tag.New.String(), Already: u.Already, Left: u.Why}
	if u.Tag.Old != (image.Digest{}) {
		r.Is = u.Tag.Old.String()
	}
	return r
}

func newRollbackAnswer(j load.Journal, plan []load.Undo, dryRun bool) rollbackAnswer {
	a := rollbackAnswer{Command: "rollback", Number: j.Number, Time: j.Time, To: j.To, Bundle: j.Bundle, Names: []rolledBack{}, dryRun: dryRun}
	for _, u := range plan {
		a.Names = append(a.Names, newRolledBack(u))
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

// Text prints a table of the names, and whose they are.
func (a rollbackAnswer) Text(p *ui.Printer) {
	var rows [][]string
	for _, r := range a.Names {
		rows = append(rows, []string{r.Name, r.result(a.dryRun)})
	}
	if len(rows) > 0 {
		p.Table([]string{"NAME", "RESULT"}, rows)
	}
	what := fmt.Sprintf("unpack %d into %s, %s, bundle id %s", a.Number, sinkName(a.To), a.Time.Local().Format(time.DateTime), a.Bundle)
	switch {
	case len(a.Names) == 0:
		p.Line("%s: it moved no name", what)
	case a.dryRun:
		p.Line("%s: nothing has been changed", what)
	case a.left() == 0:
		p.Line("%s: undone", what)
	}
}

// result says what has become of a name, or would.
func (r rolledBack) result(dryRun bool) string {
	switch {
	case r.Left != "":
		return "left: " + r.Left
	case r.Already && r.Is == "":
		return "is gone already"
	case r.Already:
		return "points to " + r.Is + " already"
	case r.Is == "" && dryRun:
		return "would be removed"
	case r.Is == "":
		return "removed, for it was new"
	case dryRun:
		return "would point again to " + r.Is
	}
	return "points again to " + r.Is
}
