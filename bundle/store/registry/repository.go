package registry

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"
	"sync"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"airgap/bundle/image"
)

// repository is the connection to one repository: one login for all requests.
type repository struct {
	name.Repository
	from *Registry

	forbidden sync.Once // that it does not say what belongs to its images has been told

	mu     sync.Mutex
	client *http.Client // nil until the first login
}

// host is the registry as image names have it.
func (r *repository) host() string {
	if r.RegistryStr() == name.DefaultRegistry {
		return "docker.io"
	}
	return r.RegistryStr()
}

// fullName is the repository as normalised image names have it.
func (r *repository) fullName() string { return r.host() + "/" + r.RepositoryStr() }

// connect logs in, once. A login that failed is tried again by the next caller.
func (r *repository) connect(ctx context.Context) (*http.Client, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.client != nil {
		return r.client, nil
	}
	auth, err := authn.Resolve(ctx, r.from.keys, r.Repository)
	if err != nil && ctx.Err() == nil {
		return nil, &Error{r.host(), "reading the credentials", Credentials, err}
	}
	if err != nil {
		return nil, explain(ctx, r.host(), "reading the credentials", err)
	}
	t, err := transport.NewWithContext(ctx, r.Registry, auth, r.from.via, []string{r.Scope(r.from.scope)})
	if err != nil {
		return nil, explain(ctx, r.host(), "connecting", err)
	}
	r.client = &http.Client{Transport: t, CheckRedirect: r.from.checkRedirect}
	return r.client, nil
}

// request is what is asked of a repository.
type request struct {
	method string
	at     string // below the repository, or a whole URL that the registry gave
	op     string // in errors, such as "getting blobs/sha256:…"
	header http.Header
	body   io.Reader
	size   int64 // of the body
}

// get asks for a part of the repository. The answer's status is among those
// wanted.
func (r *repository) get(ctx context.Context, path string, header http.Header, statuses ...int) (*http.Response, error) {
	return r.send(ctx, request{method: http.MethodGet, at: path, op: "getting " + path, header: header}, statuses...)
}

// send asks, and answers with an error unless the status is among those wanted.
func (r *repository) send(ctx context.Context, q request, statuses ...int) (*http.Response, error) {
	client, err := r.connect(ctx)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, q.method, r.url(q.at), q.body)
	if err != nil {
		return nil, err
	}
	if q.header != nil {
		req.Header = q.header
	}
	if q.size > 0 {
		req.ContentLength = q.size
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, explain(ctx, r.host(), q.op, err)
	}
	if err := transport.CheckError(resp, statuses...); err != nil {
		resp.Body.Close()
		return nil, explain(ctx, r.host(), q.op, err)
	}
	return resp, nil
}

// url is where something below the repository is. ggcr's transport changes the
// scheme for hosts without TLS.
func (r *repository) url(at string) string {
	if strings.HasPrefix(at, "http://") || strings.HasPrefix(at, "https://") {
		return at
	}
	return "https://" + r.RegistryStr() + "/v2/" + r.RepositoryStr() + "/" + at
}

// accepted are the manifests that are asked for; those of schema 1 so that they
// can be refused for what they are.
var accepted = strings.Join([]string{
	string(types.OCIImageIndex), string(types.DockerManifestList), string(types.OCIManifestSchema1), string(types.DockerManifestSchema2),
	string(types.DockerManifestSchema1Signed), string(types.DockerManifestSchema1),
}, ", ")

// manifest gets the manifest or index that a tag or digest names.
func (r *repository) manifest(ctx context.Context, id string) (image.Descriptor, []byte, error) {
	resp, err := r.get(ctx, "manifests/"+id, http.Header{"Accept": {accepted}}, http.StatusOK)
	if err != nil {
		return image.Descriptor{}, nil, err
	}
	return r.readManifest(ctx, id, resp)
}

// readManifest reads the answer to a request for a manifest.
func (r *repository) readManifest(ctx context.Context, id string, resp *http.Response) (image.Descriptor, []byte, error) {
	defer resp.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, image.MaxDocument+1))
	if err != nil {
		return image.Descriptor{}, nil, explain(ctx, r.host(), "reading manifest "+id, err)
	}
	if len(raw) > image.MaxDocument {
		return image.Descriptor{}, nil, fmt.Errorf("manifest %s has more than %d bytes", id, image.MaxDocument)
	}
	d := image.Descriptor{MediaType: mediaType(resp.Header, raw), Digest: image.SHA256(raw), Size: int64(len(raw))}
	return d, raw, checkSaid(d, id, resp.Header.Get("Docker-Content-Digest"))
}

// checkSaid refuses bytes that are not those that were asked for by digest, or
// not those that the registry means to send. The digest of a signed schema 1
// is not of its bytes; those are refused later.
func checkSaid(d image.Descriptor, said ...string) error {
	for _, s := range said {
		if strings.HasPrefix(s, "sha256:") && s != d.Digest.String() && !d.MediaType.IsSchema1() {
			want := d
			want.Digest.Hex = strings.TrimPrefix(s, "sha256:")
			return &image.DigestError{Want: want, Got: d.Digest, GotSize: d.Size}
		}
	}
	return nil
}

// mediaType is what the document says of itself, else what the registry says.
func mediaType(h http.Header, raw []byte) types.MediaType {
	var doc struct {
		MediaType types.MediaType `json:"mediaType"`
		Manifests json.RawMessage `json:"manifests"`
	}
	if json.Unmarshal(raw, &doc) == nil && doc.MediaType != "" {
		return doc.MediaType
	}
	said, _, err := mime.ParseMediaType(h.Get("Content-Type"))
	switch {
	case err == nil && isManifest(types.MediaType(said)):
		return types.MediaType(said)
	case doc.Manifests != nil:
		return types.OCIImageIndex
	}
	return types.OCIManifestSchema1
}

func isManifest(t types.MediaType) bool { return t.IsIndex() || t.IsImage() || t.IsSchema1() }
