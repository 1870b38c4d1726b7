package main

import (
	"airgap/cmd/airgap/internal/ui"
	"airgap/transfer"
	"airgap/transfer/sftp"
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
	at := a.Path
	if _, remote, err := sftp.ParseDest(a.Dest); remote && err == nil {
		at = a.Place + ":" + at
	}
	if a.several {
		p.Line("%s: %s, %s (%s)", at, how, ui.Size(a.Size), a.Proven)
		return
	}
	p.Line("%s: %s, %s", at, how, ui.Size(a.Size))
	p.Line("%s: sha256 %s (%s)", a.Place, a.SHA256, a.Proven)
}

// failedAnswer is a destination that failed. People are told by messages.
type failedAnswer struct {
	Command string    `json:"command"`
	Dest    string    `json:"dest"`
	Status  ui.Status `json:"status"`
	Error   string    `json:"error"`
	State   string    `json:"state,omitempty"`
	Hints   []string  `json:"hints,omitempty"`
}

func newFailedAnswer(dest string, e *ui.Error) failedAnswer {
	return failedAnswer{"send", dest, e.Code, e.Error(), e.State, e.Hints}
}

func (a failedAnswer) Text(*ui.Printer) {}

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
