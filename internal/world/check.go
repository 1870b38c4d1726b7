//go:build linux

package world

import (
	"flag"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"pgregory.net/rapid"

	"airgap/internal/seed"
)

// setup is what all worlds of a test share.
type setup struct {
	run     Run
	images  map[string]map[string]string // digests by day and name
	sums    map[string]stamped           // of files that have been hashed, by path
	steps   int                          // that have been made
	excuses map[string]int               // how often a sequence ended with each
	proven  map[string]string            // ids of bundles that have been read, by the sum of the file
}

// Check runs sequences of steps: some hundreds, or as many as AIRGAP_TORTURE says.
func Check(t *testing.T, run Run) {
	dir := t.TempDir()
	s := &setup{run: run, images: makeDays(t, filepath.Join(dir, "src")), sums: map[string]stamped{}, proven: map[string]string{}, excuses: map[string]int{}}
	t.Chdir(dir)
	sequences, steps := 100, 12
	set(t, "rapid.seed", strconv.FormatUint(fixedSeed, 10))
	if text := os.Getenv("AIRGAP_TORTURE"); text != "" {
		sequences, steps = 20_000, 15
		if n, err := strconv.Atoi(text); err == nil && n > 1 {
			sequences = n
		}
		set(t, "rapid.seed", strconv.FormatUint(seed.Of(t), 10))
	}
	set(t, "rapid.nofailfile", "true")
	set(t, "rapid.checks", strconv.Itoa(sequences))
	set(t, "rapid.steps", strconv.Itoa(steps))
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t, s)
		t.Repeat(w.actions())
	})
	t.Logf("%d sequences, %d steps; ended early: %v", sequences, s.steps, s.excuses)
}

// fixedSeed is that of the short form, which is the same test every time.
const fixedSeed = 20261127

func set(t *testing.T, name, value string) {
	t.Helper()
	if err := flag.Set(name, value); err != nil {
		t.Fatal(err)
	}
}

// actions are all that may happen; what is listed twice happens more often.
func (w *world) actions() map[string]func(*rapid.T) {
	list := map[string]func(*rapid.T){
		"pack": w.Pack, "pack 2": w.Pack,
		"cp": w.Copy, "cp 2": w.Copy, "cp *": w.Collect, "mv": w.Move, "rm": w.Remove, "write": w.Write, "truncate": w.Truncate, "flip": w.Flip,
		"verify": w.Verify, "inspect": w.Inspect, "unpack": w.Unpack, "unpack 2": w.Unpack,
	}
	for name, action := range list {
		list[name] = func(t *rapid.T) {
			if w.t = t; w.ended {
				return
			}
			defer func() {
				if p := recover(); p != nil && p != any(over{}) {
					panic(p)
				}
			}()
			action(t)
			w.steps++
		}
	}
	return list
}
