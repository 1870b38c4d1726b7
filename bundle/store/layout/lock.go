package layout

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"airgap/bundle/image"
	"airgap/internal/durable"
	"airgap/internal/lock"
)

// Address is the folder by the one path that it has on this machine.
func (l *Layout) Address() string {
	path, err := filepath.Abs(l.dir)
	if err != nil {
		path = l.dir
	}
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real
	}
	return path
}

// Lock keeps other processes of airgap from writing to the layout, until Close;
// waiting is called if one has to be waited for. It makes the folder, which
// Close removes again if it stays empty, and removes what killed processes have
// left half written. The error wraps errors.ErrUnsupported where the file system
// can lock no folder.
func (l *Layout) Lock(ctx context.Context, waiting func()) (err error) {
	l.held, err = lock.Take(ctx, func() (*os.File, error) {
		made, err := makeFolders(l.dir)
		l.heldMade = append(l.heldMade, made...)
		if err != nil {
			return nil, err
		}
		return os.Open(l.dir)
	}, waiting)
	if err != nil {
		if errors.Is(err, errors.ErrUnsupported) {
			removeEmpty(l.heldMade)
		}
		return err // else they are another's, who has the lock
	}
	return errors.Join(
		durable.RemovePartials(l.dir, isOwn),
		durable.RemovePartials(filepath.Join(l.dir, blobsName, "sha256"), isOwn),
	)
}

// unlock gives the lock back, if it was taken.
func (l *Layout) unlock() error {
	if l.held == nil {
		return nil
	}
	removeEmpty(l.heldMade)
	f := l.held
	l.held = nil
	return f.Close()
}

// isOwn says whether a file of that name is one that this package writes.
func isOwn(name string) bool {
	return name == markerName || name == indexName || image.CheckDigest(image.Digest{Algorithm: "sha256", Hex: name}) == nil
}

// isPartial says whether a name is of one that is half written.
func isPartial(name string) bool {
	base, ok := durable.Partial(name)
	return ok && isOwn(base)
}

// makeFolders makes a folder and those above it, and tells which were new, the
// outermost first.
func makeFolders(dir string) (made []string, err error) {
	err = os.Mkdir(dir, 0o755)
	if errors.Is(err, fs.ErrNotExist) && filepath.Dir(dir) != dir {
		if made, err = makeFolders(filepath.Dir(dir)); err != nil {
			return made, err
		}
		err = os.Mkdir(dir, 0o755)
	}
	switch {
	case err == nil:
		return append(made, dir), nil
	case errors.Is(err, fs.ErrExist):
		return made, nil
	}
	return made, err
}

// removeEmpty removes folders that are empty, the last one first.
func removeEmpty(dirs []string) {
	for _, dir := range slices.Backward(dirs) {
		os.Remove(dir) // fails where something is in it, as it should
	}
}
