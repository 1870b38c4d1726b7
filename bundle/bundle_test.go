package bundle_test

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-containerregistry/pkg/v1/types"

	"airgap/bundle"
	"airgap/bundle/image"
	"airgap/bundle/store/storetest"
	"airgap/verify"
)

// TestKinds packs every kind of image, in every way that must not matter, and
// reads it back in both forms.
func TestKinds(t *testing.T) {
	if len(kinds) == 0 {
		t.Fatal("no kinds of images to test")
	}
	for name, fill := range kinds {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPlace()
			fill(p)
			file := packed(t, p, all, bundle.WriteOptions{Jobs: 1})
			for _, jobs := range []int{2, 5} {
				if !bytes.Equal(packed(t, p.reversed(), all, bundle.WriteOptions{Jobs: jobs}), file) {
					t.Errorf("packed with %d jobs and names in another order: other bytes", jobs)
				}
			}
			if !bytes.Equal(writtenFile(t, p, bundle.WriteOptions{Jobs: 3}), file) {
				t.Error("a file has other bytes than the stream")
			}
			content := unpacked(t, file)
			for _, form := range [][]byte{file, content} {
				if err := checked(t.Context(), form); err != nil {
					t.Error(err)
				}
			}
			if !bytes.Equal(unpacked(t, packed(t, p, all, bundle.WriteOptions{Level: bundle.Better})), content) {
				t.Error("another level changes the tar")
			}
			checkTar(t, content)
			checkBlobs(t, p, file)
		})
	}
}

// writtenFile packs to a file and checks what stands beside it.
func writtenFile(t *testing.T, p *place, o bundle.WriteOptions) []byte {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, "b.tar.zst")
	plan, err := bundle.NewPlan(t.Context(), []image.Set{p}, all)
	if err != nil {
		t.Fatal(err)
	}
	summary, err := plan.WriteFile(t.Context(), path, o)
	if err != nil {
		t.Fatal(err)
	}
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	sums, err := os.ReadFile(path + ".sha256")
	sum := sha256.Sum256(file)
	if want := hex.EncodeToString(sum[:]) + "  b.tar.zst\n"; err != nil || string(sums) != want || !strings.HasPrefix(want, summary.SHA256) {
		t.Errorf("sums %q, expected %q (%v)", sums, want, err)
	}
	if summary.Size != int64(len(file)) || summary.Content != int64(len(unpacked(t, file))) || summary.Replaced {
		t.Errorf("summary %+v", summary)
	}
	onlyFiles(t, dir, "b.tar.zst", "b.tar.zst.sha256")
	return file
}

func onlyFiles(t *testing.T, dir string, names ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		got = append(got, e.Name())
	}
	if fmt.Sprint(got) != fmt.Sprint(names) {
		t.Errorf("folder holds %q, expected %q", got, names)
	}
}

// checkTar reads the tar as others do, and holds it against the manifest.
func checkTar(t *testing.T, content []byte) {
	t.Helper()
	r := tar.NewReader(bytes.NewReader(content))
	var m bundle.Manifest
	var names []string
	for {
		h, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		raw, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		if h.Typeflag != tar.TypeReg || h.Mode != 0o644 || h.Uid|h.Gid != 0 || h.ModTime.Unix() != 0 || h.Uname != "" {
			t.Errorf("header %+v", h)
		}
		if strings.HasSuffix(h.Name, ".json") && !json.Valid(raw) {
			t.Errorf("%s is not JSON", h.Name)
		}
		if h.Name == "airgap.json" {
			if err := json.Unmarshal(raw, &m); err != nil {
				t.Fatal(err)
			}
			continue
		}
		e := m.Entries[len(names)]
		names = append(names, h.Name)
		if sum := image.SHA256(raw); e.Name != h.Name || e.Size != h.Size || e.SHA256 != sum.Hex {
			t.Errorf("entry %s %d %s, the manifest says %+v", h.Name, h.Size, sum, e)
		}
	}
	if len(names) != len(m.Entries) {
		t.Errorf("the tar holds %d entries, the manifest lists %d", len(names), len(m.Entries))
	}
}

// checkBlobs reads every blob through the bundle, by itself.
func checkBlobs(t *testing.T, p *place, file []byte) {
	t.Helper()
	b, err := bundle.Open(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		t.Fatal(err)
	}
	for _, blob := range b.Manifest().Blobs {
		want := p.blobs[blob.Digest]
		r, err := b.Fetch(t.Context(), blob.Descriptor())
		if err != nil {
			t.Fatal(err)
		}
		if len(want) < 100_000 {
			err = iotest.TestReader(r, want)
		} else {
			var got []byte
			if got, err = io.ReadAll(r); err == nil && !bytes.Equal(got, want) {
				err = errors.New("other bytes")
			}
		}
		if err != nil {
			t.Errorf("blob %s: %v", blob.Digest, err)
		}
		r.Close()
	}
	if _, err := b.Fetch(t.Context(), image.Descriptor{Digest: image.SHA256([]byte("absent"))}); !errors.Is(err, image.ErrNotFound) {
		t.Errorf("absent blob: %v", err)
	}
}

// TestPlatforms leaves out what was not asked for, and says so.
func TestPlatforms(t *testing.T) {
	p := newPlace()
	kinds["index with attestations"](p)
	plan, err := bundle.NewPlan(t.Context(), []image.Set{p}, image.Platforms{List: []image.Platform{arm64}})
	if err != nil {
		t.Fatal(err)
	}
	if img := plan.Images[0]; fmt.Sprint(img.Platforms) != "[linux/arm64]" || len(img.Left) != 2 || img.Digest != p.roots[0].Desc.Digest {
		t.Errorf("planned %+v", img)
	}
	var buf bytes.Buffer
	if _, err := plan.WriteTo(t.Context(), &buf, bundle.WriteOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := checked(t.Context(), buf.Bytes()); err != nil {
		t.Error(err)
	}
	_, err = bundle.NewPlan(t.Context(), []image.Set{p}, image.Platforms{List: []image.Platform{{OS: "linux", Architecture: "s390x"}}})
	var missing *image.PlatformError
	if !errors.As(err, &missing) || len(missing.Have) != 2 {
		t.Errorf("a platform that is not there: %v", err)
	}
}

// TestIncompleteAttestation is carried as if it were not there.
func TestIncompleteAttestation(t *testing.T) {
	p := newPlace()
	kinds["index with attestations"](p)
	for d, b := range p.blobs {
		if bytes.HasPrefix(b, []byte(`{"statement"`)) {
			delete(p.blobs, d)
		}
	}
	plan, err := bundle.NewPlan(t.Context(), []image.Set{p}, all)
	if err != nil {
		t.Fatal(err)
	}
	if left := plan.Images[0].Left; len(left) != 2 || !strings.Contains(left[0].Reason, "not complete") {
		t.Errorf("left out: %+v", left)
	}
	if err := checked(t.Context(), packed(t, p, all, bundle.WriteOptions{})); err != nil {
		t.Error(err)
	}
}

// TestRefused are images that cannot be carried; each is named.
func TestRefused(t *testing.T) {
	for name, c := range map[string]struct {
		fill func(p *place)
		want string
	}{
		"schema 1": {func(p *place) {
			p.name("docker.io/library/old:1", p.addJSON(types.DockerManifestSchema1Signed, map[string]any{"schemaVersion": 1, "fsLayers": []string{}}))
		}, "schema 1"},
		"layer at a URL only": {func(p *place) {
			l := p.layer(1, 100, types.DockerForeignLayer, gzipped)
			l.desc.URLs = []string{"https://example.com/layer"}
			delete(p.blobs, l.desc.Digest)
			p.name("docker.io/library/old:1", p.manifest(amd64, "", l))
		}, "address of its vendor"},
		"missing manifest": {func(p *place) {
			root := p.manifest(amd64, "")
			delete(p.blobs, root.Digest)
			p.name("docker.io/library/old:1", root)
		}, "not found"},
		"missing layer": {func(p *place) {
			l := p.gzip(1, 100)
			delete(p.blobs, l.desc.Digest)
			p.name("docker.io/library/old:1", p.manifest(amd64, "", l))
		}, "not found"},
		"missing large layer": {func(p *place) {
			l := p.gzip(1, 1<<20)
			delete(p.blobs, l.desc.Digest)
			p.name("docker.io/library/old:1", p.manifest(amd64, "", l))
		}, "not found"},
		"too few diffIDs": {func(p *place) {
			config := p.addJSON(types.OCIConfigJSON, map[string]any{"os": "linux", "architecture": "amd64", "rootfs": map[string]any{"diff_ids": []string{}}})
			p.name("docker.io/library/old:1", p.addJSON(types.OCIManifestSchema1, map[string]any{
				"schemaVersion": 2, "config": config, "layers": []image.Descriptor{p.gzip(1, 10).desc}}))
		}, "0 diffIDs for 1 layers"},
		"two images of one name": {func(p *place) {
			p.name("docker.io/library/old:1", p.manifest(amd64, "a"))
			p.name("docker.io/library/old:1", p.manifest(amd64, "b"))
		}, "two places that disagree"},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlace()
			c.fill(p)
			dir := t.TempDir()
			plan, err := bundle.NewPlan(t.Context(), []image.Set{p}, all)
			if err == nil {
				_, err = plan.WriteFile(t.Context(), filepath.Join(dir, "b.tar.zst"), bundle.WriteOptions{})
			}
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "old:1") {
				t.Errorf("error %v, expected one about old:1 and %q", err, c.want)
			}
			onlyFiles(t, dir)
		})
	}
}

// TestSourceFails ends the pack, without a file and without a temporary.
func TestSourceFails(t *testing.T) {
	boom := errors.New("boom")
	for name, read := range map[string]func(image.Descriptor, io.Reader) io.Reader{
		"error in a blob": func(d image.Descriptor, r io.Reader) io.Reader {
			return io.MultiReader(io.LimitReader(r, d.Size/2), iotest.ErrReader(boom))
		},
		"early end":     func(d image.Descriptor, r io.Reader) io.Reader { return io.LimitReader(r, d.Size-1) },
		"more than all": func(_ image.Descriptor, r io.Reader) io.Reader { return io.MultiReader(r, strings.NewReader("x")) },
		"other bytes":   func(_ image.Descriptor, r io.Reader) io.Reader { return &flipper{r: r} },
	} {
		for _, kind := range []string{"one layer", "raw and gzip", "layer that is not as packed as it says"} {
			t.Run(name+", "+kind, func(t *testing.T) {
				p := newPlace()
				kinds[kind](p)
				plan, err := bundle.NewPlan(t.Context(), []image.Set{p}, all)
				if err != nil {
					t.Fatal(err)
				}
				p.read = read
				dir := t.TempDir()
				_, err = plan.WriteFile(t.Context(), filepath.Join(dir, "b.tar.zst"), bundle.WriteOptions{Jobs: 2})
				var wrong *image.DigestError
				if !errors.Is(err, boom) && !errors.As(err, &wrong) {
					t.Errorf("error %v", err)
				}
				onlyFiles(t, dir)
			})
		}
	}
}

// flipper changes the last byte that it reads.
type flipper struct{ r io.Reader }

func (f *flipper) Read(p []byte) (int, error) {
	n, err := f.r.Read(p)
	if n > 0 {
		p[n-1] ^= 1
	}
	return n, err
}

// TestCanceled ends the pack likewise.
func TestCanceled(t *testing.T) {
	p := newPlace()
	kinds["raw and gzip"](p)
	plan, err := bundle.NewPlan(t.Context(), []image.Set{p}, all)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	dir := t.TempDir()
	_, err = plan.WriteFile(ctx, filepath.Join(dir, "b.tar.zst"), bundle.WriteOptions{Progress: func(int64) { cancel() }})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	onlyFiles(t, dir)
}

// TestExisting replaces a file, or does not.
func TestExisting(t *testing.T) {
	p := newPlace()
	kinds["one layer"](p)
	dir := t.TempDir()
	path := filepath.Join(dir, "b.tar.zst")
	write := func(o bundle.WriteOptions) (bundle.Summary, error) {
		plan, err := bundle.NewPlan(t.Context(), []image.Set{p}, all)
		if err != nil {
			t.Fatal(err)
		}
		return plan.WriteFile(t.Context(), path, o)
	}
	if s, err := write(bundle.WriteOptions{NoClobber: true}); err != nil || s.Replaced {
		t.Fatalf("%+v %v", s, err)
	}
	if _, err := write(bundle.WriteOptions{NoClobber: true}); !errors.Is(err, fs.ErrExist) {
		t.Errorf("no clobber: %v", err)
	}
	if s, err := write(bundle.WriteOptions{}); err != nil || !s.Replaced {
		t.Errorf("%+v %v", s, err)
	}
	onlyFiles(t, dir, "b.tar.zst", "b.tar.zst.sha256")
	for _, left := range []string{".b.tar.zst.1234.partial", ".b.tar.zst.sha256.5.partial"} { // by runs that were killed
		if err := os.WriteFile(filepath.Join(dir, left), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := write(bundle.WriteOptions{}); err != nil {
		t.Error(err)
	}
	onlyFiles(t, dir, "b.tar.zst", "b.tar.zst.sha256")
	path = dir
	if _, err := write(bundle.WriteOptions{}); err == nil {
		t.Error("a folder was taken for an output file")
	}
}

// TestSumsInTheWay has no sums written, which is not to say that the bundle has not
// been.
func TestSumsInTheWay(t *testing.T) {
	p := newPlace()
	kinds["one layer"](p)
	plan, err := bundle.NewPlan(t.Context(), []image.Set{p}, all)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "b.tar.zst")
	_, err = plan.WriteFile(t.Context(), path, bundle.WriteOptions{
		Before: func() error { return os.MkdirAll(path+".sha256/of somebody", 0o700) },
	})
	var written *bundle.WrittenError
	if !errors.As(err, &written) || written.Sums || written.Unsure {
		t.Errorf("the sums cannot be written: %+v, %v", written, err)
	}
	if err := os.RemoveAll(path + ".sha256"); err != nil {
		t.Fatal(err)
	}
	onlyFiles(t, filepath.Dir(path), "b.tar.zst")
}

// TestVerifyFindsLies packs layers that are not what their images say: the
// bundle is whole, but not sound.
func TestVerifyFindsLies(t *testing.T) {
	p := newPlace()
	l := p.gzip(1, 100_000)
	l.id = image.SHA256([]byte("something else"))
	p.name("docker.io/library/a:1", p.manifest(amd64, "", l))
	err := checked(t.Context(), packed(t, p, all, bundle.WriteOptions{}))
	var wrong *image.WrongLayerError
	if !errors.As(err, &wrong) || !strings.Contains(err.Error(), "diffID") {
		t.Errorf("a layer with another diffID: %v", err)
	}
}

// TestLevels leaves diffIDs to an engine if it is told to.
func TestLevels(t *testing.T) {
	p := newPlace()
	l := p.gzip(1, 100_000)
	l.id = image.SHA256([]byte("something else"))
	p.name("docker.io/library/a:1", p.manifest(amd64, "", l))
	file := packed(t, p, all, bundle.WriteOptions{})
	b, err := bundle.Open(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		t.Fatal(err)
	}
	docs, err := verify.Read(t.Context(), b)
	if err != nil {
		t.Fatal(err)
	}
	if _, report, err := verify.Check(t.Context(), docs, verify.Policy{Level: verify.Digests}); err != nil || report.DiffIDs {
		t.Errorf("%+v %v", report, err)
	}
}

// TestReferrers carries what belongs to an image, and to that in turn, once;
// what is not complete is left out by name.
func TestReferrers(t *testing.T) {
	s := storetest.NewSigned("bundle")
	open := func(names ...string) image.Set {
		set, err := s.Images.Open(t.Context(), names, all)
		if err != nil {
			t.Fatal(err)
		}
		return set
	}
	plan, err := bundle.NewPlan(t.Context(), []image.Set{open(s.Names[0], s.Names[1], s.Names[0])}, all)
	if err != nil {
		t.Fatal(err)
	}
	if len(plan.Images) != 4 || len(plan.Images[0].Of) != 0 {
		t.Fatalf("the plan holds %+v", plan.Images)
	}
	for _, img := range plan.Images[1:] {
		if !slices.Equal(img.Of, []string{image.Familiar(s.Names[0])}) || img.Type == "" {
			t.Errorf("%s %s belongs to %q", img.Type, img.Digest, img.Of)
		}
	}
	file := packed(t, open(s.Names[0]), all, bundle.WriteOptions{})
	if err := checked(t.Context(), file); err != nil {
		t.Error(err)
	}
	if tar := unpacked(t, file); !bytes.Contains(tar, []byte(`"RepoTags":["airgap-test/signed:bundle"]`)) || bytes.Contains(tar, []byte(`.sig"]`)) {
		t.Error("manifest.json is not that of the image alone")
	}

	// For one platform, the other's are not asked for.
	narrow := image.Platforms{List: []image.Platform{storetest.Other}}
	if plan, err = bundle.NewPlan(t.Context(), []image.Set{open(s.Names[0])}, narrow); err != nil || len(plan.Images) != 2 {
		t.Errorf("%d images, error %v", len(plan.Images), err)
	}

	g := s.Graphs(t)[2]
	s.Images.Lose(g.Layers()[1].Digest) // the first is a config that others have too
	if plan, err = bundle.NewPlan(t.Context(), []image.Set{open(s.Names[0])}, all); err != nil {
		t.Fatal(err)
	}
	if left := plan.Images[0].Left; len(plan.Images) != 2 || len(left) != 1 || left[0].Desc.Digest != s.SBOM.Desc.Digest {
		t.Errorf("%d images, left out: %+v", len(plan.Images), left)
	}
}

// endless is a set in which each artifact has more that refer to it.
type endless struct {
	image.Set
	place *storetest.Memory
	made  int
}

func (e *endless) Referrers(_ context.Context, g *image.Graph) (roots []image.Root, err error) {
	for range 10 {
		e.made++
		roots = append(roots, image.Root{Desc: e.place.Artifact(&g.Root.Desc, "application/x-more", fmt.Sprint(e.made))})
	}
	return roots, nil
}

// TestEndlessReferrers: what refers to an image is followed so far and no further.
func TestEndlessReferrers(t *testing.T) {
	s := storetest.NewSigned("endless")
	set, err := s.Images.Open(t.Context(), s.Names[:1], all)
	if err != nil {
		t.Fatal(err)
	}
	more := &endless{Set: set, place: s.Images}
	var refused *image.ReferrersError
	if _, err := bundle.NewPlan(t.Context(), []image.Set{more}, all); !errors.As(err, &refused) || more.made > 100_000 {
		t.Errorf("%d were made: %v", more.made, err)
	}
}

// TestNamesByDigest carries the names of GitOps: with a tag and a digest an image
// has two names, and a reader must know such names.
func TestNamesByDigest(t *testing.T) {
	fill := func(names ...string) *place {
		p := newPlace()
		a, b := p.manifest(amd64, "a", p.gzip(1, 1000)), p.manifest(amd64, "b", p.gzip(2, 1000))
		for _, name := range names {
			root := a
			if strings.HasPrefix(name, "B") {
				root = b
			}
			p.name(strings.NewReplacer("A", a.Digest.String(), "B", b.Digest.String()).Replace("docker.io/library/"+name[1:]), root)
		}
		return p
	}
	for name, c := range map[string]struct {
		asked []string
		want  []string // after docker.io/library/, sorted
		lost  int
	}{
		"a tag":                    {[]string{"Ax:1"}, []string{"x:1"}, 0},
		"a digest":                 {[]string{"Ax@A"}, []string{"x@A"}, 0},
		"both":                     {[]string{"Ax:1@A"}, []string{"x:1", "x@A"}, 0},
		"in parts":                 {[]string{"Ax@A", "Ax:1", "Ax:1@A"}, []string{"x:1", "x@A"}, 0},
		"a tag pinned twice":       {[]string{"Ax:1@A", "Bx:1@B"}, []string{"x@A", "x@B"}, 2},
		"a tag that went on":       {[]string{"Bx:1@B", "Ax:1"}, []string{"x:1", "x@B"}, 1},
		"a tag of two pins, moved": {[]string{"Bx:1@B", "Ax:1@A", "Ax:1"}, []string{"x:1", "x@A", "x@B"}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			p := fill(c.asked...)
			plan, err := bundle.NewPlan(t.Context(), []image.Set{p}, all)
			if err != nil {
				t.Fatal(err)
			}
			lost := 0
			for _, img := range plan.Images {
				lost += len(img.Lost)
			}
			if lost != c.lost {
				t.Errorf("%d names lost, expected %d: %+v", lost, c.lost, plan.Images)
			}
			file := packed(t, p, all, bundle.WriteOptions{})
			if !bytes.Equal(unpacked(t, file), unpacked(t, packed(t, p.reversed(), all, bundle.WriteOptions{}))) {
				t.Error("in another order it is another bundle")
			}
			if err := checked(t.Context(), file); err != nil {
				t.Fatal(err)
			}
			b, err := bundle.Open(bytes.NewReader(file), int64(len(file)))
			if err != nil {
				t.Fatal(err)
			}
			var names, wanted []string
			for _, img := range b.Manifest().Images {
				names = append(names, img.Name)
			}
			for _, q := range fill(prefixed(c.want)...).roots {
				wanted = append(wanted, q.Name)
			}
			slices.Sort(wanted)
			if !slices.Equal(names, wanted) {
				t.Errorf("names %q, expected %q", names, wanted)
			}
			pinned := strings.Contains(strings.Join(c.want, " "), "@")
			if required := slices.Equal(b.Manifest().Requires, []string{"names-by-digest"}); required != pinned {
				t.Errorf("requires %q", b.Manifest().Requires)
			}
			if tags := regexp.MustCompile(`"RepoTags":\[[^]]*@`); tags.Match(unpacked(t, file)) {
				t.Error("manifest.json has names by digest")
			}
		})
	}
	if _, err := bundle.NewPlan(t.Context(), []image.Set{fill("Ax:1", "Bx:1")}, all); err == nil {
		t.Error("two images got one tag")
	}
}

// prefixed marks names as those of the image whose digest they have, or of A.
func prefixed(names []string) []string {
	var list []string
	for _, name := range names {
		mark := "A"
		if strings.HasSuffix(name, "@B") {
			mark = "B"
		}
		list = append(list, mark+name)
	}
	return list
}

// TestNotTheLayer: what is not compressed is another layer than the one asked for, and
// says nothing of the image.
func TestNotTheLayer(t *testing.T) {
	for _, size := range []int{1000, 100_000, 10 << 20} {
		p := newPlace()
		l := p.gzip(1, size)
		p.name("docker.io/library/a:1", p.manifest(amd64, "", l))
		plan, err := bundle.NewPlan(t.Context(), []image.Set{p}, all)
		if err != nil {
			t.Fatal(err)
		}
		p.blobs[l.desc.Digest] = make([]byte, 2*size)
		_, err = plan.WriteFile(t.Context(), filepath.Join(t.TempDir(), "b"), bundle.WriteOptions{})
		var wrong *image.WrongLayerError
		if err == nil || errors.As(err, &wrong) {
			t.Errorf("%d bytes: %v", size, err)
		}
	}
}

// TestPlainLayers: that a layer which is not compressed is not what its config
// says is seen when it is packed, from wherever it comes.
func TestPlainLayers(t *testing.T) {
	for _, size := range []int{1000, 100_000} {
		for name, fill := range map[string]func(p *place) testLayer{
			"raw":                        func(p *place) testLayer { return p.raw(1, size) },
			"raw, said to be compressed": func(p *place) testLayer { return p.layer(1, size, types.OCILayer, func(b []byte) []byte { return b }) },
		} {
			p := newPlace()
			l := fill(p)
			l.id = image.SHA256([]byte("other content"))
			p.name("docker.io/library/a:1", p.manifest(amd64, "", p.gzip(2, 1000), l))
			for from, set := range map[string]image.Set{"place": p, "engine": &engine{place: p}} {
				plan, err := bundle.NewPlan(t.Context(), []image.Set{set}, all)
				if err != nil {
					t.Fatal(err)
				}
				path := filepath.Join(t.TempDir(), "b")
				_, err = plan.WriteFile(t.Context(), path, bundle.WriteOptions{})
				var wrong *image.WrongLayerError
				if !errors.As(err, &wrong) || wrong.Layer != l.desc.Digest || !slices.Equal(wrong.Images, []string{"a:1"}) {
					t.Errorf("%s of %d bytes from a %s: %v", name, size, from, err)
				}
				if left, _ := os.ReadDir(filepath.Dir(path)); len(left) != 0 {
					t.Errorf("%s of %d bytes from a %s: %v is left", name, size, from, left)
				}
			}
		}
	}
}
