package transfer

import (
	"errors"
	"fmt"
	"strings"
)

// NoSpaceError says that a place has too little room. A partial stays.
type NoSpaceError struct {
	Place string // which side: a host or a folder
	Path  string
	Need  int64   // bytes still to be written
	Free  int64   // bytes that the place has free
	Err   error   // why there is too little room all the same, such as a quota; may be nil
	Left  []Older // what somebody has left there of the same, and stays
}

// Unwrap gives the place's own error.
func (e *NoSpaceError) Unwrap() error { return e.Err }

func (e *NoSpaceError) Error() string {
	text := fmt.Sprintf("not enough space at %s for %s: %d bytes needed, %d free", e.Place, e.Path, e.Need, e.Free)
	if e.Err != nil {
		text = fmt.Sprintf("not enough space at %s for %s: %d bytes needed: %v", e.Place, e.Path, e.Need, e.Err)
	}
	for _, o := range e.Left {
		text += fmt.Sprintf(", beside %v", o)
	}
	return text
}

// ErrNotRegular says that a folder, a link or the like has the name of the file.
var ErrNotRegular = errors.New("what has this name is not a regular file")

// MediumError says that a place cannot hold the file, or did not.
type MediumError struct {
	Path string
	Err  error
}

func (e *MediumError) Error() string { return fmt.Sprintf("medium at %q: %v", e.Path, e.Err) }
func (e *MediumError) Unwrap() error { return e.Err }

// GoneError says that what was written at a place, or the folder there, has been
// removed meanwhile.
type GoneError struct {
	Path string
	Err  error
}

func (e *GoneError) Error() string {
	return fmt.Sprintf("target %q: what was written there is gone: somebody has removed it meanwhile", e.Path)
}

func (e *GoneError) Unwrap() error { return e.Err }

// BusyError says that another send writes what has that name at a place.
type BusyError struct{ Place, Path string }

func (e *BusyError) Error() string {
	return fmt.Sprintf("another send is writing %q at %s", e.Path, e.Place)
}

// InterruptedError says that a transfer broke off. What has arrived is kept as
// a partial; the same Send resumes it.
type InterruptedError struct {
	Place   string
	Partial string // where it is, as people write it; empty if nothing has been written yet
	Err     error
	// Away says that the host is there and has turned the connection away, as one
	// does that is busy with others: it may take one a little later.
	Away bool
}

func (e *InterruptedError) Error() string { return fmt.Sprintf("transfer to %s: %v", e.Place, e.Err) }
func (e *InterruptedError) Unwrap() error { return e.Err }

// ChangedError says that the local file is not, or no longer, the one that was
// to be sent. Nothing of it has got the final name.
type ChangedError struct {
	Name, Want, Got string // sha256
}

func (e *ChangedError) Error() string {
	return fmt.Sprintf("file %q changed while it was sent, or does not belong to its sum: sha256 %s, expected %s", e.Name, e.Got, e.Want)
}

// ForeignError says that a place has another file under the name, which is
// nothing that may be replaced.
type ForeignError struct{ Place, Path string }

func (e *ForeignError) Error() string {
	return fmt.Sprintf("what %s has as %s is another file, and is not replaced", e.Place, e.Path)
}

// MeanwhileError says that what has the name of the file, or of its sums, is there
// only since the send has begun, or is not what it was then. It is not replaced.
type MeanwhileError struct {
	Place, Path string
	Appeared    bool   // else it has changed
	Kept        string // where the file is that has arrived, under the name of its partial; may be empty
	Named       bool   // the file has its name, and lacks its sums
}

func (e *MeanwhileError) Error() string {
	what := "changed"
	if e.Appeared {
		what = "appeared"
	}
	return fmt.Sprintf("what %s has as %s has %s meanwhile, and is not replaced", e.Place, e.Path, what)
}

// ReplacedError says that what a place has under the name of what was sent is not
// that any more.
type ReplacedError struct{ Place, Path string }

func (e *ReplacedError) Error() string {
	return fmt.Sprintf("what was sent as %s to %s is not there any more: somebody has put something else in its place, or changed it", e.Path, e.Place)
}

// HostKeyKind is what is wrong with a host's key.
type HostKeyKind int

// The kinds.
const (
	UnknownHost HostKeyKind = iota
	ChangedKey
	RevokedKey
)

// HostKeyError says that a host is not trusted to be the one that is meant.
type HostKeyError struct {
	Host        string // as known_hosts has it
	Kind        HostKeyKind
	KeyType     string
	Fingerprint string   // SHA256:…
	Files       []string // the known_hosts files that were asked
}

func (e *HostKeyError) Error() string {
	what := [...]string{"is not known", "has changed: it is not the key that is known for it", "is revoked"}[e.Kind]
	return fmt.Sprintf("host key of %s %s (%s key %s)", e.Host, what, e.KeyType, e.Fingerprint)
}

// AuthError says that a host let none of the ways to log in pass.
type AuthError struct {
	Host, User string
	Tried      []string
	Err        error
}

func (e *AuthError) Error() string {
	tried := strings.Join(e.Tried, ", ")
	if tried == "" {
		tried = "nothing: there is no key, agent or password to try"
	}
	return fmt.Sprintf("logging in at %s as %s: refused; tried %s", e.Host, e.User, tried)
}

func (e *AuthError) Unwrap() error { return e.Err }
