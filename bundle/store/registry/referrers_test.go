package registry

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/registry"

	"airgap/bundle/image"
	"airgap/bundle/store/storetest"
)

// withAPI starts a registry that knows the referrers API.
func withAPI(t *testing.T) (*meddler, string) {
	m, host := start(t, storetest.Fixture{})
	m.next = registry.New(registry.Logger(log.New(io.Discard, "", 0)), registry.WithReferrersSupport(true))
	return m, host
}

// pushSigned brings an image and what belongs to it, as an import does.
func pushSigned(t *testing.T, host string, s storetest.Signed) {
	t.Helper()
	r := open(t, Options{Push: true})
	repository := at(host)("docker.io/airgap-test/signed")
	for i, g := range s.Graphs(t) {
		img := image.Import{Graph: g, Repositories: []string{repository}}
		if i < len(s.Names) {
			img = image.Import{Graph: g, Names: []string{at(host)(s.Names[i])}}
		}
		bring(t, r, img, s.Images)
	}
}

func bring(t *testing.T, r *Registry, img image.Import, from image.Fetcher) {
	t.Helper()
	txn, err := r.Begin(t.Context(), img)
	if err != nil {
		t.Fatal(err)
	}
	if err := txn.Write(t.Context(), from, func(int64) {}); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time nothing happens
		if _, err := txn.Commit(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	again, err := r.Begin(t.Context(), img)
	if err != nil {
		t.Fatal(err)
	}
	if !again.State().Present {
		t.Errorf("%s is not there afterwards", img.Graph.Root.Label())
	}
}

// TestReferrers pushes referrers to registries that keep lists of them and to
// those that leave it to their clients, and finds them there again.
func TestReferrers(t *testing.T) {
	s := storetest.NewSigned("referrers")
	check := func(t *testing.T, host string, wantTag bool) {
		pushSigned(t, host, s)
		tag := image.ReferrersTag(s.Graphs(t)[0].Manifests[0].Desc.Digest)
		if status, _ := held(t, host, "airgap-test/signed/manifests/"+tag); (status == http.StatusOK) != wantTag {
			t.Errorf("the tag %s: %d", tag, status)
		}
		set, err := open(t, Options{}).Open(t.Context(), []string{at(host)(s.Names[0])}, image.Platforms{})
		if err != nil {
			t.Fatal(err)
		}
		s.CheckReferrers(t, set)
	}
	t.Run("API", func(t *testing.T) {
		_, host := withAPI(t)
		check(t, host, false)
	})
	t.Run("no API", func(t *testing.T) {
		_, host := start(t, storetest.Fixture{})
		check(t, host, true)
	})
	t.Run("docker-registry", func(t *testing.T) {
		program, err := exec.LookPath("docker-registry")
		storetest.Require(t, "docker-registry", err == nil, fmt.Sprint(err))
		check(t, serve(t, program, t.TempDir()), true)
	})
}

// TestListIsKept adds to a list what it lacks, and takes nothing from it.
func TestListIsKept(t *testing.T) {
	s := storetest.NewSigned("kept")
	graphs := s.Graphs(t)
	_, host := start(t, storetest.Fixture{})
	base := "http://" + host + "/v2/airgap-test/signed/manifests/"
	tag := image.ReferrersTag(graphs[0].Manifests[0].Desc.Digest)
	other := []byte(`{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"a/b","digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2},"layers":[]}`)
	put(t, http.DefaultClient, base+image.SHA256(other).String(), "application/vnd.oci.image.manifest.v1+json", other)
	list := fmt.Sprintf(`{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":%q,"size":%d,"artifactType":"x/y","annotations":{"of":"somebody"}}]}`,
		image.SHA256(other), len(other))
	put(t, http.DefaultClient, base+tag, "application/vnd.oci.image.index.v1+json", []byte(list))
	pushSigned(t, host, s)
	_, raw := held(t, host, "airgap-test/signed/manifests/"+tag)
	var got struct{ Manifests []image.Descriptor }
	if err := json.Unmarshal(raw, &got); err != nil || len(got.Manifests) != 2 {
		t.Fatalf("the list is %s, %v", raw, err)
	}
	for _, d := range got.Manifests {
		if d.ArtifactType == "x/y" && d.Annotations["of"] != "somebody" {
			t.Errorf("what was there before is now %+v", d)
		}
		if d.Digest == s.SBOM.Desc.Digest && d.ArtifactType != "application/spdx+json" {
			t.Errorf("the SBOM is listed as %+v", d)
		}
	}

	// A tag that is something else is not written over.
	_, host = start(t, storetest.Fixture{})
	put(t, http.DefaultClient, "http://"+host+"/v2/airgap-test/signed/manifests/"+tag, "application/vnd.oci.image.manifest.v1+json", other)
	txn, err := open(t, Options{Push: true}).Begin(t.Context(), image.Import{Graph: graphs[2], Repositories: []string{at(host)("docker.io/airgap-test/signed")}})
	if err != nil {
		t.Fatal(err)
	}
	if err := txn.Write(t.Context(), s.Images, func(int64) {}); err != nil {
		t.Fatal(err)
	}
	if _, err := txn.Commit(t.Context()); err == nil || !strings.Contains(err.Error(), tag+" is something else") {
		t.Errorf("error %v", err)
	}
	if _, now := held(t, host, "airgap-test/signed/manifests/"+tag); !bytes.Equal(now, other) {
		t.Error("the tag was moved")
	}
}

// TestForbidden: that signatures may have been left behind is said once, and
// nothing is said of registries that just do not know.
func TestForbidden(t *testing.T) {
	for code, told := range map[int]int{http.StatusForbidden: 1, http.StatusUnauthorized: 1, http.StatusNotFound: 0} {
		s := storetest.NewSigned("forbidden")
		m, host := start(t, storetest.Fixture{})
		pushSigned(t, host, s)
		m.hook(func(w http.ResponseWriter, req *http.Request) bool {
			tag := req.URL.Path[strings.LastIndexByte(req.URL.Path, '/')+1:]
			if !strings.Contains(req.URL.Path, "/referrers/") && !strings.HasPrefix(tag, "sha256-") {
				return false
			}
			w.WriteHeader(code)
			return true
		})
		var notes []string
		r := open(t, Options{Note: func(format string, args ...any) { notes = append(notes, fmt.Sprintf(format, args...)) }})
		set, err := r.Open(t.Context(), []string{at(host)(s.Names[0])}, image.Platforms{})
		if err != nil {
			t.Fatal(err)
		}
		roots, err := set.(image.Referring).Referrers(t.Context(), s.Graphs(t)[0])
		if err != nil || len(roots) > 0 {
			t.Errorf("%d: %v, %v", code, roots, err)
		}
		if len(notes) != told || told > 0 && !strings.Contains(notes[0], "signatures that it may have do not travel along") {
			t.Errorf("%d: %q", code, notes)
		}
	}
}

// TestOddAnswers: registries that do not know the API say so in many ways; one
// that breaks is an error, for a signature must not be lost in silence.
func TestOddAnswers(t *testing.T) {
	s := storetest.NewSigned("odd")
	for _, c := range []struct {
		name string
		do   http.HandlerFunc
		want int // referrers; -1 for an error
	}{
		{"not allowed", status(http.StatusMethodNotAllowed, ""), 2},
		{"forbidden", status(http.StatusForbidden, ""), 2},
		{"a page for people", status(http.StatusOK, "<html>welcome</html>"), 2},
		{"broken", status(http.StatusInternalServerError, ""), -1},
		{"a digest of another kind", status(http.StatusOK, `{"manifests":[{"digest":"sha512:abc"}]}`), -1},
		{"empty pages without end", func(w http.ResponseWriter, req *http.Request) {
			w.Header().Set("Link", "<"+req.URL.Path+">; rel=\"next\"")
			listOf(0)(w, req)
		}, -1},
		{"too long", status(http.StatusOK, `{"manifests":[`+strings.Repeat(" ", image.MaxDocument)+"]}"), -1},
		{"endless", func(w http.ResponseWriter, req *http.Request) {
			w.Header().Set("Link", "<"+req.URL.Path+">; rel=\"next\"")
			listOf(600)(w, req)
		}, -1},
	} {
		t.Run(c.name, func(t *testing.T) {
			m, host := start(t, storetest.Fixture{})
			pushSigned(t, host, s)
			m.hook(func(w http.ResponseWriter, req *http.Request) bool {
				if !strings.Contains(req.URL.Path, "/referrers/") {
					return false
				}
				c.do(w, req)
				return true
			})
			set, err := open(t, Options{}).Open(t.Context(), []string{at(host)(s.Names[0])}, image.Platforms{})
			if err != nil {
				t.Fatal(err)
			}
			roots, err := set.(image.Referring).Referrers(t.Context(), s.Graphs(t)[0])
			if (err != nil) != (c.want < 0) || err == nil && len(roots) != c.want {
				t.Errorf("%d referrers, error %v", len(roots), err)
			}
		})
	}
}

// TestPages follows a list over several answers.
func TestPages(t *testing.T) {
	m, host := start(t, storetest.Fixture{})
	m.hook(func(w http.ResponseWriter, req *http.Request) bool {
		if !strings.Contains(req.URL.Path, "/referrers/") {
			return false
		}
		if req.URL.Query().Get("page") == "" {
			w.Header().Set("Link", "<"+req.URL.Path+"?page=2>; rel=\"next\"")
			listOf(2)(w, req)
		} else {
			listOf(3)(w, req)
		}
		return true
	})
	repo, _, err := open(t, Options{}).find(host + "/signed:v1")
	if err != nil {
		t.Fatal(err)
	}
	list, api, err := repo.referrers(context.Background(), image.SHA256(nil))
	if err != nil || !api || len(list) != 3 { // two of them are on both pages
		t.Errorf("%d referrers, API %v, error %v", len(list), api, err)
	}
	if !slices.IsSortedFunc(list, func(a, b image.Descriptor) int { return strings.Compare(a.Digest.Hex, b.Digest.Hex) }) {
		t.Error("they are not sorted")
	}
}

func status(code int, text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(code)
		io.WriteString(w, text)
	}
}

// listOf answers with a list of n referrers.
func listOf(n int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		list := make([]image.Descriptor, n)
		for i := range list {
			list[i] = image.Descriptor{MediaType: "application/vnd.oci.image.manifest.v1+json", Digest: image.SHA256(fmt.Append(nil, i)), Size: 1}
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"schemaVersion": 2, "manifests": list})
	}
}
