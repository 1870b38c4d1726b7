// Airgap carries container images to hosts that have no registry and no
// network, and proves that what arrived is what was packed.
//
// This package joins the three rooms (bundle, transfer, verify): one file per
// command, each with the command's straight line in a function run… that reads
// from top to bottom. explain.go is the one place that turns the rooms' typed
// errors into what a person reads and into the exit status. How anything looks
// is package ui's business.
package main

import (
	"os"

	"airgap/cmd/airgap/internal/list"
	"airgap/cmd/airgap/internal/ui"
)

func main() {
	list.ServeReader() // and nothing else, in the process that reads a file for pack -f
	keepMemory()
	os.Exit(Main(os.Args[1:], ui.System()))
}
