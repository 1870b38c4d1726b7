package serve

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/types"
)

// Codes of the specification's errors.
const (
	codeBlob        = "BLOB_UNKNOWN"
	codeManifest    = "MANIFEST_UNKNOWN"
	codeName        = "NAME_UNKNOWN"
	codeDigest      = "DIGEST_INVALID"
	codeUnsupported = "UNSUPPORTED"
)

// ServeHTTP implements http.Handler.
func (r *Registry) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	r.events.Asked("%s %s %s %s", req.RemoteAddr, req.Method, req.URL.Path, req.Header.Get("Range"))
	w.Header().Set("Docker-Distribution-Api-Version", "registry/2.0")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	path, ok := strings.CutPrefix(req.URL.Path, "/v2")
	switch {
	case !ok || path != "" && path[0] != '/':
		http.NotFound(w, req)
	case req.Method != http.MethodGet && req.Method != http.MethodHead:
		w.Header().Set("Allow", "GET, HEAD")
		refuse(w, http.StatusMethodNotAllowed, codeUnsupported, "this registry can only be read")
	case path == "" || path == "/":
		answer(w, "application/json", struct{}{})
	case path == "/_catalog":
		page, next := paginate(r.catalog, req)
		link(w, req, next)
		answer(w, "application/json", map[string]any{"repositories": page})
	default:
		r.repository(w, req, path[1:])
	}
}

// repository answers what is asked of one repository.
func (r *Registry) repository(w http.ResponseWriter, req *http.Request, path string) {
	name, what, id := split(path)
	if what == "" {
		http.NotFound(w, req)
		return
	}
	repo := r.repos[req.URL.Query().Get("ns")+"/"+name] // as containerd asks a mirror
	if repo == nil {
		repo = r.repos[name]
	}
	if repo == nil {
		refuse(w, http.StatusNotFound, codeName, "there is no repository "+name)
		return
	}
	switch what {
	case "manifests":
		repo.serveManifest(w, req, id)
	case "blobs":
		r.serveBlob(w, req, repo, id)
	case "tags":
		page, next := paginate(repo.sorted, req)
		link(w, req, next)
		answer(w, "application/json", map[string]any{"name": name, "tags": page})
	case "referrers":
		repo.serveReferrers(w, req, id)
	}
}

// split takes NAME/manifests/ID and its like apart. A repository's name may
// hold these words itself: the last one counts.
func split(path string) (name, what, id string) {
	if name, ok := strings.CutSuffix(path, "/tags/list"); ok {
		return name, "tags", ""
	}
	rest, id := path[:max(0, strings.LastIndexByte(path, '/'))], path[strings.LastIndexByte(path, '/')+1:]
	for _, what := range []string{"manifests", "blobs", "referrers"} {
		if name, ok := strings.CutSuffix(rest, "/"+what); ok && name != "" {
			return name, what, id
		}
	}
	return "", "", ""
}

func (r *repository) serveManifest(w http.ResponseWriter, req *http.Request, ref string) {
	b, ok := r.manifest(ref)
	if !ok {
		refuse(w, http.StatusNotFound, codeManifest, "there is no manifest "+ref)
		return
	}
	b.head(w, string(b.MediaType))
	w.Header().Set("Cache-Control", "no-cache") // a tag may be another image's tomorrow
	http.ServeContent(w, req, "", time.Time{}, bytes.NewReader(b.raw))
}

func (r *Registry) serveBlob(w http.ResponseWriter, req *http.Request, repo *repository, id string) {
	d := parseDigest(id)
	if d.Hex == "" {
		refuse(w, http.StatusBadRequest, codeDigest, "not a sha256 digest: "+id)
		return
	}
	b, ok := repo.blobs[d]
	if !ok {
		refuse(w, http.StatusNotFound, codeBlob, "there is no blob "+id)
		return
	}
	b.head(w, "application/octet-stream")
	w.Header().Set("Cache-Control", "max-age=31536000, immutable")
	if req.Method == http.MethodGet {
		if !r.sending.take(req.Context()) {
			return
		}
		defer r.sending.leave()
	}
	c := &content{blob: b}
	defer c.Close()
	http.ServeContent(patient{w, r.stall}, req, "", time.Time{}, c)
	if c.err != nil {
		// Nobody shall take what has been sent for the whole.
		r.events.Broken(b.Descriptor, c.err)
		panic(http.ErrAbortHandler)
	}
}

func (b blob) head(w http.ResponseWriter, mediaType string) {
	h := w.Header()
	h.Set("Content-Type", mediaType)
	h.Set("Docker-Content-Digest", b.Digest.String())
	h.Set("Etag", strconv.Quote(b.Digest.String()))
}

func (r *repository) serveReferrers(w http.ResponseWriter, req *http.Request, id string) {
	d := parseDigest(id)
	if d.Hex == "" {
		refuse(w, http.StatusBadRequest, codeDigest, "not a sha256 digest: "+id)
		return
	}
	artifactType := req.URL.Query().Get("artifactType")
	if artifactType != "" {
		w.Header().Set("Oci-Filters-Applied", "artifactType")
	}
	answer(w, string(types.OCIImageIndex), r.referring(d, artifactType))
}

// paginate gives the part of a sorted list that a request asks for, and after
// which element the next part begins; "" at the end.
func paginate(list []string, req *http.Request) (page []string, next string) {
	query := req.URL.Query()
	if last := query.Get("last"); last != "" {
		i, found := slices.BinarySearch(list, last)
		if found {
			i++
		}
		list = list[i:]
	}
	n, err := strconv.Atoi(query.Get("n"))
	if err != nil || n < 0 || n >= len(list) {
		return append([]string{}, list...), ""
	}
	if n == 0 {
		return []string{}, ""
	}
	return list[:n], list[n-1]
}

// link tells where the next page is.
func link(w http.ResponseWriter, req *http.Request, next string) {
	if next != "" {
		query := url.Values{"n": {req.URL.Query().Get("n")}, "last": {next}}
		w.Header().Set("Link", fmt.Sprintf("<%s?%s>; rel=\"next\"", req.URL.EscapedPath(), query.Encode()))
	}
}

func answer(w http.ResponseWriter, mediaType string, v any) {
	raw, err := json.Marshal(v)
	if err != nil {
		panic(err) // strings and numbers always marshal
	}
	w.Header().Set("Content-Type", mediaType)
	w.Header().Set("Content-Length", strconv.Itoa(len(raw)))
	_, _ = w.Write(raw) // who went away does not want to hear of it
}

// refuse answers with an error of the specification.
func refuse(w http.ResponseWriter, status int, code, message string) {
	raw, err := json.Marshal(map[string]any{"errors": []map[string]string{{"code": code, "message": message}}})
	if err != nil {
		panic(err)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(raw)
}
