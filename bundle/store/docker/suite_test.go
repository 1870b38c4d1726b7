package docker_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"

	"airgap/bundle"
	"airgap/bundle/image"
	"airgap/bundle/store/docker"
	"airgap/bundle/store/storetest"
	"airgap/internal/seed"
)

// engine is a real engine, reached twice: as airgap does, and behind its back.
type engine struct {
	*docker.Engine
	host   string
	behind *client.Client
	podman bool
	// containerd says that it has containerd's image store, where an image is
	// its root and everything of it is kept.
	containerd bool
}

// id is what the engine calls an image.
func (e engine) id(g *image.Graph) image.Digest {
	if e.containerd {
		return g.Root.Desc.Digest
	}
	m, _ := storetest.Chosen(g, e.Platform())
	return m.Config.Digest
}

// engines runs a test on every real engine that there is: the machine's own
// Docker, a podman, and those at the hosts that AIRGAP_ENGINES lists, such as
// testdata/e2e/newer-engines starts.
func engines(t *testing.T, test func(t *testing.T, e engine)) {
	t.Run("docker", func(t *testing.T) {
		e, err := docker.Open(t.Context(), docker.Options{})
		storetest.Require(t, "docker", err == nil, fmt.Sprint(err))
		e.Close()
		test(t, reach(t, ""))
	})
	t.Run("podman", func(t *testing.T) { test(t, reach(t, startPodman(t))) })
	for _, host := range strings.Fields(os.Getenv("AIRGAP_ENGINES")) {
		t.Run(path.Base(host), func(t *testing.T) { test(t, reach(t, host)) })
	}
}

// private runs a test on the engines that are nobody else's.
func private(t *testing.T, test func(t *testing.T, e engine)) {
	engines(t, func(t *testing.T, e engine) {
		if e.host == "" {
			t.Skip("NOT TESTED: the machine's own engine is not pruned")
		}
		test(t, e)
	})
}

func reach(t *testing.T, host string) engine {
	t.Helper()
	e, err := docker.Open(t.Context(), docker.Options{Host: host})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	options := []client.Opt{client.FromEnv}
	if host != "" {
		options = append(options, client.WithHost(host))
	}
	c, err := client.New(options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	info, err := c.Info(t.Context(), client.InfoOptions{})
	if err != nil {
		t.Fatal(err)
	}
	containerd := slices.Contains(info.Info.DriverStatus, [2]string{"driver-type", "io.containerd.snapshotter.v1"})
	return engine{e, host, c, strings.Contains(host, "podman"), containerd}
}

// again connects once more.
func (e engine) again(t *testing.T) *docker.Engine {
	t.Helper()
	another, err := docker.Open(t.Context(), docker.Options{Host: e.host})
	if err != nil {
		t.Fatal(err)
	}
	return another
}

// startPodman serves podman's API with storage of its own until the test ends.
func startPodman(t *testing.T) (host string) {
	t.Helper()
	program, err := exec.LookPath("podman")
	if err == nil && os.Getuid() != 0 {
		err = errors.New("only root can give podman storage of its own")
	}
	storetest.Require(t, "podman", err == nil, fmt.Sprint(err))
	dir, err := os.MkdirTemp("", "airgap-podman-")
	if err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(dir, "podman.sock")
	t.Cleanup(func() {
		unmount(t, filepath.Join(dir, "root", "overlay"))
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	out, up := storetest.Serve(t, listens(socket), program,
		"--root", filepath.Join(dir, "root"), "--runroot", filepath.Join(dir, "run"), "system", "service", "--time=0", "unix://"+socket)
	if !up {
		t.Fatalf("podman ended: %s", out)
	}
	return "unix://" + socket
}

// listens says whether somebody does at a socket.
func listens(socket string) func() bool {
	return func() bool {
		conn, err := net.Dial("unix", socket)
		if err == nil {
			conn.Close()
		}
		return err == nil
	}
}

// unmount takes down what podman leaves mounted over its own storage.
func unmount(t *testing.T, dir string) {
	if out, err := exec.Command("umount", dir).CombinedOutput(); err != nil && !bytes.Contains(out, []byte("not mounted")) {
		t.Logf("umount: %s", out)
	}
}

// salt is one that no other run has.
func salt(t *testing.T) string { return fmt.Sprintf("t%x", seed.Of(t)) }

// forget removes what tests brought, by name and by ID.
func forget(t *testing.T, c *client.Client, refs ...string) {
	t.Cleanup(func() {
		for _, ref := range refs {
			c.ImageRemove(context.Background(), ref, client.ImageRemoveOptions{Force: true, PruneChildren: true})
		}
	})
}

// TestSinks runs the suite of destinations on the engines.
func TestSinks(t *testing.T) { engines(t, sinks) }

func sinks(t *testing.T, e engine) {
	storetest.Sinks{
		Salt: salt(t),
		New: func(t *testing.T) storetest.SinkPlace {
			return storetest.SinkPlace{
				Sink: e.again(t), Platform: e.Platform(), TagsOnly: !e.podman && !e.containerd,
				Find: func(t *testing.T, name string) image.Digest { return find(t, e.behind, name) },
				Check: func(t *testing.T, f storetest.Fixture, g *image.Graph) {
					m, _ := storetest.Chosen(g, e.Platform())
					i, err := e.behind.ImageInspect(t.Context(), e.id(g).String())
					if err != nil || len(i.RootFS.Layers) != len(m.DiffIDs) {
						t.Errorf("the engine holds %v, %v", i.RootFS.Layers, err)
					}
				},
				Left: func(t *testing.T, g *image.Graph) []string {
					if _, ok := storetest.Chosen(g, e.Platform()); !ok {
						return nil
					}
					if _, err := e.behind.ImageInspect(t.Context(), e.id(g).String()); err == nil {
						return []string{e.id(g).String()}
					}
					return nil
				},
				Remove: func(t *testing.T, g *image.Graph) {
					e.pruneContainers(t)
					if _, err := e.behind.ImageRemove(t.Context(), e.id(g).String(), client.ImageRemoveOptions{Force: true, PruneChildren: true}); err != nil {
						t.Fatal(err)
					}
				},
				Point: func(t *testing.T, name string, g *image.Graph) {
					if _, err := e.behind.ImageTag(t.Context(), client.ImageTagOptions{Source: e.id(g).String(), Target: name}); err != nil {
						t.Fatal(err)
					}
				},
			}
		},
	}.Run(t)
	removeAll(t, e.behind)
}

// pruneContainers removes those of probes, as docker container prune does.
func (e engine) pruneContainers(t *testing.T) {
	t.Helper()
	list, err := e.behind.ContainerList(t.Context(), client.ContainerListOptions{All: true, Filters: client.Filters{}.Add("label", "airgap.probe")})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range list.Items {
		if _, err := e.behind.ContainerRemove(t.Context(), c.ID, client.ContainerRemoveOptions{Force: true}); err != nil {
			t.Fatal(err)
		}
	}
}

// removeAll removes all images of the suites.
func removeAll(t *testing.T, c *client.Client) {
	list, err := c.ImageList(t.Context(), client.ImageListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, item := range list.Items {
		for _, tag := range item.RepoTags {
			if strings.Contains(tag, "airgap-test/") {
				if _, err := c.ImageRemove(t.Context(), tag, client.ImageRemoveOptions{Force: true, PruneChildren: true}); err != nil {
					t.Error(err)
				}
			}
		}
	}
}

func find(t *testing.T, c *client.Client, name string) image.Digest {
	t.Helper()
	i, err := c.ImageInspect(t.Context(), name)
	if err != nil {
		return image.Digest{}
	}
	algorithm, hex, _ := strings.Cut(i.ID, ":")
	return image.Digest{Algorithm: algorithm, Hex: hex}
}

// TestStreamers runs the suite of streaming sources on the engines.
func TestStreamers(t *testing.T) { engines(t, streamers) }

func streamers(t *testing.T, e engine) {
	storetest.Streamers{
		Salt: salt(t),
		Skip: func(f storetest.Fixture) string {
			switch {
			case e.podman && f.Label == "zstd layers":
				return "podman 4.3 cannot export them: it says that Docker's form has no zstd"
			case e.podman, e.containerd:
				return ""
			}
			switch f.Label {
			case "no layers":
				return "the classic store says that an empty export is not implemented"
			case "two images with one config":
				return "the classic store has one image for both, which is right"
			}
			return ""
		},
		New: func(t *testing.T, f storetest.Fixture) storetest.StreamPlace {
			for _, name := range f.Names {
				bring(t, e.Engine, f, name)
				forget(t, e.behind, name)
			}
			return storetest.StreamPlace{Source: e.again(t), Origin: docker.Origin, DigestLost: !e.containerd}
		},
	}.Run(t)
}

// bring loads an image of a fixture into the engine.
func bring(t *testing.T, e *docker.Engine, f storetest.Fixture, name string) {
	t.Helper()
	txn, err := e.Begin(t.Context(), image.Import{Graph: f.Graph(t, name), Names: []string{name}})
	if err == nil {
		err = txn.Write(t.Context(), f.Images, func(int64) {})
	}
	if err == nil {
		_, err = txn.Commit(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestNames takes an image by name, by ID and by short ID.
func TestNames(t *testing.T) { engines(t, names) }

func names(t *testing.T, e engine) {
	c := e.behind
	f := storetest.NewFixture(t, "single manifest", salt(t))
	bring(t, e.Engine, f, f.Names[0])
	forget(t, c, f.Names[0])
	id := find(t, c, f.Names[0])
	given := map[string]string{f.Names[0]: f.Names[0], image.Familiar(f.Names[0]): f.Names[0], id.String(): "", id.Hex[:12]: ""}
	if pinned := f.Names[0] + "@" + f.Graph(t, f.Names[0]).Root.Desc.Digest.String(); e.containerd {
		given[pinned] = pinned
	} else if e.podman {
		given[pinned] = f.Names[0] // its exports are not what it was given
	}
	for given, want := range given {
		set, err := e.Open(t.Context(), []string{given}, image.Platforms{})
		if err != nil {
			t.Errorf("%s: %v", given, err)
			continue
		}
		put := func(_ context.Context, _ string, _ int64, r io.Reader) (image.Digest, error) {
			return image.HashReader(r)
		}
		if err := set.(image.Streamer).Stream(t.Context(), put); err != nil {
			t.Errorf("%s: %v", given, err)
		} else if got := set.Roots()[0].Name; got != want {
			t.Errorf("%s is named %q, expected %q", given, got, want)
		}
	}
	_, err := e.Open(t.Context(), []string{f.Names[0]}, image.Platforms{List: []image.Platform{storetest.Other}})
	var missing *image.PlatformError
	if !errors.As(err, &missing) || len(missing.Have) != 1 {
		t.Errorf("another platform: %v", err)
	}
}

// TestShortNames takes what podman has built by the name that podman's user gives
// it.
func TestShortNames(t *testing.T) { engines(t, shortNames) }

func shortNames(t *testing.T, e engine) {
	if !e.podman {
		t.Skip("NOT TESTED: only podman has short names of its own")
	}
	f := storetest.NewFixture(t, "single manifest", salt(t))
	tag := "airgap-short:" + salt(t)
	txn, err := e.Begin(t.Context(), image.Import{Graph: f.Graph(t, f.Names[0]), Names: []string{"localhost/" + tag}})
	if err == nil {
		err = txn.Write(t.Context(), f.Images, func(int64) {})
	}
	if err == nil {
		_, err = txn.Commit(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	forget(t, e.behind, "localhost/"+tag)
	set, err := e.Open(t.Context(), []string{tag}, image.Platforms{})
	if err != nil {
		t.Fatal(err)
	}
	if got := set.(image.Streamer).Estimate()[0]; got.Name != "localhost/"+tag {
		t.Errorf("%s is named %q", tag, got.Name)
	}
}

// TestPartlyPulled packs, of an image of which an engine has one platform, that one
// unless another is asked for.
func TestPartlyPulled(t *testing.T) { engines(t, partlyPulled) }

func partlyPulled(t *testing.T, e engine) {
	if !e.containerd {
		t.Skip("NOT TESTED: only containerd's store has images of several platforms")
	}
	f := storetest.NewFixture(t, "index with attestations", salt(t))
	bring(t, e.Engine, f, f.Names[0])
	forget(t, e.behind, f.Names[0])
	pack := func(want image.Platforms) (bundle.Summary, error) {
		set, err := e.Open(t.Context(), f.Names, want)
		if err != nil {
			return bundle.Summary{}, err
		}
		plan, err := bundle.NewPlan(t.Context(), []image.Set{set}, want)
		if err != nil {
			return bundle.Summary{}, err
		}
		return plan.WriteTo(t.Context(), io.Discard, bundle.WriteOptions{TempDir: t.TempDir()})
	}
	s, err := pack(image.Platforms{})
	if err != nil {
		t.Fatal(err)
	}
	if img := s.Images[0]; fmt.Sprint(img.Platforms) != fmt.Sprint([]image.Platform{storetest.Host}) || len(img.Left) != 3 || img.Digest != f.Graph(t, f.Names[0]).Root.Desc.Digest {
		t.Errorf("packed %+v", img)
	}
	var missing *image.PlatformError
	if _, err := pack(image.Platforms{All: true}); !errors.As(err, &missing) || !slices.ContainsFunc(missing.Want, storetest.Other.Equals) || len(missing.Have) != 1 {
		t.Errorf("all platforms: %v", err)
	}
}

// TestDigestBesideTag takes a name by digest away, and no tag that somebody else
// has given the image meanwhile.
func TestDigestBesideTag(t *testing.T) { engines(t, digestBesideTag) }

func digestBesideTag(t *testing.T, e engine) {
	if !e.podman && !e.containerd {
		t.Skip("NOT TESTED: the classic store holds no names by digest")
	}
	f := storetest.NewFixture(t, "index with attestations", salt(t))
	g := f.Graph(t, f.Names[0])
	tagged, pinned, _, _ := image.Pin(f.Names[0] + "@" + g.Root.Desc.Digest.String())
	theirs := image.Repository(tagged) + ":theirs"
	forget(t, e.behind, theirs, pinned, tagged)
	for _, withTheirs := range []bool{true, false} {
		txn, err := e.Begin(t.Context(), image.Import{Graph: g, Names: []string{tagged, pinned}})
		if err == nil {
			err = txn.Write(t.Context(), f.Images, func(int64) {})
		}
		if err == nil {
			_, err = txn.Commit(t.Context())
		}
		if err != nil {
			t.Fatal(err)
		}
		if withTheirs {
			if _, err := e.behind.ImageTag(t.Context(), client.ImageTagOptions{Source: tagged, Target: theirs}); err != nil {
				t.Fatal(err)
			}
		}
		for _, going := range [][]string{{tagged}, {tagged, pinned}} {
			want := e.containerd && !withTheirs && len(going) == 1 // podman keeps it
			if takes, err := e.TakesAlong(t.Context(), tagged, going); err != nil || takes != want {
				t.Errorf("with theirs %t, of %d that go: takes it along: %t, %v", withTheirs, len(going), takes, err)
			}
		}
		for _, name := range []string{tagged, pinned} {
			if err := e.Retag(t.Context(), name, image.Digest{}); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		if got := find(t, e.behind, theirs); (got != image.Digest{}) != withTheirs {
			t.Errorf("their tag is %s", got)
		}
		if withTheirs {
			if err := e.Retag(t.Context(), theirs, image.Digest{}); err != nil {
				t.Error(err)
			}
		}
	}
}

// TestAddress sees an image that it has brought under a name which, as a pattern,
// would fit others.
func TestAddress(t *testing.T) { engines(t, address) }

func address(t *testing.T, e engine) {
	if e.podman {
		t.Skip("NOT TESTED: podman has no such names")
	}
	f := storetest.NewFixture(t, "single manifest", salt(t))
	name := "[::1]:5000/" + strings.ToLower(salt(t)) + ":1"
	forget(t, e.behind, name)
	in := image.Import{Graph: f.Graph(t, f.Names[0]), Names: []string{name}}
	txn, err := e.Begin(t.Context(), in)
	if err != nil && strings.Contains(err.Error(), "invalid reference format") {
		t.Skip("NOT TESTED: an engine that has no such names")
	}
	if err == nil {
		err = txn.Write(t.Context(), f.Images, func(int64) {})
	}
	if err == nil {
		_, err = txn.Commit(t.Context())
	}
	if err == nil {
		err = txn.Look(t.Context())
	}
	if err != nil || !txn.State().Present {
		t.Errorf("%s: it was brought, and is not there: %v", name, err)
	}
}

// TestSharedLayers leaves out what the engine has below an image.
func TestSharedLayers(t *testing.T) { engines(t, sharedLayers) }

func sharedLayers(t *testing.T, e engine) {
	if e.podman || e.containerd {
		t.Skip("NOT TESTED: only the classic store has use for an archive without some layers")
	}
	f := storetest.NewFixture(t, "shared layers", salt(t))
	bring(t, e.Engine, f, f.Names[0])
	forget(t, e.behind, f.Names...)
	txn, err := e.Begin(t.Context(), image.Import{Graph: f.Graph(t, f.Names[1]), Names: f.Names[1:]})
	if err != nil {
		t.Fatal(err)
	}
	layers := f.Graph(t, f.Names[1]).Layers()
	if got := len(txn.State().Need); got != len(layers)-1 {
		t.Errorf("%d of %d layers needed", got, len(layers))
	}
	bring(t, e.Engine, f, f.Names[1])
}

// TestTidy moves names, and removes images that nothing uses.
func TestTidy(t *testing.T) { engines(t, tidy) }

func tidy(t *testing.T, e engine) {
	f1, f2 := storetest.NewFixture(t, "single manifest", salt(t)+"a"), storetest.NewFixture(t, "raw layers", salt(t)+"b")
	name, other := f1.Names[0], f2.Names[0]
	bring(t, e.Engine, f1, name)
	bring(t, e.Engine, f2, other)
	forget(t, e.behind, name, other)
	first, second := find(t, e.behind, name), find(t, e.behind, other)
	var place image.Tidier = e.Engine
	tagged := func(name string, want image.Digest) {
		t.Helper()
		if got, err := place.Tagged(t.Context(), name); err != nil || got != want {
			t.Errorf("%s is %s, expected %s: %v", name, got, want, err)
		}
	}
	tagged(name, first)
	tagged(name+"-none", image.Digest{})
	if err := place.RemoveUnused(t.Context(), first); !errors.Is(err, image.ErrInUse) {
		t.Errorf("removing an image that has a name: %v", err)
	}
	if err := place.Retag(t.Context(), name, second); err != nil {
		t.Fatal(err)
	}
	tagged(name, second)
	for _, last := range []string{other, name} { // beside another name, and without
		if err := place.Untag(t.Context(), last); err != nil {
			t.Fatal(err)
		}
		tagged(last, image.Digest{})
		if held, err := e.behind.ImageInspect(t.Context(), second.String()); err != nil || last == name && len(held.RepoTags) > 0 {
			t.Fatalf("the image of a name that was taken away: %v, %v", held.RepoTags, err)
		}
	}
	if e.host != "" { // nobody else's
		e.noneKept(t)
	}
	for _, again := range []string{name, other} {
		if err := place.Retag(t.Context(), again, second); err != nil {
			t.Fatal(err)
		}
	}
	if err := place.Retag(t.Context(), name, image.SHA256([]byte("none"))); !errors.Is(err, image.ErrNotFound) {
		t.Errorf("naming an image that is not there: %v", err)
	}
	created, err := e.behind.ContainerCreate(t.Context(), client.ContainerCreateOptions{
		Config: &container.Config{Image: first.String(), Cmd: []string{"/none"}}, HostConfig: &container.HostConfig{NetworkMode: "none"},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := place.RemoveUnused(t.Context(), first); !errors.Is(err, image.ErrInUse) {
		t.Errorf("removing an image that a container uses: %v", err)
	}
	if _, err := e.behind.ContainerRemove(t.Context(), created.ID, client.ContainerRemoveOptions{Force: true}); err != nil {
		t.Fatal(err)
	}
	for range 2 { // it may be gone already
		if err := place.RemoveUnused(t.Context(), first); err != nil {
			t.Errorf("removing an image that nothing uses: %v", err)
		}
	}
	if _, err := e.behind.ImageInspect(t.Context(), first.String()); err == nil {
		t.Error("it is still there")
	}
	if err := place.Retag(t.Context(), name, image.Digest{}); err != nil {
		t.Error(err)
	}
	tagged(name, image.Digest{})
	tagged(other, second)
	if n, err := place.Usage(t.Context()); err != nil || n < 0 {
		t.Errorf("usage %d, %v", n, err)
	}
}

// TestPruned has somebody prune images all the time, as hosts do by night: what
// is being imported stays.
func TestPruned(t *testing.T) { private(t, pruned) }

func pruned(t *testing.T, e engine) {
	for how, dangling := range map[string]string{"image prune": "true", "image prune -a": "false"} {
		t.Run(how, func(t *testing.T) {
			const images = 6
			var txns []image.Txn
			var names []string
			ctx, cancel := context.WithCancel(t.Context())
			var loop sync.WaitGroup
			loop.Go(func() {
				for ctx.Err() == nil {
					e.behind.ImagePrune(ctx, client.ImagePruneOptions{Filters: client.Filters{}.Add("dangling", dangling)})
					time.Sleep(300 * time.Millisecond) // without a rest, no engine keeps anything
				}
			})
			defer func() {
				cancel()
				loop.Wait()
				for _, txn := range txns {
					txn.Abort(context.Background())
				}
			}()
			for range images {
				f := storetest.NewFixture(t, "single manifest", salt(t))
				txn, err := e.Begin(t.Context(), image.Import{Graph: f.Graph(t, f.Names[0]), Names: f.Names})
				if err != nil {
					t.Fatal(err)
				}
				txns, names = append(txns, txn), append(names, f.Names...)
				if err := txn.Write(t.Context(), f.Images, func(int64) {}); err != nil {
					t.Fatal(err)
				}
			}
			forget(t, e.behind, names...)
			for _, txn := range txns {
				if err := txn.Look(t.Context()); err != nil || !txn.State().Present {
					t.Errorf("image %s is gone: %v", txn.State().ID, err)
				}
			}
			if dangling == "false" { // which spares nothing that no container uses
				cancel()
				loop.Wait()
			}
			for _, txn := range txns {
				if _, err := txn.Commit(t.Context()); err != nil {
					t.Error(err)
				}
			}
			for _, name := range names {
				if find(t, e.behind, name) == (image.Digest{}) {
					t.Errorf("name %s is not set", name)
				}
			}
			e.noneKept(t)
		})
	}
}

// noneKept fails the test if anything is there that keeps images.
func (e engine) noneKept(t *testing.T) {
	t.Helper()
	kept, err := e.behind.ImageList(t.Context(), client.ImageListOptions{Filters: client.Filters{}.Add("reference", "airgap.invalid/import", "airgap.invalid/rollback")})
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range kept.Items {
		t.Errorf("names are left: %v", i.RepoTags)
	}
	probes, err := e.behind.ContainerList(t.Context(), client.ContainerListOptions{All: true, Filters: client.Filters{}.Add("label", "airgap.probe")})
	if err != nil || len(probes.Items) > 0 {
		t.Errorf("%d containers are left, %v", len(probes.Items), err)
	}
}

// TestSweep removes what killed imports have left, and nothing else.
func TestSweep(t *testing.T) { private(t, sweep) }

func sweep(t *testing.T, e engine) {
	ended := exec.Command("true")
	if err := ended.Run(); err != nil {
		t.Fatal(err)
	}
	named, nameless, running := storetest.NewFixture(t, "single manifest", salt(t)), storetest.NewFixture(t, "raw layers", salt(t)), storetest.NewFixture(t, "docker media types", salt(t))
	var left []string // containers
	var theirs string // a container that an image has given the labels of ours
	for _, f := range []storetest.Fixture{named, nameless, running} {
		bring(t, e.Engine, f, f.Names[0])
		forget(t, e.behind, f.Names[0])
		by := e.again(t)
		if f.Label != running.Label {
			by.Forsaken(docker.ProcessOf(ended.ProcessState.Pid()))
		}
		names, probe, err := by.Probing(t.Context(), e.id(f.Graph(t, f.Names[0])))
		if err != nil {
			t.Fatal(err)
		}
		forget(t, e.behind, names[:]...)
		left = append(left, probe)
		for _, name := range names {
			if _, err := e.behind.ImageTag(t.Context(), client.ImageTagOptions{Source: f.Names[0], Target: name}); err != nil {
				t.Fatal(err)
			}
		}
		if f.Label == named.Label {
			made, err := e.behind.ContainerCreate(t.Context(), client.ContainerCreateOptions{Config: &container.Config{
				Image: f.Names[0], Cmd: []string{"/none"}, Labels: by.Labels(),
			}})
			if err != nil {
				t.Fatal(err)
			}
			theirs = made.ID
		}
		if f.Label == nameless.Label {
			if _, err := e.behind.ImageRemove(t.Context(), f.Names[0], client.ImageRemoveOptions{}); err != nil {
				t.Fatal(err)
			}
		}
	}
	var place image.Sweeper = e.Engine
	for range 2 {
		if err := place.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	for i, f := range []storetest.Fixture{named, nameless, running} {
		result, err := e.behind.ImageInspect(t.Context(), e.id(f.Graph(t, f.Names[0])).String())
		_, probeErr := e.behind.ContainerInspect(t.Context(), left[i], client.ContainerInspectOptions{})
		switch f.Label {
		case named.Label:
			if err != nil || len(result.RepoTags) != 1 || probeErr == nil {
				t.Errorf("an image that has a name: %v, %v, its container: %v", result.RepoTags, err, probeErr)
			}
		case nameless.Label:
			if err == nil || probeErr == nil {
				t.Errorf("an image without another name is still there (%v), its container: %v", result.RepoTags, probeErr)
			}
		case running.Label:
			if err != nil || len(result.RepoTags) != 3 || probeErr != nil {
				t.Errorf("an image of an import that runs: %v, %v, its container: %v", result.RepoTags, err, probeErr)
			}
		}
	}
	for _, stays := range []string{left[2], theirs} {
		if _, err := e.behind.ContainerRemove(t.Context(), stays, client.ContainerRemoveOptions{Force: true}); err != nil {
			t.Error(err)
		}
	}
}

// TestUntagKilled keeps an image whose name was being taken away, and what airgap
// itself has added to that end.
func TestUntagKilled(t *testing.T) { private(t, untagKilled) }

func untagKilled(t *testing.T, e engine) {
	ended := exec.Command("true")
	if err := ended.Run(); err != nil {
		t.Fatal(err)
	}
	for _, taken := range []bool{false, true} { // over, by an image without anything in it
		f := storetest.NewFixture(t, "single manifest", salt(t))
		name := f.Names[0]
		bring(t, e.Engine, f, name)
		forget(t, e.behind, name)
		id := find(t, e.behind, name)
		by := e.again(t)
		by.Forsaken(docker.ProcessOf(ended.ProcessState.Pid()))
		if err := by.Waiting(t.Context(), name, taken); err != nil {
			t.Fatal(err)
		}
		var place image.Sweeper = e.Engine
		for range 2 {
			if err := place.Sweep(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		e.noneKept(t)
		if held, err := e.behind.ImageInspect(t.Context(), id.String()); err != nil || len(held.RepoTags) > 0 {
			t.Errorf("taken over %t: the image: %v, %v", taken, held.RepoTags, err)
		}
		if got, err := e.Tagged(t.Context(), name); err != nil || got != (image.Digest{}) {
			t.Errorf("taken over %t: the name: %s, %v", taken, got, err)
		}
		list, err := e.behind.ImageList(t.Context(), client.ImageListOptions{All: true})
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range list.Items {
			if i.Size < 100 && i.ID != id.String() && len(i.RepoTags) == 0 {
				t.Errorf("taken over %t: image %s without anything in it is left", taken, i.ID)
			}
		}
	}
}

// TestReload brings images again that are there, with their other names, unless
// that would leave a layer as it is.
func TestReload(t *testing.T) { engines(t, reloads) }

func reloads(t *testing.T, e engine) {
	f := storetest.NewFixture(t, "shared layers", salt(t))
	more := f.Names[0] + "-more"
	bring(t, e.Engine, f, f.Names[0])
	forget(t, e.behind, append(f.Names, more)...)
	g := f.Graph(t, f.Names[0])
	if _, err := e.behind.ImageTag(t.Context(), client.ImageTagOptions{Source: f.Names[0], Target: more}); err != nil {
		t.Fatal(err)
	}
	kept := removed{}
	again := func() (image.Txn, error) {
		t.Helper()
		txn, err := e.again(t).Begin(t.Context(), image.Import{Graph: g, Names: f.Names[:1], Reload: true, Removed: kept})
		if err != nil {
			t.Fatal(err)
		}
		if state := txn.State(); state.Present || len(state.Need) != len(g.Layers()) {
			t.Errorf("present: %t, %d of %d layers needed", state.Present, len(state.Need), len(g.Layers()))
		}
		return txn, txn.Write(t.Context(), f.Images, func(int64) {})
	}
	id := find(t, e.behind, f.Names[0])
	there := func(when string) {
		t.Helper()
		for _, name := range []string{f.Names[0], more} {
			if got := find(t, e.behind, name); got != id {
				t.Errorf("%s: %s is %s", when, name, got)
			}
		}
	}
	refused := func(when string) {
		t.Helper()
		txn, err := again()
		if !errors.Is(err, image.ErrInUse) {
			t.Errorf("%s: %v", when, err)
		}
		if err := txn.Abort(t.Context()); err != nil {
			t.Errorf("%s: Abort: %v", when, err)
		}
		there(when)
	}
	created, err := e.behind.ContainerCreate(t.Context(), client.ContainerCreateOptions{
		Config: &container.Config{Image: id.String(), Cmd: []string{"/none"}}, HostConfig: &container.HostConfig{NetworkMode: "none"},
	})
	if err != nil {
		t.Fatal(err)
	}
	refused("a container uses it")
	if _, err := e.behind.ContainerRemove(t.Context(), created.ID, client.ContainerRemoveOptions{Force: true}); err != nil {
		t.Fatal(err)
	}
	bring(t, e.Engine, f, f.Names[1])
	refused("another image has a layer of it")
	if _, err := e.behind.ImageRemove(t.Context(), f.Names[1], client.ImageRemoveOptions{PruneChildren: true}); err != nil {
		t.Fatal(err)
	}
	killed := e.again(t)
	killed.Forsaken("none")
	if _, _, err := killed.Probing(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	txn, err := again()
	if err != nil {
		t.Fatalf("what a killed run has left: %v", err)
	}
	if tags, err := txn.Commit(t.Context()); err != nil || !slices.Equal(tags, []image.Tag{{Name: f.Names[0], Old: id, New: id}}) {
		t.Errorf("tags %v, %v", tags, err)
	}
	there("afterwards")
	if err := txn.Look(t.Context()); err != nil || !txn.State().Present {
		t.Errorf("afterwards it is not there: %v", err)
	}

	txn, err = again()
	if err != nil {
		t.Fatal(err)
	}
	var gone *docker.RemovedError
	if err := txn.Abort(t.Context()); !errors.As(err, &gone) || len(gone.Names) != 2 {
		t.Errorf("Abort: %v", err)
	}
	bring(t, e.Engine, f, f.Names[0]) // another run, which does not know of it
	if txn, err = again(); err == nil {
		_, err = txn.Commit(t.Context())
	}
	if err != nil || len(kept) > 0 {
		t.Errorf("after one that was broken off: %v, %v is kept", err, kept)
	}
	there("after one that was broken off")

	if txn, err = again(); err != nil {
		t.Fatal(err)
	}
	if err := txn.Abort(t.Context()); !errors.As(err, &gone) {
		t.Errorf("Abort: %v", err)
	}
	var place image.Reloader = e.Engine
	if given, err := place.GiveBack(t.Context(), kept); err != nil || len(given) > 0 || len(kept) != 1 {
		t.Errorf("while the image is gone: %q, %v, %v is kept", given, err, kept)
	}
	completes, err := e.again(t).Begin(t.Context(), image.Import{Graph: g, Names: f.Names[:1], Removed: kept})
	if err != nil {
		t.Fatal(err)
	}
	if tags := completes.State().Tags; !slices.Equal(tags, []image.Tag{{Name: f.Names[0], Old: id, New: id}}) {
		t.Errorf("while the image is gone its name is taken for new: %v", tags)
	}
	bring(t, e.Engine, f, f.Names[0]) // another, for whom that is the only name
	if given, err := place.GiveBack(t.Context(), kept); err != nil || len(given) != 1 || len(kept) > 0 {
		t.Errorf("when the image is there: %q, %v, %v is kept", given, err, kept)
	}
	there("when another has brought it")

	if txn, err = again(); err != nil {
		t.Fatal(err)
	}
	theirs := f.Names[0] + "-theirs"
	forget(t, e.behind, theirs)
	if _, err := e.behind.ImageTag(t.Context(), client.ImageTagOptions{Source: id.String(), Target: theirs}); err != nil {
		t.Fatal(err)
	}
	if err := txn.Abort(t.Context()); err != nil || len(kept) > 0 {
		t.Errorf("Abort of what somebody else has named: %v, %v is kept", err, kept)
	}
	there("after Abort, since somebody else has named it")
	if _, err := e.behind.ImageRemove(t.Context(), theirs, client.ImageRemoveOptions{}); err != nil {
		t.Fatal(err)
	}

	other := storetest.NewFixture(t, "single manifest", salt(t))
	if txn, err = again(); err == nil {
		bring(t, e.Engine, other, other.Names[0])
		forget(t, e.behind, other.Names[0])
		_, err = e.behind.ImageTag(t.Context(), client.ImageTagOptions{Source: other.Names[0], Target: more})
	}
	if err == nil {
		_, err = txn.Commit(t.Context())
	}
	if got := find(t, e.behind, more); err != nil || got == id {
		t.Errorf("a name that others have taken meanwhile is %s, %v", got, err)
	}
}

// removed remembers names as long as the test runs.
type removed map[image.Digest][]string

func (r removed) Names(id image.Digest) ([]string, error) { return r[id], nil }

func (r removed) Keep(id image.Digest, names []string) error {
	r[id] = append(r[id], names...)
	return nil
}

func (r removed) All() ([]image.Digest, error) { return slices.Collect(maps.Keys(r)), nil }

func (r removed) Forget(id image.Digest) error {
	delete(r, id)
	return nil
}
