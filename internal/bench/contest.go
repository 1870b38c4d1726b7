package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"
)

// contest is a piece of work that several commands do.
type contest struct {
	title string
	limit string // what airgap promises, in words
	// reset is done before each command, unmeasured.
	reset string
	// least is how many rounds it has, whatever is asked for.
	least int
	// entries are the contestants; the first is airgap, the second the peer
	// that it is compared with.
	entries []entry
}

// entry is a contestant with what was measured.
type entry struct {
	command string
	env     []string
	file    string // what it writes, if its size matters
	runs    []measure
	size    int64
}

// measure is one run of a command.
type measure struct {
	wall, cpu time.Duration
	rss       int64 // bytes
}

// contests are all of them, in an order in which each finds the files of those
// before.
func contests(o options) []contest {
	var refs, plain []string
	for _, name := range o.images {
		refs = append(refs, "docker://"+o.registry+"/"+name)
		plain = append(plain, o.registry+"/"+name)
	}
	names := strings.Join(o.images, " ")
	there := []string{"DOCKER_HOST=" + o.engine}
	empty := emptyEngine(o.engine)
	load := func(title, file, limit string) contest {
		return contest{title: title, limit: limit, reset: empty, entries: []entry{
			{command: "airgap unpack " + file, env: there},
			{command: "zstd -dc " + file + " | docker load", env: there},
		}}
	}
	return []contest{
		{title: "Pack from a registry", limit: "at most 0.90 times `crane pull && sync`", reset: "sync", entries: []entry{
			{command: "airgap pack -o registry.tar.zst " + strings.Join(refs, " "), file: "registry.tar.zst"},
			{command: "crane pull " + strings.Join(plain, " ") + " crane.tar && sync", file: "crane.tar"},
		}},
		{title: "Pack from a Docker engine", limit: "at most 0.95 times the time and 1.01 times the size of `docker save | zstd`", reset: "sync", entries: []entry{
			{command: "airgap pack -o engine.tar.zst " + prefixed("docker-daemon:", o.images), file: "engine.tar.zst"},
			{command: "docker save " + names + " | zstd -T0 -3 -qo save.tar.zst", file: "save.tar.zst"},
		}},
		load("Unpack what came from an engine", "engine.tar.zst", "at most 1.10 times `zstd -dc | docker load`"),
		load("Unpack what came from a registry", "registry.tar.zst", "at most 1.10 times `zstd -dc | docker load`"),
		{title: "Unpack again, nothing changed", limit: "at most 0.5 s", reset: "airgap unpack --quiet registry.tar.zst && sync", entries: []entry{
			{command: "airgap unpack registry.tar.zst", env: there},
		}},
		{title: "Verify what came from an engine", entries: []entry{{command: "airgap verify engine.tar.zst"}}},
		{title: "Verify what came from a registry", entries: []entry{{command: "airgap verify registry.tar.zst"}}},
	}
}

// imports are contests of what came from a registry, into other engines that may be
// emptied: flushed to the disk on both sides, for a load leaves that to later.
func imports(ctx context.Context, o options) (list []contest, err error) {
	for _, host := range o.engines {
		const facts = "docker -H %[1]s version --format 'Docker {{.Server.Version}}'; docker -H %[1]s info --format '{{.DriverStatus}}'"
		out, err := exec.CommandContext(ctx, "bash", "-ec", fmt.Sprintf(facts, host)).Output()
		if err != nil {
			return nil, fmt.Errorf("asking the engine at %s: %w", host, err)
		}
		version, status, _ := strings.Cut(string(out), "\n")
		c := contest{title: "Unpack what came from a registry into " + version + ", classic store", limit: "at most 1.05 times `zstd -dc | docker load`"}
		if strings.Contains(status, "io.containerd.snapshotter") {
			c = contest{title: "Unpack what came from a registry into " + version + ", containerd's store", limit: "at most 0.80 times `zstd -dc | docker load`"}
		}
		c.reset, c.least = emptyEngine(host), 7
		for _, command := range []string{"airgap unpack registry.tar.zst && sync", "zstd -dc registry.tar.zst | docker load && sync"} {
			c.entries = append(c.entries, entry{command: command, env: []string{"DOCKER_HOST=" + host}})
		}
		list = append(list, c)
	}
	return list, nil
}

// emptyEngine removes all images of an engine.
func emptyEngine(host string) string {
	return fmt.Sprintf("ids=$(docker -H %[1]s images -aq | sort -u); if [[ $ids ]]; then docker -H %[1]s rmi -f $ids; fi; sync", host)
}

func prefixed(prefix string, names []string) string {
	return prefix + strings.Join(names, " "+prefix)
}

// hold runs all rounds. Contestants take turns in who goes first.
func (c *contest) hold(ctx context.Context, rounds int) error {
	for round := range max(rounds, c.least) {
		for i := range c.entries {
			e := &c.entries[(i+round)%len(c.entries)]
			if err := c.turn(ctx, e); err != nil {
				return err
			}
		}
	}
	return nil
}

func (c *contest) turn(ctx context.Context, e *entry) error {
	if e.file != "" { // what it wrote in the round before
		if err := os.Remove(e.file); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	if c.reset != "" {
		if _, err := shell(ctx, c.reset, e.env); err != nil {
			return fmt.Errorf("getting ready: %w", err)
		}
	}
	m, err := shell(ctx, e.command, e.env)
	if err != nil {
		return err
	}
	e.runs = append(e.runs, m)
	if e.file == "" {
		return nil
	}
	info, err := os.Stat(e.file)
	if err == nil {
		e.size = info.Size()
	}
	return err
}

// shell runs a line and measures it.
func shell(ctx context.Context, line string, env []string) (measure, error) {
	cmd := exec.CommandContext(ctx, "bash", "-o", "pipefail", "-ec", line)
	cmd.Env = append(os.Environ(), env...)
	start := time.Now()
	out, err := cmd.CombinedOutput()
	wall := time.Since(start)
	if err != nil {
		return measure{}, fmt.Errorf("$ %s: %w\n%s", line, err, out)
	}
	return measure{wall, cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(), peak(cmd.ProcessState)}, nil
}

// median is the middle of what of tells about the runs.
func (e entry) median(of func(measure) int64) int64 {
	var list []int64
	for _, m := range e.runs {
		list = append(list, of(m))
	}
	slices.Sort(list)
	n := len(list)
	return (list[(n-1)/2] + list[n/2]) / 2
}

func wall(m measure) int64 { return int64(m.wall) }
func cpu(m measure) int64  { return int64(m.cpu) }
func rss(m measure) int64  { return m.rss }
