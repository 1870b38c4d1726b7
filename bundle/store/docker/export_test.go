package docker

import (
	"context"

	"airgap/bundle/image"
)

// Check is what an import does after the engine said that all is well.
func Check(ctx context.Context, t image.Txn) error { return t.(*txn).check(ctx) }

// Dialect says how the engine is given images.
var Dialect = (*Engine).imports
