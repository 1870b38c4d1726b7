//go:build linux

package e2e_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// engine is a Docker engine.
type engine struct {
	host string // for DOCKER_HOST
}

// try runs the docker client.
func (e engine) try(args ...string) (string, error) {
	cmd := exec.Command("docker", append([]string{"-H", e.host}, args...)...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		err = fmt.Errorf("docker %s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out)), err
}

func (e engine) docker(t *testing.T, args ...string) string {
	t.Helper()
	out, err := e.try(args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// inContainer begins what runs a command in a container that nobody else has, also
// where a machine limits more than an engine expects.
var inContainer = []string{"run", "--rm", "--network", "none", "--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024"}

// answers demands what the image's own program prints.
func (e engine) answers(t *testing.T, name, want string) {
	t.Helper()
	t.Run("runs "+name, func(t *testing.T) {
		needContainers(t)
		if got := e.docker(t, append(inContainer, name, "cat", "/srv/version")...); got != want {
			t.Errorf("%s answers %q, expected %q", name, got, want)
		}
	})
}

var containers = sync.OnceValue(func() error {
	_, err := here().try(append(inContainer, "e2e/app:v1", "cat", "/srv/version")...)
	return err
})

// needContainers skips what needs containers on a machine that has an engine and
// cannot run any: not even of an image that airgap has never seen.
func needContainers(t *testing.T) {
	t.Helper()
	needSources(t)
	if err := containers(); err != nil {
		missing(t, "docker", err.Error())
	}
}

// images lists every image that the engine has, by ID and name.
func (e engine) images(t *testing.T) map[string]string {
	t.Helper()
	list := map[string]string{}
	for line := range strings.Lines(e.docker(t, "images", "--all", "--no-trunc", "--format", "{{.Repository}}:{{.Tag}} {{.ID}}")) {
		name, id, _ := strings.Cut(strings.TrimSpace(line), " ")
		list[name+" "+id] = id
	}
	return list
}

// empty removes all images and containers; only a test's own engine may be
// emptied.
func (e engine) empty(t *testing.T) {
	t.Helper()
	if e == here() {
		t.Fatal("the machine's own engine must not be emptied")
	}
	for _, all := range [][]string{{"ps", "-aq"}, {"images", "-aq"}} {
		ids := strings.Fields(e.docker(t, all...))
		if len(ids) == 0 {
			continue
		}
		remove := "rm"
		if all[0] == "images" {
			remove = "rmi"
		}
		e.docker(t, append([]string{remove, "-f"}, ids...)...)
	}
	unchanged(t, map[string]string{}, e.images(t))
}

// identity is what must be the same of an image in two engines.
func (e engine) identity(t *testing.T, name string) string {
	t.Helper()
	return e.docker(t, "image", "inspect", "--format",
		"{{.Id}} {{.Os}}/{{.Architecture}} {{json .RootFS}} {{json .Config.Cmd}} {{json .Config.Env}}", name)
}

// here is the machine's engine, where the images to pack are.
func here() engine {
	host := os.Getenv("DOCKER_HOST")
	if host == "" {
		host = "unix:///var/run/docker.sock"
	}
	return engine{host}
}

// needEngine is the machine's engine if it answers.
func needEngine(t *testing.T) engine {
	t.Helper()
	program(t, "docker", "docker")
	if _, err := here().try("version", "--format", "{{.Server.Version}}"); err != nil {
		missing(t, "docker", err.Error())
	}
	return here()
}

// there is the engine of the isolated host: started once, emptied for every
// test that asks for it.
func there(t *testing.T) engine {
	t.Helper()
	needRoot(t, "docker")
	for _, name := range []string{"docker", "dockerd", "containerd"} {
		program(t, "docker", name)
	}
	thereOnce.Do(func() { thereEngine, thereErr = startEngine(fresh(t, "engine")) })
	if thereErr != nil {
		t.Fatalf("starting a second engine: %v", thereErr)
	}
	thereEngine.empty(t)
	return thereEngine
}

var (
	thereOnce   sync.Once
	thereEngine engine
	thereErr    error
)

// startEngine runs an engine that shares nothing with the machine's: neither
// its images, its containerd nor its networks.
func startEngine(dir string) (engine, error) {
	s, err := startService(filepath.Join(dir, "log"), "../../testdata/e2e/engine", dir)
	if err != nil {
		return engine{}, err
	}
	later = append(later, s.stop)
	e := engine{"unix://" + filepath.Join(dir, "docker.sock")}
	return e, s.ready(func() error { _, err := e.try("version"); return err })
}
