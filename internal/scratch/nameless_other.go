//go:build !linux

package scratch

import (
	"errors"
	"os"
)

// nameless is what only Linux has.
func nameless(string) (*os.File, error) { return nil, errors.ErrUnsupported }
