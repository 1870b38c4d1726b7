package ui

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/term"
)

// ErrNobody says that a question cannot be asked: there is no terminal.
var ErrNobody = errors.New("there is no terminal to ask on")

// CanAsk says whether somebody is there to answer questions.
func (e *Env) CanAsk() bool { return e.InTerminal || e.ErrTerminal }

// Secret asks for something that is not shown while it is typed.
func (e *Env) Secret(ctx context.Context, prompt string) (string, error) {
	return e.ask(ctx, prompt, func(in *os.File) (string, error) {
		secret, err := term.ReadPassword(int(in.Fd()))
		return string(secret), err
	})
}

// Ask asks for a line.
func (e *Env) Ask(ctx context.Context, prompt string) (string, error) {
	return e.ask(ctx, prompt, func(in *os.File) (string, error) {
		text, err := bufio.NewReader(in).ReadString('\n')
		return strings.TrimSpace(text), err
	})
}

// Confirm asks a question that must be answered with the whole word "yes".
func (e *Env) Confirm(ctx context.Context, question string) (bool, error) {
	for {
		answer, err := e.Ask(ctx, question+" (yes/no) ")
		switch {
		case err != nil:
			return false, err
		case answer == "yes":
			return true, nil
		case answer == "no" || answer == "":
			return false, nil
		}
	}
}

// escapeLines escapes a text line by line.
func escapeLines(s string) string {
	lines := strings.Split(s, "\n")
	for i := range lines {
		lines[i] = Escape(lines[i])
	}
	return strings.Join(lines, "\n")
}

// ask prints a prompt on the terminal itself, wherever standard output and
// error go, and reads the answer from it. An interruption puts the terminal
// back as it was.
func (e *Env) ask(ctx context.Context, prompt string, read func(in *os.File) (string, error)) (string, error) {
	if !e.CanAsk() {
		return "", ErrNobody
	}
	in, out, err := openTerminal()
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrNobody, err)
	}
	defer in.Close()
	defer out.Close()
	before, err := term.GetState(int(in.Fd()))
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrNobody, err)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.active.hide()
	fmt.Fprint(out, escapeLines(prompt))

	type reply struct {
		text string
		err  error
	}
	answered := make(chan reply, 1)
	go func() {
		text, err := read(in)
		answered <- reply{text, err}
	}()
	select {
	case r := <-answered:
		fmt.Fprintln(out)
		return r.text, r.err
	case <-ctx.Done():
		fmt.Fprintln(out)
		return "", errors.Join(context.Cause(ctx), term.Restore(int(in.Fd()), before))
	}
}
