//go:build linux

package e2e_test

import (
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
)

// scene is a machine with all that a failing command must leave alone.
type scene struct {
	*machine
	watched []string // folders
	engines []engine
}

func (s scene) state() map[string]string {
	all := files(s.t, append(s.watched, s.dir)...)
	for _, e := range s.engines {
		for name, id := range e.images(s.t) {
			all[name] = id
		}
	}
	return all
}

// refused runs airgap, which must fail in the way described and leave nothing.
func (s scene) refused(code int, patterns []string, args ...string) {
	s.t.Helper()
	before := s.state()
	s.airgap(args...).fails(code, patterns...)
	unchanged(s.t, before, s.state())
}

// says makes the call of refused read well.
func says(patterns ...string) []string { return patterns }

func TestImageNotThere(t *testing.T) {
	src := needSources(t)
	s := scene{machine: newMachine(t)}
	none := src.registry.addr + "/e2e/none:v1"
	s.refused(exitFailed, says("not found", "e2e/none:v1"), "pack", "docker://"+none)
	s.refused(exitFailed, says("not found", "e2e/none:v1"), "pack", "docker-daemon:e2e/none:v1")
	s.refused(exitFailed, says("not found", "e2e/none:v1"), "pack", none)
	s.refused(exitFailed, says("not found", "e2e/none:v1"), "pack", "docker://"+src.registry.addr+"/e2e/app:v1", "docker://"+none)
	s.refused(exitFailed, says("e2e/app:v9"), "pack", "docker://"+src.registry.addr+"/e2e/app:v9")
	s.refused(exitUsage, nil, "pack", "docker://UPPER CASE")
	s.refused(exitUsage, nil, "pack")
	s.refused(exitUsage, nil, "pack", "--no-such-flag", "e2e/app:v1")
	s.refused(exitFailed, says("bundle.tar.zst"), "verify")
	s.refused(exitFailed, says("bundle.tar.zst"), "unpack")
}

func TestPlatformNotThere(t *testing.T) {
	src := needSources(t)
	target := there(t)
	s := scene{machine: newMachine(t, "DOCKER_HOST="+target.host), engines: []engine{target}}
	multi := "docker://" + src.registry.addr + "/e2e/multi:v1"
	s.refused(exitRefused, says("linux/s390x", "linux/amd64"), "pack", "--platform", "linux/s390x", multi)
	s.airgap("pack", "--platform", "linux/arm64", multi).ok("linux/arm64")
	s.refused(exitRefused, says("linux/amd64", "linux/arm64"), "unpack")
	engine := scene{machine: s.with("DOCKER_HOST=" + src.engine.host)}
	engine.refused(exitRefused, says("linux/s390x", "linux/amd64"), "pack", "--platform", "linux/s390x", "docker-daemon:e2e/app:v1")
}

func TestEngineNotThere(t *testing.T) {
	src := needSources(t)
	m := newMachine(t)
	m.airgap("pack", src.registry.refs("e2e/app:v1")[0]).ok()
	socket := filepath.Join(m.dir, "docker.sock")
	for _, host := range []string{"unix://" + socket, "tcp://" + loopback(freePort(t))} {
		s := scene{machine: m.with("DOCKER_HOST=" + host)}
		s.refused(exitEngine, says(strings.TrimPrefix(host, "unix://")), "pack", "docker-daemon:e2e/app:v1")
		s.refused(exitEngine, says(strings.TrimPrefix(host, "unix://")), "unpack")
	}
}

func TestEngineWithoutPermission(t *testing.T) {
	src := needSources(t)
	needRoot(t, "docker")
	if !strings.HasPrefix(src.engine.host, "unix://") {
		t.Skip("NOT TESTED: the engine has no socket that could forbid anything")
	}
	m := newMachine(t)
	m.airgap("pack", src.registry.refs("e2e/app:v1")[0]).ok()
	m.shell("chmod -R a+rwX .")
	nobody := m.with("HOME="+m.dir, "DOCKER_HOST="+src.engine.host)
	nobody.cred = &syscall.Credential{Uid: 65534, Gid: 65534}
	s := scene{machine: nobody}
	s.refused(exitEngine, says("(?i)permission", "sudo|docker.*group|group.*docker"), "pack", "docker-daemon:e2e/app:v1")
	s.refused(exitEngine, says("(?i)permission", "sudo|docker.*group|group.*docker"), "unpack")
}

func TestRegistryNotThere(t *testing.T) {
	addr := loopback(freePort(t))
	s := scene{machine: newMachine(t)}
	s.refused(exitFailed, says(addr), "pack", "docker://"+addr+"/e2e/app:v1")
}

// user is an htpasswd line for a name "somebody" with the password "open".
const registryUser = "somebody:$2a$05$gqq3KHqWrzNZiGr0SB1gYu0sunrn342DzdXTWghBVYTYuif1FObca\n"

func TestRegistryCredentials(t *testing.T) {
	program(t, "docker-registry", "docker-registry")
	r := startRegistry(t, fresh(t, "locked"), registryUser)
	defer r.stop()
	s := scene{machine: newMachine(t)}
	login := func(password string) {
		auth := base64.StdEncoding.EncodeToString([]byte("somebody:" + password))
		write(t, filepath.Join(s.dir, "docker/config.json"), fmt.Sprintf(`{"auths":{%q:{"auth":%q}}}`, r.addr, auth))
	}
	s.machine = s.with("DOCKER_CONFIG=" + filepath.Join(s.dir, "docker"))
	ref := "docker://" + r.addr + "/e2e/app:v1"
	s.refused(exitFailed, says("(?i)unauthorized|credentials|login", "docker login "+r.addr), "pack", ref)
	login("wrong")
	s.refused(exitFailed, says("(?i)unauthorized|credentials|login", "docker login "+r.addr), "pack", ref)
	login("open")
	s.refused(exitFailed, says("not found"), "pack", ref) // the registry is empty
}

func TestHostKeys(t *testing.T) {
	server := startServer(t)
	m := newMachine(t)
	packSamples(m)
	s := scene{machine: m, watched: []string{server.in, world.home}}
	server.trust(t, "")
	s.refused(exitRefused, says("(?i)host key", "SHA256:", "ssh-keyscan .*known_hosts"), "send", server.dest())
	server.trust(t, "other")
	s.refused(exitRefused, says("(?i)host key", "has changed", "ssh-keygen .*-R"), "send", server.dest())
	// The system's client judges by itself, and its words are its own.
	before := s.state()
	if r := m.airgap("send", "--ssh", "ssh -o BatchMode=yes", server.dest()); r.code != exitRefused && r.code != exitTransfer {
		t.Errorf("a changed host key behind --ssh:\n%s", r)
	}
	unchanged(t, before, s.state())
	server.trust(t, "host")
	m.airgap("send", server.dest()).ok()
}

func TestLoginRefused(t *testing.T) {
	server := startServer(t)
	m := newMachine(t)
	packSamples(m)
	if err := os.Remove(server.at("user.pub")); err != nil {
		t.Fatal(err)
	}
	s := scene{machine: m, watched: []string{server.in, world.home}}
	s.refused(exitTransfer, says("127.0.0.1"), "send", server.dest())
}

// tinyDisk mounts a file system of a MiB.
func tinyDisk(t *testing.T, dir string) {
	t.Helper()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=1m,mode=0755"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
}

func TestDiskFull(t *testing.T) {
	server := startServer(t)
	m := newMachine(t)
	packSamples(m)
	there, stick := fresh(t, "full"), fresh(t, "stick")
	tinyDisk(t, there)
	tinyDisk(t, stick)
	s := scene{machine: m, watched: []string{there, stick}}
	s.refused(exitNoSpace, says("(?i)space", "127.0.0.1|server|far"), "send", server.user+"@127.0.0.1:"+there)
	s.refused(exitNoSpace, says("(?i)space", stick), "send", stick)
	s.refused(exitNoSpace, says("(?i)space", stick), "unpack", "--to", "oci:"+filepath.Join(stick, "layout"))
	s.refused(exitNoSpace, says("(?i)space", stick), "pack", "-o", filepath.Join(stick, "b.tar.zst"), "oci:samples:airgap-demo/hello:v1")
}

func TestDiskFullWhilePackingFromEngine(t *testing.T) {
	needSources(t)
	needRoot(t, "docker")
	m, small := newMachine(t), fresh(t, "small")
	tinyDisk(t, small)
	s := scene{machine: m, watched: []string{small}}
	s.refused(exitNoSpace, says("(?i)space", small), "pack", "-o", filepath.Join(small, "b.tar.zst"), "docker-daemon:e2e/app:v1")
	s.refused(exitNoSpace, says("(?i)space", small), "pack", "--tmpdir", small, "docker-daemon:e2e/app:v1")
}

func TestDamagedBundle(t *testing.T) {
	needSources(t)
	target := there(t)
	m := newMachine(t, "DOCKER_HOST="+target.host)
	packSamples(m)
	s := scene{machine: m, engines: []engine{target}}
	whole := size(t, m.path("bundle.tar.zst"))
	for _, bad := range []struct{ name, make string }{
		{"flipped", "cp bundle.tar.zst flipped"},
		{"half", fmt.Sprintf("head -c %d bundle.tar.zst >half", whole/2)},
		{"cut", fmt.Sprintf("head -c %d bundle.tar.zst >cut", whole-1)},
		{"empty", ": >empty"},
		{"more", "cat bundle.tar.zst bundle.tar.zst >more"},
		{"saved", "tar cf saved samples"},
	} {
		m.shell(bad.make)
		if bad.name == "flipped" {
			damage(t, m.path("flipped"), whole/2)
		}
		s.refused(exitDamaged, says(bad.name), "verify", bad.name)
		s.refused(exitDamaged, says(bad.name), "unpack", bad.name)
		s.refused(exitDamaged, says(bad.name), "unpack", "--to", "oci:layout", bad.name)
	}
}

// TestNewerBundle changes the format's number in a bundle.
func TestNewerBundle(t *testing.T) {
	needSources(t)
	program(t, "zstd", "zstd")
	target := there(t)
	m := newMachine(t, "DOCKER_HOST="+target.host)
	packSamples(m)
	m.shell(`zstd -dc bundle.tar.zst | sed '0,/"format": 1/s//"format": 2/' >newer.tar`)
	s := scene{machine: m, engines: []engine{target}}
	for _, command := range []string{"verify", "unpack", "inspect"} {
		s.refused(exitFailed, says("format 2", "newer airgap"), command, "newer.tar")
	}
}

// packRandom packs an image of n bytes that nothing compresses.
func packRandom(m *machine, n int64) {
	m.t.Helper()
	img, err := random.Image(n, 1)
	if err != nil {
		m.t.Fatal(err)
	}
	config, err := img.ConfigFile()
	if err != nil {
		m.t.Fatal(err)
	}
	config.OS, config.Architecture = "linux", runtime.GOARCH
	if img, err = mutate.ConfigFile(img, config); err != nil {
		m.t.Fatal(err)
	}
	l, err := layout.Write(m.path("random"), empty.Index)
	if err != nil {
		m.t.Fatal(err)
	}
	named := layout.WithAnnotations(map[string]string{"org.opencontainers.image.ref.name": "e2e/random:v1"})
	if err := l.AppendImage(img, named); err != nil {
		m.t.Fatal(err)
	}
	m.airgap("pack", "oci:random:e2e/random:v1").ok()
}

// packSamples packs the demonstration's images in the machine's folder.
func packSamples(m *machine) {
	m.t.Helper()
	makeSamples(m.t, m.path("samples"))
	m.airgap("pack", "--platform", "all", "oci:samples:airgap-demo/hello:v1", "oci:samples:airgap-demo/clock:v1").ok()
}
