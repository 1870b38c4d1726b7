package docker

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/moby/moby/client"

	"airgap/bundle/image"
)

// Address implements image.Tidier.
func (e *Engine) Address() string { return e.host }

// Identity implements image.Tidier.
func (e *Engine) Identity() string { return e.identity }

// Tagged implements image.Tidier. Some engines find an image by its digest in
// whatever repository.
func (e *Engine) Tagged(ctx context.Context, name string) (image.Digest, error) {
	result, err := e.client.ImageInspect(ctx, name)
	err = e.explain(fmt.Sprintf("looking up image %q", image.Familiar(name)), err)
	foreign := image.Pinned(name) && !slices.Contains(result.RepoDigests, image.Familiar(name)) && !slices.Contains(result.RepoDigests, name)
	if errors.Is(err, image.ErrNotFound) || err == nil && foreign {
		return image.Digest{}, nil
	}
	if err != nil {
		return image.Digest{}, err
	}
	return parseID(result.ID)
}

// TakesAlong implements image.Tidier. Engines drop names by digest with the last tag
// of their repository. The classic store has a digest only from a pull, and never from
// an import. Containerd's lists one for each tag, too: what is a name of its own stands
// among the tags since Docker 28, and before there is one more than there are tags.
// Such names are others', unless they are among those that go.
func (e *Engine) TakesAlong(ctx context.Context, name string, going []string) (bool, error) {
	if e.store == podman || image.Pinned(name) {
		return false, nil
	}
	held, err := e.client.ImageInspect(ctx, name)
	if cerrdefs.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, e.explain(fmt.Sprintf("looking up image %q", image.Familiar(name)), err)
	}
	repository := image.Repository(name)
	in := func(names []string) (list []string) {
		for _, name := range names {
			if full, err := image.Normalize(name); err == nil && image.Repository(full) == repository {
				list = append(list, full)
			}
		}
		return list
	}
	goes := func(name string) bool { return slices.Contains(going, name) }
	var tags, own []string
	for _, name := range in(held.RepoTags) {
		if image.Pinned(name) {
			own = append(own, name)
		} else {
			tags = append(tags, name)
		}
	}
	digests := in(held.RepoDigests)
	if e.store == containerd {
		digests = digests[min(len(tags), len(digests)):]
	}
	own = append(own, digests...)
	return len(slices.DeleteFunc(tags, goes)) == 0 && len(slices.DeleteFunc(own, goes)) > 0, nil
}

// Retag implements image.Tidier. A name by digest stays as long as there is a tag
// beside it, which would go too, and engines remove it with the last of these.
func (e *Engine) Retag(ctx context.Context, name string, to image.Digest) error {
	op := fmt.Sprintf("tagging %q", image.Familiar(name))
	if image.Pinned(name) && to == (image.Digest{}) {
		if alone, err := e.standsAlone(ctx, name); err != nil || !alone {
			return e.explain(op, err)
		}
	}
	var err error
	if to == (image.Digest{}) {
		_, err = e.client.ImageRemove(ctx, name, client.ImageRemoveOptions{PruneChildren: true})
	} else {
		_, err = e.client.ImageTag(ctx, client.ImageTagOptions{Source: to.String(), Target: name})
	}
	return e.explainUse(op, err)
}

// standsAlone says whether a name by digest is there, and no tag in its repository
// for the same image. Docker 28 lists names by digest among the tags.
func (e *Engine) standsAlone(ctx context.Context, name string) (bool, error) {
	held, err := e.client.ImageInspect(ctx, name)
	if cerrdefs.IsNotFound(err) {
		return false, nil
	}
	return err == nil && !hasTagIn(held.RepoTags, image.Repository(name)), err
}

func hasTagIn(names []string, repository string) bool {
	return slices.ContainsFunc(names, func(name string) bool {
		full, err := image.Normalize(name)
		return err == nil && !image.Pinned(full) && image.Repository(full) == repository
	})
}

// Untag implements image.Tidier. An engine removes an image with its last name. So
// the image gets one of ours before. It is not broken off: it is a matter of
// milliseconds.
func (e *Engine) Untag(ctx context.Context, name string) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), answersWithin)
	defer cancel()
	op := fmt.Sprintf("taking the name %q away", image.Familiar(name))
	if image.Pinned(name) {
		if alone, err := e.standsAlone(ctx, name); err != nil || !alone {
			return e.explain(op, err)
		}
	}
	ours := e.nameIn(leftIn, image.SHA256([]byte(name)))
	if _, err := e.client.ImageTag(ctx, client.ImageTagOptions{Source: name, Target: ours}); err != nil {
		return e.explain(op, err)
	}
	err := e.untag(ctx, name)
	return errors.Join(e.explain(op, err), e.leave(ctx, ours))
}

// emptyTar is the only layer of an image that takes a name over.
var emptyTar = make([]byte, 1024)

// isEmpty says whether a name has been taken over.
func (e *Engine) isEmpty(ctx context.Context, name string) bool {
	held, err := e.client.ImageInspect(ctx, name)
	return err == nil && slices.Equal(held.RootFS.Layers, []string{image.SHA256(emptyTar).String()})
}

// leave takes a name of ours away and keeps the image, also if that was its last:
// an empty image takes the name over, and goes with it.
func (e *Engine) leave(ctx context.Context, name string) error {
	empty := e.keptName(image.SHA256([]byte(name)))
	if err := e.takeOver(ctx, name, empty); err != nil {
		return e.explain("removing the name "+name, err)
	}
	return errors.Join(e.unkeep(ctx, name), e.unkeep(ctx, empty))
}

// takeOver gives a name to an empty image, which it makes under another name.
func (e *Engine) takeOver(ctx context.Context, name, empty string) error {
	made, err := e.client.ImageImport(ctx, client.ImageImportSource{Source: bytes.NewReader(emptyTar), SourceName: "-"}, empty, client.ImageImportOptions{})
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, made) // it is there when the answer ends
	if err = errors.Join(err, made.Close()); err == nil {
		_, err = e.client.ImageTag(ctx, client.ImageTagOptions{Source: empty, Target: name})
	}
	return err
}

// RemoveUnused implements image.Tidier. The engine itself refuses to remove
// what is used, unless it is forced to.
func (e *Engine) RemoveUnused(ctx context.Context, id image.Digest) error {
	held, err := e.inspect(ctx, id)
	if errors.Is(err, image.ErrNotFound) {
		return nil // some engines drop it as soon as it has no name
	}
	if err != nil {
		return err
	}
	names := held.RepoTags
	if e.store != classic { // which lists where an image came from, too
		names = append(names, held.RepoDigests...)
	}
	if len(names) > 0 {
		return fmt.Errorf("image %s is %s too: %w", id, names[0], image.ErrInUse)
	}
	_, err = e.client.ImageRemove(ctx, id.String(), client.ImageRemoveOptions{PruneChildren: true})
	return e.explainUse("removing image "+id.String(), err)
}

func (e *Engine) explainUse(op string, err error) error {
	if cerrdefs.IsConflict(err) {
		return fmt.Errorf("%s: %w: %w", op, image.ErrInUse, err)
	}
	return e.explain(op, err)
}

// Usage implements image.Tidier.
func (e *Engine) Usage(ctx context.Context) (int64, error) {
	result, err := e.client.DiskUsage(ctx, client.DiskUsageOptions{Images: true})
	return result.Images.TotalSize, e.explain("asking for its disk usage", err)
}
