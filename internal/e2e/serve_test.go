//go:build linux

package e2e_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// conformance is the OCI's own test of registries.
const conformance = "github.com/opencontainers/distribution-spec/conformance@v0.0.0-20260831232431-97274622c111"

// serving runs airgap serve on a bundle and gives its address.
func serving(t *testing.T, bundle string) string {
	t.Helper()
	addr := loopback(freePort(t))
	s, err := startService(filepath.Join(fresh(t, "serve"), "log"), world.airgap, "serve", "--verbose", "--addr", addr, bundle)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.stop(); err != nil || s.cmd.ProcessState.ExitCode() != 0 {
			t.Errorf("airgap serve ended with %s, %v\n%s", s.cmd.ProcessState, err, s.tail())
		}
	})
	if err := s.ready(func() error { return dialable("tcp", addr) }); err != nil {
		t.Fatal(err)
	}
	return addr
}

// TestServe lets everybody pull from a bundle who would pull from a registry.
func TestServe(t *testing.T) {
	src := needSources(t)
	program(t, "skopeo", "skopeo")
	m := newMachine(t)
	names := []string{"e2e/app:v1", "e2e/db:15", "e2e/multi:v1"}
	m.airgap(append([]string{"pack", "--platform", "all"}, src.registry.refs(names...)...)...).ok()
	addr := serving(t, m.path("bundle.tar.zst"))

	for _, n := range names {
		want := src.registry.digest(t, src.registry.addr+"/"+n)
		if got := src.registry.digest(t, addr+"/"+n); got != want {
			t.Errorf("%s is served as %s, not %s", n, got, want)
		}
		validateRemote(t, addr+"/"+n)
		m.shell("skopeo copy -q --all --preserve-digests --src-tls-verify=false docker://" + addr + "/" + n + " dir:" + m.path("dir"))
	}
	// The engine has e2e/app:v1 already, under another name; of e2e/multi it
	// has nothing.
	for _, n := range []string{"e2e/app:v1", "e2e/multi:v1"} {
		src.engine.docker(t, "pull", "-q", addr+"/"+n)
		t.Cleanup(func() { src.engine.docker(t, "rmi", addr+"/"+n) })
	}
	src.engine.answers(t, addr+"/e2e/app:v1", made["e2e/app:v1"])
	p := startPodman(t)
	m.shell("podman " + p.args + " pull -q --tls-verify=false " + addr + "/e2e/app:v1")
	for _, host := range strings.Fields(os.Getenv("AIRGAP_ENGINES")) {
		if strings.HasSuffix(host, "podman.sock") {
			continue // by its API it wants HTTPS
		}
		e := engine{host}
		e.docker(t, "pull", "-q", addr+"/e2e/app:v1")
		t.Cleanup(func() { e.docker(t, "rmi", addr+"/e2e/app:v1") })
	}
	conforms(t, addr, "e2e/app", "v1")
}

// conforms runs the pull part of the OCI's conformance suite.
func conforms(t *testing.T, addr, repo, tag string) {
	t.Helper()
	ref, err := name.ParseReference(addr+"/"+repo+":"+tag, name.Insecure)
	if err != nil {
		t.Fatal(err)
	}
	got, err := remote.Get(ref)
	if err != nil {
		t.Fatal(err)
	}
	var manifest struct {
		Config struct{ Digest string }
		Layers []struct{ Digest string }
	}
	if err := json.Unmarshal(got.Manifest, &manifest); err != nil {
		t.Fatal(err)
	}
	blobs := []string{manifest.Config.Digest}
	for _, l := range manifest.Layers {
		blobs = append(blobs, l.Digest)
	}
	cmd := exec.Command("go", "run", conformance)
	cmd.Dir = fresh(t, "conformance")
	cmd.Env = append(os.Environ(), "GOFLAGS=-mod=mod", "GOWORK=off",
		"OCI_REGISTRY="+addr, "OCI_TLS=disabled", "OCI_REPO1="+repo, "OCI_API_PUSH=false",
		"OCI_API_BLOBS_DELETE=false", "OCI_API_MANIFESTS_DELETE=false", "OCI_API_TAGS_DELETE=false",
		"OCI_RO_DATA_TAGS="+tag, "OCI_RO_DATA_MANIFESTS="+got.Digest.String(), "OCI_RO_DATA_REFERRERS="+got.Digest.String(),
		"OCI_RO_DATA_BLOBS="+strings.Join(blobs, " "), "OCI_RESULTS_DIR="+cmd.Dir)
	// Its exit status says nothing: this version crashes when it writes its
	// last report about registries that can only be read.
	out, _ := cmd.CombinedOutput()
	passed := regexp.MustCompile(`(?m)^  Pass\.*: +([0-9]+)$`).FindSubmatch(out)
	if passed == nil || len(passed[1]) < 2 || !regexp.MustCompile(`(?m)^OCI Conformance Result: Pass$`).Match(out) || regexp.MustCompile(`(?m)^  (FAIL|Error)\.*: +[1-9]`).Match(out) {
		t.Errorf("the conformance suite says:\n%s", out)
	}
}
