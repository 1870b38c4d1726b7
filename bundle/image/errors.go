package image

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// ErrNotFound is wrapped by errors that say that a name or blob is not there.
var ErrNotFound = errors.New("not found")

// ErrUnnamed is wrapped by errors that say that a place cannot hold an image
// that has no name.
var ErrUnnamed = errors.New("it has no name, and there is no place for that")

// ErrInUse is wrapped by errors that say that an image is needed yet.
var ErrInUse = errors.New("in use")

// ErrPinned is wrapped by errors that say that an image has a name by digest, which
// could not be given back.
var ErrPinned = errors.New("would be lost")

// ErrGone is wrapped by errors that say that an image that was in a place has
// been removed since, in whole or in part.
var ErrGone = errors.New("it has been removed meanwhile")

// TakenError says that a name must not be moved and points to another image.
type TakenError struct{ Tag Tag }

func (e *TakenError) Error() string {
	return fmt.Sprintf("name %q points to %s", Familiar(e.Tag.Name), e.Tag.Old)
}

// DigestError says that bytes are not those that their descriptor names.
type DigestError struct {
	Want    Descriptor
	Got     Digest // zero when the size was already wrong
	GotSize int64  // bytes seen; Want.Size+1 stands for more
}

func (e *DigestError) Error() string {
	if e.GotSize != e.Want.Size {
		how := fmt.Sprintf("%d", e.GotSize)
		if e.GotSize > e.Want.Size {
			how = "more"
		}
		return fmt.Sprintf("blob %s: expected %d bytes, got %s", e.Want.Digest, e.Want.Size, how)
	}
	return fmt.Sprintf("blob %s: its bytes have the digest %s", e.Want.Digest, e.Got)
}

// PlatformError says that an image lacks the platforms that are needed.
type PlatformError struct {
	Image string
	Want  []Platform
	Have  []Platform
}

func (e *PlatformError) Error() string {
	return fmt.Sprintf("image %q is not there for %s: it holds %s", e.Image, platformList(e.Want), platformList(e.Have))
}

// HollowError says that an image is there by its name only: of what its index
// lists, nothing is there whole.
type HollowError struct{ Image string }

func (e *HollowError) Error() string {
	return fmt.Sprintf("image %q: its index is there, but none of its platforms whole", e.Image)
}

func platformList(list []Platform) string {
	if len(list) == 0 {
		return "no platform"
	}
	var names []string
	for _, p := range list {
		names = append(names, p.String())
	}
	slices.Sort(names)
	return strings.Join(slices.Compact(names), ", ")
}

// ReferrersError says that a place could not tell what belongs to an image, or
// not give it.
type ReferrersError struct {
	Image string
	Err   error
}

func (e *ReferrersError) Error() string {
	return fmt.Sprintf("referrers of image %q: %v", e.Image, e.Err)
}
func (e *ReferrersError) Unwrap() error { return e.Err }

// UnsupportedError says that an image is of a kind that cannot be carried.
type UnsupportedError struct {
	Image string
	Why   string
}

func (e *UnsupportedError) Error() string { return fmt.Sprintf("image %q: %s", e.Image, e.Why) }

// WrongLayerError says that a layer has the digest that its manifest names, and
// not the content that the config of an image does: the image is wrong, however
// well it was carried.
type WrongLayerError struct {
	Images []string // familiar names, or digests
	Layer  Digest
	Err    error
}

func (e *WrongLayerError) Error() string {
	const most = 3
	names := make([]string, 0, most+1)
	for i, name := range e.Images {
		if i == most {
			names = append(names, fmt.Sprintf("%d more", len(e.Images)-most))
			break
		}
		names = append(names, fmt.Sprintf("%q", name))
	}
	return fmt.Sprintf("wrong image %s: layer %s is whole, and not what its config says: %v", strings.Join(names, ", "), e.Layer, e.Err)
}
func (e *WrongLayerError) Unwrap() error { return e.Err }

// OtherContent is the error of a layer whose content has another diffID.
func OtherContent(got, want Digest) error {
	return fmt.Errorf("its content has the diffID %s, expected %s", got, want)
}
