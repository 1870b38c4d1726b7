//go:build linux

package containerd_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"airgap/bundle/image"
	"airgap/bundle/store/containerd"
	"airgap/bundle/store/storetest"
)

// start runs a containerd with a folder of its own until the test ends.
func start(t *testing.T) (address string) {
	t.Helper()
	program, err := exec.LookPath("containerd")
	if err == nil && os.Getuid() != 0 {
		err = errors.New("only root can run it")
	}
	storetest.Require(t, "containerd", err == nil, fmt.Sprint(err))
	dir := t.TempDir()
	address = filepath.Join(dir, "c.sock")
	config := filepath.Join(dir, "config.toml")
	if err := os.WriteFile(config, []byte("version = 2\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	answers := func() bool {
		conn, err := net.Dial("unix", address)
		if err == nil {
			conn.Close()
		}
		return err == nil
	}
	out, up := storetest.Serve(t, answers, program,
		"--config", config, "--root", filepath.Join(dir, "root"), "--state", filepath.Join(dir, "state"), "--address", address)
	if !up {
		t.Fatalf("containerd ended: %s", out)
	}
	return address
}

// behind is a look at containerd that does not use the code under test.
func behind(t *testing.T, address string) *client.Client {
	t.Helper()
	c, err := client.New(address, client.WithDefaultNamespace("airgap-test"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// TestSinks runs the suite of destinations.
func TestSinks(t *testing.T) {
	address := start(t)
	c := behind(t, address)
	storetest.Sinks{
		Salt: "containerd",
		New: func(t *testing.T) storetest.SinkPlace {
			sink, err := containerd.Open(t.Context(), containerd.Options{Address: address, Namespace: "airgap-test"})
			if err != nil {
				t.Fatal(err)
			}
			return storetest.SinkPlace{
				Sink: sink, Platform: sink.Platform(), Named: true,
				Find: func(t *testing.T, name string) image.Digest {
					img, err := c.ImageService().Get(context.Background(), name)
					if errdefs.IsNotFound(err) {
						return image.Digest{}
					}
					if err != nil {
						t.Fatal(err)
					}
					return image.Digest{Algorithm: "sha256", Hex: img.Target.Digest.Encoded()}
				},
				Check: func(t *testing.T, f storetest.Fixture, g *image.Graph) {
					for _, d := range append(g.Documents(), g.Layers()...) {
						info, err := c.ContentStore().Info(t.Context(), digest.Digest(d.Digest.String()))
						if err != nil || info.Size != d.Size {
							t.Errorf("content %s: %v, %v", d.Digest, info, err)
						}
					}
				},
				Left: func(t *testing.T, g *image.Graph) (left []string) {
					for _, d := range append(g.Documents(), g.Layers()...) {
						if _, err := c.ContentStore().Info(context.Background(), digest.Digest(d.Digest.String())); err == nil {
							left = append(left, d.Digest.String())
						}
					}
					return left
				},
				Remove: func(t *testing.T, g *image.Graph) {
					if err := c.ContentStore().Delete(t.Context(), digest.Digest(g.Layers()[0].Digest.String())); err != nil {
						t.Fatal(err)
					}
				},
				Point: func(t *testing.T, name string, g *image.Graph) {
					root := g.Root.Desc
					img := images.Image{Name: name, Target: ocispec.Descriptor{
						MediaType: string(root.MediaType), Digest: digest.Digest(root.Digest.String()), Size: root.Size,
					}}
					_, err := c.ImageService().Create(t.Context(), img)
					if errdefs.IsAlreadyExists(err) {
						_, err = c.ImageService().Update(t.Context(), img)
					}
					if err != nil {
						t.Fatal(err)
					}
				},
			}
		},
	}.Run(t)
}

// TestGoneFile finds out that the file of a blob is gone, which containerd does
// not know, and brings it again.
func TestGoneFile(t *testing.T) {
	address := start(t)
	f := storetest.NewFixture(t, "single manifest", "gone")
	g := f.Graph(t, f.Names[0])
	sink, err := containerd.Open(t.Context(), containerd.Options{Address: address, Namespace: "airgap-test"})
	if err != nil {
		t.Fatal(err)
	}
	defer sink.Close()
	bring := func() image.State {
		t.Helper()
		txn, err := sink.Begin(t.Context(), image.Import{Graph: g, Names: f.Names})
		if err != nil {
			t.Fatal(err)
		}
		state := txn.State()
		if err = txn.Write(t.Context(), f.Images, func(int64) {}); err == nil {
			_, err = txn.Commit(t.Context())
		}
		if err != nil {
			t.Fatal(err)
		}
		return state
	}
	bring()
	file := filepath.Join(filepath.Dir(address), "root", "io.containerd.content.v1.content", "blobs", "sha256", g.Layers()[0].Digest.Hex)
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if state := bring(); state.Present || len(state.Need) != 1 {
		t.Errorf("present: %t, %d blobs needed", state.Present, len(state.Need))
	}
	if _, err := os.Stat(file); err != nil {
		t.Error(err)
	}
	if state := bring(); !state.Present {
		t.Error("it is not there")
	}
}
