// Package ui is everything that knows about the person or the program at the
// other end of airgap: terminals, progress, JSON, questions, errors with their
// hints, and exit statuses. Nothing else prints.
//
// Standard output carries the answer only. Progress, messages and errors go to
// standard error, one line each, prefixed "airgap:". How the answer looks (text
// or JSON) is decided once, in [Env.Report]; commands hand over values.
//
// What comes from a bundle, a registry, an engine or a server is not to be
// trusted with a terminal: every line that is printed passes [Escape], and so
// does all JSON in its own notation.
//
// The one error type is [*Error]; package main makes all of them.
package ui

import (
	"context"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/term"
)

// Env is the world that one run of the command sees.
type Env struct {
	In       io.Reader
	Out, Err io.Writer
	Getenv   func(string) string
	Now      func() time.Time

	InTerminal, OutTerminal, ErrTerminal bool

	// Quiet leaves out everything but the answer and errors, Verbose adds
	// details, JSON makes the answer JSON.
	Quiet, Verbose, JSON bool

	mu     sync.Mutex // serialises what is written to Err
	active *Progress  // what is being shown
}

// System is the world of a process.
func System() *Env {
	isTerminal := func(f *os.File) bool { return term.IsTerminal(int(f.Fd())) }
	return &Env{
		In: os.Stdin, Out: os.Stdout, Err: os.Stderr,
		Getenv: os.Getenv, Now: time.Now,
		InTerminal: isTerminal(os.Stdin), OutTerminal: isTerminal(os.Stdout), ErrTerminal: isTerminal(os.Stderr),
	}
}

// lively says whether standard error is a terminal that can move its cursor.
func (e *Env) lively() bool { return e.ErrTerminal && e.Getenv("TERM") != "dumb" }

// Note prints one line for people, unless they asked for quiet.
func (e *Env) Note(format string, args ...any) {
	if !e.Quiet {
		e.say("", line(format, args...))
	}
}

// Detail prints one line for people who asked for details.
func (e *Env) Detail(format string, args ...any) {
	if e.Verbose && !e.Quiet {
		e.say("", line(format, args...))
	}
}

// Warn prints one line that matters whatever was asked for.
func (e *Env) Warn(format string, args ...any) {
	e.say(e.paint(yellow, "warning: "), line(format, args...))
}

// say writes a line to standard error, above the progress bar if there is one.
func (e *Env) say(label, text string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.active.hide()
	io.WriteString(e.Err, "airgap: "+label+text+"\n")
}

// The colours that are used, for the one word that tells what a line is.
const (
	red    = "\x1b[31m"
	yellow = "\x1b[33m"
	plain  = "\x1b[0m"
)

// paint colours text where colours are welcome.
func (e *Env) paint(colour, text string) string {
	if !e.lively() || e.Getenv("NO_COLOR") != "" {
		return text
	}
	return colour + text + plain
}

type envKey struct{}

// With puts the Env into a context, for commands to find.
func With(ctx context.Context, e *Env) context.Context { return context.WithValue(ctx, envKey{}, e) }

// From finds the Env of a context that With made.
func From(ctx context.Context) *Env { return ctx.Value(envKey{}).(*Env) }
