package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/v1/types"
	"golang.org/x/sync/errgroup"

	"airgap/bundle/image"
)

// maxReferrers bounds what is taken for one subject, against registries that
// list ever more.
const maxReferrers = 1000

// Referrers implements image.Referring: for every index and manifest of the
// image, in every repository that gave it, what the referrers API lists, or the
// index that stands for it, and the tags that cosign gives.
func (s *set) Referrers(ctx context.Context, g *image.Graph) ([]image.Root, error) {
	s.mu.Lock()
	repos := slices.Clip(s.homes[g.Root.Desc.Digest])
	s.mu.Unlock()
	var subjects []subject
	for _, repo := range repos {
		for _, d := range g.Subjects() {
			subjects = append(subjects, subject{repo, d})
		}
	}
	if err := s.list(ctx, subjects); err != nil {
		return nil, err
	}
	var list []image.Root
	for _, about := range subjects {
		for _, root := range s.listed[about] {
			s.settle(root.Desc.Digest, about.repo)
			list = append(list, root)
		}
	}
	return list, nil
}

// list asks what belongs to subjects, unless it has been asked: an image may have
// many names, and be in as many repositories.
func (s *set) list(ctx context.Context, subjects []subject) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(s.jobs)
	for _, about := range subjects {
		s.mu.Lock()
		_, known := s.listed[about]
		s.mu.Unlock()
		if known {
			continue
		}
		group.Go(func() error {
			roots, err := about.repo.rootsFor(ctx, about.digest)
			s.mu.Lock()
			defer s.mu.Unlock()
			if err == nil {
				s.listed[about] = roots
			}
			return err
		})
	}
	return group.Wait()
}

// rootsFor lists what refers to a digest.
func (r *repository) rootsFor(ctx context.Context, subject image.Digest) ([]image.Root, error) {
	var roots []image.Root
	listed, _, err := r.referrers(ctx, subject)
	if err != nil {
		return nil, err
	}
	for _, d := range listed {
		d = image.Descriptor{MediaType: d.MediaType, Digest: d.Digest, Size: d.Size}
		roots = append(roots, image.Root{Desc: d, Origin: Origin})
	}
	for _, tag := range image.CosignTags(subject) {
		there, err := r.hasTag(ctx, tag)
		if err != nil {
			return nil, err
		}
		if !there {
			continue
		}
		d, _, err := r.manifest(ctx, tag)
		if err != nil {
			return nil, err
		}
		name, err := image.Beside(r.fullName(), tag)
		if err != nil {
			return nil, err
		}
		roots = append(roots, image.Root{Name: name, Desc: d, Origin: Origin})
	}
	return roots, nil
}

// unknowing are the answers of registries that do not know what is asked for,
// of whom some say that it is forbidden.
var unknowing = []int{
	http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound,
	http.StatusMethodNotAllowed, http.StatusNotAcceptable, http.StatusNotImplemented,
}

// hasTag says whether a tag is there, without pulling what counts as a pull.
func (r *repository) hasTag(ctx context.Context, tag string) (bool, error) {
	at := "manifests/" + tag
	resp, err := r.send(ctx, request{
		method: http.MethodHead, at: at, op: "looking for " + at, header: http.Header{"Accept": {accepted}},
	}, append(unknowing, http.StatusOK)...)
	if err != nil {
		return false, err
	}
	resp.Body.Close()
	r.noteForbidden(resp.StatusCode)
	return resp.StatusCode == http.StatusOK, nil
}

// noteForbidden tells, once, of a registry that does not let us look. It may
// mean that there is nothing: some answer so.
func (r *repository) noteForbidden(status int) {
	if status == http.StatusUnauthorized || status == http.StatusForbidden {
		r.forbidden.Do(func() {
			r.from.note("registry %s does not let us see what belongs to the images of %s (%d %s): signatures that it may have do not travel along",
				r.host(), r.RepositoryStr(), status, http.StatusText(status))
		})
	}
}

// referrers lists what has a digest as its subject, sorted by digest; api says
// whether the registry keeps that list by itself.
func (r *repository) referrers(ctx context.Context, subject image.Digest) (list []image.Descriptor, api bool, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, 4*r.from.patience, errSlow) // for all pages together, and pauses between them
	defer cancel()
	at := "referrers/" + subject.String()
	for pages := 1; at != ""; pages++ {
		page, next, known, err := r.referrersPage(ctx, at)
		if err != nil {
			return nil, false, err
		}
		if !known {
			t, err := r.taggedReferrers(ctx, subject)
			return t.list, false, err
		}
		if list, at = append(list, page...), next; len(list) > maxReferrers || pages > maxReferrers {
			return nil, true, &Error{r.host(), "listing referrers", Failed, fmt.Errorf("more than %d of %s", maxReferrers, subject)}
		}
	}
	return sorted(list), true, nil
}

// referrersPage gets a part of the list, and where the next one is.
func (r *repository) referrersPage(ctx context.Context, at string) (list []image.Descriptor, next string, known bool, err error) {
	resp, err := r.get(ctx, at, http.Header{"Accept": {string(types.OCIImageIndex)}}, append(unknowing, http.StatusOK)...)
	if err != nil {
		return nil, "", false, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		r.noteForbidden(resp.StatusCode)
		return nil, "", false, nil
	}
	raw, err := io.ReadAll(io.LimitReader(resp.Body, image.MaxDocument+1))
	if err != nil {
		return nil, "", false, explain(ctx, r.host(), "listing referrers", err)
	}
	list, err = parseReferrers(raw)
	switch {
	case len(raw) > image.MaxDocument:
		err = fmt.Errorf("the list has more than %d bytes", image.MaxDocument)
	case errors.Is(err, errNoIndex):
		return nil, "", false, nil // some answer everything with a page for people
	}
	if err != nil {
		return nil, "", false, &Error{r.host(), "listing referrers", Failed, err}
	}
	return list, nextPage(resp), true, nil
}

// nextPage is where a Link header points; empty at the end of a list.
func nextPage(resp *http.Response) string {
	where, rest, ok := strings.Cut(strings.TrimPrefix(resp.Header.Get("Link"), "<"), ">")
	if !ok || !strings.Contains(rest, `rel="next"`) && !strings.Contains(rest, "rel=next") {
		return ""
	}
	next, err := resp.Request.URL.Parse(where)
	if err != nil || next.Host != resp.Request.URL.Host {
		return ""
	}
	return (&url.URL{Scheme: "https", Host: next.Host, Path: next.Path, RawPath: next.RawPath, RawQuery: next.RawQuery}).String()
}

// tagged is the index that stands for the list in registries that keep none.
type tagged struct {
	list    []image.Descriptor // nil if the tag is something else
	taken   bool               // the tag is there
	version string             // by which a registry that can do so notices that others have written it
}

// taggedReferrers reads the index that stands for the list.
func (r *repository) taggedReferrers(ctx context.Context, subject image.Digest) (t tagged, err error) {
	tag := image.ReferrersTag(subject)
	if t.taken, err = r.hasTag(ctx, tag); err != nil || !t.taken {
		return t, err
	}
	resp, err := r.get(ctx, "manifests/"+tag, http.Header{"Accept": {accepted}}, http.StatusOK)
	if err != nil {
		return t, err
	}
	if version := resp.Header.Get("ETag"); !strings.HasPrefix(version, "W/") {
		t.version = version
	}
	_, raw, err := r.readManifest(ctx, tag, resp)
	if err != nil {
		return t, err
	}
	list, err := parseReferrers(raw)
	switch {
	case errors.Is(err, errNoIndex):
		return t, nil
	case err != nil:
		return t, &Error{r.host(), "reading the referrers in tag " + tag, Failed, err}
	}
	t.list = sorted(list)
	return t, nil
}

// errNoIndex says that a document is something else altogether.
var errNoIndex = errors.New("not an index")

// parseReferrers reads a list. One that is an index and cannot be understood is
// an error of its own: a signature must not be lost in silence.
func parseReferrers(raw []byte) ([]image.Descriptor, error) {
	var index struct {
		Manifests *[]json.RawMessage `json:"manifests"`
	}
	if json.Unmarshal(raw, &index) != nil || index.Manifests == nil {
		return nil, errNoIndex
	}
	list := make([]image.Descriptor, len(*index.Manifests))
	for i, raw := range *index.Manifests {
		if err := json.Unmarshal(raw, &list[i]); err != nil {
			return nil, err
		}
		if err := image.CheckDigest(list[i].Digest); err != nil {
			return nil, err
		}
	}
	return list, nil
}

func sorted(list []image.Descriptor) []image.Descriptor {
	slices.SortFunc(list, func(a, b image.Descriptor) int { return strings.Compare(a.Digest.Hex, b.Digest.Hex) })
	return slices.CompactFunc(list, func(a, b image.Descriptor) bool { return a.Digest == b.Digest })
}

// listed is a manifest of its subject's list in a registry that keeps no such
// lists by itself.
type listed struct {
	repo *repository
	image.Referrer
}

// findListed notes which manifests have to be in lists that clients keep, and
// which of those are not.
func (t *txn) findListed(ctx context.Context) error {
	t.inTags, t.unlisted = nil, nil
	for _, d := range t.img.Graph.Documents() {
		if !isManifest(d.MediaType) {
			continue
		}
		referrer, ok, err := image.ReferrerOf(d, t.img.Graph.Document(d.Digest))
		if err != nil {
			return err
		}
		if !ok {
			continue
		}
		for _, g := range t.targets {
			list, api, err := g.referrers(ctx, referrer.Subject)
			if err != nil {
				return err
			}
			u := listed{g.repository, referrer}
			if !api {
				t.inTags = append(t.inTags, u)
			}
			if !api && !contains(list, d.Digest) {
				t.unlisted = append(t.unlisted, u)
			}
		}
	}
	return nil
}

// findUnlisted looks again at the lists that findListed has found.
func (t *txn) findUnlisted(ctx context.Context) error {
	t.unlisted = nil
	for _, u := range t.inTags {
		held, err := u.repo.taggedReferrers(ctx, u.Subject)
		if err != nil {
			return err
		}
		if !contains(held.list, u.Entry.Digest) {
			t.unlisted = append(t.unlisted, u)
		}
	}
	return nil
}

func contains(list []image.Descriptor, d image.Digest) bool {
	return slices.ContainsFunc(list, func(l image.Descriptor) bool { return l.Digest == d })
}

// about is whose list in a repository it is.
func (u listed) about() subject { return subject{u.repo, u.Subject} }

// expect notes what a list has to have in the end, as soon as the manifest is
// there: all of that is added at once.
func (r *Registry) expect(u listed) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !contains(r.expected[u.about()], u.Entry.Digest) {
		r.expected[u.about()] = append(r.expected[u.about()], u.Entry)
	}
}

// relist looks at all lists once more that have been added to. Who adds to such a
// list reads it and writes it whole: of two who do so at once the second takes away
// what the first has added, and neither is told.
func (r *Registry) relist(ctx context.Context) error {
	r.mu.Lock()
	all := slices.Collect(maps.Keys(r.added))
	r.mu.Unlock()
	for _, about := range all {
		if err := about.list(ctx); err != nil {
			return err
		}
	}
	return nil
}

// listTries is how often a list is written that others take something from at
// once, which takes somebody who does it all the time.
const listTries = 10

// list adds what is expected of a subject's list to it, as the specification wants
// it of clients, until it is found there.
func (s subject) list(ctx context.Context) error {
	r := s.repo.from
	r.listing.Lock()
	defer r.listing.Unlock()
	r.mu.Lock()
	want := slices.Clone(r.expected[s])
	r.added[s] = true
	r.mu.Unlock()
	for try := 1; ; try++ {
		lacks, err := s.add(ctx, want)
		switch {
		case err != nil || lacks == 0:
			return err
		case try == listTries:
			return &Error{s.repo.host(), "listing a referrer", Failed, fmt.Errorf("others take it out of the tag %s, as often as it is added", image.ReferrersTag(s.digest))}
		case try > 1:
			if err := r.pause(ctx, gap(1)); err != nil {
				return err
			}
		}
	}
}

// add reads a list and adds what it lacks, and tells how much that was. It writes
// at once, what has been read being old soon.
func (s subject) add(ctx context.Context, want []image.Descriptor) (lacks int, err error) {
	tag := image.ReferrersTag(s.digest)
	held, err := s.repo.taggedReferrers(ctx, s.digest)
	if err != nil {
		return 0, err
	}
	want = slices.DeleteFunc(slices.Clone(want), func(d image.Descriptor) bool { return contains(held.list, d.Digest) })
	switch {
	case len(want) == 0:
		return 0, nil
	case held.taken && held.list == nil:
		return 0, &Error{s.repo.host(), "listing a referrer", Failed, fmt.Errorf("the tag %s is something else", tag)}
	}
	raw, err := json.Marshal(struct {
		SchemaVersion int                `json:"schemaVersion"`
		MediaType     types.MediaType    `json:"mediaType"`
		Manifests     []image.Descriptor `json:"manifests"`
	}{2, types.OCIImageIndex, append(held.list, want...)})
	if err != nil {
		return 0, err
	}
	d := image.Descriptor{MediaType: types.OCIImageIndex, Digest: image.SHA256(raw), Size: int64(len(raw))}
	_, err = s.repo.putOver(ctx, tag, held.version, d, raw)
	return len(want), err
}
