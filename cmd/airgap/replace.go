package main

import (
	"bytes"
	"io"

	"airgap/bundle"
	"airgap/transfer/volume"
)

// mayReplace says what a file of that name may take the place of: bundles,
// volumes and parity, in whatever state they are, and of what goes along an
// earlier one. Anything else is dear to somebody.
func mayReplace(name string) func(old io.ReaderAt, size int64) (bool, error) {
	switch {
	case name == readmeName:
		return isReadme
	case programName.MatchString(name):
		return nil
	}
	return isCargo
}

// isCargo knows bundles, volumes and parity.
func isCargo(old io.ReaderAt, size int64) (bool, error) {
	ours, err := bundle.LooksLike(old, size)
	if ours || err != nil {
		return ours, err
	}
	return volume.LooksLike(old, size)
}

// isReadme knows the text that goes along.
func isReadme(old io.ReaderAt, size int64) (bool, error) {
	title, _, _ := bytes.Cut([]byte(readmeText), []byte("\n"))
	got := make([]byte, len(title))
	n, err := old.ReadAt(got, 0)
	if err == io.EOF {
		err = nil
	}
	return bytes.Equal(got[:n], title), err
}
