package main

import (
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"airgap/bundle"
	"airgap/cmd/airgap/internal/ui"
)

// version is set when a release is built; otherwise the module's is taken.
var version = ""

func thisVersion() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" && info.Main.Version != "(devel)" {
		return info.Main.Version
	}
	return "devel"
}

func newVersion() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "print the version of airgap and of its bundle format",
		Example: `  airgap version
  airgap version --json`,
		Args:        wantArgs(0, 0, "no arguments"),
		Annotations: statuses(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return ui.From(cmd.Context()).Report("version", versionAnswer{
				thisVersion(), bundle.Format, runtime.Version(), runtime.GOOS + "/" + runtime.GOARCH,
			})
		},
	}
}

type versionAnswer struct {
	Version  string `json:"version"`
	Format   int    `json:"format"` // of bundles that it writes
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

func (a versionAnswer) Text(p *ui.Printer) {
	p.Line("airgap %s (bundle format %d, %s, %s)", a.Version, a.Format, a.Go, a.Platform)
}
