package load_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"airgap/bundle"
	"airgap/bundle/image"
	"airgap/bundle/store/storetest"
	"airgap/verify"
	"airgap/verify/load"
)

var all = image.Platforms{All: true}

// documents packs a fixture and reads the bundle's documents.
func documents(t *testing.T, f storetest.Fixture) *verify.Documents {
	t.Helper()
	set, err := f.Images.Open(t.Context(), f.Names, all)
	if err != nil {
		t.Fatal(err)
	}
	plan, err := bundle.NewPlan(t.Context(), []image.Set{set}, all)
	if err != nil {
		t.Fatal(err)
	}
	var buf bytes.Buffer
	if _, err := plan.WriteTo(t.Context(), &buf, bundle.WriteOptions{TempDir: t.TempDir()}); err != nil {
		t.Fatal(err)
	}
	b, err := bundle.Open(bytes.NewReader(buf.Bytes()), int64(buf.Len()))
	if err != nil {
		t.Fatal(err)
	}
	docs, err := verify.Read(t.Context(), b)
	if err != nil {
		t.Fatal(err)
	}
	return docs
}

func verified(t *testing.T, docs *verify.Documents) *verify.Verified {
	t.Helper()
	v, _, err := verify.Check(t.Context(), docs, verify.Policy{})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// TestRun imports every fixture, twice: the second time there is nothing to do.
func TestRun(t *testing.T) {
	fixtures := storetest.Fixtures("run")
	if len(fixtures) == 0 {
		t.Fatal("no fixtures")
	}
	for _, f := range fixtures {
		t.Run(f.Label, func(t *testing.T) {
			docs := documents(t, f)
			sink := storetest.NewMemory()
			plan, err := load.NewPlan(t.Context(), sink, docs, load.Options{})
			if err != nil {
				t.Fatal(err)
			}
			if plan.Unchanged() || len(sink.Digests()) != 0 {
				t.Error("planning has changed something, or sees no need to")
			}
			if _, err := plan.Run(t.Context(), verified(t, docs), load.RunOptions{Parallel: 2}); err != nil {
				t.Fatal(err)
			}
			for _, name := range f.Names {
				want, _ := f.Images.Find(name)
				if got, ok := sink.Find(name); !ok || got.Digest != want.Digest {
					t.Errorf("%s is %s, expected %s", name, got.Digest, want.Digest)
				}
			}
			again, err := load.NewPlan(t.Context(), sink, docs, load.Options{})
			if err != nil || !again.Unchanged() || again.Need() != 0 {
				t.Errorf("the second time there is still something to do (%v)", err)
			}
		})
	}
}

// TestProgress adds up to what the plan needs.
func TestProgress(t *testing.T) {
	docs := documents(t, storetest.NewFixture(t, "single manifest", "progress"))
	plan, err := load.NewPlan(t.Context(), storetest.NewMemory(), docs, load.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var fed, settled int64
	_, err = plan.Run(t.Context(), verified(t, docs), load.RunOptions{
		Fed: func(n int64) { fed += n }, Settled: func(n int64) { settled += n },
	})
	if err != nil || fed != plan.Need() || settled != plan.Need() || fed == 0 {
		t.Errorf("fed %d, settled %d, needed %d, %v", fed, settled, plan.Need(), err)
	}
}

// TestFails leaves no name and no blob behind, wherever a place fails before
// the first name is set; the error says so where it is otherwise.
func TestFails(t *testing.T) {
	f := storetest.NewFixture(t, "shared layers", "fails")
	docs := documents(t, f)
	v := verified(t, docs)
	var commit *load.CommitError
	var flush *load.FlushError
	var abort *load.AbortError
	for calls, want := range map[string]any{ // what the error is, if it is not that all has been taken back
		"begin 1": nil, "begin 2": nil, "write 1": nil, "write 2": nil, "flush 1": nil,
		"write 2, abort 1": &abort, "flush 1, abort 2": &abort,
		"commit 1": nil, "commit 2": &commit, "commit 2, abort 2": &commit, "flush 2": &flush,
	} {
		t.Run(calls, func(t *testing.T) {
			memory := storetest.NewMemory()
			sink := storetest.NewFaults(t, refused(t, calls)...).Sink(memory)
			plan, err := load.NewPlan(t.Context(), sink, docs, load.Options{})
			if err == nil {
				_, err = plan.Run(t.Context(), v, load.RunOptions{})
			}
			if !errors.Is(err, storetest.ErrInjected) {
				t.Fatalf("error %v", err)
			}
			for _, kind := range []any{&commit, &flush, &abort} {
				if errors.As(err, kind) != (kind == want) {
					t.Errorf("error %v is %T: %t", err, kind, kind != want)
				}
			}
			names, left := len(memory.Names()), len(memory.Digests()) > 0
			switch want {
			case nil:
				if names != 0 || left {
					t.Errorf("names %q and %d blobs are left", memory.Names(), len(memory.Digests()))
				}
			case &abort:
				if names != 0 || !left || !errors.Is(abort.Left, storetest.ErrInjected) {
					t.Errorf("names %q, something left %t, %v", memory.Names(), left, abort.Left)
				}
			case &commit:
				if names != len(commit.Done) {
					t.Errorf("%d names are set, the error says %d", names, len(commit.Done))
				}
				if said := commit.Left != nil; said != strings.Contains(calls, "abort") {
					t.Errorf("something is left: %t", said)
				}
			case &flush:
				if names != len(f.Names) {
					t.Errorf("only %d names are set", names)
				}
			}
		})
	}
}

// refused reads faults, such as "write 2, abort 1".
func refused(t *testing.T, calls string) (faults []storetest.Fault) {
	t.Helper()
	for call := range strings.SplitSeq(calls, ", ") {
		fault := storetest.Fault{Kind: storetest.Refused}
		if _, err := fmt.Sscanf(call, "%s %d", &fault.Call, &fault.Nth); err != nil {
			t.Fatal(err)
		}
		faults = append(faults, fault)
	}
	return faults
}

// TestNoReplace refuses to move a name, before anything is written.
func TestNoReplace(t *testing.T) {
	f := storetest.NewFixture(t, "single manifest", "new")
	docs := documents(t, f)
	old := storetest.NewFixture(t, "no layers", "old")
	sink := old.Images
	d, _ := sink.Find(old.Names[0])
	sink.Name(f.Names[0], d)
	var replace *load.ReplaceError
	_, err := load.NewPlan(t.Context(), sink, docs, load.Options{NoReplace: true})
	if !errors.As(err, &replace) || len(replace.Tags) != 1 || replace.Tags[0].Old != d.Digest {
		t.Errorf("error %v", err)
	}
	plan, err := load.NewPlan(t.Context(), sink, docs, load.Options{})
	if err != nil {
		t.Fatal(err)
	}
	s, err := plan.Run(t.Context(), verified(t, docs), load.RunOptions{})
	if err != nil || !slices.ContainsFunc(s.Tags, image.Tag.Moved) {
		t.Errorf("%+v %v", s, err)
	}
}

// TestPlatform refuses a bundle without the place's platform, by name.
func TestPlatform(t *testing.T) {
	docs := documents(t, storetest.NewFixture(t, "index with attestations", "platform"))
	sink := storetest.NewMemory()
	sink.Platform = image.Platform{OS: "linux", Architecture: "riscv64"}
	_, err := load.NewPlan(t.Context(), sink, docs, load.Options{})
	var missing *image.PlatformError
	if !errors.As(err, &missing) || len(missing.Have) != 2 {
		t.Errorf("error %v", err)
	}
}

// TestUnverified cannot be imported: the zero Verified gives nothing.
func TestUnverified(t *testing.T) {
	docs := documents(t, storetest.NewFixture(t, "single manifest", "zero"))
	sink := storetest.NewMemory()
	plan, err := load.NewPlan(t.Context(), sink, docs, load.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := plan.Run(t.Context(), new(verify.Verified), load.RunOptions{}); err == nil {
		t.Error("a bundle that has not been verified was imported")
	}
	if len(sink.Digests()) != 0 || len(sink.Names()) != 0 {
		t.Error("something is left")
	}
}

// TestChangingMedium: a medium that gives other bytes after the check is caught.
func TestChangingMedium(t *testing.T) {
	f := storetest.NewFixture(t, "raw layers", "medium")
	set, err := f.Images.Open(t.Context(), f.Names, all)
	if err != nil {
		t.Fatal(err)
	}
	p, err := bundle.NewPlan(t.Context(), []image.Set{set}, all)
	if err != nil {
		t.Fatal(err)
	}
	var buf bytes.Buffer
	if _, err := p.WriteTo(t.Context(), &buf, bundle.WriteOptions{TempDir: t.TempDir()}); err != nil {
		t.Fatal(err)
	}
	m := &medium{file: buf.Bytes()}
	b, err := bundle.Open(m, int64(buf.Len()))
	if err != nil {
		t.Fatal(err)
	}
	docs, err := verify.Read(t.Context(), b)
	if err != nil {
		t.Fatal(err)
	}
	v := verified(t, docs)
	m.swap = true
	sink := storetest.NewMemory()
	plan, err := load.NewPlan(t.Context(), sink, docs, load.Options{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = plan.Run(t.Context(), v, load.RunOptions{})
	var damage *bundle.DamagedError
	if !errors.As(err, &damage) || len(sink.Names()) != 0 {
		t.Errorf("error %v, names %q", err, sink.Names())
	}
}

// medium gives other bytes once swap is set.
type medium struct {
	file []byte
	swap bool
}

func (m *medium) ReadAt(p []byte, off int64) (int, error) {
	n, err := bytes.NewReader(m.file).ReadAt(p, off)
	if m.swap && n > 40 {
		p[n-20] ^= 4
	}
	return n, err
}

var _ io.ReaderAt = (*medium)(nil)

// registrar is a place that notes where it is asked to put what has no name.
type registrar struct {
	*storetest.Memory
	order        []image.Digest
	repositories map[image.Digest][]string
}

func (r *registrar) Begin(ctx context.Context, img image.Import) (image.Txn, error) {
	r.order = append(r.order, img.Graph.Root.Desc.Digest)
	r.repositories[img.Graph.Root.Desc.Digest] = img.Repositories
	return r.Memory.Begin(ctx, img)
}

// TestReferrers: what belongs to an image goes where the image goes, before it.
func TestReferrers(t *testing.T) {
	s := storetest.NewSigned("load")
	docs := documents(t, s.Fixture)
	sink := &registrar{storetest.NewMemory(), nil, map[image.Digest][]string{}}
	renamed := []load.Rename{{Old: s.Names[0], New: "registry.internal/safe/app:1"}}
	plan, err := load.NewPlan(t.Context(), sink, docs, load.Options{Rename: renamed, Only: s.Names[:1]})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := plan.Run(t.Context(), verified(t, docs), load.RunOptions{}); err != nil {
		t.Fatal(err)
	}
	root := s.Graphs(t)[0].Root.Desc.Digest
	want := []string{"registry.internal/safe/app:1", "registry.internal/safe/app:" + image.CosignTags(root)[0]}
	if got := sink.Names(); !slices.Equal(slices.Sorted(slices.Values(want)), got) {
		t.Errorf("names %q, want %q", got, want)
	}
	for _, d := range []image.Digest{s.SBOM.Desc.Digest, s.Report.Desc.Digest} {
		if got := sink.repositories[d]; !slices.Equal(got, []string{"registry.internal/safe/app"}) {
			t.Errorf("%s goes into %q", d, got)
		}
	}
	if len(sink.order) != 4 || sink.order[3] != root {
		t.Errorf("the image is not the last of %v", sink.order)
	}
	for _, item := range plan.Items {
		if (len(item.Of) == 0) != (item.State.ID == root) {
			t.Errorf("%s belongs to %q", item.Label, item.Of)
		}
	}

	// What is not wanted takes its referrers with it.
	var none *load.NoMatchError
	if _, err := load.NewPlan(t.Context(), sink, docs, load.Options{Only: []string{"*.sig"}}); !errors.As(err, &none) || len(none.Have) != 1 {
		t.Errorf("error %v", err)
	}

	// An engine has no use for them.
	engine := storetest.NewMemory()
	engine.Platform = storetest.Host
	plan, err = load.NewPlan(t.Context(), engine, docs, load.Options{})
	if err != nil || len(plan.Items) != 1 || len(plan.Left) != 3 {
		t.Errorf("%d items, left out %q, error %v", len(plan.Items), plan.Left, err)
	}
}

// TestArtifactAlone: an engine that can use nothing of a bundle says so.
func TestArtifactAlone(t *testing.T) {
	s := storetest.NewSigned("alone")
	s.Names = s.Names[1:]
	engine := storetest.NewMemory()
	engine.Platform = storetest.Host
	var platform *image.PlatformError
	if _, err := load.NewPlan(t.Context(), engine, documents(t, s.Fixture), load.Options{}); !errors.As(err, &platform) {
		t.Errorf("error %v", err)
	}
}

// TestLostAnswer: that the answer to the first naming is lost does not say that the
// name is as it was.
func TestLostAnswer(t *testing.T) {
	f := storetest.NewFixture(t, "shared layers", "lost")
	docs := documents(t, f)
	memory := storetest.NewMemory()
	plan, err := load.NewPlan(t.Context(), deaf{memory}, docs, load.Options{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = plan.Run(t.Context(), verified(t, docs), load.RunOptions{})
	var half *load.CommitError
	if !errors.As(err, &half) || !errors.Is(err, storetest.ErrInjected) || len(memory.Names()) != 1 {
		t.Errorf("error %v, names %q", err, memory.Names())
	}
}

// deaf is a Sink whose answers to the naming of images are lost.
type deaf struct{ image.Sink }

func (d deaf) Begin(ctx context.Context, img image.Import) (image.Txn, error) {
	txn, err := d.Sink.Begin(ctx, img)
	return deafTxn{txn}, err
}

type deafTxn struct{ image.Txn }

func (t deafTxn) Commit(ctx context.Context) ([]image.Tag, error) {
	_, err := t.Txn.Commit(ctx)
	return nil, errors.Join(err, storetest.ErrInjected)
}
