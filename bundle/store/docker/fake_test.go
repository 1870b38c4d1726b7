package docker_test

import (
	"archive/tar"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"airgap/bundle/image"
	"airgap/bundle/store/docker"
	"airgap/bundle/store/storetest"
)

// fake is an engine that lies or quits where a test wants it to.
type fake struct {
	store   string         // "" classic, else a snapshotter
	held    map[string]any // inspect answers, by name or ID
	listed  []string       // IDs
	load    func(w http.ResponseWriter, r *http.Request)
	push    func(repository, tag string) error // repository is a URL
	save    func(w http.ResponseWriter)
	pull    func(name string) error
	create  int      // status of creating a container
	tag     func()   // called before a name is given; may be nil
	named   []string // what is listed under names
	taken   []string // names that were taken away
	removed atomic.Int32
	tagged  atomic.Int32
}

var versioned = regexp.MustCompile(`^/v1\.[0-9]+`)

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := versioned.ReplaceAllString(r.URL.Path, "")
	w.Header().Set("Api-Version", "1.41")
	answer := func(status int, v any) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		json.NewEncoder(w).Encode(v)
	}
	switch {
	case path == "/_ping":
		io.WriteString(w, "OK")
	case path == "/version":
		answer(200, map[string]any{"Version": "20.10.24", "Components": []map[string]string{{"Name": "Engine"}}})
	case path == "/info":
		info := map[string]any{"OSType": storetest.Host.OS, "Architecture": storetest.Host.Architecture, "ServerVersion": "20.10.24", "DockerRootDir": "/nonexistent"}
		if f.store != "" {
			info["DriverStatus"] = [][2]string{{"driver-type", f.store}}
		}
		answer(200, info)
	case path == "/images/json":
		list := []map[string]any{}
		for _, id := range f.listed {
			list = append(list, map[string]any{"Id": id})
		}
		for _, name := range f.named {
			list = append(list, map[string]any{"Id": "sha256:" + strings.Repeat("0", 64), "RepoTags": []string{name}})
		}
		answer(200, list)
	case path == "/images/load":
		f.load(w, r)
	case path == "/images/create":
		said := map[string]any{"status": "pulled"}
		if err := f.pull(r.URL.Query().Get("fromImage") + ":" + r.URL.Query().Get("tag")); err != nil {
			said = map[string]any{"errorDetail": map[string]string{"message": err.Error()}}
		}
		answer(200, said)
	case path == "/images/get":
		f.save(w)
	case strings.HasSuffix(path, "/push"):
		host, repository, _ := strings.Cut(strings.TrimSuffix(strings.TrimPrefix(path, "/images/"), "/push"), "/")
		if err := f.push("http://"+host+"/v2/"+repository, r.URL.Query().Get("tag")); err != nil {
			answer(200, map[string]any{"errorDetail": map[string]string{"message": err.Error()}})
			return
		}
		answer(200, map[string]string{"status": "pushed"})
	case path == "/containers/json":
		answer(200, []any{})
	case path == "/containers/create":
		answer(f.create, map[string]any{"Id": "probe", "message": "content digest sha256:abc: not found"})
	case strings.HasPrefix(path, "/containers/"):
		w.WriteHeader(204)
	case r.Method == http.MethodDelete:
		f.removed.Add(1)
		f.taken = append(f.taken, strings.TrimPrefix(path, "/images/"))
		answer(200, []any{})
	case strings.HasSuffix(path, "/tag"):
		if f.tag != nil {
			f.tag()
		}
		f.tagged.Add(1)
		w.WriteHeader(201)
	default:
		name := strings.TrimSuffix(strings.TrimPrefix(path, "/images/"), "/json")
		if v, ok := f.held[name]; ok {
			answer(200, v)
			return
		}
		answer(404, map[string]string{"message": "No such image: " + name})
	}
}

func (f *fake) open(t *testing.T) *docker.Engine {
	t.Helper()
	server := httptest.NewServer(f)
	t.Cleanup(server.Close)
	e, err := docker.Open(t.Context(), docker.Options{Host: strings.Replace(server.URL, "http://", "tcp://", 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	return e
}

// swallow takes the whole archive and says something.
func swallow(says string) func(w http.ResponseWriter, r *http.Request) {
	return func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		fmt.Fprintln(w, says)
	}
}

// TestLyingEngine says 200 whatever happens; none of its lies gets a name, and
// what it holds afterwards is removed again.
func TestLyingEngine(t *testing.T) {
	f := storetest.NewFixture(t, "single manifest", "liar")
	g := f.Graph(t, f.Names[0])
	m, _ := storetest.Chosen(g, storetest.Host)
	var layers []string
	for _, id := range m.DiffIDs {
		layers = append(layers, id.String())
	}
	sound := map[string]any{
		"Id": m.Config.Digest.String(), "Os": m.Platform.OS, "Architecture": m.Platform.Architecture,
		"RootFS": map[string]any{"Type": "layers", "Layers": layers},
	}
	but := func(key string, v any) map[string]any {
		changed := map[string]any{}
		for k, old := range sound {
			changed[k] = old
		}
		changed[key] = v
		return changed
	}
	id := m.Config.Digest.String()
	for name, c := range map[string]struct {
		says   string
		holds  any
		create int
		kind   docker.ErrorKind
		text   string
	}{
		"honest":               {`{"stream":"Loaded image ID"}`, sound, 201, -1, ""},
		"an error in the text": {`{"errorDetail":{"message":"invalid diffID for layer 1"},"error":"invalid diffID for layer 1"}`, nil, 201, docker.Failed, "invalid diffID"},
		"only the old member":  {`{"error":"unexpected EOF"}`, nil, 201, docker.Failed, "unexpected EOF"},
		"an error as a note":   {`{"stream":"Error unpacking image x: wrong diff id calculated\n"}`, sound, 201, docker.Failed, "Error unpacking"},
		"a full disk":          {`{"errorDetail":{"message":"write /var/lib/docker/tmp/x: no space left on device"}}`, nil, 201, docker.NoSpace, "no space left"},
		"not JSON":             {`<html>`, sound, 201, docker.Failed, "invalid character"},
		"nothing loaded":       {`{"stream":"Loaded image ID"}`, nil, 201, docker.Mismatch, "does not have it"},
		"other layers":         {`{}`, but("RootFS", map[string]any{"Layers": layers[:1]}), 201, docker.Mismatch, "layers"},
		"another platform":     {`{}`, but("Architecture", "s390x"), 201, docker.Mismatch, "s390x"},
		"cannot be used":       {`{}`, sound, 404, docker.Mismatch, "not found"},
	} {
		t.Run(name, func(t *testing.T) {
			engine := &fake{load: swallow(c.says), create: c.create, held: map[string]any{}}
			e := engine.open(t)
			txn, err := e.Begin(t.Context(), image.Import{Graph: g, Names: f.Names})
			if err != nil {
				t.Fatal(err)
			}
			if c.holds != nil {
				engine.held[id] = c.holds
			}
			var done int64
			err = txn.Write(t.Context(), f.Images, func(n int64) { done += n })
			var failed *docker.Error
			switch {
			case c.kind < 0 && (err != nil || done != txn.State().Size):
				t.Errorf("error %v, %d of %d bytes settled", err, done, txn.State().Size)
			case c.kind >= 0 && (!errors.As(err, &failed) || failed.Kind != c.kind || !strings.Contains(err.Error(), c.text)):
				t.Errorf("error %v, expected kind %d about %q", err, c.kind, c.text)
			}
			if err == nil {
				return
			}
			if err := txn.Abort(t.Context()); err != nil || engine.removed.Load() != 1 || engine.tagged.Load() != 0 {
				t.Errorf("abort: %v, %d removed, %d tagged", err, engine.removed.Load(), engine.tagged.Load())
			}
		})
	}
}

// TestHollow: what an engine with containerd's store answers about an image is
// what its documents say. Whether it has the layers it tells in another way.
func TestHollow(t *testing.T) {
	for name, c := range map[string]struct {
		fixture string
		says    any // "Manifests" of the engine's answer; engines before API 1.48 have none
		listed  bool
		create  int
		present bool
	}{
		"told that it is there":      {"single manifest", true, false, 404, true},
		"told that it is not":        {"single manifest", false, true, 201, false},
		"listed":                     {"single manifest", nil, true, 201, true},
		"listed and of no use":       {"single manifest", nil, true, 404, false},
		"not listed":                 {"single manifest", nil, false, 201, false},
		"listed for this platform":   {"index with attestations", nil, true, 201, true},
		"listed for another":         {"index with attestations", nil, true, 404, false},
		"index that is told there":   {"index with attestations", true, false, 404, true},
		"index that is told missing": {"index with attestations", false, true, 201, false},
		"index that is not listed":   {"index with attestations", nil, false, 201, false},
	} {
		t.Run(name, func(t *testing.T) {
			f := storetest.NewFixture(t, c.fixture, "hollow")
			g := f.Graph(t, f.Names[0])
			m, _ := storetest.Chosen(g, storetest.Host)
			id := g.Root.Desc.Digest.String()
			says := map[string]any{
				"Id": id, "Os": m.Platform.OS, "Architecture": m.Platform.Architecture,
				"RootFS": map[string]any{"Type": "layers", "Layers": m.DiffIDs},
			}
			if c.says != nil {
				says["Manifests"] = []map[string]any{{"Descriptor": m.Desc, "Available": c.says}}
			}
			engine := &fake{store: "io.containerd.snapshotter.v1", held: map[string]any{id: says}, create: c.create}
			if c.listed {
				engine.listed = []string{id}
			}
			txn, err := engine.open(t).Begin(t.Context(), image.Import{Graph: g, Names: f.Names})
			if err != nil || txn.State().Present != c.present {
				t.Errorf("present: %v, %v", err == nil && txn.State().Present, err)
			}
		})
	}
}

// TestPartlyThere tells before an export which platforms will come of it.
func TestPartlyThere(t *testing.T) {
	f := storetest.NewFixture(t, "index with attestations", "partly")
	g := f.Graph(t, f.Names[0])
	id := g.Root.Desc.Digest.String()
	for name, c := range map[string]struct {
		host, other bool // available
		want        image.Platforms
		platforms   int
		left        int
		err         any
	}{
		"both":              {true, true, image.Platforms{}, 2, 0, nil},
		"one":               {true, false, image.Platforms{}, 1, 1, nil},
		"the other one":     {false, true, image.Platforms{}, 1, 1, nil},
		"none":              {false, false, image.Platforms{}, 0, 0, new(*image.HollowError)},
		"the wanted one":    {true, false, image.Platforms{List: []image.Platform{storetest.Host}}, 1, 0, nil},
		"not the wanted":    {true, false, image.Platforms{List: []image.Platform{storetest.Other}}, 0, 0, new(*image.PlatformError)},
		"one of both":       {true, true, image.Platforms{List: []image.Platform{storetest.Other}}, 1, 0, nil},
		"not all, as asked": {true, false, image.Platforms{All: true}, 0, 0, new(*image.PlatformError)},
	} {
		t.Run(name, func(t *testing.T) {
			says := func(d image.Descriptor, p image.Platform, available bool) map[string]any {
				return map[string]any{"Descriptor": d, "Kind": "image", "Available": available, "ImageData": map[string]any{"Platform": p}}
			}
			engine := &fake{store: "io.containerd.snapshotter.v1", held: map[string]any{f.Names[0]: map[string]any{
				"Id": id, "RepoTags": f.Names, "Os": storetest.Host.OS, "Architecture": storetest.Host.Architecture,
				"Manifests": []map[string]any{
					says(g.Manifests[0].Desc, storetest.Host, c.host), says(g.Manifests[1].Desc, storetest.Other, c.other),
					{"Descriptor": g.Manifests[0].Desc, "Kind": "attestation", "Available": true},
				},
			}}}
			set, err := engine.open(t).Open(t.Context(), f.Names, c.want)
			if c.err != nil {
				if err == nil || !errors.As(err, c.err) {
					t.Errorf("error %v, expected a %T", err, c.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			// Engines before API 1.48 do not tell, but have nothing to say of it either.
			engine.held[f.Names[0]] = map[string]any{"Id": id, "RepoTags": f.Names}
			if _, err := engine.open(t).Open(t.Context(), f.Names, c.want); !errors.As(err, new(*image.HollowError)) {
				t.Errorf("of an engine that has only the index: %v", err)
			}
			if e := set.(image.Streamer).Estimate()[0]; 1+len(e.Others) != c.platforms || len(e.Left) != c.left || !c.want.IsDefault() && !c.want.Match(e.Platform) {
				t.Errorf("platforms %v and %v, without %v", e.Platform, e.Others, e.Left)
			}
		})
	}
}

// TestTakesAlong: a name by digest goes with the last tag of its repository, and each
// store tells in its own way that there is one.
func TestTakesAlong(t *testing.T) {
	const d = "r/a@sha256:1111111111111111111111111111111111111111111111111111111111111111"
	const containerd = "io.containerd.snapshotter.v1"
	for name, c := range map[string]struct {
		store         string
		tags, digests []string
		going         []string // behind docker.io/
		want          bool
	}{
		"none":                       {"", []string{"r/a:1"}, nil, []string{"r/a:1"}, false},
		"one":                        {"", []string{"r/a:1"}, []string{d}, []string{"r/a:1"}, true},
		"of another repository":      {"", []string{"r/a:1"}, []string{"r/b" + d[3:]}, []string{"r/a:1"}, false},
		"a tag stays":                {"", []string{"r/a:1", "r/a:2"}, []string{d}, []string{"r/a:1"}, false},
		"both tags go":               {"", []string{"r/a:1", "r/a:2"}, []string{d}, []string{"r/a:1", "r/a:2"}, true},
		"as each tag has":            {containerd, []string{"r/a:1", "r/a:2"}, []string{d, d}, []string{"r/a:1", "r/a:2"}, false},
		"one more":                   {containerd, []string{"r/a:1"}, []string{d, d}, []string{"r/a:1"}, true},
		"one more, and a tag stays":  {containerd, []string{"r/a:1", "r/a:2"}, []string{d, d, d}, []string{"r/a:1"}, false},
		"one more, which goes":       {containerd, []string{"r/a:1"}, []string{d, d}, []string{"r/a:1", d}, false},
		"among the tags":             {containerd, []string{"r/a:1", d}, []string{d}, []string{"r/a:1"}, true},
		"among two tags":             {containerd, []string{"r/a:1", "r/a:2", d}, []string{d}, []string{"r/a:1", "r/a:2"}, true},
		"among the tags, and goes":   {containerd, []string{"r/a:1", d}, []string{d}, []string{"r/a:1", d}, false},
		"once for two tags":          {containerd, []string{"r/a:1", "r/a:2"}, []string{d}, []string{"r/a:1", "r/a:2"}, false},
		"one more, and another's":    {containerd, []string{"r/a:1", "r/b:1"}, []string{d, d, "r/b" + d[3:]}, []string{"r/a:1"}, true},
		"another repository has one": {containerd, []string{"r/a:1", "r/b:1"}, []string{d, "r/b" + d[3:], "r/b" + d[3:]}, []string{"r/a:1"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			f := &fake{store: c.store, held: map[string]any{"docker.io/r/a:1": map[string]any{"RepoTags": c.tags, "RepoDigests": c.digests}}}
			var going []string
			for _, name := range c.going {
				going = append(going, "docker.io/"+name)
			}
			if got, err := f.open(t).TakesAlong(t.Context(), "docker.io/r/a:1", going); err != nil || got != c.want {
				t.Errorf("%v, %v", got, err)
			}
		})
	}
}

// TestNoLayers: the classic store would answer that an empty export is not
// implemented.
func TestNoLayers(t *testing.T) {
	f := storetest.NewFixture(t, "no layers", "classic")
	engine := &fake{held: map[string]any{f.Names[0]: map[string]any{
		"Id": f.Graph(t, f.Names[0]).Manifests[0].Config.Digest, "RepoTags": f.Names, "Os": storetest.Host.OS, "Architecture": storetest.Host.Architecture,
	}}}
	var unsupported *image.UnsupportedError
	if _, err := engine.open(t).Open(t.Context(), f.Names, image.Platforms{}); !errors.As(err, &unsupported) || !strings.Contains(err.Error(), "it has no layers") {
		t.Errorf("error %v", err)
	}
}

// TestQuittingEngine closes the connection in the middle of a load.
func TestQuittingEngine(t *testing.T) {
	f := storetest.NewFixture(t, "raw layers", "quitter")
	engine := &fake{load: func(w http.ResponseWriter, r *http.Request) {
		io.CopyN(io.Discard, r.Body, 1000)
		conn, _, err := w.(http.Hijacker).Hijack()
		if err == nil {
			conn.(*net.TCPConn).SetLinger(0)
			conn.Close()
		}
	}}
	e := engine.open(t)
	txn, err := e.Begin(t.Context(), image.Import{Graph: f.Graph(t, f.Names[0]), Names: f.Names})
	if err != nil {
		t.Fatal(err)
	}
	var failed *docker.Error
	if err := txn.Write(t.Context(), f.Images, func(int64) {}); !errors.As(err, &failed) {
		t.Errorf("error %v", err)
	}
}

// TestInterruptedLate: what an engine has been given whole it imports, whoever
// listens. So its end is waited for, and then it is taken back.
func TestInterruptedLate(t *testing.T) {
	f := storetest.NewFixture(t, "single manifest", "late")
	g := f.Graph(t, f.Names[0])
	for name, c := range map[string]struct {
		ends     bool // the engine does
		patience time.Duration
	}{"it ends": {true, time.Hour}, "it does not end": {false, time.Millisecond}} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			left := make(chan struct{}) // closed when nobody listens to the engine any more
			engine := &fake{held: map[string]any{}, load: func(w http.ResponseWriter, r *http.Request) {
				io.Copy(io.Discard, r.Body)
				cancel()
				for i := 0; !c.ends || i < 20; i++ { // it takes its time
					select {
					case <-r.Context().Done():
						close(left)
						return
					case <-time.After(10 * time.Millisecond):
					}
				}
				fmt.Fprintln(w, `{"stream":"Loaded image"}`)
			}}
			e := engine.open(t)
			e.Impatient(c.patience)
			txn, err := e.Begin(ctx, image.Import{Graph: g, Names: f.Names})
			if err != nil {
				t.Fatal(err)
			}
			if err := txn.Write(ctx, f.Images, func(int64) {}); !errors.Is(err, context.Canceled) {
				t.Errorf("error %v", err)
			}
			if !c.ends {
				<-left
			}
			select {
			case <-left:
				if c.ends {
					t.Error("the engine's end was not waited for")
				}
			default:
			}
			var busy *docker.Error
			if err := txn.Abort(t.Context()); errors.As(err, &busy) == c.ends {
				t.Errorf("Abort: %v", err)
			}
			if len(engine.taken) != 1 || !strings.HasPrefix(engine.taken[0], "airgap.invalid/import:") {
				t.Errorf("taken away: %q", engine.taken)
			}
		})
	}
}

// TestBrokenOff: a blob that fails on its way must not look to the engine like
// the end of the archive.
func TestBrokenOff(t *testing.T) {
	f := storetest.NewFixture(t, "raw layers", "broken")
	g := f.Graph(t, f.Names[0])
	ended := make(chan error, 1)
	engine := &fake{load: func(_ http.ResponseWriter, r *http.Request) {
		_, err := io.Copy(io.Discard, r.Body)
		ended <- err
	}}
	e := engine.open(t)
	txn, err := e.Begin(t.Context(), image.Import{Graph: g, Names: f.Names})
	if err != nil {
		t.Fatal(err)
	}
	from := storetest.NewFaults(t, storetest.Fault{Kind: storetest.Broken, Nth: 2}).Fetcher(f.Images)
	if err := txn.Write(t.Context(), from, func(int64) {}); !errors.Is(err, storetest.ErrInjected) {
		t.Errorf("error %v", err)
	}
	if err := <-ended; err == nil {
		t.Error("the engine saw a clean end")
	}
}

// TestForeignPlatform is refused before anything is sent, with what there is.
func TestForeignPlatform(t *testing.T) {
	p := storetest.NewMemory()
	root := p.Manifest(storetest.Config{Platform: storetest.Other})
	p.Name("docker.io/airgap-test/other:1", root)
	all := image.Platforms{All: true}
	g, err := image.Read(t.Context(), p, image.Root{Name: "docker.io/airgap-test/other:1", Desc: root}, all.Select)
	if err != nil {
		t.Fatal(err)
	}
	e := (&fake{}).open(t)
	var missing *image.PlatformError
	if _, err := e.Begin(t.Context(), image.Import{Graph: g}); !errors.As(err, &missing) || len(missing.Have) != 1 {
		t.Errorf("error %v", err)
	}
}

// TestNoEngine tells nothing there from no permission.
func TestNoEngine(t *testing.T) {
	dir := t.TempDir()
	for host, want := range map[string]docker.ErrorKind{
		"unix://" + filepath.Join(dir, "none.sock"): docker.Unreachable,
		"tcp://127.0.0.1:1":                         docker.Unreachable,
		"rubbish":                                   docker.Settings,
	} {
		_, err := docker.Open(t.Context(), docker.Options{Host: host})
		var failed *docker.Error
		if !errors.As(err, &failed) || failed.Kind != want {
			t.Errorf("%s: %v", host, err)
		}
	}
}

// TestContexts follows the docker command to its engine.
func TestContexts(t *testing.T) {
	server := httptest.NewServer(&fake{})
	t.Cleanup(server.Close)
	host := strings.Replace(server.URL, "http://", "tcp://", 1)
	dir := t.TempDir()
	write := func(name, content string) {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(content), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	// The folder's name is the sha256 of "far".
	far := image.SHA256([]byte("far")).Hex
	write("contexts/meta/"+far+"/meta.json", `{"Name":"far","Endpoints":{"docker":{"Host":"`+host+`"}}}`)
	for name, c := range map[string]struct {
		config string
		env    map[string]string
		ok     bool
	}{
		"DOCKER_HOST":           {`{}`, map[string]string{"DOCKER_HOST": host}, true},
		"DOCKER_CONTEXT":        {`{}`, map[string]string{"DOCKER_CONTEXT": "far"}, true},
		"current context":       {`{"currentContext":"far"}`, nil, true},
		"host before context":   {`{"currentContext":"gone"}`, map[string]string{"DOCKER_HOST": host}, true},
		"context that is gone":  {`{"currentContext":"gone"}`, nil, false},
		"unreadable config":     {`{`, nil, false},
		"ssh that is not there": {`{}`, map[string]string{"DOCKER_HOST": "ssh://-oProxyCommand=x"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			write("config.json", c.config)
			for _, key := range []string{"DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH"} {
				t.Setenv(key, c.env[key])
			}
			t.Setenv("DOCKER_CONFIG", dir)
			e, err := docker.Open(t.Context(), docker.Options{})
			if (err == nil) != c.ok {
				t.Fatalf("error %v", err)
			}
			if err == nil {
				e.Close()
			}
		})
	}
}

// TestSideBySide brings two images with a common base at once: the engine is
// given the base once, and the second stream ends only when it has unpacked
// it. If the first fails, the second brings the base itself.
func TestSideBySide(t *testing.T) {
	f := storetest.NewFixture(t, "shared layers", "side")
	first, second := f.Graph(t, f.Names[0]), f.Graph(t, f.Names[1])
	base := second.Layers()[0].Digest
	next := first.Manifests[0].DiffIDs[1].Hex[:12]
	for name, c := range map[string]struct {
		firstSays string
		wantBase  bool
	}{
		"unpacked": {`{"status":"Loading layer","id":"` + next + `","progressDetail":{"current":1,"total":2}}`, false},
		"failed":   {`{"error":"unexpected EOF"}`, true},
	} {
		t.Run(name, func(t *testing.T) {
			firstCame, secondCame := make(chan struct{}), make(chan struct{})
			var said atomic.Bool
			engine := &fake{held: map[string]any{}, load: func(w http.ResponseWriter, r *http.Request) {
				archive := tar.NewReader(r.Body)
				entry, err := archive.Next()
				if err != nil {
					t.Error(err)
					return
				}
				if strings.HasSuffix(entry.Name, base.Hex) {
					close(firstCame)
					<-secondCame
					said.Store(true)
					fmt.Fprintln(w, c.firstSays)
					return
				}
				// The first entry is a layer of its own: the rest waits.
				close(secondCame)
				var names []string
				for err == nil {
					names = append(names, entry.Name)
					entry, err = archive.Next()
				}
				if !said.Load() {
					t.Error("the second stream did not wait for the base")
				}
				if got := slices.Contains(names, "blobs/sha256/"+base.Hex); got != c.wantBase {
					t.Errorf("base brought twice: %v; %v", got, names)
				}
			}}
			e := engine.open(t)
			a, err := e.Begin(t.Context(), image.Import{Graph: first})
			if err != nil {
				t.Fatal(err)
			}
			b, err := e.Begin(t.Context(), image.Import{Graph: second})
			if err != nil {
				t.Fatal(err)
			}
			for _, need := range b.State().Need {
				if need.Digest == base {
					t.Error("both say that they need the base")
				}
			}
			var loads sync.WaitGroup
			// The fake holds nothing afterwards, so neither import succeeds.
			loads.Go(func() { a.Write(t.Context(), f.Images, func(int64) {}) })
			<-firstCame
			loads.Go(func() { b.Write(t.Context(), f.Images, func(int64) {}) })
			loads.Wait()
		})
	}
}

// TestPromiseOfNobody: an image that is never brought keeps no other waiting.
func TestPromiseOfNobody(t *testing.T) {
	f := storetest.NewFixture(t, "shared layers", "nobody")
	var names []string
	engine := &fake{held: map[string]any{}, load: func(_ http.ResponseWriter, r *http.Request) {
		archive := tar.NewReader(r.Body)
		for entry, err := archive.Next(); err == nil; entry, err = archive.Next() {
			names = append(names, entry.Name)
		}
	}}
	e := engine.open(t)
	if _, err := e.Begin(t.Context(), image.Import{Graph: f.Graph(t, f.Names[0])}); err != nil {
		t.Fatal(err)
	}
	g := f.Graph(t, f.Names[1])
	b, err := e.Begin(t.Context(), image.Import{Graph: g})
	if err != nil {
		t.Fatal(err)
	}
	b.Write(t.Context(), f.Images, func(int64) {}) // fails, because the fake holds nothing
	for _, l := range g.Layers() {
		if !slices.Contains(names, "blobs/sha256/"+l.Digest.Hex) {
			t.Errorf("layer %s was not brought", l.Digest)
		}
	}
}

// TestUnpin takes a name by digest away, which Docker 28 lists among the tags.
func TestUnpin(t *testing.T) {
	pinned := "docker.io/library/a@sha256:" + strings.Repeat("a", 64)
	for name, c := range map[string]struct {
		tags []string
		goes bool
	}{
		"alone":             {nil, true},
		"among the tags":    {[]string{strings.TrimPrefix(pinned, "docker.io/library/")}, true},
		"with a tag beside": {[]string{"a:1"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			f := &fake{store: "io.containerd.snapshotter.v1", held: map[string]any{pinned: map[string]any{"Id": "sha256:" + strings.Repeat("a", 64), "RepoTags": c.tags}}}
			if err := f.open(t).Retag(t.Context(), pinned, image.Digest{}); err != nil || (f.removed.Load() == 1) != c.goes {
				t.Errorf("error %v, taken away %q", err, f.taken)
			}
		})
	}
}

// TestReservedName: a name that a later sweep would take away is not given.
func TestReservedName(t *testing.T) {
	f := storetest.NewFixture(t, "single manifest", "reserved")
	e := (&fake{held: map[string]any{}, create: 201}).open(t)
	names, _, _ := e.Probing(t.Context(), image.SHA256(nil))
	for _, name := range names {
		var unsupported *image.UnsupportedError
		if _, err := e.Begin(t.Context(), image.Import{Graph: f.Graph(t, f.Names[0]), Names: []string{name}}); !errors.As(err, &unsupported) {
			t.Errorf("error %v", err)
		}
	}
}
