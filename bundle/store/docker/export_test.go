package docker

import (
	"context"
	"time"

	"airgap/bundle/image"
)

// Check is what an import does after the engine said that all is well.
func Check(ctx context.Context, t image.Txn) error { return t.(*txn).check(ctx) }

// Dialect says how the engine is given images.
var Dialect = (*Engine).imports

// Forsaken makes an engine's things look as those of a run that was killed.
func (e *Engine) Forsaken(process string) { e.owner.process = process }

// Probing makes a container as an import does, and tells what else keeps an
// image.
func (e *Engine) Probing(ctx context.Context, id image.Digest) (name, container string, err error) {
	t := &txn{engine: e, state: image.State{ID: id}}
	err = t.keep(ctx)
	return e.keptName(id), t.container, err
}

// ProcessOf names a process as owners do.
var ProcessOf = processOf

// Impatient has an engine waited for no longer than this.
func (e *Engine) Impatient(d time.Duration) { e.patience = d }
