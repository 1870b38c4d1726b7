package docker

import (
	"context"
	"crypto/rand"
	"errors"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"

	"airgap/bundle/image"
)

// An engine removes images that nothing needs whenever somebody tells it to:
// docker image prune does so to those without a name, with -a to all that no
// container uses, and hosts run it every night. So an image that is being
// imported has a name from the moment the engine shows it, and a container. Both
// go when the image has its own names; with the last name an image goes too.

// keptIn is the repository of such names. No registry can have it: its host is
// of a domain that is never given to anybody.
const keptIn = "airgap.invalid/import"

// leftIn is that of names under which an image waits for losing its last one.
const leftIn = "airgap.invalid/rollback"

// Labels of containers of ours.
const (
	labelProbe   = "airgap.probe"   // that it is one
	labelOwner   = "airgap.owner"   // whose
	labelBrought = "airgap.brought" // its image was, and has had no name of its own yet
)

// keptName is the name that an image has while it is imported.
func (e *Engine) keptName(id image.Digest) string { return e.nameIn(keptIn, id) }

// nameIn is such a name in any repository: its tag says whose it is.
func (e *Engine) nameIn(repository string, id image.Digest) string {
	return repository + ":" + e.owner.String() + "-" + id.Hex[:12]
}

// kept is the whole of such a name: in our repositories, or in one that the engine
// pulls from.
var kept = regexp.MustCompile(`^(?:` + regexp.QuoteMeta(keptIn) + `|` + regexp.QuoteMeta(leftIn) + `|127\.0\.0\.1:[0-9]+/` + imports + `[a-z2-7]{26}):(.+)-[0-9a-f]{12}$`)

// ownerOf tells whose a name is, if it is one that nameIn makes.
func ownerOf(name string) (owner, bool) {
	parts := kept.FindStringSubmatch(name)
	if parts == nil {
		return owner{}, false
	}
	return parseOwner(parts[1])
}

// probeName begins the name of a container of an owner's. Labels a container has
// from its image, too, so that they do not say whose it is.
func probeName(owner string) string { return "airgap-probe-" + owner + "-" }

// isProbe says whether a container is one that an import has made, which is never
// started.
func isProbe(c container.Summary) bool {
	begin := "/" + probeName(c.Labels[labelOwner])
	return c.State == container.StateCreated && slices.ContainsFunc(c.Names, func(name string) bool { return strings.HasPrefix(name, begin) })
}

// answersWithin is how long an engine may take for what is no import.
const answersWithin = time.Minute

// create makes the engine put the root file system together, for a container
// that is never started and has no network. An engine that is not waited for
// makes it all the same: so no interruption ends this.
func (t *txn) create(ctx context.Context, labels map[string]string) (id string, err error) {
	if err := context.Cause(ctx); err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), answersWithin)
	defer cancel()
	labels[labelProbe], labels[labelOwner] = "true", t.engine.owner.String()
	created, err := t.engine.client.ContainerCreate(ctx, client.ContainerCreateOptions{
		Name: probeName(labels[labelOwner]) + strings.ToLower(rand.Text()),
		Config: &container.Config{
			Image: t.state.ID.String(), Cmd: []string{"/airgap-probe"}, Labels: labels, NetworkDisabled: true,
		},
		HostConfig: &container.HostConfig{NetworkMode: "none"},
	})
	return created.ID, err
}

// probe proves that the engine can use an image.
func (t *txn) probe(ctx context.Context) error {
	id, err := t.create(ctx, map[string]string{})
	if err != nil {
		return err
	}
	return t.engine.removeContainer(context.WithoutCancel(ctx), id)
}

// keep is a probe that keeps its container.
func (t *txn) keep(ctx context.Context) (err error) {
	if t.container != "" {
		if err := t.engine.removeContainer(context.WithoutCancel(ctx), t.container); err != nil {
			return err
		}
	}
	t.container, err = t.create(ctx, map[string]string{labelBrought: "true"})
	return err
}

// letGo ends what keeps the image: without a name of its own it goes.
func (t *txn) letGo(ctx context.Context) error {
	var errs []error
	if t.container != "" {
		errs = append(errs, t.engine.removeContainer(ctx, t.container))
	}
	switch {
	case t.kept != "":
		errs = append(errs, t.engine.unkeep(ctx, t.kept))
	case !t.committed && !t.existed:
		errs = append(errs, t.engine.removeNameless(ctx, t.state.ID))
	}
	err := errors.Join(errs...)
	if err == nil {
		t.container, t.kept, t.written = "", "", false
	}
	return err
}

// removeContainer removes one that has never been started: the engine refuses to
// remove one that runs.
func (e *Engine) removeContainer(ctx context.Context, id string) error {
	_, err := e.client.ContainerRemove(ctx, id, client.ContainerRemoveOptions{RemoveVolumes: true})
	return ignoreAbsent(e.explain("removing container "+id, err))
}

// unkeep takes a name away that keeps an image.
func (e *Engine) unkeep(ctx context.Context, name string) error {
	return ignoreAbsent(e.explain("removing the name "+name, e.untag(ctx, name)))
}

// removeNameless removes an image, unless it has a name or is used.
func (e *Engine) removeNameless(ctx context.Context, id image.Digest) error {
	if err := e.RemoveUnused(ctx, id); !errors.Is(err, image.ErrInUse) {
		return err
	}
	return nil
}

func ignoreAbsent(err error) error {
	if errors.Is(err, image.ErrNotFound) {
		return nil
	}
	return err
}

// Sweep implements image.Sweeper.
func (e *Engine) Sweep(ctx context.Context) error {
	return errors.Join(e.sweepContainers(ctx), e.sweepNames(ctx))
}

func (e *Engine) sweepContainers(ctx context.Context) error {
	list, err := e.client.ContainerList(ctx, client.ContainerListOptions{All: true, Filters: client.Filters{}.Add("label", labelProbe)})
	if err != nil {
		return e.explain("listing containers", err)
	}
	var errs []error
	for _, c := range list.Items {
		whose, ok := parseOwner(c.Labels[labelOwner])
		if !ok || !isProbe(c) || !whose.gone(time.Unix(e.owner.since, 0)) {
			continue
		}
		errs = append(errs, e.removeContainer(ctx, c.ID))
		if id, err := parseID(c.ImageID); err == nil && c.Labels[labelBrought] != "" {
			errs = append(errs, e.removeNameless(ctx, id))
		}
	}
	return errors.Join(errs...)
}

func (e *Engine) sweepNames(ctx context.Context) error {
	list, err := e.client.ImageList(ctx, client.ImageListOptions{Filters: client.Filters{}.Add("reference", keptIn, leftIn, "127.0.0.1:*/"+imports+"*")})
	if err != nil {
		return e.explain("listing images", err)
	}
	var errs []error
	for _, i := range list.Items {
		for _, name := range i.RepoTags {
			whose, ok := ownerOf(name)
			switch {
			case !ok || !whose.gone(time.Unix(e.owner.since, 0)):
			case strings.HasPrefix(name, leftIn+":") && !e.isEmpty(ctx, name):
				errs = append(errs, e.leave(ctx, name))
			default:
				errs = append(errs, e.unkeep(ctx, name))
			}
		}
	}
	return errors.Join(errs...)
}
