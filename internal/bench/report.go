package main

import (
	"context"
	"fmt"
	"os/exec"
	"runtime"
	"strings"
	"time"
)

// report is the document.
func report(ctx context.Context, o options, list []contest) (string, error) {
	var b strings.Builder
	fmt.Fprintf(&b, "# Benchmarks\n\nWritten by `make bench`, %s. ", time.Now().UTC().Format("2 January 2006"))
	fmt.Fprintf(&b, "Medians of %d rounds (7 into more engines) in which the commands took turns, on one machine:\n", o.rounds)
	b.WriteString("ratios within a table mean something elsewhere too, seconds do not.\n\n")
	facts, err := machine(ctx)
	if err != nil {
		return "", err
	}
	fmt.Fprintf(&b, "- images: %s\n%s", strings.Join(o.images, ", "), facts)
	b.WriteString("\nPeak memory is that of the command's largest process. The work that `docker` commands leave to the engine\n" +
		"counts in their wall time only. `airgap` checks every digest and flushes what it wrote to disk; its peers do not,\n" +
		"except where `sync` stands.\n")
	for _, c := range list {
		c.print(&b)
	}
	return b.String(), nil
}

// growthHead begins the part of the document that is about growth.
const growthHead = "\n# Growth\n"

// growthReport is that part.
func growthReport(list []*growing, picture string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\nWritten by `make bench-growth`, %s. ", growthHead, time.Now().UTC().Format("2 January 2006"))
	b.WriteString("How time and memory grow with the work: behind each time stands how many times\n" +
		"that before it is. What takes less than 3 s was run three times, and the middle one counts.\n")
	fmt.Fprintf(&b, "\n![Lines of time and memory against the work; the dashed line is in proportion](%s)\n", picture)
	for _, g := range list {
		g.print(&b)
	}
	return b.String()
}

// print writes a contest's table.
func (c contest) print(b *strings.Builder) {
	fmt.Fprintf(b, "\n## %s\n\n", c.title)
	if c.limit != "" {
		fmt.Fprintf(b, "Promised: %s.\n\n", c.limit)
	}
	b.WriteString("| command | wall | ratio | spread | processor | peak memory | file |\n|---|---|---|---|---|---|---|\n")
	for _, e := range c.entries {
		fmt.Fprintf(b, "| `%s` | %.2f s | %s | %s | %.2f s | %.0f MiB | %s |\n", strings.ReplaceAll(e.command, "|", `\|`),
			seconds(e.median(wall)), c.ratio(e), e.spread(), seconds(e.median(cpu)), float64(e.median(rss))/(1<<20), megabytes(e.size))
	}
	if first := c.entries[0]; len(c.entries) > 1 && first.size > 0 {
		fmt.Fprintf(b, "\nSize: %.3f times the peer's.\n", float64(first.size)/float64(c.entries[1].size))
	}
}

// ratio compares with the peer.
func (c contest) ratio(e entry) string {
	if len(c.entries) < 2 {
		return ""
	}
	return fmt.Sprintf("%.2f", float64(e.median(wall))/float64(c.entries[1].median(wall)))
}

// spread is the fastest and the slowest run.
func (e entry) spread() string {
	low, high := e.runs[0].wall, e.runs[0].wall
	for _, m := range e.runs {
		low, high = min(low, m.wall), max(high, m.wall)
	}
	return fmt.Sprintf("%.2f–%.2f s", low.Seconds(), high.Seconds())
}

func seconds(ns int64) float64 { return time.Duration(ns).Seconds() }

func megabytes(n int64) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf("%.1f MB", float64(n)/1e6)
}

// machine lists what the figures depend on.
func machine(ctx context.Context) (string, error) {
	var b strings.Builder
	for _, fact := range []struct{ what, command string }{
		{"processor", `sed -n 's/^model name.*: //p' /proc/cpuinfo | head -n 1`},
		{"memory", `awk '/MemTotal/ {printf "%.0f GiB", $2/1048576}' /proc/meminfo`},
		{"system", `. /etc/os-release; echo "$PRETTY_NAME, Linux $(uname -r)"`},
		{"airgap", `airgap version | head -n 1`},
		{"Docker engine", `docker version --format '{{.Server.Version}}'; docker info --format '({{.Driver}})'`},
		{"crane", `crane version`},
		{"OpenSSH", `ssh -V 2>&1 | cut -d, -f1`},
		{"zstd", `zstd --version | grep -o 'v[0-9.]*'`},
	} {
		out, err := exec.CommandContext(ctx, "bash", "-o", "pipefail", "-c", fact.command).Output()
		if err != nil {
			return "", fmt.Errorf("asking for the version of %s: %w", fact.what, err)
		}
		text := strings.Join(strings.Fields(string(out)), " ")
		if fact.what == "processor" {
			text = fmt.Sprintf("%s, %d cores", text, runtime.NumCPU())
		}
		fmt.Fprintf(&b, "- %s: %s\n", fact.what, text)
	}
	return b.String(), nil
}
