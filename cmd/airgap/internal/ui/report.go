package ui

import (
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

// Answer is what a command found out or did. Its exported fields are the JSON
// that machines get; Text prints it for people.
type Answer interface {
	Text(p *Printer)
}

// Report gives an answer, as text or as a JSON object of that type. This is
// the one place that knows which.
func (e *Env) Report(kind string, a Answer) error {
	e.pause()
	if e.JSON {
		return e.writeJSON(kind, a)
	}
	p := &Printer{w: e.Out}
	a.Text(p)
	return p.err
}

// Printer prints lines and tables, everything escaped.
type Printer struct {
	w   io.Writer
	err error
}

// Line prints one line.
func (p *Printer) Line(format string, args ...any) { p.write(line(format, args...)) }

// Table prints rows with their columns under one another, quantities to the
// right. Columns that are empty in every row are left out.
func (p *Printer) Table(head []string, rows [][]string) {
	lines := make([]strings.Builder, len(rows)+1)
	for i, title := range head {
		column := []string{Escape(title)}
		for _, row := range rows {
			column = append(column, Escape(row[i]))
		}
		if strings.Join(column[1:], "") != "" {
			addColumn(lines, column, i > 0)
		}
	}
	for i := range lines {
		p.write(strings.TrimRight(lines[i].String(), " "))
	}
}

// addColumn puts a column behind what the lines hold already.
func addColumn(lines []strings.Builder, column []string, behind bool) {
	width := 0
	for _, cell := range column {
		width = max(width, utf8.RuneCountInString(cell))
	}
	right := behind && numeric(column[1:])
	for i, cell := range column {
		space := strings.Repeat(" ", width-utf8.RuneCountInString(cell))
		if right {
			cell, space = space+cell, ""
		}
		if behind {
			lines[i].WriteString("  ")
		}
		lines[i].WriteString(cell + space)
	}
}

// quantity is a number, with its unit if it has one, or one that is not known.
var quantity = regexp.MustCompile(`^([0-9]+(\.[0-9]+)?( ?([kMGTPE]?B|%))?|\?)$`)

// numeric says whether a column holds quantities.
func numeric(cells []string) bool {
	return !slices.ContainsFunc(cells, func(cell string) bool { return !quantity.MatchString(cell) })
}

func (p *Printer) write(s string) {
	if p.err == nil {
		_, p.err = fmt.Fprintln(p.w, s)
	}
}
