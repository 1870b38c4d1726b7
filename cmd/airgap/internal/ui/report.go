package ui

import (
	"fmt"
	"io"
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

// Table prints rows with their columns under one another. Cells of numbers,
// which start with a digit, are set to the right except in the first column.
func (p *Printer) Table(head []string, rows [][]string) {
	widths := make([]int, len(head))
	for _, row := range append([][]string{head}, rows...) {
		for i, cell := range row {
			row[i] = Escape(cell)
			widths[i] = max(widths[i], utf8.RuneCountInString(row[i]))
		}
	}
	for _, row := range append([][]string{head}, rows...) {
		p.row(row, widths, rows)
	}
}

func (p *Printer) row(row []string, widths []int, rows [][]string) {
	var b strings.Builder
	for i, cell := range row {
		space := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
		if i > 0 {
			b.WriteString("  ")
		}
		if i > 0 && numeric(rows, i) {
			cell = space + cell
		} else {
			cell += space
		}
		b.WriteString(cell)
	}
	p.write(strings.TrimRight(b.String(), " "))
}

// numeric says whether a column holds quantities.
func numeric(rows [][]string, column int) bool {
	for _, row := range rows {
		cell := row[column]
		if cell == "" || cell[0] < '0' || cell[0] > '9' || !strings.ContainsAny(cell, " %") && strings.Trim(cell, "0123456789") != "" {
			return false
		}
	}
	return len(rows) > 0
}

func (p *Printer) write(s string) {
	if p.err == nil {
		_, p.err = fmt.Fprintln(p.w, s)
	}
}
