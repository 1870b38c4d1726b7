package main

import (
	"context"
	"fmt"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"airgap/cmd/airgap/internal/ui"
)

// Main runs one command line in a world and gives the exit status. Success is
// said last: what ends before, in whichever way, has failed.
func Main(args []string, env *ui.Env) (status int) {
	status = int(ui.Failed)
	defer func() {
		if p := recover(); p != nil {
			env.Detail("%s", debug.Stack())
			env.Fail(crash(p))
		}
	}()
	ctx, stop := interruptible(ui.With(context.Background(), env), env)
	defer stop()
	root := newRoot(env)
	root.SetArgs(args)
	if cmd, err := root.ExecuteContextC(ctx); err != nil {
		return int(env.Fail(explain(ctx, cmd.CommandPath(), err)))
	}
	return int(ui.OK)
}

func crash(p any) error {
	return &ui.Error{
		Err: fmt.Errorf("internal error: %v", p), Code: ui.Failed,
		State: "this is a fault of airgap itself; do not rely on anything that the command was to do",
		Hints: []string{"run it again with --verbose and report what it prints"},
	}
}

// newRoot makes the tree of commands.
func newRoot(env *ui.Env) *cobra.Command {
	root := &cobra.Command{
		Use:   "airgap",
		Short: "carry container images to hosts without registry or network",
		Long: `airgap carries container images to hosts that have no registry and no network,
and proves that what arrived is what was packed.`,
		Example: `  airgap pack postgres:15-alpine my-app:v1   # makes bundle.tar.zst
  airgap send user@server:/tmp               # over SSH; or: airgap send /media/usb
  airgap unpack bundle.tar.zst               # there: verify everything, then import`,
		SilenceErrors: true, SilenceUsage: true, SuggestionsMinimumDistance: 2,
		Args: cobra.ArbitraryArgs,
		RunE: runRoot,
		PersistentPreRunE: func(cmd *cobra.Command, args []string) error {
			if err := filled(cmd, args); err != nil {
				return err
			}
			if env.Quiet && env.Verbose {
				return usage(cmd, "--quiet and --verbose exclude each other")
			}
			return fromEnvironment(cmd.Flags(), env)
		},
		Annotations: statuses(ui.Damaged, ui.Refused, ui.BaseMissing, ui.Transfer, ui.NoSpace, ui.Medium, ui.Engine),
	}
	flags := root.PersistentFlags()
	flags.BoolVarP(&env.Quiet, "quiet", "q", false, "print nothing but the answer and errors")
	flags.BoolVarP(&env.Verbose, "verbose", "v", false, "print details")
	flags.BoolVar(&env.JSON, "json", false, "give the answer as JSON, one object per line")
	root.SetIn(env.In)
	root.SetOut(env.Out)
	root.SetErr(env.Err)
	root.SetHelpFunc(help)
	root.SetHelpCommand(newHelp())
	root.CompletionOptions.DisableDefaultCmd = true
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return usage(cmd, "%w", err) })
	root.AddCommand(newPack(), newSend(), newVerify(), newUnpack(), newRepair(), newRollback(), newServe(), newInspect(), newVersion(), newCompletion(), newProbe())
	return root
}

// help prints what a command does, how it is used, and its exit statuses last.
func help(cmd *cobra.Command, _ []string) {
	text := cmd.Long
	if text == "" {
		text = cmd.Short
	}
	cmd.Printf("%s\n\n%s", text, cmd.UsageString())
	if s := cmd.Annotations["statuses"]; s != "" {
		cmd.Printf("\n%s\n", s)
	}
}

// newHelp is the command "help", which knows what it has no help for.
func newHelp() *cobra.Command {
	return &cobra.Command{
		Use: "help [COMMAND]", Short: "print the help of a command",
		RunE: func(cmd *cobra.Command, args []string) error {
			about, rest, err := cmd.Root().Find(args)
			if err != nil || len(rest) > 0 {
				return usage(cmd.Root(), "there is no command %q", strings.Join(args, " "))
			}
			return about.Help()
		},
	}
}

// statuses is the annotation that the help ends with.
func statuses(special ...ui.Status) map[string]string {
	return map[string]string{"statuses": ui.Statuses(special...)}
}

// runRoot is reached without a command, or with one that does not exist.
func runRoot(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		cmd.SetOut(cmd.ErrOrStderr())
		if err := cmd.Help(); err != nil {
			return err
		}
		return usage(cmd, "a command is needed")
	}
	err := usage(cmd, "there is no command %q", args[0])
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		err.Hints = []string{"did you mean airgap " + near[0] + "?"}
	}
	return err
}

// usage is an error of the command line.
func usage(cmd *cobra.Command, format string, args ...any) *ui.Error {
	return &ui.Error{
		Err: fmt.Errorf(format, args...), Code: ui.Usage,
		Hints: []string{cmd.CommandPath() + " --help"},
	}
}

// wantArgs demands from least to most arguments; what says which.
func wantArgs(least, most int, what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) < least:
			return usage(cmd, "%s needs %s", cmd.CommandPath(), what)
		case most >= 0 && len(args) > most:
			return usage(cmd, "%s takes %s, not also %q", cmd.CommandPath(), what, args[most:])
		}
		return nil
	}
}

// filled refuses what is given and empty, as by a variable of a script that is not
// set: it would stand for the current folder, or for what is usual, which nobody
// has asked for.
func filled(cmd *cobra.Command, args []string) (err error) {
	if cmd.DisableFlagParsing { // a command line that is not complete yet
		return nil
	}
	if i := slices.Index(args, ""); i >= 0 {
		return usage(cmd, "argument %d is empty", i+1)
	}
	cmd.Flags().Visit(func(f *pflag.Flag) {
		if values := valuesOf(f); err == nil && (len(values) == 0 || slices.Contains(values, "")) {
			err = usage(cmd, "--%s is empty: give it a value, or leave it out", f.Name)
		}
	})
	return err
}

// valuesOf are all that a flag has been given.
func valuesOf(f *pflag.Flag) []string {
	if list, ok := f.Value.(pflag.SliceValue); ok {
		return list.GetSlice()
	}
	return []string{f.Value.String()}
}

// variable is the annotation of a flag that an environment variable can set.
const variable = "variable"

// environment lets an environment variable set a flag, and says so in its help.
func environment(flags *pflag.FlagSet, flag, name string) {
	f := flags.Lookup(flag)
	f.Usage += " [$" + name + "]"
	f.Annotations = map[string][]string{variable: {name}}
}

// fromEnvironment sets the flags that the command line does not.
func fromEnvironment(flags *pflag.FlagSet, env *ui.Env) (err error) {
	flags.VisitAll(func(f *pflag.Flag) {
		names := f.Annotations[variable]
		if err != nil || f.Changed || len(names) == 0 {
			return
		}
		if value := env.Getenv(names[0]); value != "" {
			if bad := flags.Set(f.Name, value); bad != nil {
				err = &ui.Error{Err: fmt.Errorf("environment variable %s: %s", names[0], strings.TrimPrefix(bad.Error(), "invalid argument ")), Code: ui.Usage}
			}
		}
	})
	return err
}
