package docker

import (
	"context"
	"strings"
	"time"

	"github.com/moby/moby/client"

	"airgap/bundle/image"
)

// Check is what an import does after the engine said that all is well.
func Check(ctx context.Context, t image.Txn) error { return t.(*txn).check(ctx) }

// Dialect says how the engine is given images.
var Dialect = (*Engine).imports

// Forsaken makes an engine's things look as those of a run that was killed.
func (e *Engine) Forsaken(process string) { e.owner.process = process }

// Probing makes a container as an import does, and tells the names that keep an
// image: while it is loaded, and while it is pulled.
func (e *Engine) Probing(ctx context.Context, id image.Digest) (names [2]string, container string, err error) {
	t := &txn{engine: e, state: image.State{ID: id}}
	err = t.keep(ctx)
	return [2]string{e.keptName(id), e.nameIn("127.0.0.1:1/"+imports+strings.Repeat("ab", 13), id)}, t.container, err
}

// Waiting takes a name away as Untag does, and ends before the image has lost the
// one that it waits under, or after that was taken over.
func (e *Engine) Waiting(ctx context.Context, name string, taken bool) error {
	ours := e.nameIn(leftIn, image.SHA256([]byte(name)))
	_, err := e.client.ImageTag(ctx, client.ImageTagOptions{Source: name, Target: ours})
	if err == nil {
		err = e.untag(ctx, name)
	}
	if err == nil && taken {
		err = e.takeOver(ctx, ours, e.keptName(image.SHA256([]byte(ours))))
	}
	return err
}

// Labels are those of containers that an import makes.
func (e *Engine) Labels() map[string]string {
	return map[string]string{labelProbe: "true", labelOwner: e.owner.String()}
}

// ProcessOf names a process as owners do.
var ProcessOf = processOf

// Impatient has an engine waited for no longer than this.
func (e *Engine) Impatient(d time.Duration) { e.patience = d }
