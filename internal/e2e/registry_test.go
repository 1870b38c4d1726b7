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

// The images that testdata/e2e/make-images makes, with what a container of
// each answers to `cat /srv/version`.
var made = map[string]string{"e2e/app:v1": "1.0", "e2e/app:v2": "2.0", "e2e/db:15": "15"}

// madeNames are those in order.
var madeNames = []string{"e2e/app:v1", "e2e/app:v2", "e2e/db:15"}

// registry is a running docker-registry.
type registry struct {
	*service
	addr string
}

// startRegistry runs a registry with its content in dir; users is an htpasswd
// file, or empty.
func startRegistry(t *testing.T, dir, users string) *registry {
	t.Helper()
	name := program(t, "docker-registry", "docker-registry")
	addr := loopback(freePort(t))
	text := fmt.Sprintf("version: 0.1\nlog: {level: warn}\nstorage: {filesystem: {rootdirectory: %s}}\nhttp: {addr: %q}\n",
		filepath.Join(dir, "content"), addr)
	if users != "" {
		write(t, filepath.Join(dir, "users"), users)
		text += fmt.Sprintf("auth: {htpasswd: {realm: e2e, path: %s}}\n", filepath.Join(dir, "users"))
	}
	write(t, filepath.Join(dir, "config.yml"), text)
	s, err := startService(filepath.Join(dir, "log"), name, "serve", filepath.Join(dir, "config.yml"))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.ready(func() error { return dialable("tcp", addr) }); err != nil {
		s.stop()
		t.Fatalf("docker-registry: %v", err)
	}
	return &registry{s, addr}
}

// sources are the images in the machine's engine and in a registry, made once.
type sources struct {
	engine   engine
	registry *registry
}

var (
	sourcesOnce sync.Once
	sourcesMade sources
	sourcesErr  error
)

// needSources makes the images, or uses those that are there.
func needSources(t *testing.T) sources {
	t.Helper()
	e := needEngine(t)
	program(t, "docker", "dpkg-deb")
	program(t, "docker-registry", "docker-registry")
	sourcesOnce.Do(func() {
		r := startRegistry(t, fresh(t, "registry"), "")
		later = append(later, r.stop)
		sourcesMade = sources{e, r}
		sourcesErr = makeImages("--registry", r.addr)
		later = append(later, func() error { return makeImages("--clean") })
	})
	if sourcesErr != nil {
		t.Fatalf("making the images: %v", sourcesErr)
	}
	return sourcesMade
}

// makeImages runs the script of that name.
func makeImages(args ...string) error {
	cmd := exec.Command("../../testdata/e2e/make-images", append(args, "--dir", cacheDir())...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("make-images %s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return nil
}

// cacheDir is where downloaded packages are kept: AIRGAP_E2E_CACHE, or a folder that is gone after the tests.
func cacheDir() string {
	if dir := os.Getenv("AIRGAP_E2E_CACHE"); dir != "" {
		return dir
	}
	return filepath.Join(world.dir, "packages")
}

// refs are the images' names in the registry, with the transport's prefix.
func (r *registry) refs(names ...string) []string {
	var refs []string
	for _, n := range names {
		refs = append(refs, "docker://"+r.addr+"/"+n)
	}
	return refs
}
