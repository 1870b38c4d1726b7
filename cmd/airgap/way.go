package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"

	"airgap/cmd/airgap/internal/ui"
	"airgap/transfer"
	"airgap/transfer/media"
)

// way is the way to a destination, whose connection may have to be another one
// from time to time.
type way struct {
	*sender
	dest  string
	place transfer.Place
}

// again connects once more, after an interruption.
func (w *way) again(ctx context.Context) (transfer.Place, error) {
	_ = w.place.Close() // it is broken
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
	err = w.try(ctx, func(p transfer.Place) (err error) {
		files, err = w.load(ctx, p)
		return err
	})
	if err != nil {
		return receipt, inState(unsent, err)
	}
	progress := show(w.dest, sizeOf(files))
	var sent []string
	for _, file := range files {
		receipt, err = w.carryOne(ctx, file, progress)
		if changed := (*transfer.ChangedError)(nil); errors.As(err, &changed) && w.bundle.isParity(file.Name) {
			w.env.Warn("%s is damaged and stays here: airgap repair makes it good", file.Name)
			continue
		}
		if err == nil {
			err = w.tell(w.dest, receipt, len(files) > 1)
		}
		if err != nil {
			break
		}
		sent = append(sent, file.Name)
	}
	if _, here := w.place.(*media.Folder); here && err == nil {
		err = w.dropOld(ctx, w.dest, sent)
	}
	if !w.together() {
		if err == nil {
			progress.Done()
		}
		progress.Stop()
	}
	return receipt, err
}

func (w *way) carryOne(ctx context.Context, file transfer.File, progress *ui.Progress) (transfer.Receipt, error) {
	return transfer.SendOn(ctx, w.place, file, transfer.SendOptions{
		Progress: progress.Add, Note: w.env.Note, Limit: w.o.bytesASecond, MayReplace: mayReplace(file.Name),
	}, w.persistence())
}

// dropOld removes what an earlier send has left in a folder here.
func (s *sender) dropOld(ctx context.Context, dir string, sent []string) error {
	file, err := s.file()
	if err != nil {
		return err
	}
	for _, path := range s.bundle.parity() { // the bundle may be in that very folder
		if there := filepath.Join(dir, filepath.Base(path)); !isOther(there, path) {
			sent = append(sent, filepath.Base(path))
		}
	}
	path := filepath.Join(dir, file.Name)
	if !slices.Contains(sent, file.Name) && isOther(path, s.bundle.name) {
		warnOfOlder(s.env, path)
	}
	return dropOutdated(ctx, s.env, dir, file.Name, !slices.Contains(sent, file.Name) && isRegular(path), sent)
}

// isOther says that there is a file, and that it is not a certain one.
func isOther(path, certain string) bool {
	there, err := os.Stat(path)
	if err != nil {
		return false
	}
	mine, err := os.Stat(certain)
	return err != nil || !os.SameFile(there, mine)
}

// tell reports a file, which may be one of several.
func (s *sender) tell(dest string, receipt transfer.Receipt, several bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !receipt.Durable {
		s.env.Warn("%s: it is not confirmed that the bundle is on the disk: %s", dest, receipt.Why)
	}
	return s.env.Report("sent", sendAnswer{"send", dest, receipt, several})
}
