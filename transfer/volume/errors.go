package volume

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// ErrLost is what OpenOptions.Ask answers when nobody has the volume: it is
// rebuilt then, if the parity is enough for that.
var ErrLost = errors.New("the volume is lost")

// ChoiceError says that a folder does not have one set that is meant: it has
// none, or several.
type ChoiceError struct {
	Dir  string
	Name string // empty: any
	Sets []Summary
}

func (e *ChoiceError) Error() string {
	what := "a set of volumes"
	if e.Name != "" {
		what = fmt.Sprintf("a set of volumes of %q", e.Name)
	}
	if len(e.Sets) == 0 {
		return fmt.Sprintf("folder %q: %s is not there", e.Dir, what)
	}
	var names []string
	for _, s := range e.Sets {
		names = append(names, fmt.Sprintf("%q (set %s, %d volumes there)", s.Name, s.Set[:8], len(s.There)))
	}
	return fmt.Sprintf("folder %q: not one set is %s; there are %s", e.Dir, what, strings.Join(names, ", "))
}

// IncompleteError says that a set is not whole or not sound, and what of it.
type IncompleteError struct{ Report }

func (e *IncompleteError) Error() string {
	var parts []string
	add := func(format string, args ...any) { parts = append(parts, fmt.Sprintf(format, args...)) }
	r := e.Report
	if len(r.Missing) > 0 {
		add("missing: %s", list(r.Missing))
	}
	if r.Volumes == 0 {
		add("the last volume is missing, so that nobody knows how many there are")
	}
	if len(r.Damaged) > 0 {
		add("damaged: %s", list(r.Damaged))
	}
	if p := r.Parity; p != nil && len(p.Missing)+len(p.Damaged) > 0 {
		add("parity files missing or damaged: %s", list(slices.Concat(p.Missing, p.Damaged)))
	}
	if p := r.Parity; p != nil && p.Short > 0 {
		add("the parity is not enough: a group lacks %d more good shards of %d KiB", p.Short, Shard>>10)
	}
	if len(r.Foreign) > 0 {
		add("of another file: %s", strings.Join(r.Foreign, ", "))
	}
	if len(r.Stale) > 0 {
		add("of another run: %s", strings.Join(r.Stale, ", "))
	}
	if r.Mixed {
		add("the volumes together are not the file that they were cut from")
	}
	return fmt.Sprintf("volumes of %q: %s; there are %s%s", r.Name, strings.Join(parts, "; "), list(r.There), of(r.Volumes))
}

func of(volumes int) string {
	if volumes == 0 {
		return ""
	}
	return fmt.Sprintf(" of %d", volumes)
}

// list writes numbers, neighbours as a range.
func list(numbers []int) string {
	var parts []string
	for i := 0; i < len(numbers); {
		j := i
		for j+1 < len(numbers) && numbers[j+1] == numbers[j]+1 {
			j++
		}
		part := fmt.Sprint(numbers[i])
		if j > i {
			part = fmt.Sprintf("%d-%d", numbers[i], numbers[j])
		}
		parts = append(parts, part)
		i = j + 1
	}
	if len(parts) == 0 {
		return "none"
	}
	return strings.Join(parts, ", ")
}

// DamagedError says that a file of a set is not as it was made.
type DamagedError struct{ Err error }

func (e *DamagedError) Error() string { return "it is damaged: " + e.Err.Error() }

// Unwrap gives what is wrong with it.
func (e *DamagedError) Unwrap() error { return e.Err }

// Report is the state of a set.
type Report struct {
	Name     string        `json:"name"`
	Set      string        `json:"set"`
	File     string        `json:"file"`
	Total    int64         `json:"total"`   // bytes; 0: not known
	Volumes  int           `json:"volumes"` // 0: not known, since the last is missing
	There    []int         `json:"there"`   // numbers of volumes
	Missing  []int         `json:"missing,omitempty"`
	Damaged  []int         `json:"damaged,omitempty"`
	Mixed    bool          `json:"mixed,omitempty"`   // each volume is sound, and the whole is not
	Renamed  []Volume      `json:"renamed,omitempty"` // known by their footers, under other names than theirs
	Foreign  []string      `json:"foreign,omitempty"` // files of another file's set under names of this
	Stale    []string      `json:"stale,omitempty"`   // files of another cut of the same file
	Twice    []string      `json:"twice,omitempty"`   // files that are not needed: copies
	Parity   *ParityReport `json:"parity,omitempty"`
	Repaired []string      `json:"repaired,omitempty"` // files that have been made good
}

// ParityReport is the state of the parity of a set.
type ParityReport struct {
	Files   int   `json:"files"`
	Missing []int `json:"missing,omitempty"`
	Damaged []int `json:"damaged,omitempty"`
	Lost    int64 `json:"lost"`  // bytes of data and parity that are missing or damaged
	Short   int   `json:"short"` // how many good shards the worst group lacks to be repaired
}

// Whole says whether nothing is missing or damaged, parity included.
func (r Report) Whole() bool {
	p := r.Parity
	return r.Readable() && len(r.Missing)+len(r.Damaged) == 0 && (p == nil || len(p.Missing)+len(p.Damaged) == 0)
}

// Readable says whether each byte of the file can be had, be it by parity.
func (r Report) Readable() bool {
	if r.Volumes == 0 || r.Mixed {
		return false
	}
	return len(r.Missing)+len(r.Damaged) == 0 || r.Parity != nil && r.Parity.Short == 0
}

// Err is nil for a set that is whole, and else an *IncompleteError, even if
// parity can repair all of it.
func (r Report) Err() error {
	if r.Whole() {
		return nil
	}
	return &IncompleteError{r}
}
