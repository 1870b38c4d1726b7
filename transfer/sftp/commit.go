package sftp

import (
	"context"
	"os"
	"path"

	"airgap/transfer"
)

// Commit implements transfer.Place.
func (p *Place) Commit(ctx context.Context, which transfer.Which, sidecar []byte) (durable bool, why string, err error) {
	err = p.guard(ctx, func() error {
		sums := p.final() + ".sha256"
		if err := p.remove(sums); err != nil {
			return p.failed(err)
		}
		if which == transfer.Partial {
			// Whether others may read it is for the server to say, where it does.
			_ = p.client.Chmod(p.partial(), 0o644)
			if err := p.rename(p.partial(), p.final()); err != nil {
				return p.failed(err)
			}
		}
		if err := p.writeSmall(sums, sidecar); err != nil {
			return p.failed(err)
		}
		durable, why = p.syncFolder()
		return nil
	})
	return durable, why, err
}

// rename replaces atomically where the server can; others cannot rename onto a
// file that exists.
func (p *Place) rename(from, to string) error {
	if _, ok := p.client.HasExtension("posix-rename@openssh.com"); ok {
		return p.client.PosixRename(from, to)
	}
	if err := p.remove(to); err != nil {
		return err
	}
	return p.client.Rename(from, to)
}

func (p *Place) writeSmall(name string, content []byte) error {
	temporary := path.Join(path.Dir(name), "."+path.Base(name)+".partial")
	if err := p.remove(temporary); err != nil {
		return err
	}
	f, err := p.client.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_EXCL)
	if err != nil {
		return err
	}
	if _, err = f.Write(content); err == nil {
		err = p.sync(f)
	}
	if err := closing(f, err); err != nil {
		_ = p.remove(temporary) // a later send does that first
		return err
	}
	return p.rename(temporary, name)
}

// syncFolder makes the renames durable: OpenSSH syncs a folder as it does a
// file.
func (p *Place) syncFolder() (durable bool, why string) {
	if !p.canSync() {
		return false, "the server has no way to sync to its disk"
	}
	for _, name := range []string{p.final(), p.dir} {
		f, err := p.client.Open(name)
		if err != nil {
			return false, "the server cannot sync a folder"
		}
		err = f.Sync()
		f.Close()
		if err != nil {
			return false, "the server cannot sync a folder"
		}
	}
	return true, ""
}
