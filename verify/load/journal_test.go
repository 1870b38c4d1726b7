package load_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"airgap/bundle/image"
	"airgap/bundle/store/storetest"
	"airgap/verify/load"
)

// shelf is a Tidier of names and images that hold nothing.
type shelf struct {
	*storetest.Memory
	tags   map[string]image.Digest
	images map[image.Digest]int64 // with their sizes
	used   image.Digest           // by a container
	pinned string                 // the name with which one by digest would go
}

func (s *shelf) Address() string { return "shelf" }

func (s *shelf) Identity() string { return "one" }

func (s *shelf) Tagged(_ context.Context, name string) (image.Digest, error) {
	return s.tags[name], nil
}

func (s *shelf) Retag(_ context.Context, name string, to image.Digest) error {
	if _, ok := s.images[to]; !ok && to != (image.Digest{}) {
		return fmt.Errorf("image %s: %w", to, image.ErrNotFound)
	}
	if s.tags[name] == s.used {
		return image.ErrInUse
	}
	was := s.tags[name]
	delete(s.tags, name)
	if to != (image.Digest{}) {
		s.tags[name] = to
	} else if s.RemoveUnused(context.Background(), was) == nil {
		delete(s.images, was)
	}
	return nil
}

func (s *shelf) TakesAlong(_ context.Context, name string, _ []string) (bool, error) {
	return name == s.pinned, nil
}

// Untag is what Retag to nothing is not: there the image goes with its last name.
func (s *shelf) Untag(_ context.Context, name string) error {
	delete(s.tags, name)
	return nil
}

func (s *shelf) RemoveUnused(_ context.Context, id image.Digest) error {
	for _, d := range s.tags {
		if d == id || id == s.used {
			return fmt.Errorf("image %s: %w", id, image.ErrInUse)
		}
	}
	delete(s.images, id)
	return nil
}

func (s *shelf) Usage(context.Context) (sum int64, _ error) {
	for _, n := range s.images {
		sum += n
	}
	return sum, nil
}

func digest(n int) image.Digest { return image.SHA256([]byte{byte(n)}) }

func journal(address string, bundle int, state load.JournalState, tags ...image.Tag) load.Journal {
	return load.Journal{
		To: "docker", Address: address, Bundle: digest(bundle), Time: time.Unix(int64(bundle), 0).UTC(), State: state, Tags: tags,
	}
}

// listed demands that all journals can be read.
func listed(t *testing.T, s load.Journals) []load.Journal {
	t.Helper()
	list, err := s.List()
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// TestJournals come back as they were written, without names that did not
// change.
func TestJournals(t *testing.T) {
	s := load.Journals(filepath.Join(t.TempDir(), "state", "unpacks"))
	if list := listed(t, s); len(list) != 0 {
		t.Errorf("no folder: %v", list)
	}
	want := journal("unix:///x", 9, load.Naming, image.Tag{Name: "moved", Old: digest(1), New: digest(2)}, image.Tag{Name: "new", New: digest(3)})
	for n := 1; n <= 2; n++ {
		j := want
		j.Tags = append(slices.Clone(want.Tags), image.Tag{Name: "same", Old: digest(4), New: digest(4)})
		if err := s.Keep(&j); err != nil || j.Number != n {
			t.Fatalf("number %d, %v", j.Number, err)
		}
	}
	want.Number, want.State = 2, load.Named
	if err := s.Keep(&want); err != nil {
		t.Fatal(err)
	}
	list := listed(t, s)
	if len(list) != 2 || !reflect.DeepEqual(list[1], want) || list[0].State != load.Naming {
		t.Errorf("%+v", list)
	}
	if entries, err := os.ReadDir(string(s)); err != nil || len(entries) != 2 {
		t.Errorf("%d files are there, %v", len(entries), err)
	}
}

// TestJournalsKept: the last ten of each place, whatever another place does, and
// nothing that is half written.
func TestJournalsKept(t *testing.T) {
	s := load.Journals(t.TempDir())
	for _, left := range []string{".7.json.123.partial", ".notes.1.partial"} {
		if err := os.WriteFile(filepath.Join(string(s), left), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for n := range 25 {
		for _, address := range []string{"busy", "seldom"}[:1+n/24] {
			j := journal(address, n, load.Named)
			if err := s.Keep(&j); err != nil {
				t.Fatal(err)
			}
		}
	}
	var numbers []int
	for _, j := range listed(t, s) {
		numbers = append(numbers, j.Number)
	}
	if want := []int{16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26}; !slices.Equal(numbers, want) {
		t.Errorf("journals %v, expected %v", numbers, want)
	}
	if err := s.Remove(listed(t, s)[0]); err != nil || len(listed(t, s)) != 10 {
		t.Errorf("after removing one: %v", err)
	}
	if left, err := filepath.Glob(filepath.Join(string(s), ".*")); err != nil || len(left) != 1 || filepath.Base(left[0]) != ".notes.1.partial" {
		t.Errorf("half written: %q, %v", left, err)
	}
}

// TestJournalsUnreadable are told of, kept, and in nobody's way.
func TestJournalsUnreadable(t *testing.T) {
	s := load.Journals(t.TempDir())
	good := `{"to":"docker","address":"a","bundle":"` + digest(1).String() + `","tags":[{"name":"a","new":"` + digest(1).String() + `"`
	bad := []string{"", "{", `{"tags":[]}`, strings.Replace(good, digest(1).String(), "sha256:abc", 1) + `}]}`, good + `,"old":"x"}]}`}
	for i, text := range bad {
		if err := os.WriteFile(filepath.Join(string(s), fmt.Sprintf("%d.json", i+1)), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"readme.txt", "007.json", "-1.json", "0.json"} {
		if err := os.WriteFile(filepath.Join(string(s), name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	j := journal("a", 1, load.Named)
	if err := s.Keep(&j); err != nil || j.Number != len(bad)+1 {
		t.Fatalf("number %d, %v", j.Number, err)
	}
	list, err := s.List()
	if len(list) != 1 || err == nil || strings.Count(err.Error(), "journal ") != len(bad) {
		t.Errorf("%d journals, error %v", len(list), err)
	}
}

// TestAttempts: what was killed between two names belongs to what went on with
// it, and to nothing else.
func TestAttempts(t *testing.T) {
	moved := func(name string, from, to int) image.Tag {
		return image.Tag{Name: name, Old: digest(from), New: digest(to)}
	}
	list := []load.Journal{
		journal("here", 1, load.Naming, moved("a", 1, 7)), // of another bundle
		journal("here", 2, load.Named, moved("a", 7, 1)),
		journal("here", 3, load.Naming, moved("a", 1, 2), moved("b", 1, 2), moved("c", 1, 2), moved("d", 1, 2)),
		journal("elsewhere", 3, load.Named, moved("a", 5, 6)),
		journal("here", 3, load.Naming, moved("b", 1, 2), moved("c", 1, 2), moved("d", 4, 2)), // d was moved in between
		journal("here", 3, load.Named, moved("c", 1, 2), moved("d", 4, 2), moved("e", 0, 2)),
	}
	attempts := load.Attempts(list)
	if len(attempts) != 3 || !reflect.DeepEqual(attempts[0], list[5]) || !reflect.DeepEqual(attempts[2], list[2]) {
		t.Fatalf("attempts %+v", attempts)
	}
	want := []image.Tag{moved("a", 1, 2), moved("b", 1, 2), moved("c", 1, 2), moved("d", 4, 2), moved("e", 0, 2)}
	if got := load.Join(attempts).Tags; !slices.Equal(got, want) {
		t.Errorf("joined %v, expected %v", got, want)
	}
	for end, want := range map[int]int{1: 1, 2: 1, 3: 1, 4: 1, 5: 2} {
		if got := len(load.Attempts(list[:end])); got != want {
			t.Errorf("unpack %d has %d attempts, expected %d", end, got, want)
		}
	}
}

// TestUndo puts back what is still as the import left it; a second time it goes
// on with what was left.
func TestUndo(t *testing.T) {
	s := &shelf{
		tags:   map[string]image.Digest{"moved": digest(2), "new": digest(3), "moved since": digest(9), "back": digest(1), "gone": digest(2), "used": digest(5), "pinned": digest(9)},
		images: map[image.Digest]int64{digest(1): 1, digest(2): 1, digest(3): 1, digest(9): 1, digest(5): 1}, used: digest(5), pinned: "pinned",
	}
	journals := load.Journals(t.TempDir())
	j := journal("shelf", 1, load.Named,
		image.Tag{Name: "moved", Old: digest(1), New: digest(2)},
		image.Tag{Name: "new", New: digest(3)},
		image.Tag{Name: "moved since", Old: digest(1), New: digest(2)},
		image.Tag{Name: "removed since", Old: digest(1), New: digest(2)},
		image.Tag{Name: "back", Old: digest(1), New: digest(2)},
		image.Tag{Name: "was not set", New: digest(2)},
		image.Tag{Name: "gone", Old: digest(8), New: digest(2)},
		image.Tag{Name: "used", New: digest(5)},
		image.Tag{Name: "pinned", New: digest(9)},
	)
	j.Brought = []image.Digest{digest(3), digest(5)}
	if err := journals.Keep(&j); err != nil {
		t.Fatal(err)
	}
	undo := func(want map[string]string) {
		t.Helper()
		attempts := load.Attempts(listed(t, journals))
		plan, err := load.Join(attempts).PlanUndo(t.Context(), s)
		if err != nil {
			t.Fatal(err)
		}
		if err := load.RunUndo(t.Context(), s, plan); err != nil {
			t.Fatal(err)
		}
		for _, u := range plan {
			got := u.Why
			if u.Already {
				got = "already"
			}
			if got != want[u.Tag.Name] {
				t.Errorf("%s: %q, expected %q", u.Tag.Name, got, want[u.Tag.Name])
			}
			delete(want, u.Tag.Name)
		}
		if len(want) > 0 {
			t.Errorf("nothing is said of %v", want)
		}
		if err := journals.Settle(attempts, plan); err != nil {
			t.Fatal(err)
		}
	}
	undo(map[string]string{
		"moved": "", "new": "", "moved since": "it has been moved since", "removed since": "it has been removed since",
		"back": "already", "was not set": "already", "gone": "what it pointed to is gone", "used": "a container uses it",
		"pinned": "the repository has the image by its digest, which would go with it",
	})
	if s.tags["moved"] != digest(1) || s.tags["new"] != (image.Digest{}) || s.tags["moved since"] != digest(9) || s.tags["gone"] != digest(2) {
		t.Errorf("names are %v", s.tags)
	}

	s.used, s.images[digest(8)], s.tags["moved since"] = image.Digest{}, 1, digest(2)
	delete(s.tags, "removed since")
	s.pinned = ""
	undo(map[string]string{"moved since": "", "removed since": "it has been removed since", "gone": "", "used": "", "pinned": ""})
	if s.tags["moved since"] != digest(1) || s.tags["gone"] != digest(8) || s.tags["used"] != (image.Digest{}) {
		t.Errorf("names are %v", s.tags)
	}
	s.tags["removed since"] = digest(1)
	undo(map[string]string{"removed since": "already"})
	if state := listed(t, journals)[0].State; state != load.Undone {
		t.Errorf("in the end it is %q", state)
	}
}

// TestUndoKeepsImages: an image that was there before, under no name, stays when a
// name that was new goes, and so does every image where it is not noted which were.
func TestUndoKeepsImages(t *testing.T) {
	s := &shelf{
		tags:   map[string]image.Digest{"brought": digest(1), "there": digest(2), "unknown": digest(3)},
		images: map[image.Digest]int64{digest(1): 1, digest(2): 1, digest(3): 1},
	}
	journals := load.Journals(t.TempDir())
	first := journal("shelf", 1, load.Naming, image.Tag{Name: "brought", New: digest(1)}, image.Tag{Name: "there", New: digest(2)})
	first.Brought = []image.Digest{digest(1)}
	second := journal("shelf", 1, load.Named, image.Tag{Name: "unknown", New: digest(3)})
	for _, j := range []*load.Journal{&first, &second} {
		if err := journals.Keep(j); err != nil {
			t.Fatal(err)
		}
	}
	plan, err := load.Join(load.Attempts(listed(t, journals))).PlanUndo(t.Context(), s)
	if err == nil {
		err = load.RunUndo(t.Context(), s, plan)
	}
	if err != nil {
		t.Fatal(err)
	}
	if len(s.tags) > 0 || len(s.images) != 2 || s.images[digest(1)] != 0 {
		t.Errorf("names %v, images %v", s.tags, s.images)
	}
}

// TestSettle: with the last attempt, those before it are undone.
func TestSettle(t *testing.T) {
	journals := load.Journals(t.TempDir())
	for _, state := range []load.JournalState{load.Naming, load.Named} {
		j := journal("shelf", 1, state, image.Tag{Name: "a", New: digest(2)})
		if err := journals.Keep(&j); err != nil {
			t.Fatal(err)
		}
	}
	if err := journals.Settle(load.Attempts(listed(t, journals)), []load.Undo{{Tag: image.Tag{Name: "a", New: digest(2)}, Already: true}}); err != nil {
		t.Fatal(err)
	}
	for _, j := range listed(t, journals) {
		if j.State != load.Undone || len(j.Tags) != 1 {
			t.Errorf("journal %d is %q with %v", j.Number, j.State, j.Tags)
		}
	}
}

// TestPruneReplaced removes what nothing uses.
func TestPruneReplaced(t *testing.T) {
	s := &shelf{
		tags:   map[string]image.Digest{"a": digest(2), "b": digest(2), "other": digest(3)},
		images: map[image.Digest]int64{digest(1): 10, digest(2): 20, digest(3): 40, digest(4): 80}, used: digest(4),
	}
	p, err := load.PruneReplaced(t.Context(), s, []image.Tag{
		{Name: "a", Old: digest(1), New: digest(2)}, {Name: "b", Old: digest(1), New: digest(2)},
		{Name: "c", Old: digest(3), New: digest(2)}, {Name: "d", Old: digest(4), New: digest(2)},
		{Name: "new", New: digest(2)}, {Name: "same", Old: digest(2), New: digest(2)},
	})
	if err != nil || !slices.Equal(p.Removed, []image.Digest{digest(1)}) || !slices.Equal(p.Kept, []image.Digest{digest(3), digest(4)}) || p.Freed != 10 {
		t.Errorf("%+v, %v", p, err)
	}
}
