package docker_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/moby/moby/client"

	"airgap/bundle/image"
	"airgap/bundle/store/docker"
	"airgap/bundle/store/storetest"
)

// engine connects to the real engine, twice: as airgap does, and behind its back.
func engine(t *testing.T) (*docker.Engine, *client.Client) {
	t.Helper()
	e, err := docker.Open(t.Context(), docker.Options{})
	storetest.Require(t, "docker", err == nil, fmt.Sprint(err))
	t.Cleanup(func() { e.Close() })
	c, err := client.New(client.FromEnv)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return e, c
}

// salt is one that no other run has.
func salt() string { return fmt.Sprintf("t%x", time.Now().UnixNano()) }

// forget removes what tests brought, by name and by ID.
func forget(t *testing.T, c *client.Client, refs ...string) {
	t.Cleanup(func() {
		for _, ref := range refs {
			c.ImageRemove(context.Background(), ref, client.ImageRemoveOptions{Force: true, PruneChildren: true})
		}
	})
}

// TestSinks runs the suite of destinations on the engine.
func TestSinks(t *testing.T) {
	e, c := engine(t)
	storetest.Sinks{
		Salt: salt(),
		New: func(t *testing.T) storetest.SinkPlace {
			sink, err := docker.Open(t.Context(), docker.Options{})
			if err != nil {
				t.Fatal(err)
			}
			return storetest.SinkPlace{
				Sink: sink, Platform: e.Platform(),
				Find: func(t *testing.T, name string) image.Digest { return find(t, c, name) },
				Check: func(t *testing.T, f storetest.Fixture, g *image.Graph) {
					m, _ := g.For(e.Platform())
					i, err := c.ImageInspect(t.Context(), m.Config.Digest.String())
					if err != nil || len(i.RootFS.Layers) != len(m.DiffIDs) {
						t.Errorf("the engine holds %v, %v", i.RootFS.Layers, err)
					}
				},
				Left: func(t *testing.T, g *image.Graph) []string {
					m, ok := g.For(e.Platform())
					if !ok {
						return nil
					}
					if _, err := c.ImageInspect(t.Context(), m.Config.Digest.String()); err == nil {
						return []string{m.Config.Digest.String()}
					}
					return nil
				},
			}
		},
	}.Run(t)
	removeAll(t, c)
}

// removeAll removes all images of the suites.
func removeAll(t *testing.T, c *client.Client) {
	list, err := c.ImageList(t.Context(), client.ImageListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, item := range list.Items {
		for _, tag := range item.RepoTags {
			if strings.HasPrefix(tag, "airgap-test/") {
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

// TestStreamers runs the suite of streaming sources on the engine.
func TestStreamers(t *testing.T) {
	e, c := engine(t)
	storetest.Streamers{
		Salt: salt(),
		Skip: func(f storetest.Fixture) string {
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
				bring(t, e, f, name)
				forget(t, c, name)
			}
			source, err := docker.Open(t.Context(), docker.Options{})
			if err != nil {
				t.Fatal(err)
			}
			return storetest.StreamPlace{Source: source, Origin: docker.Origin, DigestLost: true}
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
func TestNames(t *testing.T) {
	e, c := engine(t)
	f := storetest.NewFixture(t, "single manifest", salt())
	bring(t, e, f, f.Names[0])
	forget(t, c, f.Names[0])
	id := find(t, c, f.Names[0])
	for given, want := range map[string]string{f.Names[0]: f.Names[0], image.Familiar(f.Names[0]): f.Names[0], id.String(): "", id.Hex[:12]: ""} {
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

// TestSharedLayers leaves out what the engine has below an image.
func TestSharedLayers(t *testing.T) {
	e, c := engine(t)
	f := storetest.NewFixture(t, "shared layers", salt())
	bring(t, e, f, f.Names[0])
	forget(t, c, f.Names...)
	txn, err := e.Begin(t.Context(), image.Import{Graph: f.Graph(t, f.Names[1]), Names: f.Names[1:]})
	if err != nil {
		t.Fatal(err)
	}
	layers := f.Graph(t, f.Names[1]).Layers()
	if got := len(txn.State().Need); got != len(layers)-1 {
		t.Errorf("%d of %d layers needed", got, len(layers))
	}
	bring(t, e, f, f.Names[1])
}
