package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"runtime"
	"syscall"

	"airgap/bundle"
	"airgap/bundle/image"
	"airgap/bundle/store/registry"
	"airgap/cmd/airgap/internal/ui"
	"airgap/verify/load"
)

// stateError carries, beside an error, in what state the command leaves things.
type stateError struct {
	error
	state string
}

func (e *stateError) Unwrap() error { return e.error }

// inState says in what state an error leaves things. What has been said of it
// nearer to its cause stays.
func inState(state string, err error) error {
	var known *stateError
	if err == nil || errors.As(err, &known) {
		return err
	}
	return &stateError{err, state}
}

// explain turns the typed errors of the rooms into what a person reads and the
// exit status. It is the only place that does. path is the command's, such as
// "airgap pack".
func explain(ctx context.Context, path string, err error) error {
	var known *ui.Error
	if errors.As(err, &known) {
		return known
	}
	out := &ui.Error{Err: err, Code: ui.Failed, State: transferState(err)}
	var s *stateError
	if errors.As(err, &s) {
		out.State = s.state
	}
	if path == "airgap probe" {
		path = "airgap unpack" // for which it speaks
	}
	if errors.Is(context.Cause(ctx), errInterrupted) {
		out.Err, out.Code = errInterrupted, ui.Interrupted
		if path == "airgap send" && out.State != "" {
			out.Hints = []string{"the same command goes on where it stopped"}
		}
		return out
	}
	for _, of := range []func(string, error) (ui.Status, []string, bool){ofHost, ofVolumes, ofBundle, ofImport, ofPlaces, ofRoom, ofTaken, ofTransfer, ofImage, ofSystem} {
		if code, hints, ok := of(path, err); ok {
			out.Code, out.Hints = code, hints
			break
		}
	}
	var referrers *image.ReferrersError
	if errors.As(err, &referrers) {
		out.Hints = append(out.Hints, "or leave them out: --no-referrers")
	}
	return out
}

// ofBundle knows the errors of the format.
func ofBundle(_ string, err error) (ui.Status, []string, bool) {
	var medium *bundle.ReadError
	var damage *bundle.DamagedError
	var newer *bundle.NewerError
	var foreign *bundle.ForeignError
	switch {
	case errors.As(err, &medium):
		return ui.Medium, []string{"copy the bundle from this medium again, or carry it on another"}, true
	case errors.As(err, &foreign):
		return ui.Damaged, foreignHints(foreign.Kind), true
	case errors.As(err, &newer):
		return ui.Failed, []string{"use a newer airgap here, or pack with this one (" + thisVersion() + ")"}, true
	case errors.As(err, &damage):
		return ui.Damaged, []string{"get the bundle again from where it was packed: airgap send"}, true
	}
	return 0, nil, false
}

// foreignHints say what to do with files that people take for bundles.
func foreignHints(kind string) []string {
	switch kind {
	case bundle.KindDockerArchive:
		return []string{"it looks like the output of docker save: docker load -i FILE loads it as it is; airgap pack docker-archive:FILE makes a bundle of it"}
	case bundle.KindOCIArchive:
		return []string{"it is an OCI layout in a tar: airgap pack oci-archive:FILE makes a bundle of it"}
	case bundle.KindGzip:
		return []string{"it is compressed with gzip, which bundles are not: airgap pack docker-archive:FILE reads the output of docker save"}
	}
	return []string{"make a bundle: airgap pack IMAGE…"}
}

// ofImage knows the errors of the vocabulary.
func ofImage(path string, err error) (ui.Status, []string, bool) {
	var platform *image.PlatformError
	var unsupported *image.UnsupportedError
	var hollow *image.HollowError
	var wrong *image.WrongLayerError
	switch {
	case errors.As(err, &wrong):
		return ui.Refused, wrongImageHints(path), true
	case errors.As(err, &platform):
		return ui.Refused, platformHints(path, platform), true
	case errors.As(err, &hollow):
		return ui.Failed, []string{"have the engine pull it again, or take it from its registry: docker://NAME"}, true
	case errors.As(err, &unsupported):
		return ui.Failed, nil, true
	case errors.Is(err, image.ErrUnnamed):
		return ui.Failed, []string{"give it one: --rename sha256:…=NAME, or leave it out: --only 'NAME:*'"}, true
	}
	return 0, nil, false
}

// wrongImageHints say that sending a wrong image again does not help.
func wrongImageHints(path string) []string {
	if path == "airgap pack" {
		return []string{"the image is like this where it comes from: build it or pull it again"}
	}
	return []string{"sending the bundle again brings the same: where it was packed, build the image or pull it again, and pack it with --verify"}
}

// platformHints tell how to come by the platform, on the side where that is
// possible.
func platformHints(path string, e *image.PlatformError) []string {
	if path == "airgap unpack" {
		if len(e.Want) > 0 {
			return []string{fmt.Sprintf("where the images come from: airgap pack --platform %s %s", e.Want[0], e.Image)}
		}
		return nil
	}
	if len(e.Have) > 0 {
		return []string{fmt.Sprintf("choose one that is there: %s --platform %s …", path, e.Have[0])}
	}
	return nil
}

// ofImport knows the errors of importing.
func ofImport(_ string, err error) (ui.Status, []string, bool) {
	var replace *load.ReplaceError
	var nothing *load.NoMatchError
	var half *load.CommitError
	var changed *load.ChangedError
	var outside *load.OutsideError
	switch {
	case errors.As(err, &outside):
		return ui.Refused, []string{"name the folder itself with --files, or remove the link"}, true
	case errors.As(err, &replace):
		return ui.Refused, []string{"leave out --no-replace to move them, or give the images other names with --rename"}, true
	case errors.As(err, &nothing):
		return ui.Failed, []string{"airgap inspect shows the names; quote the pattern: --only 'name:*'"}, true
	case errors.As(err, &half):
		code := ui.Engine
		if fromRegistry := new(registry.Error); errors.As(err, &fromRegistry) {
			code = ui.Failed
		}
		return code, []string{"run the same command again: it brings and names what is missing"}, true
	case errors.Is(err, image.ErrInUse):
		return ui.Refused, []string{"remove the container or the other image first, or carry that image in the same bundle"}, true
	case errors.Is(err, image.ErrPinned):
		return ui.Refused, []string{"pull it again from its registry; or, if nobody needs that name, remove it with docker rmi first"}, true
	case errors.As(err, &changed) && changed.Err == nil, errors.Is(err, image.ErrGone):
		return ui.Failed, []string{"find out who else changes images there, such as a prune in a loop, and run the same command again"}, true
	}
	return 0, nil, false
}

// ofSystem knows the errors of this machine.
func ofSystem(_ string, err error) (ui.Status, []string, bool) {
	var taken *bundle.TakenError
	switch {
	case isDiskFull(err):
		return ui.NoSpace, []string{"make room, or use another place"}, true
	case errors.As(err, &taken):
		return ui.Refused, []string{"remove it first if it is not needed, or choose another name with -o"}, true
	case errors.Is(err, fs.ErrExist):
		return ui.Refused, []string{"leave out --no-clobber to replace it, or choose another name with -o"}, true
	}
	return 0, nil, false
}

// isDiskFull knows a full disk, and a quota that is used up, by the system's
// own numbers.
func isDiskFull(err error) bool {
	if runtime.GOOS == "windows" {
		const handleDiskFull, diskFull = syscall.Errno(39), syscall.Errno(112)
		return errors.Is(err, handleDiskFull) || errors.Is(err, diskFull)
	}
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}
