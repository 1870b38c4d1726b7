//go:build linux

package e2e_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// TestPlainTools opens bundles without airgap.
func TestPlainTools(t *testing.T) {
	src := needSources(t)
	program(t, "zstd", "zstd")
	target := there(t)
	for origin, refs := range map[string][]string{"engine": madeNames, "registry": src.registry.refs(madeNames...)} {
		t.Run(origin, func(t *testing.T) {
			target.empty(t)
			m := newMachine(t)
			m.airgap(append([]string{"pack"}, refs...)...).ok()
			list := m.shell("zstd -dc bundle.tar.zst | tar t")
			if !strings.HasPrefix(list, "airgap.json\n") || !strings.Contains(list, "\nmanifest.json\n") {
				t.Errorf("tar lists\n%s", list)
			}
			m.shell("sha256sum -c bundle.tar.zst.sha256 && zstd -tq bundle.tar.zst")
			m.with("DOCKER_HOST=" + target.host).shell("zstd -dc bundle.tar.zst | docker load")
			for i, n := range madeNames {
				arrived := strings.TrimPrefix(refs[i], "docker://")
				same(t, target, arrived, src.engine.identity(t, n), made[n])
			}
		})
	}
}

// digest is what the registry says that a tag is.
func (r *registry) digest(t *testing.T, ref string) string {
	t.Helper()
	tag, err := name.ParseReference(ref, name.Insecure)
	if err != nil {
		t.Fatal(err)
	}
	d, err := remote.Head(tag)
	if err != nil {
		t.Fatal(err)
	}
	return d.Digest.String()
}

// TestRegistryDigestsSurvive looks with skopeo at bundles untarred, pushes
// from there, and has every byte of what arrives in the registry validated.
// Debian's skopeo finds images by name only if they are of OCI's media types;
// one of Docker's types it takes where it is the only one.
func TestRegistryDigestsSurvive(t *testing.T) {
	src := needSources(t)
	program(t, "zstd", "zstd")
	program(t, "skopeo", "skopeo")
	m := newMachine(t)
	for _, n := range []string{"e2e/app:v1", "e2e/db:15"} {
		m.shell("skopeo copy -q --format oci --src-tls-verify=false --dest-tls-verify=false docker://" + src.registry.addr + "/" + n + " docker://" + src.registry.addr + "/oci/" + n)
	}
	src.registry.survives(m, ":", "oci/e2e/app:v1", "oci/e2e/db:15", "e2e/multi:v1")
	src.registry.survives(m, "", "e2e/app:v1")
}

// survives packs images, untars the bundle and has skopeo push the images from
// there; by is what goes between the folder and the name, if skopeo can tell
// the images by name.
func (r *registry) survives(m *machine, by string, names ...string) {
	t := m.t
	t.Helper()
	m.airgap(append([]string{"pack", "--platform", "all"}, r.refs(names...)...)...).ok()
	m.shell("rm -rf untarred && mkdir untarred && zstd -dc bundle.tar.zst | tar x -C untarred")
	for _, n := range names {
		from, layout := r.addr+"/"+n, "oci:untarred"
		if by != "" {
			layout += by + from
		}
		want := r.digest(t, from)
		if got := strings.TrimSpace(m.shell("skopeo inspect --raw " + layout + " | sha256sum | cut -d' ' -f1")); "sha256:"+got != want {
			t.Errorf("%s: skopeo sees %s, the registry has %s", n, got, want)
		}
		to := r.addr + "/again/" + n
		m.shell("skopeo copy -q --all --preserve-digests --dest-tls-verify=false " + layout + " docker://" + to)
		if got := r.digest(t, to); got != want {
			t.Errorf("%s: pushed again it is %s, not %s", n, got, want)
		}
		validateRemote(t, to)
		m.airgap("unpack", "--to", "docker://"+r.addr+"/pushed", "--only", from).ok(from + " -> " + r.addr + "/pushed/" + n)
		if got := r.digest(t, r.addr+"/pushed/"+n); got != want {
			t.Errorf("%s: unpacked into a registry it is %s, not %s", n, got, want)
		}
		validateRemote(t, r.addr+"/pushed/"+n)
	}
}

// validateRemote reads an image from a registry and checks all of it, as
// `crane validate --remote` does: digests by the client, then the diffIDs.
func validateRemote(t *testing.T, ref string) {
	t.Helper()
	tag, err := name.ParseReference(ref, name.Insecure)
	if err != nil {
		t.Fatal(err)
	}
	img, err := remote.Image(tag)
	if err != nil {
		t.Fatal(err)
	}
	config, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	layers, err := img.Layers()
	if err != nil || len(layers) == 0 || len(layers) != len(config.RootFS.DiffIDs) {
		t.Fatalf("%s: %d layers for %d diffIDs: %v", ref, len(layers), len(config.RootFS.DiffIDs), err)
	}
	for i, l := range layers {
		r, err := l.Uncompressed()
		if err != nil {
			t.Fatal(err)
		}
		got, _, err := v1.SHA256(r)
		r.Close()
		if want := config.RootFS.DiffIDs[i]; err != nil || got != want {
			t.Errorf("%s: layer %d has the diffID %s, not %s: %v", ref, i, got, want, err)
		}
	}
}

// makeSamples runs the program of testdata/samples.
func makeSamples(t *testing.T, dir string) {
	t.Helper()
	if out, err := exec.Command("go", "run", "../../testdata/samples", dir).CombinedOutput(); err != nil {
		t.Fatalf("making the samples: %v\n%s", err, out)
	}
}

// TestAllPlatforms brings an index into a layout with the registry's digest.
func TestAllPlatforms(t *testing.T) {
	src := needSources(t)
	m := newMachine(t)
	ref := src.registry.addr + "/e2e/multi:v1"
	m.airgap("pack", "--platform", "all", "docker://"+ref).ok("linux/amd64", "linux/arm64")
	m.airgap("unpack", "--to", "oci:layout").ok()
	index, err := os.ReadFile(m.path("layout/index.json"))
	if err != nil {
		t.Fatal(err)
	}
	want := src.registry.digest(t, ref)
	if !strings.Contains(string(index), want) {
		t.Errorf("the layout's index.json does not name %s:\n%s", want, index)
	}
	program(t, "skopeo", "skopeo")
	m.shell("skopeo copy -q --all --preserve-digests --dest-tls-verify=false oci:layout:" + ref + " docker://" + src.registry.addr + "/again/multi:v1")
	if got := src.registry.digest(t, src.registry.addr+"/again/multi:v1"); got != want {
		t.Errorf("pushed from the layout it is %s, not %s", got, want)
	}
}

// TestSamePackSameBytes packs with other jobs and in another order.
func TestSamePackSameBytes(t *testing.T) {
	src := needSources(t)
	for origin, refs := range map[string][]string{"engine": madeNames, "registry": src.registry.refs(madeNames...)} {
		m := newMachine(t)
		m.airgap(append([]string{"pack", "-o", "a.tar.zst", "--jobs", "1"}, refs...)...).ok()
		m.airgap("pack", "-o", "b.tar.zst", "--jobs", "3", refs[2], refs[0], refs[1]).ok()
		if sums := files(t, m.path("a.tar.zst"), m.path("b.tar.zst")); sums[m.path("a.tar.zst")] != sums[m.path("b.tar.zst")] {
			t.Errorf("%s: other jobs and order, other bytes", origin)
		}
	}
}

// TestSamples carries the images of the demonstration through layouts, which
// needs neither engine nor registry.
func TestSamples(t *testing.T) {
	m := newMachine(t)
	layout := filepath.Join(m.dir, "samples")
	makeSamples(t, layout)
	refs := []string{"oci:samples:airgap-demo/hello:v1", "oci:samples:airgap-demo/clock:v1"}
	m.airgap(append([]string{"pack", "--platform", "all"}, refs...)...).ok("linux/amd64", "linux/arm64")
	m.airgap("verify").ok()
	m.airgap("unpack", "--to", "oci:arrived").ok()
	want, got := files(t, filepath.Join(layout, "blobs")), files(t, m.path("arrived/blobs"))
	for path, sum := range want {
		rel, _ := filepath.Rel(layout, path)
		if got[filepath.Join(m.dir, "arrived", rel)] != sum {
			t.Errorf("%s did not arrive as it was", rel)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d blobs arrived, expected %d", len(got), len(want))
	}
}
