package sftp

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"syscall"

	"github.com/pkg/sftp"

	"airgap/transfer"
)

// failed sorts the errors of the far side.
func (p *Place) failed(err error) error {
	var medium *transfer.MediumError
	var gone *transfer.GoneError
	var busy *transfer.BusyError
	var status *sftp.StatusError
	switch {
	case err == nil, errors.As(err, &medium), errors.As(err, &gone), errors.As(err, &busy):
		return err
	case errors.As(err, &status):
		return p.refused(err)
	case errors.Is(err, fs.ErrNotExist): // locate has seen the folder
		return &transfer.GoneError{Path: p.at(p.final()), Err: err}
	case errors.Is(err, fs.ErrPermission), errors.Is(err, fs.ErrExist):
		return &transfer.MediumError{Path: p.at(p.final()), Err: err}
	}
	return &transfer.InterruptedError{Place: p.dest.Host, Partial: p.partialIfAny(), Err: p.told(err)}
}

// refused finds out what the server does not say: OpenSSH has no word for a full
// disk, for one that is mounted read-only, or for a name that is too long.
func (p *Place) refused(err error) error {
	st, statErr := p.client.StatVFS(p.dir)
	switch {
	case len(path.Base(p.partial())) > longestName:
		err = fmt.Errorf("%w: %w", syscall.ENAMETOOLONG, err)
	case statErr == nil && st.Flag&readOnly != 0:
		err = fmt.Errorf("%w: %w", syscall.EROFS, err)
	case statErr == nil:
		if need := p.need(); int64(st.Bavail*st.Frsize) < need {
			return &transfer.NoSpaceError{Place: p.dest.Host, Path: p.final(), Need: need, Free: int64(st.Bavail * st.Frsize)}
		}
	}
	return &transfer.MediumError{Path: p.at(p.final()), Err: err}
}

const (
	longestName = 255 // bytes of a file's name, nearly everywhere
	readOnly    = 1   // flag of statvfs@openssh.com
)

func (p *Place) partialIfAny() string {
	if p.dir == "" {
		return ""
	}
	return p.at(p.partial())
}
