// Testreport reads the output of `go test -json` and prints what a person wants
// to know of it: a line per package, everything that a failed test said, and
// at the end, where it cannot be overlooked, which tests were skipped and why.
//
//	go test -json ./... | go run ./internal/testreport
//
// It fails when a test or a build failed, and when there was no test at all.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
)

func main() {
	ok, err := report(os.Stdin, os.Stdout)
	if err != nil {
		fmt.Fprintln(os.Stderr, "testreport:", err)
	}
	if err != nil || !ok {
		os.Exit(1)
	}
}

// event is a line of `go test -json`; see `go doc test2json`.
type event struct {
	Action, Package, ImportPath, Test, Output string
	Elapsed                                   float64
}

// state is what has been heard so far.
type state struct {
	w       io.Writer
	output  map[[2]string][]string // by package and test
	skipped []string
	passed  int
	failed  bool
}

func report(r io.Reader, w io.Writer) (ok bool, err error) {
	s := &state{w: w, output: map[[2]string][]string{}}
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var e event
		if json.Unmarshal(lines.Bytes(), &e) != nil {
			fmt.Fprintln(w, lines.Text()) // of the go command itself
			continue
		}
		s.hear(e)
	}
	s.end()
	return !s.failed && s.passed > 0, lines.Err()
}

func (s *state) hear(e event) {
	key := [2]string{e.Package, e.Test}
	switch e.Action {
	case "build-output":
		fmt.Fprint(s.w, e.Output)
	case "build-fail":
		s.failed = true
	case "output":
		s.output[key] = append(s.output[key], e.Output)
	case "pass":
		s.pass(e)
	case "fail":
		s.failed = true
		fmt.Fprintf(s.w, "FAIL  %s %s (%.1f s)\n%s", e.Package, e.Test, e.Elapsed, strings.Join(s.output[key], ""))
	case "skip":
		s.skip(e, s.output[key])
	}
	if e.Action != "output" {
		delete(s.output, key)
	}
}

func (s *state) pass(e event) {
	if e.Test == "" {
		fmt.Fprintf(s.w, "ok    %s (%.1f s)\n", e.Package, e.Elapsed)
	} else {
		s.passed++
	}
}

// skip notes a test that was skipped, with its reason: the line that is
// neither the testing package's frame nor its heading.
func (s *state) skip(e event, output []string) {
	if e.Test == "" {
		return // a package without tests
	}
	reason := ""
	for _, line := range output {
		line = strings.TrimSpace(line)
		if line != "" && !strings.HasPrefix(line, "===") && !strings.HasPrefix(line, "---") {
			reason = line
		}
	}
	s.skipped = append(s.skipped, fmt.Sprintf("%s %s\n      %s", e.Package, e.Test, reason))
}

func (s *state) end() {
	if len(s.skipped) > 0 {
		fmt.Fprintf(s.w, "\n%d TESTS WERE SKIPPED:\n", len(s.skipped))
		for _, line := range s.skipped {
			fmt.Fprintf(s.w, "  %s\n", line)
		}
	}
	verdict := "passed"
	if s.failed || s.passed == 0 {
		verdict = "FAILED"
	}
	fmt.Fprintf(s.w, "\n%s: %d tests passed, %d skipped\n", verdict, s.passed, len(s.skipped))
}
