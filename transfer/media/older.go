package media

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"airgap/transfer"
)

// findOlder lists what earlier sends have left of the file and its kin, and what
// those have left who made such a file here; and the names of all that is there.
func (p *Folder) findOlder() (older []transfer.Older, names []string, err error) {
	entries, err := os.ReadDir(p.dir)
	if err != nil {
		return nil, nil, err
	}
	names = []string{}
	for _, e := range entries {
		names = append(names, e.Name())
		info, err := e.Info()
		if err != nil {
			continue // it is gone
		}
		if o, ok := transfer.OlderOf(info, p.file, p.file.Name); ok {
			older = append(older, p.judge(o, info))
		}
	}
	return older, names, nil
}

// judge says whether something older stays, and how large it is. Who makes a file or
// a folder has it locked.
func (p *Folder) judge(o transfer.Older, info fs.FileInfo) transfer.Older {
	path := filepath.Join(p.dir, o.Name)
	if info.IsDir() {
		o.Size = sizeIn(path)
	}
	if !ours(info, p.mine) {
		o.Stays = transfer.Theirs
		return o
	}
	lock, locked, err := lockPath(path)
	switch {
	case errors.Is(err, errTaken):
		o.Stays = transfer.Busy
	case o.Packed && !locked:
		o.Stays = transfer.MayBeBusy
	}
	if err == nil {
		lock.Close()
	}
	return o
}

// sizeIn is the size of all files below a folder, in bytes, as far as they are to be
// seen.
func sizeIn(dir string) (n int64) {
	_ = filepath.WalkDir(dir, func(_ string, e fs.DirEntry, err error) error {
		if err != nil {
			return nil
		}
		if info, err := e.Info(); err == nil && info.Mode().IsRegular() {
			n += info.Size()
		}
		return nil
	})
	return n
}

// Visit implements transfer.Place.
func (p *Folder) Visit(_ context.Context, do func(transfer.Dir) error) error {
	return do(visited{transfer.LocalDir(p.dir)})
}

// visited is a folder in which what is left of a file may be a folder, too.
type visited struct{ transfer.LocalDir }

// Remove implements transfer.Dir.
func (d visited) Remove(name string) error {
	if _, _, left := transfer.LeftOf(name); left {
		return removeLeft(filepath.Join(string(d.LocalDir), name))
	}
	return d.LocalDir.Remove(name)
}

// removeLeft removes a file or a folder that is left, while nobody else has it locked:
// whoever has it by now keeps it.
func removeLeft(path string) error {
	lock, _, err := lockPath(path)
	if errors.Is(err, errTaken) {
		return nil
	}
	if err == nil {
		defer lock.Close()
	}
	return os.RemoveAll(path)
}
