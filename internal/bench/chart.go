package main

import (
	"cmp"
	"fmt"
	"html"
	"math"
	"slices"
	"strings"
)

// The chart is SVG without anything that moves or is loaded. Its text has a grey
// that can be read on white and on black; colours are of a middle brightness.

// panel is one picture of lines, with both axes logarithmic: what grows in
// proportion to the work is as steep as the dashed line.
type panel struct {
	title string
	work  []int64
	unit  func(int64) string
	tick  func(float64) string // what a value is called
	lines []line
}

type line struct {
	name   string
	values []float64 // of work, from the first on
}

// Measures of a panel, in pixels.
const (
	panelWidth, panelHeight = 560, 360
	left, right             = 70, 190 // of the plot, to the panel's edges
	top, bottom             = 40, 40
	between                 = 15 // lines of text
)

var colours = []string{"#0a84d6", "#d9541e", "#2a9d4a", "#a05ad0", "#c2931c", "#d23f77", "#1d9a9a", "#7a7f87", "#6a73d9", "#9a6a3c", "#5a9e1b", "#cf5bb8", "#3f88a8"}

// panels are time and memory of everything that has been measured.
func panels(list []*growing) (all []panel) {
	for _, g := range list {
		seconds := panel{title: "Time by " + g.by, unit: g.unit, tick: func(v float64) string { return fmt.Sprintf("%g s", v) }}
		memory := panel{title: "Peak memory by " + g.by, unit: g.unit, tick: func(v float64) string { return fmt.Sprintf("%g MiB", v) }}
		for _, c := range g.curves {
			s, m := line{name: c.name}, line{name: c.name}
			for _, p := range c.points {
				s.values = append(s.values, p.wall.Seconds())
				m.values = append(m.values, float64(p.rss)/(1<<20))
			}
			seconds.lines, memory.lines = append(seconds.lines, s), append(memory.lines, m)
		}
		for _, p := range g.curves[0].points {
			seconds.work, memory.work = append(seconds.work, p.work), append(memory.work, p.work)
		}
		all = append(all, seconds, memory)
	}
	return all
}

// chart draws panels, two side by side.
func chart(all []panel) string {
	var b strings.Builder
	rows := (len(all) + 1) / 2
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12">`+"\n", 2*panelWidth, rows*panelHeight)
	b.WriteString("<style>text { fill: #777f88 } .axis { stroke: #777f88; fill: none } .grid { stroke: #777f88; stroke-opacity: 0.25 }</style>\n")
	for i, p := range all {
		fmt.Fprintf(&b, `<g transform="translate(%d %d)">`+"\n", i%2*panelWidth, i/2*panelHeight)
		p.draw(&b)
		b.WriteString("</g>\n")
	}
	b.WriteString("</svg>\n")
	return b.String()
}

// draw draws one panel.
func (p panel) draw(b *strings.Builder) {
	low, high := p.extent()
	x := func(i int) float64 {
		first, last := math.Log(float64(p.work[0])), math.Log(float64(p.work[len(p.work)-1]))
		return left + (panelWidth-left-right)*(math.Log(float64(p.work[i]))-first)/max(last-first, 1e-9)
	}
	y := func(v float64) float64 {
		return panelHeight - bottom - (panelHeight-top-bottom)*(math.Log10(v)-math.Log10(low))/(math.Log10(high)-math.Log10(low))
	}
	fmt.Fprintf(b, `<text x="%d" y="20" font-size="14" font-weight="bold">%s</text>`+"\n", left, html.EscapeString(p.title))
	for v := low; v < high*1.001; v *= 10 {
		fmt.Fprintf(b, `<path class="grid" d="M%d %.1fH%d"/><text x="%d" y="%.1f" text-anchor="end">%s</text>`+"\n", left, y(v), panelWidth-right, left-6, y(v)+4, p.tick(v))
	}
	for i, n := range p.work {
		fmt.Fprintf(b, `<path class="grid" d="M%.1f %dV%d"/><text x="%.1f" y="%d" text-anchor="middle">%s</text>`+"\n", x(i), top, panelHeight-bottom, x(i), panelHeight-bottom+18, html.EscapeString(p.unit(n)))
	}
	fmt.Fprintf(b, `<path class="axis" d="M%d %dV%dH%d"/>`+"\n", left, top, panelHeight-bottom, panelWidth-right)
	p.drawProportion(b, x, y, low, high)
	for i, l := range p.lines {
		colour := colours[i%len(colours)]
		var points []string
		for j, v := range l.values {
			points = append(points, fmt.Sprintf("%.1f,%.1f", x(j), y(v)))
			fmt.Fprintf(b, `<circle cx="%.1f" cy="%.1f" r="2.5" fill="%s"/>`, x(j), y(v), colour)
		}
		fmt.Fprintf(b, `<polyline points="%s" fill="none" stroke="%s" stroke-width="1.5"/>`+"\n", strings.Join(points, " "), colour)
	}
	p.drawNames(b, y)
}

// drawProportion draws what would take as many times longer as there is more to
// do, as far as it is in the panel.
func (p panel) drawProportion(b *strings.Builder, x func(int) float64, y func(float64) float64, low, high float64) {
	last := len(p.work) - 1
	start := low * math.Sqrt(10)
	end := start * float64(p.work[last]) / float64(p.work[0])
	toX := x(last)
	if end > high {
		toX = x(0) + (x(last)-x(0))*math.Log(high/start)/math.Log(end/start)
		end = high
	}
	fmt.Fprintf(b, `<path class="axis" stroke-dasharray="4 4" d="M%.1f %.1fL%.1f %.1f"><title>in proportion</title></path>`+"\n", x(0), y(start), toX, y(end))
}

// drawNames writes the name of each line behind its end, none over another.
func (p panel) drawNames(b *strings.Builder, y func(float64) float64) {
	type label struct {
		name, colour string
		at           float64
	}
	var labels []label
	for i, l := range p.lines {
		labels = append(labels, label{l.name, colours[i%len(colours)], y(l.values[len(l.values)-1])})
	}
	slices.SortFunc(labels, func(a, b label) int { return cmp.Compare(a.at, b.at) })
	for i := range labels {
		if i > 0 {
			labels[i].at = max(labels[i].at, labels[i-1].at+between)
		}
	}
	for i, lowest := len(labels)-1, float64(panelHeight-bottom+4); i >= 0; i-- {
		labels[i].at = min(labels[i].at, lowest)
		lowest = labels[i].at - between
		fmt.Fprintf(b, `<rect x="%d" y="%.1f" width="8" height="8" fill="%s"/><text x="%d" y="%.1f">%s</text>`+"\n",
			panelWidth-right+8, labels[i].at-4, labels[i].colour, panelWidth-right+21, labels[i].at+4, html.EscapeString(labels[i].name))
	}
}

// extent are the powers of ten below and above all values.
func (p panel) extent() (low, high float64) {
	low, high = math.Inf(1), 0
	for _, l := range p.lines {
		low, high = min(low, slices.Min(l.values)), max(high, slices.Max(l.values))
	}
	low, high = math.Pow(10, math.Floor(math.Log10(low))), math.Pow(10, math.Ceil(math.Log10(high)))
	return low, max(high, 10*low)
}
