package load

import (
	"fmt"
	"strings"

	"airgap/bundle/image"
)

// ReplaceError says that names would be moved which must not be.
type ReplaceError struct{ Tags []image.Tag }

func (e *ReplaceError) Error() string {
	var names []string
	for _, t := range e.Tags {
		names = append(names, fmt.Sprintf("%s (now %s)", image.Familiar(t.Name), t.Old))
	}
	return "these names point to other images: " + strings.Join(names, ", ")
}

// CommitError says that not all names were set, or not for certain, and that images
// without a name were taken back, if nothing is Left. Running the import again sets the rest.
type CommitError struct {
	Done   []image.Tag // set before the failure
	Failed string      // the image whose names were not
	Err    error
	Left   error // why some images without a name are there yet, or nil
}

func (e *CommitError) Error() string { return fmt.Sprintf("naming image %q: %v", e.Failed, e.Err) }

func (e *CommitError) Unwrap() error { return e.Err }

// ChangedError says that everything was brought and named, and that others have
// changed some of it since.
type ChangedError struct {
	Gone  []string    // labels of images that are not there whole any more
	Moved []image.Tag // names, with what they point to now as Old
	Err   error       // why that could not be found out, or nil
}

func (e *ChangedError) Unwrap() error { return e.Err }

func (e *ChangedError) Error() string {
	if e.Err != nil {
		return fmt.Sprintf("looking at what was imported: %v", e.Err)
	}
	var what []string
	for _, label := range e.Gone {
		what = append(what, fmt.Sprintf("image %q is gone", label))
	}
	for _, t := range e.Moved {
		what = append(what, pointing(t))
	}
	return "others have changed what was imported: " + strings.Join(what, ", ")
}

func pointing(t image.Tag) string {
	if t.Old == (image.Digest{}) {
		return fmt.Sprintf("name %q is gone", image.Familiar(t.Name))
	}
	return fmt.Sprintf("name %q points to %s", image.Familiar(t.Name), t.Old)
}

// AbortError says that an import failed before the first name was set, and
// that some of what it had brought could not be taken back.
type AbortError struct {
	Err  error // why it failed
	Left error // why something is left
}

func (e *AbortError) Error() string { return e.Err.Error() }

func (e *AbortError) Unwrap() error { return e.Err }

// FlushError says that all images are in the place and all names are set, but
// that its disk may not have them yet.
type FlushError struct{ Err error }

func (e *FlushError) Error() string { return fmt.Sprintf("flushing to the disk: %v", e.Err) }

func (e *FlushError) Unwrap() error { return e.Err }
