package transfertest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"airgap/transfer"
)

// quick is a pace for tests. Nobody is taken for dead by it who has only been
// kept waiting for a while.
var quick = transfer.Pace{Beat: 50 * time.Millisecond, Stale: time.Minute}

// held is a file whose second half comes only when it is let go.
type held struct {
	io.ReaderAt
	half    int64
	reached chan struct{} // closed when it is wanted
	letGo   chan struct{}
	once    sync.Once
}

func hold(f *transfer.File) *held {
	h := &held{ReaderAt: f.Data, half: f.Size / 2, reached: make(chan struct{}), letGo: make(chan struct{})}
	f.Data = h
	return h
}

func (h *held) ReadAt(p []byte, off int64) (int, error) {
	if off+int64(len(p)) > h.half {
		h.once.Do(func() { close(h.reached) })
		<-h.letGo
	}
	return h.ReaderAt.ReadAt(p, off)
}

// begin sends a file as far as its half.
func begin(t *testing.T, target Target, f transfer.File, o transfer.SendOptions) (end func() error) {
	t.Helper()
	h := hold(&f)
	p, err := target.Open(t)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() {
		defer p.Close()
		_, err := transfer.Send(t.Context(), p, f, o)
		ended <- err
	}()
	select {
	case <-h.reached:
	case err := <-ended:
		t.Fatal(err)
	}
	return func() error {
		close(h.letGo)
		return <-ended
	}
}

// sendWith is send with options, and what was noted.
func sendWith(t *testing.T, target Target, f transfer.File, o transfer.SendOptions) (notes []string, err error) {
	t.Helper()
	p, err := target.Open(t)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	o.Note = func(format string, args ...any) { notes = append(notes, fmt.Sprintf(format, args...)) }
	_, err = transfer.Send(t.Context(), p, f, o)
	return notes, err
}

func isBusy(err error) bool {
	var busy *transfer.BusyError
	return errors.As(err, &busy)
}

func twoAtOnce(t *testing.T, target Target) {
	f, raw := Content("bundle", 9<<20)
	other, otherRaw := Content("another", 9<<20)
	other.Name = f.Name
	end := begin(t, target, f, transfer.SendOptions{Pace: quick})
	for range 3 {
		for _, f := range []transfer.File{f, other} {
			if _, err := sendWith(t, target, f, transfer.SendOptions{Pace: quick}); !isBusy(err) {
				t.Errorf("error %v", err)
			}
		}
	}
	if err := end(); err != nil {
		t.Fatal(err)
	}
	Arrived(t, target.Dir, f, raw)
	if _, err := sendWith(t, target, other, transfer.SendOptions{Pace: quick}); err != nil {
		t.Fatal(err)
	}
	Arrived(t, target.Dir, other, otherRaw)
}

func twoStreams(t *testing.T, target Target) {
	f, raw := Content("bundle", 1<<20)
	end := begin(t, target, f, transfer.SendOptions{Pace: quick})
	for _, name := range []string{f.Name, "first"} { // which is given the other name at its end
		_, err := stream(t, target, name, bytes.NewReader(raw), transfer.SendOptions{Pace: quick, Name: func() string { return f.Name }})
		if !isBusy(err) {
			t.Errorf("error %v", err)
		}
	}
	if err := end(); err != nil {
		t.Fatal(err)
	}
	Arrived(t, target.Dir, f, raw)
}

// othersAtOnce sends what has other names, one of which looks much the same.
func othersAtOnce(t *testing.T, target Target) {
	f, raw := Content("bundle", 1<<20)
	end := begin(t, target, f, transfer.SendOptions{Pace: quick})
	names := []string{f.Name, f.Name + ".sha256"}
	for _, name := range []string{"bundle.tar", "bundle.0a1b2c3d", "bundl"} {
		other, _ := Content(name, 100_000)
		if _, err := sendWith(t, target, other, transfer.SendOptions{Pace: quick}); err != nil {
			t.Error(err)
		}
		names = append(names, name, name+".sha256")
	}
	if err := end(); err != nil {
		t.Fatal(err)
	}
	Only(t, target.Dir, names...)
	if got, err := os.ReadFile(filepath.Join(target.Dir, f.Name)); err != nil || !bytes.Equal(got, raw) {
		t.Errorf("%d bytes arrived, %v", len(got), err)
	}
}

func waitsForOther(t *testing.T, target Target) {
	f, raw := Content("bundle", 1<<20)
	end := begin(t, target, f, transfer.SendOptions{Pace: quick})
	ended := make(chan error, 1)
	waiting := make(chan struct{})
	p, err := target.Open(t)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	go func() {
		r, err := transfer.Send(t.Context(), p, f, transfer.SendOptions{Pace: quick, Wait: true, Note: func(string, ...any) { close(waiting) }})
		if err == nil && !r.AlreadyThere {
			err = fmt.Errorf("receipt %+v", r)
		}
		ended <- err
	}()
	<-waiting
	if err := errors.Join(end(), <-ended); err != nil {
		t.Fatal(err)
	}
	Arrived(t, target.Dir, f, raw)
}

// leave puts a lock there that somebody has left, some time ago.
func leave(t *testing.T, target Target, f transfer.File, l transfer.LockText, ago time.Duration) (path string) {
	t.Helper()
	path = filepath.Join(target.Dir, transfer.LockName(f.Name))
	text := l.String()
	if l == (transfer.LockText{}) {
		text = "" // there was no room for it
	}
	then := time.Now().Add(-ago)
	if err := errors.Join(os.WriteFile(path, []byte(text), 0o644), os.Chtimes(path, then, then)); err != nil {
		t.Fatal(err)
	}
	return path
}

// texts are what can be in a lock that is left.
func texts(f transfer.File) []transfer.LockText {
	return []transfer.LockText{
		{Sign: "somebody.else 00000007", Partial: f.Partial(f.Name)},
		{Sign: "somebody.else 00000007", Machine: "another", Partial: f.Partial(f.Name)},
		{Sign: "somebody.else 00000007", Partial: "../../../etc/passwd"},
		{Sign: strings.Repeat("x", 100_000)},
		{},
	}
}

func lockOfTheDead(t *testing.T, target Target) {
	f, raw := Content("bundle", 1<<20)
	for i, notes := range takenOver(t, target, f, 2*time.Minute, quick) {
		if len(notes) > 0 {
			t.Errorf("text %d: noted %q", i, notes)
		}
	}
	leave(t, target, f, texts(f)[0], 2*time.Minute)
	if notes, err := sendWith(t, target, f, transfer.SendOptions{Pace: quick}); err != nil || len(notes) > 0 {
		t.Errorf("%v, %v", notes, err)
	}
	Arrived(t, target.Dir, f, raw)
}

// takenOver takes over locks with each of the texts, left some time ago, and
// answers what was noted.
func takenOver(t *testing.T, target Target, f transfer.File, ago time.Duration, pace transfer.Pace) (notes [][]string) {
	t.Helper()
	p, err := target.Open(t)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	for _, text := range texts(f) {
		leave(t, target, f, text, ago)
		var noted []string
		_, unlock, err := p.Lock(t.Context(), f, transfer.LockOptions{
			Owner: "me", Pace: pace, Note: func(format string, args ...any) { noted = append(noted, fmt.Sprintf(format, args...)) },
		})
		if err != nil {
			t.Fatal(err)
		}
		unlock()
		Only(t, target.Dir)
		notes = append(notes, noted)
	}
	return notes
}

func lockOfTheSilent(t *testing.T, target Target) {
	f, _ := Content("bundle", 1<<20)
	for i, notes := range takenOver(t, target, f, 0, transfer.Pace{Beat: 50 * time.Millisecond, Stale: 300 * time.Millisecond}) {
		if len(notes) > 1 {
			t.Errorf("text %d: noted %q", i, notes)
		}
	}
}

// lockOfTheLiving is one that somebody keeps writing to, from the future or the
// past: only that it becomes another counts.
func lockOfTheLiving(t *testing.T, target Target) {
	f, _ := Content("bundle", 1<<20)
	for _, ago := range []time.Duration{0, -time.Hour, 30 * time.Second} {
		ctx, cancel := context.WithCancel(t.Context())
		path := leave(t, target, f, transfer.LockText{Sign: "somebody.else 00000000"}, ago)
		var beating sync.WaitGroup
		beating.Go(func() {
			for n := 1; ctx.Err() == nil; n++ {
				time.Sleep(20 * time.Millisecond)
				if file, err := os.OpenFile(path, os.O_WRONLY, 0); err == nil {
					fmt.Fprintf(file, "somebody.else %08d", n)
					file.Close()
				}
			}
		})
		notes, err := sendWith(t, target, f, transfer.SendOptions{Pace: quick})
		cancel()
		beating.Wait()
		if !isBusy(err) || len(notes) != 1 || !strings.Contains(notes[0], "waiting") {
			t.Errorf("noted %q, error %v", notes, err)
		}
		Only(t, target.Dir, filepath.Base(path))
	}
}

// lockOfBefore is of an attempt of the same send, whose way has broken off.
func lockOfBefore(t *testing.T, target Target) {
	f, _ := Content("bundle", 1<<20)
	lock := func(owner string) (held context.Context, unlock func(), err error) {
		p, err := target.Open(t)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { p.Close() })
		return p.Lock(t.Context(), f, transfer.LockOptions{Owner: owner, Pace: quick, Note: t.Logf})
	}
	first, unlockFirst, err := lock("me")
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := lock("m"); !isBusy(err) {
		t.Errorf("another: %v", err)
	}
	if target.Resumes { // else nothing breaks off but with its owner
		_, unlock, err := lock("me")
		if err != nil {
			t.Fatal(err)
		}
		<-first.Done()
		if !isBusy(context.Cause(first)) {
			t.Error(context.Cause(first))
		}
		unlockFirst()
		if _, err := os.Stat(filepath.Join(target.Dir, transfer.LockName(f.Name))); err != nil {
			t.Errorf("the lock of the second: %v", err)
		}
		unlock()
	} else {
		unlockFirst()
	}
	Only(t, target.Dir)
}

// lockLost is taken over by somebody who has it for good.
func lockLost(t *testing.T, target Target) {
	f, _ := Content("bundle", 9<<20)
	p, err := target.Open(t)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	held, unlock, err := p.Lock(t.Context(), f, transfer.LockOptions{Owner: "me", Pace: quick, Note: t.Logf})
	if err != nil {
		t.Fatal(err)
	}
	text := transfer.LockText{Sign: "somebody.else 00000000"}
	other := filepath.Join(target.Dir, "other")
	path := filepath.Join(target.Dir, transfer.LockName(f.Name))
	if err := errors.Join(os.WriteFile(other, []byte(text.String()), 0o644), os.Rename(other, path)); err != nil {
		t.Skip("the place keeps it: ", err)
	}
	<-held.Done()
	if err := context.Cause(held); !isBusy(err) {
		t.Errorf("error %v", err)
	}
	if err := p.Write(held, 0, transfer.ContextReader(held, f.Data.(io.Reader))); err == nil {
		t.Error("it goes on writing")
	}
	unlock()
	if got, err := os.ReadFile(path); err != nil || string(got) != text.String() {
		t.Errorf("the other's lock is %q, %v", got, err)
	}
}

// lockRemoved has somebody clear up while a file is sent.
func lockRemoved(t *testing.T, target Target) {
	f, raw := Content("bundle", 1<<20)
	end := begin(t, target, f, transfer.SendOptions{Pace: quick})
	if err := os.Remove(filepath.Join(target.Dir, transfer.LockName(f.Name))); err != nil {
		t.Skip("the place keeps it: ", err)
	}
	if err := end(); err != nil {
		t.Error(err)
	}
	Arrived(t, target.Dir, f, raw)
}

// lockElse is a folder, or leads to a file that is precious.
func lockElse(t *testing.T, target Target) {
	f, _ := Content("bundle", 1000)
	name := filepath.Join(target.Dir, transfer.LockName(f.Name))
	victim := filepath.Join(t.TempDir(), "victim")
	if err := os.WriteFile(victim, []byte("precious"), 0o644); err != nil {
		t.Fatal(err)
	}
	for what, put := range map[string]func() error{
		"a folder":          func() error { return os.Mkdir(name, 0o755) },
		"a link":            func() error { return os.Symlink(victim, name) },
		"a link to nothing": func() error { return os.Symlink(victim+".none", name) },
	} {
		if err := put(); err != nil {
			t.Skip(err)
		}
		var medium *transfer.MediumError
		if _, err := sendWith(t, target, f, transfer.SendOptions{Pace: quick}); !errors.As(err, &medium) {
			t.Errorf("%s: error %v", what, err)
		}
		Only(t, target.Dir, filepath.Base(name))
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := os.ReadFile(victim); err != nil || string(got) != "precious" {
		t.Errorf("the link's target became %q, %v", got, err)
	}
	Only(t, filepath.Dir(victim), "victim")
}

// olderPartials are named and removed; what only looks like one stays.
func olderPartials(t *testing.T, target Target) {
	f, raw := Content("bundle", 1<<20)
	older, _ := Content("older", 1<<20)
	ours := []string{older.Partial(f.Name), "." + f.Name + ".ABCDEF27.partial"}
	others := []string{
		older.Partial("other"), older.Partial(f.Name + ".001"), "." + f.Name + ".partial", "." + f.Name + ".0A1b2c3d.partial", "." + f.Name + ".01234567",
		older.Partial(f.Name)[1:], older.Partial(f.Name) + ".partial",
	}
	for _, name := range slices.Concat(ours, others) {
		if err := os.WriteFile(filepath.Join(target.Dir, name), make([]byte, 1000), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	folder := "." + f.Name + ".01234567.partial"
	if err := os.Mkdir(filepath.Join(target.Dir, folder), 0o755); err != nil {
		t.Fatal(err)
	}
	notes, err := sendWith(t, target, f, transfer.SendOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range ours {
		if said := strings.Join(notes, "\n"); !strings.Contains(said, name) || len(notes) != len(ours) {
			t.Errorf("%s: noted %q", name, said)
		}
	}
	Only(t, target.Dir, slices.Concat(others, []string{folder, f.Name, f.Name + ".sha256"})...)
	for _, name := range others {
		if _, err := os.Stat(filepath.Join(target.Dir, name)); err != nil {
			t.Error(err)
		}
	}
	if got, err := os.ReadFile(filepath.Join(target.Dir, f.Name)); err != nil || !bytes.Equal(got, raw) {
		t.Errorf("%d bytes arrived, %v", len(got), err)
	}
}

// olderOfOthers are named, and stay.
func olderOfOthers(t *testing.T, target Target) {
	if os.Getuid() != 0 {
		t.Skip("SKIPPED for want of another user: needs root")
	}
	f, _ := Content("bundle", 1<<20)
	older, _ := Content("older", 1<<20)
	theirs := filepath.Join(target.Dir, older.Partial(f.Name))
	if err := errors.Join(os.WriteFile(theirs, make([]byte, 1000), 0o644), os.Chown(theirs, 65534, 65534)); err != nil {
		t.Fatal(err)
	}
	notes, err := sendWith(t, target, f, transfer.SendOptions{})
	if err != nil || len(notes) != 1 || !strings.Contains(notes[0], "somebody else's") {
		t.Errorf("noted %q, error %v", notes, err)
	}
	Only(t, target.Dir, filepath.Base(theirs), f.Name, f.Name+".sha256")
	if _, err := os.Stat(theirs); err != nil {
		t.Error(err)
	}
}
