package layout

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"airgap/bundle/image"
	"airgap/internal/durable"
)

// stored is what this process knows of a blob file. Its lock is held while the
// blob is read, written or removed.
type stored struct {
	sync.Mutex
	seen  fs.FileInfo // the file when its bytes were found right; nil if they never were
	made  bool        // by this process, for transactions that are not committed
	users int         // open transactions that rely on it
}

func (l *Layout) stored(d image.Digest) *stored {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.blobs[d] == nil {
		l.blobs[d] = &stored{}
	}
	return l.blobs[d]
}

// Begin implements image.Sink. Blobs that are there are read, to be sure of
// them. A layout takes images for any platform.
func (l *Layout) Begin(ctx context.Context, img image.Import) (image.Txn, error) {
	t := &txn{l: l, img: img, held: map[image.Digest]*stored{}}
	t.state.ID = img.Graph.Root.Desc.Digest
	return t, l.look(ctx, []*txn{t}, l.recentIndex)
}

// Look implements image.Txn. What has been read once is only looked for.
func (t *txn) Look(ctx context.Context) error { return t.LookAll(ctx, []image.Txn{t}) }

// LookAll implements image.Joint: index.json is read once.
func (t *txn) LookAll(ctx context.Context, all []image.Txn) error {
	return t.l.look(ctx, ours(all), t.l.currentIndex)
}

// ours are transactions of this package.
func ours(all []image.Txn) []*txn {
	list := make([]*txn, len(all))
	for i, t := range all {
		list[i] = t.(*txn)
	}
	return list
}

// look compares images with the layout.
func (l *Layout) look(ctx context.Context, txns []*txn, read func() (*index, error)) error {
	for _, t := range txns {
		if err := t.findBlobs(ctx); err != nil {
			return err
		}
	}
	x, err := read()
	if err != nil {
		return err
	}
	l.remember(x)
	for _, t := range txns {
		t.state.Tags = t.tags(x)
		// Without a name, only its entry shows an image.
		t.state.Present = len(t.state.Need) == 0 && (t.written || len(t.img.Names) > 0 || x.shown[shown{root: t.state.ID}])
	}
	return nil
}

// findBlobs finds out which blobs of the image are there.
func (t *txn) findBlobs(ctx context.Context) error {
	t.state.Need, t.state.Size = nil, 0
	for _, d := range append(t.img.Graph.Documents(), t.img.Graph.Layers()...) {
		there, err := t.compare(ctx, d)
		if err != nil {
			return err
		}
		if !there {
			t.state.Need = append(t.state.Need, d)
			t.state.Size += d.Size
		}
	}
	return nil
}

// currentIndex reads index.json, which need not be there.
func (l *Layout) currentIndex() (*index, error) {
	if _, err := os.Lstat(filepath.Join(l.dir, indexName)); errors.Is(err, fs.ErrNotExist) {
		return newIndex(), nil
	}
	return l.readIndex()
}

// recentIndex is index.json as it was read last, unless its file tells that it is
// another by now. That is as good as reading it for what is looked at once more
// before anything depends on it; for the rest a file's time is too coarse.
func (l *Layout) recentIndex() (*index, error) {
	l.reading.Lock()
	last, info := l.last, l.lastInfo
	l.reading.Unlock()
	if now, err := os.Lstat(filepath.Join(l.dir, indexName)); err == nil && last != nil && sameFile(info, now) {
		return last, nil
	}
	return l.currentIndex()
}

// remember keeps index.json as it was found at first.
func (l *Layout) remember(x *index) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.looked {
		l.index, l.looked = x.raw, true
	}
}

// changed says whether others have changed index.json, or it cannot be read.
func (l *Layout) changed() bool {
	raw, _, err := l.readFile(indexName)
	l.mu.Lock()
	defer l.mu.Unlock()
	return err != nil && !errors.Is(err, fs.ErrNotExist) || !bytes.Equal(raw, l.index)
}

// compare says whether a blob is there. One that another open transaction has
// brought is held, for that one may be taken back.
func (t *txn) compare(ctx context.Context, d image.Descriptor) (bool, error) {
	s := t.l.stored(d.Digest)
	s.Lock()
	defer s.Unlock()
	there, err := t.l.has(ctx, s, d)
	if there && s.made {
		t.hold(d.Digest, s)
	}
	return there, err
}

// has says whether a blob is there and right. A wrong one is as good as none.
// The caller has locked s.
func (l *Layout) has(ctx context.Context, s *stored, d image.Descriptor) (bool, error) {
	path, err := l.blobPath(d.Digest)
	if err != nil {
		return false, err
	}
	now, err := os.Lstat(path)
	if err == nil && s.seen != nil && sameFile(s.seen, now) {
		return true, context.Cause(ctx)
	}
	s.seen = nil
	r, err := l.fetch(ctx, d)
	if err == nil {
		_, err = io.Copy(io.Discard, r)
		r.Close()
	}
	var wrong *image.DigestError
	if errors.Is(err, image.ErrNotFound) || errors.As(err, &wrong) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	s.seen = now
	return true, nil
}

// sameFile says whether a file has neither been replaced nor written to.
func sameFile(before, now fs.FileInfo) bool {
	return os.SameFile(before, now) && before.Size() == now.Size() && before.ModTime().Equal(now.ModTime())
}

// Flush implements image.Sink.
func (l *Layout) Flush(ctx context.Context) (bool, string, error) {
	if err := context.Cause(ctx); err != nil {
		return false, "", err
	}
	for _, dir := range []string{filepath.Join(l.dir, blobsName, "sha256"), filepath.Join(l.dir, blobsName), l.dir, filepath.Dir(l.dir)} {
		if err := durable.SyncDir(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return false, "", err
		}
	}
	if !durable.CanSyncDirs {
		return false, "this system cannot flush a folder to its disk", nil
	}
	return true, "", nil
}

// txn is an image on its way into the layout.
type txn struct {
	l     *Layout
	img   image.Import
	state image.State

	held      map[image.Digest]*stored // blobs that it relies on
	active    bool                     // counted in Layout.active
	written   bool
	committed bool
}

func (t *txn) State() image.State { return t.state }

// Write implements image.Txn: blobs one after the other, in the order in which
// an interrupted one leaves no document without what it names.
func (t *txn) Write(ctx context.Context, from image.Fetcher, done func(n int64)) error {
	if err := t.l.enter(t); err != nil {
		return err
	}
	for _, d := range slices.Backward(t.state.Need) {
		if err := t.write(ctx, from, d); err != nil {
			return err
		}
		done(d.Size)
	}
	t.written = true
	return nil
}

// write brings one blob, unless another transaction has done so meanwhile.
func (t *txn) write(ctx context.Context, from image.Fetcher, d image.Descriptor) error {
	s := t.l.stored(d.Digest)
	s.Lock()
	defer s.Unlock()
	there, err := t.l.has(ctx, s, d)
	if err != nil {
		return err
	}
	if !there {
		if s.seen, err = t.l.writeBlob(ctx, from, d); err != nil {
			return fmt.Errorf("writing blob %s: %w", d.Digest, err)
		}
		s.made = true
	}
	t.hold(d.Digest, s)
	return nil
}

// hold notes that the transaction relies on a blob, which the caller has locked.
func (t *txn) hold(d image.Digest, s *stored) {
	if t.held[d] == nil {
		t.held[d] = s
		s.users++
	}
}

// writeBlob fetches a blob into a temporary file, syncs and renames it. What
// from gives is verified here once more: it is the file that counts.
func (l *Layout) writeBlob(ctx context.Context, from image.Fetcher, d image.Descriptor) (fs.FileInfo, error) {
	path, err := l.blobPath(d.Digest)
	if err != nil {
		return nil, err
	}
	r, err := from.Fetch(ctx, d)
	if err != nil {
		return nil, err
	}
	r = image.NewReader(r, d)
	defer r.Close()
	err = l.create(path, false, func(f *os.File) error {
		_, err := io.Copy(f, untilDone{r, ctx})
		return err
	})
	if err != nil {
		return nil, err
	}
	return os.Lstat(path)
}

// untilDone ends a reader with its context.
type untilDone struct {
	io.Reader
	ctx context.Context
}

func (r untilDone) Read(p []byte) (int, error) {
	if err := context.Cause(r.ctx); err != nil {
		return 0, err
	}
	return r.Reader.Read(p)
}

// enter counts a transaction that writes, and makes the folders for it.
func (l *Layout) enter(t *txn) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if t.active || t.state.Present {
		return nil
	}
	t.active = true
	l.active++
	made, err := makeFolders(filepath.Join(l.dir, blobsName, "sha256"))
	l.made = append(l.made, made...)
	return err
}

// Abort implements image.Txn: blobs that nobody else relies on go, and the
// folders that were made for them. Where others have changed index.json
// meanwhile, their images may have these blobs too.
func (t *txn) Abort(context.Context) error {
	if t.committed {
		return nil
	}
	theirs := t.l.changed()
	var errs []error
	for d, s := range t.held {
		errs = append(errs, t.l.release(d, s, theirs))
	}
	clear(t.held)
	t.written = false
	t.l.mu.Lock()
	defer t.l.mu.Unlock()
	t.l.leave(t)
	return errors.Join(errs...)
}

// release removes a blob after the last transaction that brought it, unless it
// may be of others.
func (l *Layout) release(d image.Digest, s *stored, theirs bool) error {
	s.Lock()
	defer s.Unlock()
	if s.users--; s.users > 0 || !s.made {
		return nil
	}
	if theirs {
		s.made = false
		return nil
	}
	s.made, s.seen = false, nil
	path, err := l.blobPath(d)
	if err != nil {
		return err
	}
	if err := os.Remove(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// leave ends a transaction. After the last one, folders that were made and are
// empty go.
func (l *Layout) leave(t *txn) {
	if !t.active {
		return
	}
	t.active = false
	if l.active--; l.active > 0 {
		return
	}
	removeEmpty(l.made)
	l.made = nil
}
