package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"airgap/bundle/store/storetest"
)

// growing is how time and memory grow with work of one kind.
type growing struct {
	by, about string
	unit      func(n int64) string // of the amounts of work, such as "100 images"
	curves    []*curve
}

// curve is one command, done with more and more.
type curve struct {
	name   string
	points []point
}

// point is what an amount of work took.
type point struct {
	work int64
	measure
}

// add measures a command with an amount of work, three times where that is quick,
// and keeps the middle one by time. reset is done before each, unmeasured.
func (g *growing) add(ctx context.Context, name string, work int64, reset, command string, env ...string) error {
	const quick, often = 3 * time.Second, 3
	var runs []measure
	for len(runs) == 0 || runs[0].wall < quick && len(runs) < often {
		if _, err := shell(ctx, reset+"; sync", env); err != nil {
			return fmt.Errorf("getting ready: %w", err)
		}
		m, err := shell(ctx, command+" >/dev/null", env)
		if err != nil {
			return err
		}
		runs = append(runs, m)
	}
	slices.SortFunc(runs, func(a, b measure) int { return int(a.wall - b.wall) })
	i := slices.IndexFunc(g.curves, func(c *curve) bool { return c.name == name })
	if i < 0 {
		i, g.curves = len(g.curves), append(g.curves, &curve{name: name})
	}
	p := point{work, runs[len(runs)/2]}
	g.curves[i].points = append(g.curves[i].points, p)
	fmt.Fprintf(os.Stderr, "bench: %s, %s: %.2f s, %d MiB\n", name, g.unit(work), p.wall.Seconds(), p.rss>>20)
	return nil
}

// growth measures both kinds, in the current folder.
func growth(ctx context.Context, o options) ([]*growing, error) {
	images := &growing{
		by: "number of images",
		about: "Images of five layers of 1 to 4 KiB, of which one is in all of them, one in ten, and three in no other; ten images are the tags of a\n" +
			"repository. Promised: ten times the images take at most 14 times the time from 100 to 1,000, and 4,000 at most 5 times as long as 1,000.",
		unit: func(n int64) string { return thousands(n) + " images" },
	}
	if err := images.measureImages(ctx, o); err != nil {
		return nil, fmt.Errorf("%s: %w", images.by, err)
	}
	engine := &growing{
		by:    "number of images in a Docker engine",
		about: "The same images. Nearly all of this time is the engine's own, which unpacks each layer: `docker load` and `docker save` stand beside.",
		unit:  images.unit,
	}
	if err := engine.measureEngine(ctx, o); err != nil {
		return nil, fmt.Errorf("%s: %w", engine.by, err)
	}
	layer := &growing{
		by:    "size of a layer",
		about: "An image of one layer: a gzip file whose content does not compress. Promised: memory stays below 96 MiB.",
		unit:  func(n int64) string { return mebibytes(n) },
	}
	if err := layer.measureLayer(ctx, o); err != nil {
		return nil, fmt.Errorf("%s: %w", layer.by, err)
	}
	return slices.DeleteFunc([]*growing{images, engine, layer}, func(g *growing) bool { return len(g.curves) == 0 }), nil
}

// measureImages takes more and more small images.
func (g *growing) measureImages(ctx context.Context, o options) error {
	for _, n := range o.many {
		if err := storetest.Many(int(n), "growth").WriteLayout("many"); err != nil {
			return err
		}
		if err := g.measureMany(ctx, n); err != nil {
			return err
		}
		if _, err := shell(ctx, "rm -rf many many.tar*", nil); err != nil {
			return err
		}
	}
	return nil
}

// measureMany measures everything that needs no engine with n images.
func (g *growing) measureMany(ctx context.Context, n int64) error {
	registry, stop, err := startRegistry(ctx, "registry-many")
	if err != nil {
		return err
	}
	defer stop()
	served, err := freeAddr()
	if err != nil {
		return err
	}
	for _, list := range []struct{ file, prefix string }{{"pushed.txt", "docker://" + registry}, {"served.txt", "docker://" + served}} {
		if err := listMany(list.file, list.prefix, n); err != nil {
			return err
		}
	}
	for _, do := range []struct{ name, reset, command string }{
		{"pack from a layout", "true", "airgap pack -q -o many.tar.zst oci:many"},
		{"verify", "true", "airgap verify -q many.tar.zst"},
		{"inspect --layers", "true", "airgap inspect -q --layers many.tar.zst"},
		{"unpack to a layout", "rm -rf out", "airgap unpack -q --to oci:out many.tar.zst"},
		{"unpack again to a layout", "true", "airgap unpack -q --to oci:out many.tar.zst"},
		{"unpack to a registry", "rm -rf registry-many/docker", "airgap unpack -q --to docker://" + registry + " many.tar.zst"},
		{"pack from a registry", "rm -rf out", "airgap pack -q -o again.tar.zst -f pushed.txt"},
		{"pack from an archive", "zstd -dqf many.tar.zst -o many.tar", "airgap pack -q -o again.tar.zst docker-archive:many.tar"},
	} {
		if err := g.add(ctx, do.name, n, do.reset, do.command); err != nil {
			return err
		}
	}
	// The one command that answers all the time is measured by who asks it.
	serve := exec.CommandContext(ctx, "airgap", "serve", "-q", "--addr", served, "many.tar.zst")
	if err := serve.Start(); err != nil {
		return err
	}
	defer func() {
		_ = serve.Process.Kill() // it may have ended
		_ = serve.Wait()
	}()
	return g.add(ctx, "pull from serve", n, "until curl -sf http://"+served+"/v2/; do sleep 0.1; done", "airgap pack -q -o again.tar.zst -f served.txt")
}

// measureEngine imports images into an engine and exports them, beside the
// engine's own commands.
func (g *growing) measureEngine(ctx context.Context, o options) error {
	there := "DOCKER_HOST=" + o.engine
	empty := emptyEngine(o.engine)
	for _, n := range o.engineMany {
		err := storetest.Many(int(n), "growth").WriteLayout("many")
		if err == nil {
			err = listMany("engine.txt", "docker-daemon:", n)
		}
		if err == nil {
			_, err = shell(ctx, "airgap pack -q -o many.tar.zst oci:many", nil)
		}
		if err != nil {
			return err
		}
		for _, do := range []struct{ name, reset, command string }{
			{"docker load", empty, "zstd -dc many.tar.zst | docker load"},
			{"unpack to Docker", empty, "airgap unpack -q many.tar.zst"},
			{"unpack again to Docker", "true", "airgap unpack -q many.tar.zst"},
			{"docker save", "true", "sed s/docker-daemon:// engine.txt | xargs docker save -o save.tar"},
			{"pack from Docker", "true", "airgap pack -q -o again.tar.zst -f engine.txt"},
		} {
			if err := g.add(ctx, do.name, n, do.reset, do.command, there); err != nil {
				return err
			}
		}
		if _, err := shell(ctx, "rm -rf many many.tar.zst* save.tar; "+empty, nil); err != nil {
			return err
		}
	}
	return nil
}

// listMany writes the names of n images, as they are behind a prefix, for pack -f.
func listMany(file, prefix string, n int64) error {
	var b strings.Builder
	if !strings.HasSuffix(prefix, ":") {
		prefix += "/"
	}
	for i := range n {
		fmt.Fprintf(&b, "%sairgap-test/%s\n", prefix, storetest.ManyName("growth", int(i)))
	}
	return os.WriteFile(file, []byte(b.String()), 0o644)
}

// startRegistry runs a registry of its own, with what it stores in dir.
func startRegistry(ctx context.Context, dir string) (addr string, stop func(), err error) {
	if dir, err = filepath.Abs(dir); err != nil {
		return "", nil, err
	}
	if addr, err = freeAddr(); err != nil {
		return "", nil, err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", nil, err
	}
	config := fmt.Sprintf("version: 0.1\nlog: {level: error, accesslog: {disabled: true}}\nstorage: {filesystem: {rootdirectory: %q}}\nhttp: {addr: %q}\n", dir, addr)
	if err := os.WriteFile(dir+".yml", []byte(config), 0o644); err != nil {
		return "", nil, err
	}
	cmd := exec.CommandContext(ctx, "docker-registry", "serve", dir+".yml")
	if err := cmd.Start(); err != nil {
		return "", nil, err
	}
	stop = func() {
		_ = cmd.Process.Kill() // it may have ended
		_ = cmd.Wait()
		_ = os.RemoveAll(dir) // the folder above goes too
	}
	if err := answers(addr); err != nil {
		stop()
		return "", nil, err
	}
	return addr, stop, nil
}

// freeAddr is an address of this machine at which nobody listens.
func freeAddr() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// answers waits until somebody listens.
func answers(addr string) error {
	for range 1000 {
		conn, err := net.Dial("tcp", addr)
		if err == nil {
			return conn.Close()
		}
		time.Sleep(10 * time.Millisecond)
	}
	return fmt.Errorf("nothing answers at %s", addr)
}

// measureLayer takes a larger and larger layer.
func (g *growing) measureLayer(ctx context.Context, o options) error {
	for _, size := range o.layers {
		if err := writeLarge("large", size); err != nil {
			return err
		}
		for _, do := range []struct{ name, reset, command string }{
			{"pack from a layout", "true", "airgap pack -q -o large.tar.zst oci:large"},
			{"verify", "rm -rf large", "airgap verify -q large.tar.zst"},
			{"unpack to a layout", "rm -rf out", "airgap unpack -q --to oci:out large.tar.zst"},
		} {
			if err := g.add(ctx, do.name, size, do.reset, do.command); err != nil {
				return err
			}
		}
		if _, err := shell(ctx, "rm -rf out large*", nil); err != nil {
			return err
		}
	}
	return nil
}

// print writes tables of time and of memory.
func (g *growing) print(b *strings.Builder) {
	fmt.Fprintf(b, "\n## Growth with the %s\n\n%s\n", g.by, g.about)
	work := g.curves[0].points
	row := func(cells []string) { fmt.Fprintf(b, "| %s |\n", strings.Join(cells, " | ")) }
	head, line, memory := []string{"time"}, "|---", []string{"peak memory"}
	for i, p := range work {
		head, memory, line = append(head, g.unit(p.work)), append(memory, g.unit(p.work)), line+"|---"
		if i > 0 {
			head, line = append(head, "times"), line+"|---"
		}
	}
	b.WriteString("\n")
	row(head)
	b.WriteString(line + "|\n")
	for _, c := range g.curves {
		cells := []string{c.name}
		for i, p := range c.points {
			cells = append(cells, fmt.Sprintf("%.2f s", p.wall.Seconds()))
			if i > 0 {
				cells = append(cells, fmt.Sprintf("%.1f", float64(p.wall)/float64(c.points[i-1].wall)))
			}
		}
		row(append(cells, make([]string, len(head)-len(cells))...))
	}
	b.WriteString("\n")
	row(memory)
	b.WriteString(strings.Repeat("|---", len(memory)) + "|\n")
	for _, c := range g.curves {
		cells := []string{c.name}
		for _, p := range c.points {
			cells = append(cells, fmt.Sprintf("%d MiB", p.rss>>20))
		}
		row(append(cells, make([]string, len(memory)-len(cells))...))
	}
}

func thousands(n int64) string {
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

func mebibytes(n int64) string {
	if n >= 1<<30 {
		return fmt.Sprintf("%d GiB", n>>30)
	}
	return fmt.Sprintf("%d MiB", n>>20)
}
