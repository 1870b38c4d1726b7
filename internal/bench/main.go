// Bench measures airgap against what it replaces and writes what it found as
// docs/BENCHMARKS.md. testdata/bench starts it with all that it needs:
//
//	bench -images "A B" -registry HOST:PORT -engine unix://SOCKET -out FILE
//
// The images are in the machine's engine and in the registry; the engine named
// by -engine is one that may be emptied. Sshd is started with keys of its own,
// near and behind lines with a delay. Contestants run in turns, in the
// current folder, as commands that a user would type; wall time, processor
// time and peak memory are those of the command with all its children, as the
// system counts them. It judges nothing: the limits are printed beside.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
)

// options are the command line's.
type options struct {
	images   []string
	registry string
	engine   string
	rounds   int
	only     string
	out      string
}

func main() {
	var o options
	images := flag.String("images", "", "names of the images, separated by spaces")
	flag.StringVar(&o.registry, "registry", "127.0.0.1:5000", "registry that has them too")
	flag.StringVar(&o.engine, "engine", "", "DOCKER_HOST of an engine that may be emptied")
	flag.IntVar(&o.rounds, "rounds", 5, "rounds of each contest")
	flag.StringVar(&o.only, "only", "", "hold only the contests in whose titles this stands; the files of those before must be there")
	flag.StringVar(&o.out, "out", "BENCHMARKS.md", "file to write")
	flag.Parse()
	o.images = strings.Fields(*images)
	if len(o.images) == 0 || o.engine == "" || o.rounds < 1 || flag.NArg() > 0 {
		flag.Usage()
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) error {
	ssh, err := startSSH(ctx)
	if err != nil {
		return fmt.Errorf("starting sshd: %w", err)
	}
	defer ssh.stop()
	list := slices.DeleteFunc(append(contests(o), ssh.contests()...), func(c contest) bool { return !strings.Contains(c.title, o.only) })
	for i := range list {
		fmt.Fprintf(os.Stderr, "bench: %s\n", list[i].title)
		if err := list[i].hold(ctx, o.rounds); err != nil {
			return fmt.Errorf("%s: %w", list[i].title, err)
		}
	}
	report, err := report(ctx, o, list)
	if err != nil {
		return err
	}
	return os.WriteFile(o.out, []byte(report), 0o644)
}
