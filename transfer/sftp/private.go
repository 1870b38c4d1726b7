package sftp

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"

	"airgap/transfer"
)

// Private is a place, over the same connection, in a folder at the host that
// only this user can use; it is made where it is not there. dir is absolute, or
// below the login folder. The place needs no closing.
func (p *Place) Private(ctx context.Context, dir string) (*Place, error) {
	err := p.guard(ctx, func() error { return p.makePrivate(dir) })
	if err != nil {
		return nil, fmt.Errorf("making a folder of one's own at %s: %w", p.dest.Host, err)
	}
	private := &Place{dest: p.dest, client: p.client, packet: p.packet, link: p.link, run: p.run, more: p.more, told: p.told, shell: p.shell}
	private.dest.Dir = dir + "/"
	return private, p.ownFolder(ctx, dir)
}

func (p *Place) makePrivate(dir string) error {
	if err := p.client.MkdirAll(path.Dir(dir)); err != nil {
		return p.failed(err)
	}
	// It fails where the folder is there, and says no more than that.
	_ = p.client.Mkdir(dir)
	info, err := p.client.Lstat(dir)
	switch {
	case err != nil:
		return p.failed(err)
	case !info.IsDir():
		return &transfer.MediumError{Path: p.at(dir), Err: errors.New("what has this name is not a folder")}
	}
	return p.failed(p.client.Chmod(dir, 0o700))
}

// ownFolder refuses a folder that somebody else has made: only its owner can
// be sure of what is in it.
func (p *Place) ownFolder(ctx context.Context, dir string) error {
	info, err := p.client.Lstat(dir)
	if err != nil {
		return p.failed(err)
	}
	own, known := p.own(ctx, info)
	switch {
	case !known:
		return &transfer.MediumError{Path: p.at(dir), Err: fmt.Errorf("whose the folder is cannot be found out: id -u tells no number there: %w", fs.ErrPermission)}
	case info.Mode().Perm()&0o077 != 0 || !own:
		return &transfer.MediumError{Path: p.at(dir), Err: fmt.Errorf("the folder is somebody else's: %w", fs.ErrPermission)}
	}
	return nil
}

// LetRun makes the file that has been sent a program that only this user runs.
func (p *Place) LetRun(ctx context.Context) error {
	return p.guard(ctx, func() error { return p.failed(p.client.Chmod(p.final(), 0o700)) })
}
