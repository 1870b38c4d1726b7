package main

import (
	"airgap/cmd/airgap/internal/ui"
	"airgap/transfer"
)

// sendAnswer is what became of one destination.
type sendAnswer struct {
	Command string `json:"command"`
	Dest    string `json:"dest"`
	transfer.Receipt
	several bool // it is one of several, of which not much is told
}

func (a sendAnswer) Text(p *ui.Printer) {
	how := "sent"
	switch {
	case a.AlreadyThere:
		how = "already there"
	case a.Resumed > 0 && a.Replaced:
		how = "resumed and sent, replacing an older file"
	case a.Resumed > 0:
		how = "resumed and sent"
	case a.Replaced:
		how = "sent, replacing an older file"
	}
	if a.several {
		p.Line("%s: %s, %s (%s)", a.Path, how, ui.Size(a.Size), a.Proven)
		return
	}
	p.Line("%s: %s, %s", a.Path, how, ui.Size(a.Size))
	p.Line("%s: sha256 %s (%s)", a.Place, a.SHA256, a.Proven)
}

// sentAllAnswer is the end of a send to which all destinations agreed.
type sentAllAnswer struct {
	Command      string `json:"command"`
	Path         string `json:"path"`
	Bundle       string `json:"bundle"` // its id
	Destinations int    `json:"destinations"`
}

func (a sentAllAnswer) Text(p *ui.Printer) {
	if a.Destinations > 1 {
		p.Line("%s: at all %d destinations", a.Path, a.Destinations)
	}
}
