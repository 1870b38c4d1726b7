//go:build linux

package world

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"airgap/bundle/image"
	"airgap/bundle/image/layer"
)

// engine is a Docker engine with the classic store, as far as names and content
// go: an image is its config, a layer that it has needs not be brought, an image
// without a name is dangling, and what a container uses stays.
type engine struct {
	visitors
	undo       map[string][][2]string // what airgap has done to names, backwards
	mu         sync.Mutex
	images     map[string]*held  // by ID
	names      map[string]string // IDs by name
	containers map[string]container
	created    int               // containers and images of its own, ever
	killed     bool              // somebody has killed an import, and none has succeeded since
	asked      []string          // requests, one each
	meanwhile  func()            // what somebody else does before request number at
	before     map[string]string // the names, before he did
	at         int
}

// container is one that was never started.
type container struct {
	name   string
	image  string // its ID
	labels map[string]string
}

// held is an image.
type held struct {
	config []byte
	layers []string // diffIDs
}

// startEngine serves an engine at a socket.
func startEngine(t *testing.T, socket string) *engine {
	t.Helper()
	e := &engine{visitors: newVisitors()}
	e.reset()
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: e, ConnState: e.connected}
	go server.Serve(l) //nolint:errcheck // it ends with the test
	t.Cleanup(func() { server.Close() })
	return e
}

func (e *engine) reset() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.images, e.names, e.containers = map[string]*held{}, map[string]string{}, map[string]container{}
	e.asked, e.meanwhile, e.undo, e.killed = nil, nil, map[string][][2]string{}, false
}

var versioned = regexp.MustCompile(`^/v1\.[0-9]+`)

// ServeHTTP answers as an engine does.
func (e *engine) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := versioned.ReplaceAllString(r.URL.Path, "")
	if r.Method == http.MethodPost && path == "/images/load" {
		raw, err := io.ReadAll(r.Body)
		e.mu.Lock()
		defer e.mu.Unlock()
		e.hear("load")
		if err == nil {
			err = e.load(raw)
		}
		answer(w, 200, said(err))
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	named, verb := strings.TrimPrefix(path, "/images/"), ""
	for _, known := range []string{"/json", "/tag", "/history"} {
		if rest, ok := strings.CutSuffix(named, known); ok && rest != "" {
			named, verb = rest, known
		}
	}
	query := r.URL.Query()
	switch {
	case path == "/_ping":
		w.Header().Set("Api-Version", "1.41")
	case path == "/version":
		answer(w, 200, map[string]any{"Version": "20.10.24", "ApiVersion": "1.41", "Components": []map[string]string{{"Name": "Engine"}}})
	case path == "/info":
		p := image.HostPlatform()
		answer(w, 200, map[string]any{"OSType": p.OS, "Architecture": p.Architecture, "ServerVersion": "20.10.24", "DockerRootDir": "/nonexistent"})
	case path == "/images/json":
		e.hear("list")
		answer(w, 200, e.list(query.Get("filters")))
	case path == "/images/create" && query.Get("fromSrc") == "-":
		name := full(strings.TrimSuffix(query.Get("repo")+":"+query.Get("tag"), ":"))
		e.hear("import " + name)
		e.created++
		config := fmt.Appendf(nil, `{"created":%d}`, e.created)
		content, err := io.ReadAll(r.Body)
		if err != nil {
			answer(w, 500, said(err))
			return
		}
		id := "sha256:" + sum(config)
		e.images[id] = &held{config, []string{"sha256:" + sum(content)}}
		e.names[name] = id
		answer(w, 200, map[string]string{"status": id})
	case path == "/images/get":
		e.hear("save")
		e.save(w, query["names"])
	case strings.HasPrefix(path, "/containers/"):
		e.serveContainers(w, r, strings.TrimPrefix(path, "/containers/"))
	default:
		e.serveImage(w, r, named, verb)
	}
}

// serveContainers answers what is asked of containers.
func (e *engine) serveContainers(w http.ResponseWriter, r *http.Request, what string) {
	switch what {
	case "json":
		list := []any{}
		for _, id := range slices.Sorted(maps.Keys(e.containers)) {
			c := e.containers[id]
			list = append(list, map[string]any{"Id": id, "Names": []string{"/" + c.name}, "State": "created", "ImageID": c.image, "Labels": c.labels})
		}
		answer(w, 200, list)
	case "create":
		var body struct {
			Image  string
			Labels map[string]string
		}
		err := json.NewDecoder(r.Body).Decode(&body)
		e.hear("create " + body.Image)
		if _, ok := e.images[e.find(body.Image)]; err != nil || !ok {
			answer(w, 404, said(fmt.Errorf("no such image: %s", body.Image)))
			return
		}
		e.created++
		id := fmt.Sprintf("c%d", e.created)
		e.containers[id] = container{r.URL.Query().Get("name"), e.find(body.Image), body.Labels}
		answer(w, 201, map[string]string{"Id": id})
	default:
		delete(e.containers, what)
		w.WriteHeader(204)
	}
}

// serveImage answers what is asked of one image.
func (e *engine) serveImage(w http.ResponseWriter, r *http.Request, named, verb string) {
	query := r.URL.Query()
	switch {
	case verb == "/tag":
		name := query.Get("repo") + ":" + query.Get("tag")
		e.hear("tag " + name)
		id := e.find(named)
		if id == "" {
			answer(w, 404, said(fmt.Errorf("no such image: %s", named)))
			return
		}
		if old := e.names[full(name)]; old != id {
			e.undo[full(name)] = append(e.undo[full(name)], [2]string{id, old})
			if e.before != nil { // it may have come after airgap's last look
				e.undo[full(name)] = append(e.undo[full(name)], [2]string{id, e.before[full(name)]})
			}
		}
		e.names[full(name)] = id
		w.WriteHeader(201)
	case r.Method == http.MethodDelete:
		e.hear("remove " + named)
		status, err := e.remove(named, query.Get("force") != "")
		if err != nil {
			answer(w, status, said(err))
			return
		}
		answer(w, 200, []any{})
	case verb == "/json":
		e.hear("inspect " + named)
		id := e.find(named)
		if id == "" {
			answer(w, 404, said(fmt.Errorf("no such image: %s", named)))
			return
		}
		answer(w, 200, e.inspect(id))
	case verb == "/history":
		answer(w, 200, []any{})
	default:
		answer(w, 501, said(fmt.Errorf("the engine of the model has no %s %s", r.Method, r.URL.Path)))
	}
}

// disarm forgets what somebody else would have done, if it has not come to that.
func (e *engine) disarm() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.meanwhile = nil
}

// hear counts a request. Before one of them somebody else may do something.
func (e *engine) hear(what string) {
	if e.meanwhile != nil && len(e.asked) == e.at {
		e.before = maps.Clone(e.names)
		e.meanwhile()
		e.meanwhile = nil
		e.asked = append(e.asked, "meanwhile")
	}
	e.asked = append(e.asked, what)
}

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // whoever asked may be gone
}

func said(err error) map[string]any {
	if err == nil {
		return map[string]any{"stream": "Loaded image\n"}
	}
	return map[string]any{"error": err.Error(), "message": err.Error(), "errorDetail": map[string]string{"message": err.Error()}}
}

// full is a name as names are kept.
func full(name string) string {
	if unescaped, err := url.PathUnescape(name); err == nil {
		name = unescaped
	}
	if !strings.HasPrefix(name, "docker.io/") {
		name = "docker.io/" + name
	}
	return name
}

// find gives the ID that a name or an ID stands for.
func (e *engine) find(named string) string {
	if _, ok := e.images[named]; ok {
		return named
	}
	return e.names[full(named)]
}

func (e *engine) namesOf(id string) (list []string) {
	for name, to := range e.names {
		if to == id {
			list = append(list, strings.TrimPrefix(name, "docker.io/"))
		}
	}
	slices.Sort(list)
	return list
}

func (e *engine) inspect(id string) map[string]any {
	p := image.HostPlatform()
	return map[string]any{
		"Id": id, "Os": p.OS, "Architecture": p.Architecture, "RepoTags": e.namesOf(id), "RepoDigests": []string{}, "Size": 1,
		"RootFS": map[string]any{"Type": "layers", "Layers": e.images[id].layers}, "Config": map[string]any{},
	}
}

// list lists images; the filter that the model knows is dangling.
func (e *engine) list(filters string) []any {
	list := []any{}
	for _, id := range slices.Sorted(maps.Keys(e.images)) {
		names := e.namesOf(id)
		if strings.Contains(filters, "dangling") && len(names) > 0 {
			continue
		}
		list = append(list, map[string]any{"Id": id, "RepoTags": names, "Size": 1})
	}
	return list
}

// uses says that a container uses an image.
func (e *engine) uses(id string) bool {
	for _, c := range e.containers {
		if c.image == id {
			return true
		}
	}
	return false
}

// remove is rmi.
func (e *engine) remove(named string, force bool) (status int, err error) {
	id := e.find(named)
	if id == "" {
		return 404, fmt.Errorf("no such image: %s", named)
	}
	names := e.namesOf(id)
	used := e.uses(id)
	switch byID := id == named; {
	case byID && len(names) > 1 && !force:
		return 409, fmt.Errorf("conflict: unable to delete %s (must be forced) - image is referenced in multiple repositories", id)
	case used && len(names) <= 1:
		return 409, fmt.Errorf("conflict: unable to remove %s: a container is using it", id)
	case byID:
		maps.DeleteFunc(e.names, func(_, to string) bool { return to == id })
	default:
		delete(e.names, full(named))
	}
	if len(e.namesOf(id)) == 0 {
		delete(e.images, id)
	}
	return 200, nil
}

// look gives what names stand for, all of which are there.
func (e *engine) look() (map[string]string, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for name, id := range e.names {
		if e.images[id] == nil {
			return nil, fmt.Errorf("%s is %s, which is not there", name, id)
		}
	}
	return maps.Clone(e.names), nil
}

// prune is image prune.
func (e *engine) prune() {
	maps.DeleteFunc(e.images, func(id string, _ *held) bool {
		return len(e.namesOf(id)) == 0 && !e.uses(id)
	})
}

// has says whether a layer is there above those below it.
func (e *engine) has(layers []string) bool {
	for _, img := range e.images {
		if len(img.layers) >= len(layers) && slices.Equal(img.layers[:len(layers)], layers) {
			return true
		}
	}
	return false
}

// load takes in an archive as docker load does.
func (e *engine) load(raw []byte) error {
	entries := map[string][]byte{}
	for archive := tar.NewReader(bytes.NewReader(raw)); ; {
		h, err := archive.Next()
		if err == io.EOF {
			break
		}
		if err == nil {
			entries[h.Name], err = io.ReadAll(archive)
		}
		if err != nil {
			return err
		}
	}
	var list []struct {
		Config           string
		RepoTags, Layers []string
	}
	if err := json.Unmarshal(entries["manifest.json"], &list); err != nil {
		return err
	}
	for _, item := range list {
		config := entries[item.Config]
		layers, err := diffIDs(config)
		if err != nil {
			return err
		}
		for i, name := range item.Layers {
			if e.has(layers[:i+1]) {
				continue
			}
			content, ok := entries[name]
			if !ok {
				return fmt.Errorf("open /var/lib/docker/tmp/%s: no such file or directory", name)
			}
			if id, err := diffID(content); err != nil || id != layers[i] {
				return fmt.Errorf("invalid diffID for layer %d: expected %q, got %q", i, layers[i], id)
			}
		}
		id := "sha256:" + sum(config)
		e.images[id] = &held{config, layers}
		for _, name := range item.RepoTags {
			e.names[full(name)] = id
		}
	}
	return nil
}

func diffID(content []byte) (string, error) {
	r, err := layer.Open(io.NopCloser(bytes.NewReader(content)))
	if err != nil {
		return "", err
	}
	defer r.Close()
	raw, err := io.ReadAll(r)
	return "sha256:" + sum(raw), err
}

// save is not there: the model packs from layouts.
func (e *engine) save(w http.ResponseWriter, _ []string) {
	answer(w, 501, said(fmt.Errorf("the engine of the model saves no images")))
}

// pull takes in an image as docker pull does.
func (e *engine) pull(img known, name string) {
	e.images[img.id] = &held{img.config, img.layers}
	e.names[name] = img.id
}

// known is an image as an engine has it.
type known struct {
	id     string
	config []byte
	layers []string
}

// readImage reads one from a layout.
func readImage(dir, digest string) (known, error) {
	read := func(name string) ([]byte, error) { return os.ReadFile(filepath.Join(dir, name)) }
	at := func(digest string) string { return "blobs/" + strings.Replace(digest, ":", "/", 1) }
	raw, err := read(at(digest))
	if err != nil {
		return known{}, err
	}
	var m struct{ Config descriptor }
	if err := json.Unmarshal(raw, &m); err != nil {
		return known{}, err
	}
	config, err := read(at(m.Config.Digest))
	if err != nil {
		return known{}, err
	}
	layers, err := diffIDs(config)
	return known{m.Config.Digest, config, layers}, err
}

func diffIDs(config []byte) ([]string, error) {
	var c struct {
		RootFS struct {
			DiffIDs []string `json:"diff_ids"`
		}
	}
	err := json.Unmarshal(config, &c)
	return c.RootFS.DiffIDs, err
}
