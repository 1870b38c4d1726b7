package main

import (
	"errors"
	"path/filepath"
	"strings"

	"airgap/cmd/airgap/internal/ui"
	"airgap/transfer/volume"
	"airgap/transfer/volume/parity"
)

// ofVolumes knows the errors of bundles that were cut.
func ofVolumes(_ string, err error) (ui.Status, []string, bool) {
	var incomplete *volume.IncompleteError
	var choice *volume.ChoiceError
	var damaged *parity.TooDamagedError
	var inTheWay *volume.InTheWayError
	switch {
	case errors.As(err, &incomplete):
		return ui.Damaged, incompleteHints(incomplete.Report), true
	case errors.As(err, &damaged):
		return ui.Damaged, []string{"get what is damaged or missing again from where it was packed: airgap send"}, true
	case errors.As(err, &choice) && len(choice.Sets) > 0:
		return ui.Failed, []string{"name a file of the one that is meant: " + strings.Join(oneOfEach(choice), " or ")}, true
	case errors.As(err, &choice):
		return ui.Failed, []string{"name the folder that holds the bundle"}, true
	case errors.As(err, &inTheWay):
		return ui.Refused, []string{"rename it or remove it, or choose another name with -o"}, true
	case errors.Is(err, volume.ErrNewer):
		return ui.Failed, []string{"use a newer airgap here (this one is " + thisVersion() + ")"}, true
	}
	return 0, nil, false
}

// oneOfEach are files that stand for the sets there are.
func oneOfEach(e *volume.ChoiceError) (paths []string) {
	for _, s := range e.Sets[:min(len(e.Sets), 3)] {
		paths = append(paths, filepath.Join(e.Dir, s.Files[0]))
	}
	return paths
}

// incompleteHints say how to come by what is missing.
func incompleteHints(r volume.Report) []string {
	if r.Readable() && r.Parity != nil {
		return []string{"airgap repair makes it good; airgap unpack reads it as it is"}
	}
	if len(r.Damaged) == 0 {
		return []string{"put the missing volumes beside the others"}
	}
	return []string{"run airgap send again where the bundle comes from: only what is not there as it should be is written"}
}
