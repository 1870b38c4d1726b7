package docker

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/moby/moby/client"

	"airgap/bundle/image"
)

// ErrorKind is what is wrong with an engine.
type ErrorKind int

const (
	Failed      ErrorKind = iota // it refused, or broke off
	Unreachable                  // nothing answers
	Permission                   // it is there, but not for this user
	Mismatch                     // what it holds is not what it was given
	NoSpace                      // its disk is full
	Settings                     // what says which engine is meant cannot be understood
)

// Error is an engine's fault, or that of the way to it.
type Error struct {
	Host string // as DOCKER_HOST has it
	Op   string // what was being done
	Kind ErrorKind
	Err  error
}

func (e *Error) Error() string {
	if e.Host == "" { // it is not known which one is meant
		return fmt.Sprintf("%s: %s: %v", e.Engine(), e.Op, e.Err)
	}
	return fmt.Sprintf("%s at %s: %s: %v", e.Engine(), e.Host, e.Op, e.Err)
}
func (e *Error) Unwrap() error { return e.Err }

// Engine is which engine listens there, as far as its address tells.
func (e *Error) Engine() string {
	if strings.Contains(e.Host, "podman") {
		return "podman"
	}
	return "docker"
}

// explain sorts an error of the client. What is not there stays
// image.ErrNotFound; errors of ours that come back through the client stay
// what they are.
func (e *Engine) explain(op string, err error) error {
	var known *Error
	switch {
	case err == nil, errors.As(err, &known):
		return err
	case cerrdefs.IsNotFound(err):
		return fmt.Errorf("%s at %s: %s: %w", (&Error{Host: e.host}).Engine(), e.host, op, image.ErrNotFound)
	}
	return &Error{Host: e.host, Op: op, Kind: kindOf(err), Err: err}
}

func kindOf(err error) ErrorKind {
	text := err.Error()
	switch {
	case errors.Is(err, fs.ErrPermission), strings.Contains(text, "permission denied while trying to connect"):
		return Permission
	case client.IsErrConnectionFailed(err):
		return Unreachable
	case strings.Contains(text, "no space left on device"):
		return NoSpace
	}
	return Failed
}
