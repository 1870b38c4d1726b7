// Bench measures airgap against what it replaces and writes what it found as
// docs/BENCHMARKS.md. testdata/bench starts it with all that it needs:
//
//	bench -images "A B" -registry HOST:PORT -engine unix://SOCKET -engines "HOST HOST" -out FILE
//	bench -growth -engine unix://SOCKET -out FILE
//
// The second measures how time and memory grow with the work, with images of its
// own, and draws that beside the document. Each keeps what the other has written.
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
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// options are the command line's.
type options struct {
	images   []string
	registry string
	engine   string
	engines  []string
	rounds   int
	only     string
	out      string

	growth           bool
	many, engineMany []int64 // images
	layers           []int64 // bytes
}

func main() {
	var o options
	images := flag.String("images", "", "names of the images, separated by spaces")
	flag.StringVar(&o.registry, "registry", "127.0.0.1:5000", "registry that has them too")
	flag.StringVar(&o.engine, "engine", "", "DOCKER_HOST of an engine that may be emptied")
	engines := flag.String("engines", "", "DOCKER_HOSTs of more engines that may be emptied, separated by spaces")
	flag.IntVar(&o.rounds, "rounds", 5, "rounds of each contest")
	flag.StringVar(&o.only, "only", "", "hold only the contests in whose titles this stands; the files of those before must be there")
	flag.StringVar(&o.out, "out", "BENCHMARKS.md", "file to write")
	flag.BoolVar(&o.growth, "growth", false, "measure growth instead of contests")
	many := flag.String("many", "100 1000 4000", "numbers of images for growth")
	engineMany := flag.String("engine-many", "100 300", "numbers of images for growth in the engine")
	layers := flag.String("layers", "64 256 1024 4096 16384", "sizes of a layer for growth, in MiB")
	flag.Parse()
	o.images, o.engines = strings.Fields(*images), strings.Fields(*engines)
	var err error
	for _, list := range []struct {
		text string
		unit int64
		to   *[]int64
	}{{*many, 1, &o.many}, {*engineMany, 1, &o.engineMany}, {*layers, 1 << 20, &o.layers}} {
		for _, text := range strings.Fields(list.text) {
			n, numErr := strconv.ParseInt(text, 10, 32)
			*list.to = append(*list.to, n*list.unit)
			err = errors.Join(err, numErr)
		}
	}
	if err != nil || len(o.images) == 0 && !o.growth || o.engine == "" || o.rounds < 1 || flag.NArg() > 0 {
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
	if o.growth {
		return runGrowth(ctx, o)
	}
	ssh, err := startSSH(ctx)
	if err != nil {
		return fmt.Errorf("starting sshd: %w", err)
	}
	defer ssh.stop()
	imports, err := imports(ctx, o)
	if err != nil {
		return err
	}
	list := slices.DeleteFunc(slices.Concat(contests(o), imports, ssh.contests()), func(c contest) bool { return !strings.Contains(c.title, o.only) })
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
	_, grown, err := readParts(o.out)
	if err != nil {
		return err
	}
	return os.WriteFile(o.out, []byte(report+grown), 0o644)
}

// runGrowth measures growth, and writes its part of the document and the chart.
func runGrowth(ctx context.Context, o options) error {
	list, err := growth(ctx, o)
	if err != nil {
		return err
	}
	before, _, err := readParts(o.out)
	if err != nil {
		return err
	}
	const picture = "growth.svg"
	if err := os.WriteFile(filepath.Join(filepath.Dir(o.out), picture), []byte(chart(panels(list))), 0o644); err != nil {
		return err
	}
	return os.WriteFile(o.out, []byte(before+growthReport(list, picture)), 0o644)
}

// readParts takes a document apart: what is about contests, and what is about
// growth, which comes last.
func readParts(path string) (contests, growth string, err error) {
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "# Benchmarks\n", "", nil
	}
	if i := strings.Index(string(raw), growthHead); i >= 0 {
		return string(raw[:i]), string(raw[i:]), err
	}
	return string(raw), "", err
}
