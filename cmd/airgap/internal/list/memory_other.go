//go:build !linux

package list

import "errors"

// limitSpace is for Linux only: elsewhere there is no such limit, or nobody keeps to it.
func limitSpace() error { return errors.ErrUnsupported }
