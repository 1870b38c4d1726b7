package ui

import (
	"encoding/json"
	"errors"
	"io"
	"strings"
)

// Error is an error for a person: what failed and on which side, in what state
// things are now, what to do next, and the exit status.
type Error struct {
	Err   error
	State string   // a clause such as "no file was written"; may be empty
	Hints []string // what to do next, the best first
	Code  Status
}

func (e *Error) Error() string { return e.Err.Error() }
func (e *Error) Unwrap() error { return e.Err }

// Fail reports an error and gives the exit status. It is the last thing that
// is printed: an error line, then what has happened and what helps. With JSON
// the answer is an object of the type "error" as well.
func (e *Env) Fail(err error) Status {
	var known *Error
	if !errors.As(err, &known) {
		known = &Error{Err: err, Code: Failed}
	}
	text := oneLine(err.Error())
	e.say(e.paint(red, "error: "), Escape(text))
	if known.State != "" {
		e.say("", line("%s", known.State))
	}
	for _, hint := range known.Hints {
		e.say("hint: ", line("%s", hint))
	}
	if e.JSON {
		e.writeJSON("error", struct {
			Status Status   `json:"status"`
			Error  string   `json:"error"`
			State  string   `json:"state,omitempty"`
			Hints  []string `json:"hints,omitempty"`
		}{known.Code, text, known.State, known.Hints})
	}
	return known.Code
}

// oneLine joins the lines of a text, such as those of joined errors.
func oneLine(s string) string {
	var parts []string
	for part := range strings.Lines(s) {
		if part = strings.TrimSpace(part); part != "" {
			parts = append(parts, part)
		}
	}
	return strings.Join(parts, "; ")
}

// writeJSON writes one line: v's object with its type before its members.
func (e *Env) writeJSON(kind string, v any) error {
	raw, err := json.Marshal(v)
	if err != nil {
		return err
	}
	head := `{"type":"` + kind + `"`
	if string(raw) != "{}" {
		head += ","
	}
	_, err = io.WriteString(e.Out, escapeJSON(head+string(raw[1:]))+"\n")
	return err
}
