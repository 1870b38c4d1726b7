package main

import (
	"context"
	"crypto/rand"
	"errors"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"airgap/bundle"
	"airgap/cmd/airgap/internal/ui"
	"airgap/transfer"
	"airgap/transfer/sftp"
	"airgap/transfer/volume"
)

// way is the way to a destination, whose connection may have to be another one
// from time to time.
type way struct {
	*sender
	dest  string
	place transfer.Place
	began []string // what the folder had then; nil: not known
	doubt string   // why what is there may not be on the disk, as it has been said
}

// begin notes what is there before anything is changed: what has come since is
// nothing that an earlier send has left.
func (w *way) begin(found transfer.Found) {
	if w.began == nil {
		w.began = found.Names
	}
}

// had says whether the folder had a file at the beginning. Where it could not be listed
// it may have had any; a folder that does not care for case may list it under another name.
func (w *way) had(name string) bool {
	return w.began == nil || slices.ContainsFunc(w.began, func(is string) bool { return strings.EqualFold(is, name) })
}

// again connects once more, after an interruption.
func (w *way) again(ctx context.Context) (transfer.Place, error) {
	if w.place != nil {
		_ = w.place.Close() // it is broken
	}
	p, err := w.open(ctx, w.dest)
	if err == nil {
		w.place = p
	}
	return p, err
}

func (w *way) persistence() transfer.Persistence {
	if w.o.noReconnect {
		return transfer.Persistence{}
	}
	return transfer.Persistence{Reopen: w.again, Note: w.env.Note}
}

// try does something there, again where the way breaks off meanwhile.
func (w *way) try(ctx context.Context, do func(transfer.Place) error) error {
	return w.persistence().Try(ctx, w.place, func(p transfer.Place) (bool, error) { return false, do(p) })
}

// carry carries the file, or what it is cut into, to the destination and reports
// it. The receipt is that of the bundle.
func (w *way) carry(ctx context.Context, show shower) (receipt transfer.Receipt, err error) {
	var files []transfer.File
	var left bool
	err = w.try(ctx, func(p transfer.Place) (err error) {
		if files, left, err = w.load(ctx, p); err != nil {
			return err
		}
		return w.mayReplaceAll(ctx, p, files, w.bundle.fileName())
	})
	if err != nil {
		return receipt, inState(unsent, err)
	}
	progress := show(w.dest, sizeOf(files))
	name := w.bundle.fileName()
	alone := &setLock{way: w, name: name, cut: !slices.ContainsFunc(files, func(f transfer.File) bool { return f.Name == name }), owner: rand.Text(), held: ctx}
	defer alone.release()
	receipt, err = w.carryAll(ctx, files, left, alone, progress)
	if err == nil && len(files) > 1 { // a connection that broke off may have lost it
		err = alone.take(ctx)
	}
	if err == nil {
		err = w.dropOld(alone.held, receipt, files, alone)
	}
	if !w.together() {
		if err == nil {
			progress.Done()
		}
		progress.Stop()
	}
	return receipt, err
}

// carryAll carries one file after the other, and gives the receipt of the last. What
// is left there of earlier sends goes before.
func (w *way) carryAll(ctx context.Context, files []transfer.File, left bool, alone *setLock, progress *ui.Progress) (last transfer.Receipt, err error) {
	var stay []transfer.Older
	if left {
		if stay, err = w.clearLeft(ctx, files, alone); err != nil {
			return last, inState(unsent, err)
		}
	}
	files = volume.Alone(files)
	order, several := files, len(files) > 1
	var apart *staged
	if several {
		if order, apart, err = w.prepare(ctx, files, alone); err != nil {
			return last, inState(unsent, err)
		}
	}
	for _, file := range order {
		if several {
			err = alone.take(ctx)
		}
		if err != nil {
			return last, err
		}
		f := apart.find(file.Name)
		if f != nil {
			file = f.asTemporary(f.Name)
		}
		receipt, err := w.carryOne(alone.held, file, progress, f != nil)
		if err != nil {
			return receipt, inStateIf(f != nil, "the earlier volumes are as they were", transfer.Beside(err, stay))
		}
		if f == nil {
			err = w.tell(receipt, several)
		} else if f.receipt = receipt; receipt.AlreadyThere {
			f.at = f.Name
		}
		if err != nil {
			return receipt, err
		}
		if file.Name == files[len(files)-1].Name {
			last = receipt
		}
	}
	if apart == nil {
		return last, nil
	}
	if err := apart.settle(alone.held); err != nil {
		return last, err
	}
	for _, f := range apart.all() {
		if err := w.tell(f.receipt, true); err != nil {
			return last, err
		}
	}
	return apart.find(files[len(files)-1].Name).receipt, nil
}

// prepare decides how several files take the place of what is there: whether volumes
// have to be staged, and in which order the files go.
func (w *way) prepare(ctx context.Context, files []transfer.File, alone *setLock) (order []transfer.File, apart *staged, err error) {
	if err := alone.take(ctx); err != nil {
		return nil, nil, err
	}
	old, err := w.earlier(ctx, alone.name, files[0])
	if err == nil && alone.cut {
		apart, err = w.stage(ctx, files, old, alone)
	}
	if err != nil {
		return nil, nil, err
	}
	w.warnOfParity(old, files, alone.cut)
	if !alone.cut && old.Replaced(w.bundle.set, files) != nil {
		// What is read may need its parity, until all of it is there.
		bundle := len(files) - 1
		return slices.Concat(files[bundle:], files[:bundle]), nil, nil
	}
	return files, apart, nil
}

// earlier is what earlier sends of that name have left where a file is to go.
func (w *way) earlier(ctx context.Context, name string, file transfer.File) (old volume.Earlier, err error) {
	err = w.try(ctx, func(p transfer.Place) error {
		if _, err := p.Find(ctx, file); err != nil { // where Visit looks
			return err
		}
		return p.Visit(ctx, func(dir transfer.Dir) (err error) {
			old, err = volume.FindEarlier(ctx, dir, name, "")
			return err
		})
	})
	return old, err
}

// warnOfParity names parity of what is read that goes, where no new one protects the
// same in its stead.
func (w *way) warnOfParity(old volume.Earlier, files []transfer.File, cut bool) {
	set, going, instead := w.bundle.set, []string(nil), ""
	switch {
	case set == nil:
	case set.Cut() != cut:
		going, instead = old.Replaced(set, files), "that of what is sent has its name"
	case cut && w.o.cut.parity == 0:
		going, instead = old.ParityOf(set), "--parity makes some for the new volumes"
	}
	if len(going) > 0 {
		w.env.Warn("%s: the parity of what is read does not stay there (%s): %s", w.dest, listOf(going), instead)
	}
}

func inStateIf(is bool, state string, err error) error {
	if !is {
		return err
	}
	return inState(state, err)
}

func (w *way) carryOne(ctx context.Context, file transfer.File, progress *ui.Progress, hold bool) (transfer.Receipt, error) {
	return transfer.SendOn(ctx, w.place, file, transfer.SendOptions{
		Progress: progress.Add, Note: w.env.Note, Limit: w.o.bytesASecond, MayReplace: mayReplace(file, w.bundle.fileName()), Hold: hold,
		Fresh: !w.had(file.Name) && !w.had(path.Base(w.dest)), Found: w.begin, // it may get the destination's name
	}, w.persistence())
}

// dropOld removes what an earlier send of that name has left beside what has been
// sent, of which the last is receipt's; but first it sees whether that is still there.
func (w *way) dropOld(ctx context.Context, receipt transfer.Receipt, sent []transfer.File, alone *setLock) error {
	file, err := w.file()
	if err != nil {
		return err
	}
	name := file.Name
	if !alone.cut { // it may have been given another name
		name = path.Base(filepath.ToSlash(receipt.Path))
	}
	looked, whole := w.place, false // by sending
	err = w.try(ctx, func(p transfer.Place) error {
		if p != looked {
			if _, err := p.Find(ctx, file); err != nil {
				return err
			}
		}
		return p.Visit(ctx, func(folder transfer.Dir) error {
			dir, busy, err := w.listAlone(ctx, p, folder, name, alone)
			if err != nil {
				return err
			}
			old, err := volume.FindEarlier(ctx, dir, name, file.SHA256)
			if err != nil {
				return err
			}
			if len(sent) > 1 { // one may have been given another name
				if err := w.allThere(dir, old, sent); err != nil {
					return err
				}
			}
			whole = true
			if busy {
				w.env.Note("%s: another send of %s is going on there, so that nothing is cleared up", w.dest, name)
				return nil
			}
			return w.dropEarlier(dir, old, receipt, sent, name, alone.cut)
		})
	})
	if !whole {
		return err
	}
	return inState("the bundle is there whole, and so may be something of an earlier one", err)
}

// dropEarlier removes what is there of earlier sends of what is called name, and what
// this one had begun.
func (w *way) dropEarlier(dir listed, old volume.Earlier, receipt transfer.Receipt, sent []transfer.File, name string, cut bool) error {
	last := sent[len(sent)-1]
	stays := cut && isThere(dir, name)
	if whole := strings.TrimSuffix(receipt.Path, last.Name) + name; stays && !w.isHere(whole, w.bundle.name) {
		warnOfOther(w.env, whole)
	}
	keep := namesSent(sent)
	if !cut || w.bundle.set == nil || !w.bundle.set.Cut() { // else what is left of those that were read is of no use
		keep = append(keep, w.sources()...)
	}
	outdated := old.Outdated(stays, keep)
	if since := slices.DeleteFunc(slices.Clone(outdated), w.had); len(since) > 0 {
		w.env.Note("%s: not removed, since it has come meanwhile: %s", w.dest, listOf(since))
		outdated = without(outdated, since)
	}
	if len(outdated) > 0 && !cut && isAnother(dir, name, last) {
		return nil // it came after this one, and so did what is beside it
	}
	err := removeAll(dir, outdated)
	if err == nil {
		noteRemoved(w.env, name, outdated)
		err = w.dropBegun(dir, sent, name)
	}
	if errors.Is(err, fs.ErrPermission) {
		w.env.Note("%s: what may be left there of an earlier %s stays: %v", w.dest, name, err)
		return nil
	}
	return err
}

func namesSent(files []transfer.File) (names []string) {
	for _, f := range files {
		names = append(names, f.Name)
	}
	return names
}

// allThere sees whether all that has been sent is still there, by names, sizes and
// footers. Whoever takes something away or puts something else in its place needs
// no lock.
func (w *way) allThere(dir listed, old volume.Earlier, sent []transfer.File) error {
	for _, f := range sent {
		e := dir.entry(f.Name)
		if e == nil {
			return inState("the bundle is not whole there", &transfer.GoneError{Path: w.dest + ": " + f.Name})
		}
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return inState("the bundle is not whole there", &transfer.GoneError{Path: w.dest + ": " + f.Name, Err: err})
		}
		if err != nil {
			return err
		}
		if info.Size() != f.Size || !old.Is(f) {
			return inState("the bundle is not whole there", &transfer.ReplacedError{Place: w.dest, Path: f.Name})
		}
	}
	return nil
}

// listAlone lists the folder while no other send of that name is going on there, which
// may have taken what this one has sent for something that an earlier one has left.
// Who has ended by the time that is known may have changed what was listed.
func (w *way) listAlone(ctx context.Context, p transfer.Place, folder transfer.Dir, name string, alone *setLock) (dir listed, busy bool, err error) {
	for range 3 {
		entries, err := folder.ReadDir()
		if err != nil {
			return dir, false, err
		}
		dir = listed{folder, entries}
		others := locksOf(entries, name)
		if alone.place != nil { // it keeps them out
			others = without(others, alone.names())
		}
		if len(others) == 0 {
			return dir, false, nil
		}
		busy, err = atWork(ctx, p, others, transfer.LockOptions{Owner: rand.Text(), Note: w.env.Note})
		if busy || err != nil {
			return dir, busy, err
		}
	}
	return dir, true, nil
}

// isAnother says whether a file in a folder is another bundle than the one that was
// sent there.
func isAnother(dir transfer.Dir, name string, sent transfer.File) bool {
	f, err := dir.Open(name)
	if err != nil {
		return true
	}
	defer f.Close()
	is, err := bundle.ReadID(f, f.Size())
	was, unknown := bundle.ReadID(sent.Data, sent.Size)
	return f.Size() != sent.Size || err == nil && unknown == nil && is != was
}

// isThere says whether a folder has a file.
func isThere(dir transfer.Dir, name string) bool {
	f, err := dir.Open(name)
	if err != nil {
		return false
	}
	f.Close()
	return true
}

// sources are the names of volumes of the bundle that is sent, where it is in the
// very folder that it is sent to.
func (w *way) sources() (names []string) {
	if w.bundle.set == nil {
		return nil
	}
	for _, path := range w.bundle.set.Files() {
		if name := filepath.Base(path); w.isHere(filepath.Join(w.dest, name), path) {
			names = append(names, name)
		}
	}
	return names
}

// isHere says whether a path at the destination is that of a certain file here.
func (w *way) isHere(path, certain string) bool {
	_, remote, err := sftp.ParseDest(w.dest)
	return err == nil && !remote && sameFile(path, certain)
}

// tell reports a file, which may be one of several. What the place cannot do for any
// of them is said once.
func (w *way) tell(receipt transfer.Receipt, several bool) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !receipt.Durable && receipt.Why != w.doubt {
		w.doubt = receipt.Why
		w.env.Warn("%s: it is not confirmed that the bundle is on the disk: %s", w.dest, receipt.Why)
	}
	return w.env.Report("sent", sendAnswer{"send", w.dest, receipt, several})
}
