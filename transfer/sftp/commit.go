package sftp

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path"

	"github.com/pkg/sftp"
	"golang.org/x/sync/errgroup"

	"airgap/transfer"
)

// together does things side by side whose order does not matter, so that they
// cost one round trip, not one each, and gives the first error.
func together(things ...func() error) error {
	var group errgroup.Group
	for _, do := range things {
		group.Go(do)
	}
	return group.Wait()
}

// Commit implements transfer.Place. The file has no sums while its name changes.
func (p *Place) Commit(ctx context.Context, which transfer.Which, sidecar []byte) error {
	return p.guard(ctx, func() error {
		sums := p.final() + ".sha256"
		begun := path.Join(p.dir, "."+path.Base(sums)+".partial")
		err := together(
			func() error { return p.removeSums(which, sums) },
			func() error {
				return p.writeSmall(begun, sidecar, func(f *sftp.File) { p.sameMode(f, which) })
			},
		)
		if err == nil { // nobody knows how long that took
			err = p.unchanged(which, nil)
		}
		named := which == transfer.Final
		if err == nil && !named {
			err = p.rename(p.partial(), p.final(), p.was)
			named = err == nil
		}
		if err == nil {
			err = p.rename(begun, sums, nil)
		}
		if err != nil {
			_ = p.remove(begun) // a later send does that first
		}
		return p.meanwhile(err, named)
	})
}

// removeSums removes those of what is replaced, if that is still to be.
func (p *Place) removeSums(which transfer.Which, sums string) error {
	if err := p.unchanged(which, p.sums); err != nil || p.sums == nil {
		return err
	}
	return p.remove(sums)
}

// unchanged looks whether what is replaced is what Find has seen, and the sums are
// what they were.
func (p *Place) unchanged(which transfer.Which, sums fs.FileInfo) error {
	still := func(name string, was fs.FileInfo) func() error {
		return func() error {
			is, err := p.look(name)
			if err != nil || is == nil || was != nil && transfer.Alike(was, is) {
				return err
			}
			return &transfer.MeanwhileError{Place: p.dest.Host, Path: name, Appeared: was == nil}
		}
	}
	ofSums := still(p.final()+".sha256", sums)
	if which == transfer.Final {
		return ofSums()
	}
	return together(still(p.final(), p.was), ofSums)
}

// meanwhile is failed for what may have come meanwhile, and says where the file is.
func (p *Place) meanwhile(err error, named bool) error {
	var changed *transfer.MeanwhileError
	if !errors.As(err, &changed) {
		return p.failed(err)
	}
	if changed.Named = named; !named {
		changed.Kept = p.at(p.partial())
	}
	return changed
}

// Sync implements transfer.Place.
func (p *Place) Sync(ctx context.Context) (durable bool, why string, err error) {
	err = p.guard(ctx, func() error {
		durable, why = p.syncFolder()
		return nil
	})
	return durable, why, err
}

// rename gives a file a name that was has, nil for nothing. It replaces atomically
// where the server can; others cannot rename onto a file that exists.
func (p *Place) rename(from, to string, was fs.FileInfo) error {
	if was == nil {
		return p.renameNew(from, to)
	}
	if p.canReplace() {
		return p.client.PosixRename(from, to)
	}
	if err := p.remove(to); err != nil {
		return err
	}
	return p.client.Rename(from, to)
}

func (p *Place) canReplace() bool {
	_, ok := p.client.HasExtension("posix-rename@openssh.com")
	return ok
}

// renameNew renames to a name that nothing has. The plain rename fails where that is
// not so any more, as the protocol has it, if not for every server; for a reason of
// its own, where a server has to make a link for it, only the other may do.
func (p *Place) renameNew(from, to string) error {
	err := p.client.Rename(from, to)
	if err == nil {
		return nil
	}
	is, unknown := p.look(to)
	switch {
	case unknown != nil:
		return unknown
	case is != nil:
		return &transfer.MeanwhileError{Place: p.dest.Host, Path: to, Appeared: true}
	case p.canReplace():
		return p.client.PosixRename(from, to)
	}
	return err
}

// create makes a new file in the stead of one that may be there, which is not
// left to O_EXCL: not every server knows that.
func (p *Place) create(name string) (*sftp.File, error) {
	if err := p.remove(name); err != nil {
		return nil, err
	}
	return p.client.OpenFile(name, exclusive)
}

// exclusive makes a file that is not there, to write to.
const exclusive = os.O_WRONLY | os.O_CREATE | os.O_EXCL

// sameMode gives the file and its sums one mode: that of a file which has been
// there, or the one that the server gives new files, as the sums are one, but for
// the right of others to write, with which a partial would not be continued, and
// for what neither the file here nor the one that is replaced allows. Where the
// server does not do that, whether others may read them is for it to say.
func (p *Place) sameMode(sums *sftp.File, which transfer.Which) {
	stat := sums.Stat
	if which == transfer.Final {
		stat = func() (os.FileInfo, error) { return p.client.Stat(p.final()) }
	}
	info, err := stat()
	if err != nil {
		return
	}
	mode := info.Mode().Perm()
	if which == transfer.Partial {
		mode = p.file.Narrow(mode&^0o022, p.old)
		_ = p.client.Chmod(p.partial(), mode)
	}
	if which == transfer.Final || mode != info.Mode().Perm() {
		_ = sums.Chmod(mode)
	}
}

// writeSmall writes a small file; meanwhile is done meanwhile.
func (p *Place) writeSmall(name string, content []byte, meanwhile func(*sftp.File)) error {
	f, err := p.create(name)
	if err != nil {
		return err
	}
	err = together(
		func() error {
			if _, err := f.Write(content); err != nil {
				return err
			}
			return p.sync(f)
		},
		func() error { meanwhile(f); return nil },
	)
	return closing(f, err)
}

// syncFolder makes the renames durable: OpenSSH syncs a folder as it does a
// file.
func (p *Place) syncFolder() (durable bool, why string) {
	if !p.canSync() {
		return false, "the server has no way to sync to its disk"
	}
	sync := func(name string) func() error {
		return func() error {
			f, err := p.client.Open(name)
			if err != nil {
				return err
			}
			defer func() { go f.Close() }() // nothing depends on it
			return f.Sync()
		}
	}
	if err := together(sync(p.final()), sync(p.dir)); err != nil {
		return false, "the server cannot sync a folder"
	}
	return true, ""
}
