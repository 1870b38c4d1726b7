package main

import (
	"errors"
	"fmt"

	"airgap/cmd/airgap/internal/ui"
	"airgap/transfer/sftp"
)

// thereError is an error of the airgap at a host, as it has explained it.
type thereError struct {
	Host   string    `json:"-"`
	Status ui.Status `json:"status"`
	Text   string    `json:"error"`
	State  string    `json:"state"`
	Hints  []string  `json:"hints"`
}

func (e *thereError) Error() string { return e.Host + ": " + e.Text }

// noAirgapError says that a host has no airgap, or one that is too old to be
// asked: then it has a Version.
type noAirgapError struct {
	Host, Version string
	Why           string // what was said instead
}

func (e *noAirgapError) Error() string {
	if e.Version != "" {
		return fmt.Sprintf("airgap at %s is version %s, which cannot work with this one, %s", e.Host, e.Version, thisVersion())
	}
	if e.Why != "" {
		return fmt.Sprintf("there is no airgap at %s: %s", e.Host, e.Why)
	}
	return fmt.Sprintf("there is no airgap at %s", e.Host)
}

// noBinaryError says that there is no airgap for a host's platform to bring.
type noBinaryError struct {
	Host, Platform string
	Dir            string // where it was looked for; empty for this program itself
	Wrong, Is      string // a program that is called so and is for another platform; or empty
}

func (e *noBinaryError) Error() string {
	where := "this airgap is for another platform"
	switch {
	case e.Wrong != "":
		where = fmt.Sprintf("%q is for %s", e.Wrong, e.Is)
	case e.Dir != "":
		where = fmt.Sprintf("%q holds none for it", e.Dir)
	}
	return fmt.Sprintf("no airgap to bring to %s (%s): %s", e.Host, e.Platform, where)
}

// cannotRunError says that the airgap that was brought does not run.
type cannotRunError struct{ Host, Path, Why string }

func (e *cannotRunError) Error() string {
	return fmt.Sprintf("%s:%s is whole, but does not run there: %s", e.Host, e.Path, e.Why)
}

// unexpectedError says that a bundle is not the one that was sent.
type unexpectedError struct{ Want, Got string }

func (e *unexpectedError) Error() string {
	return fmt.Sprintf("it is not the bundle that was sent, %s, but %s", e.Want, e.Got)
}

// ofHost knows the errors of what is done at hosts.
func ofHost(_ string, err error) (ui.Status, []string, bool) {
	var there *thereError
	var none *noAirgapError
	var binary *noBinaryError
	var dead *cannotRunError
	var room *roomError
	var another *unexpectedError
	var silent *silentError
	switch {
	case errors.As(err, &there):
		return there.Status, thereHints(there), true
	case errors.As(err, &none):
		return ui.Failed, []string{"let send bring one: --bootstrap; or leave out --unpack and install airgap there"}, true
	case errors.As(err, &binary):
		return ui.Refused, []string{"make cross builds airgap for every platform into dist: --bootstrap --binaries dist"}, true
	case errors.As(err, &dead):
		return ui.Failed, []string{"its file system may be mounted noexec: install airgap there yourself, or leave out --unpack"}, true
	case errors.As(err, &another):
		return ui.Refused, []string{"somebody else has written there meanwhile, or old volumes are read in its stead: send to another folder"}, true
	case errors.As(err, &room):
		return ui.NoSpace, []string{fmt.Sprintf("make %s of room there", ui.Size(room.Need-room.Free))}, true
	case errors.As(err, &silent):
		return ui.Failed, []string{fmt.Sprintf("log in at %s and see whether airgap and what takes the images there answer; or leave out --unpack", silent.Host)}, true
	case errors.Is(err, errTooMuch):
		return ui.Failed, []string{"see what airgap and the shell there print, or leave out --unpack"}, true
	case errors.Is(err, sftp.ErrNoCommands):
		return ui.Failed, []string{"leave out --unpack: that host only takes files"}, true
	}
	return 0, nil, false
}

// thereHints are those of the airgap there. Where a platform or a rule is to
// blame, they are about this side.
func thereHints(e *thereError) (hints []string) {
	for _, hint := range e.Hints {
		if e.Status != ui.Refused {
			hint = "at " + e.Host + ": " + hint
		}
		hints = append(hints, hint)
	}
	if len(hints) == 0 {
		hints = []string{fmt.Sprintf("log in at %s and run airgap unpack there to see more", e.Host)}
	}
	return hints
}
