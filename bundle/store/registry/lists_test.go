package registry

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"airgap/bundle/image"
	"airgap/bundle/store/storetest"
)

// crowd is a registry that keeps no lists of referrers, in which somebody else
// attaches something to the same image as we do.
type crowd struct {
	*meddler
	host, tag string
	signed    storetest.Signed
	sbom      *image.Graph
	versions  bool // it tells versions apart
}

const (
	manifestType = "application/vnd.oci.image.manifest.v1+json"
	indexType    = "application/vnd.oci.image.index.v1+json"
	foreign      = `{"schemaVersion":2,"mediaType":"` + manifestType + `","config":{"mediaType":"a/b","digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2},"layers":[]}`
)

func newCrowd(t *testing.T) *crowd {
	c := &crowd{signed: storetest.NewSigned("crowd")}
	graphs := c.signed.Graphs(t)
	c.sbom = graphs[2]
	c.meddler, c.host = start(t, storetest.Fixture{})
	c.tag = image.ReferrersTag(graphs[0].Manifests[0].Desc.Digest)
	put(t, http.DefaultClient, "http://"+c.host+c.path(image.SHA256([]byte(foreign)).String()), manifestType, []byte(foreign))
	return c
}

func (c *crowd) path(id string) string { return "/v2/airgap-test/signed/manifests/" + id }

// directly asks the registry, past the hooks.
func (c *crowd) directly(method, contentType, body string) *httptest.ResponseRecorder {
	req := httptest.NewRequest(method, c.path(c.tag), strings.NewReader(body))
	req.Header.Set("Content-Type", contentType)
	w := httptest.NewRecorder()
	c.next.ServeHTTP(w, req)
	return w
}

// replace is somebody else who has read the list when it was empty, and writes it
// with his own.
func (c *crowd) replace() {
	c.directly(http.MethodPut, indexType, fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"manifests":[{"mediaType":%q,"digest":%q,"size":%d}]}`,
		indexType, manifestType, image.SHA256([]byte(foreign)), len(foreign)))
}

// onWrite calls before and after whenever the list is to be written, told how often
// that has been.
func (c *crowd) onWrite(before, after func(n int)) (writes *int) {
	writes = new(int)
	c.hook(func(w http.ResponseWriter, req *http.Request) bool {
		if req.URL.Path != c.path(c.tag) {
			return false
		}
		now := fmt.Sprintf("%q", image.SHA256(c.directly(http.MethodGet, "", "").Body.Bytes()))
		if c.versions {
			w.Header().Set("ETag", now)
		}
		if req.Method != http.MethodPut {
			return false
		}
		*writes++
		before(*writes)
		now = fmt.Sprintf("%q", image.SHA256(c.directly(http.MethodGet, "", "").Body.Bytes()))
		if match := req.Header.Get("If-Match"); c.versions && match != "" && match != now {
			w.WriteHeader(http.StatusPreconditionFailed)
			return true
		}
		c.next.ServeHTTP(w, req)
		after(*writes)
		return true
	})
	return writes
}

// attach brings the SBOM and gives it its place in the list.
func (c *crowd) attach(t *testing.T) (*Registry, image.Txn, error) {
	t.Helper()
	r := open(t, Options{Push: true})
	pauses(r)
	txn, err := r.Begin(t.Context(), image.Import{Graph: c.sbom, Repositories: []string{at(c.host)("docker.io/airgap-test/signed")}})
	if err != nil {
		t.Fatal(err)
	}
	if err := txn.Write(t.Context(), c.signed.Images, func(int64) {}); err != nil {
		t.Fatal(err)
	}
	_, err = txn.Commit(t.Context())
	return r, txn, err
}

// check fails the test unless the list has ours and somebody else's.
func (c *crowd) check(t *testing.T) {
	t.Helper()
	var index struct{ Manifests []image.Descriptor }
	if err := json.Unmarshal(c.directly(http.MethodGet, "", "").Body.Bytes(), &index); err != nil {
		t.Fatal(err)
	}
	for what, d := range map[string]image.Digest{"ours": c.sbom.Root.Desc.Digest, "somebody else's": image.SHA256([]byte(foreign))} {
		if !contains(index.Manifests, d) {
			t.Errorf("the list lacks %s", what)
		}
	}
}

func never(int) {}

// TestOverwritten: somebody else writes the list just after us, without what we
// have added.
func TestOverwritten(t *testing.T) {
	c := newCrowd(t)
	c.onWrite(never, func(n int) {
		if n <= 3 {
			c.replace()
		}
	})
	if _, _, err := c.attach(t); err != nil {
		t.Fatal(err)
	}
	c.check(t)
}

// TestAlwaysOverwritten is an error.
func TestAlwaysOverwritten(t *testing.T) {
	c := newCrowd(t)
	writes := c.onWrite(never, func(int) { c.replace() })
	_, _, err := c.attach(t)
	if wantKind(t, err, Failed); !strings.Contains(err.Error(), c.tag) || *writes != listTries {
		t.Errorf("after %d writes: %v", *writes, err)
	}
}

// TestOverwrittenLater: somebody else takes it away when we look no more, but for
// once at the end of the import.
func TestOverwrittenLater(t *testing.T) {
	c := newCrowd(t)
	r, txn, err := c.attach(t)
	if err != nil {
		t.Fatal(err)
	}
	c.replace()
	if err := txn.Look(t.Context()); err != nil || txn.State().Present {
		t.Errorf("present: %t, %v", txn.State().Present, err)
	}
	if _, _, err := r.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := txn.Look(t.Context()); err != nil || !txn.State().Present {
		t.Errorf("present: %t, %v", txn.State().Present, err)
	}
	c.check(t)
}

// TestOverwriting: somebody else writes the list between our reading and our
// writing it. A registry that tells versions apart does not let us do so.
func TestOverwriting(t *testing.T) {
	c := newCrowd(t)
	c.versions = true
	c.directly(http.MethodPut, indexType, `{"schemaVersion":2,"mediaType":"`+indexType+`","manifests":[]}`)
	c.onWrite(func(n int) {
		if n == 1 {
			c.replace()
		}
	}, never)
	if _, _, err := c.attach(t); err != nil {
		t.Fatal(err)
	}
	c.check(t)
}

// TestOneWrite: all that an import attaches to an image it lists at once, which
// leaves the least time for others to write meanwhile.
func TestOneWrite(t *testing.T) {
	c := newCrowd(t)
	subject := c.signed.Graphs(t)[0].Manifests[0].Desc
	writes := c.onWrite(never, never)
	r := open(t, Options{Push: true})
	var txns []image.Txn
	var want []image.Digest
	for i := range 3 {
		root := c.signed.Images.Artifact(&subject, "a/b", fmt.Sprint("attached ", i))
		g, err := image.Read(t.Context(), c.signed.Images, image.Root{Desc: root}, image.Platforms{All: true}.Select)
		if err != nil {
			t.Fatal(err)
		}
		txn, err := r.Begin(t.Context(), image.Import{Graph: g, Repositories: []string{at(c.host)("docker.io/airgap-test/signed")}})
		if err != nil {
			t.Fatal(err)
		}
		if err := txn.Write(t.Context(), c.signed.Images, func(int64) {}); err != nil {
			t.Fatal(err)
		}
		txns, want = append(txns, txn), append(want, root.Digest)
	}
	for _, txn := range txns {
		if _, err := txn.Commit(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	raw := c.directly(http.MethodGet, "", "").Body.Bytes()
	list, err := parseReferrers(raw)
	if err != nil || *writes != 1 || slices.ContainsFunc(want, func(d image.Digest) bool { return !contains(list, d) }) {
		t.Errorf("%d writes, %s, %v", *writes, raw, err)
	}
}
