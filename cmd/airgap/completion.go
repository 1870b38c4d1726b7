package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"
)

// shells are those that completions can be made for.
var shells = []string{"bash", "zsh", "fish", "powershell"}

func newCompletion() *cobra.Command {
	return &cobra.Command{
		Use:   "completion bash|zsh|fish|powershell",
		Short: "print a shell's completions for airgap",
		Long: `Completion prints a script that makes a shell complete airgap's commands and
flags. make install puts it where the shells look for it.`,
		Example: `  . <(airgap completion bash)
  airgap completion zsh > ~/.zfunc/_airgap
  airgap completion fish > ~/.config/fish/completions/airgap.fish
  airgap completion powershell | Out-String | Invoke-Expression`,
		ValidArgs:   shells,
		Args:        wantArgs(1, 1, "the name of a shell"),
		Annotations: statuses(),
		RunE: func(cmd *cobra.Command, args []string) error {
			return writeCompletion(cmd, args[0])
		},
	}
}

func writeCompletion(cmd *cobra.Command, shell string) error {
	root, out := cmd.Root(), cmd.OutOrStdout()
	write, ok := map[string]func(io.Writer) error{
		"bash":       func(w io.Writer) error { return root.GenBashCompletionV2(w, true) },
		"zsh":        root.GenZshCompletion,
		"fish":       func(w io.Writer) error { return root.GenFishCompletion(w, true) },
		"powershell": root.GenPowerShellCompletionWithDesc,
	}[shell]
	if !ok {
		return usage(cmd, "there are no completions for %q, only for %s", shell, fmt.Sprint(shells))
	}
	return write(out)
}
