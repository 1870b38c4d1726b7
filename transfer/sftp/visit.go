package sftp

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"path"

	"github.com/pkg/sftp"

	"airgap/transfer"
)

// Visit implements transfer.Place.
func (p *Place) Visit(ctx context.Context, do func(transfer.Dir) error) error {
	return p.guard(ctx, func() error { return do(folder{p}) })
}

// folder is the place's folder for those who look at what is in it.
type folder struct{ p *Place }

// ReadDir implements transfer.Dir.
func (d folder) ReadDir() ([]fs.DirEntry, error) {
	infos, err := d.p.client.ReadDir(d.p.dir)
	entries := make([]fs.DirEntry, len(infos))
	for i, info := range infos {
		entries[i] = fs.FileInfoToDirEntry(info)
	}
	return entries, d.p.failed(err)
}

// Remove implements transfer.Dir.
func (d folder) Remove(name string) error {
	return d.p.failed(d.p.client.Remove(path.Join(d.p.dir, name)))
}

// Open implements transfer.Dir.
func (d folder) Open(name string) (transfer.Regular, error) {
	full := path.Join(d.p.dir, name)
	size, err := d.p.sizeOf(full)
	if err != nil {
		return nil, err
	}
	if size < 0 {
		return nil, d.p.failed(fs.ErrNotExist)
	}
	f, err := d.p.client.Open(full)
	if err != nil {
		return nil, d.p.failed(err)
	}
	return remote{d.p, f, size}, nil
}

// remote is a file there.
type remote struct {
	p *Place
	*sftp.File
	size int64
}

func (f remote) Size() int64 { return f.size }

func (f remote) ReadAt(b []byte, off int64) (int, error) {
	n, err := f.File.ReadAt(b, off)
	if err != nil && !errors.Is(err, io.EOF) {
		err = f.p.failed(err)
	}
	return n, err
}
