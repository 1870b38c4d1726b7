//go:build linux

package world

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"pgregory.net/rapid"

	"airgap/internal/seed"
)

// setup is what all worlds of a test share.
type setup struct {
	long     bool
	noDisk   error                       // why there is none with little room
	ids      map[string]map[string]known // the same as an engine has them
	engine   *engine
	registry *registryPlace
	run      Run
	host     *host
	images   map[string]map[string]string // digests by day and name
	sums     map[string]stamped           // of files that have been hashed, by path
	did      map[string]did               // by the name of the action
	ends     map[string]int               // how often each command ended with each status
	proven   map[string]string            // ids of bundles that have been read, by the sum of the file
}

// Check runs sequences of steps: some hundreds, or as many as AIRGAP_TORTURE says.
func Check(t *testing.T, run Run) {
	dir := t.TempDir()
	for _, name := range []string{"top", "user"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	top, home := filepath.Join(dir, "top"), filepath.Join(dir, "user")
	for name, value := range map[string]string{
		"HOME": home, "XDG_STATE_HOME": filepath.Join(top, "state"), "XDG_RUNTIME_DIR": home, "SSH_AUTH_SOCK": "",
		"DOCKER_HOST": "unix://" + filepath.Join(home, "engine.sock"), "DOCKER_CONFIG": filepath.Join(home, ".docker"),
		"PATH": filepath.SplitList(os.Getenv("PATH"))[0] + ":" + tools(t, filepath.Join(dir, "bin")), // with airgap, that of package testscript
	} {
		t.Setenv(name, value)
	}
	s := &setup{run: run, images: makeDays(t, filepath.Join(top, "src")), sums: map[string]stamped{}, proven: map[string]string{}, ends: map[string]int{}, did: map[string]did{}}
	s.ids = map[string]map[string]known{}
	for day, names := range s.images {
		s.ids[day] = map[string]known{}
		for name, digest := range names {
			img, err := readImage(filepath.Join(top, "src", day), digest)
			if err != nil {
				t.Fatal(err)
			}
			s.ids[day][name] = img
		}
	}
	makePapers(t, filepath.Join(top, papers))
	t.Chdir(top)
	syscall.Umask(umask)
	if err := os.Mkdir(small, 0o755); err != nil {
		t.Fatal(err)
	}
	s.host, s.engine, s.registry = startHost(t, top, home), startEngine(t, filepath.Join(home, "engine.sock")), startRegistry(t)
	sequences, steps := 100, 12
	set(t, "rapid.seed", strconv.FormatUint(fixedSeed, 10))
	if text := os.Getenv("AIRGAP_TORTURE"); text != "" {
		sequences, steps, s.long = 20_000, 15, true
		if n, err := strconv.Atoi(text); err == nil && n > 1 {
			sequences = n
		}
		if s.noDisk = mountFull(t); s.noDisk != nil {
			t.Logf("NO DISK WAS FULL: %v", s.noDisk)
		}
		set(t, "rapid.seed", strconv.FormatUint(seed.Of(t), 10))
	}
	debug.SetGCPercent(400) // whole bundles are read all the time
	set(t, "rapid.nofailfile", "true")
	set(t, "rapid.checks", strconv.Itoa(sequences))
	set(t, "rapid.steps", strconv.Itoa(steps))
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t, s)
		w.do("pack", w.Pack)(t)
		t.Repeat(w.actions())
	})
	steps = 0
	for _, d := range s.did {
		steps += d.times
	}
	t.Logf("%d sequences, %d steps", sequences, steps)
	t.Logf("actions: %v", s.did)
	t.Logf("commands and how they ended: %v", s.ends)
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
		"send": w.Send, "send 2": w.Send, "send --unpack": w.SendAndUnpack, "repair": w.Repair,
		"pack --include-files": w.PackAlong, "unpack --files": w.UnpackFiles,
		"unpack into docker": w.UnpackIntoEngine, "unpack into docker 2": w.UnpackIntoEngine, "docker 2": w.Others, "docker": w.Others, "rollback": w.Rollback,
		"unpack into registry": w.UnpackIntoRegistry, "registry": w.AtRegistry, "serve": w.Serve,
	}
	if w.long { // what is not a function of the seed alone, and takes its time
		maps.Copy(list, map[string]func(*rapid.T){
			"pack twice": w.PackTwice, "unpack twice": w.UnpackTwice, "send twice": w.SendTwice, "pack and send": w.PackAndSend,
			"kill pack": w.KillPack, "kill send": w.KillSend, "kill unpack": w.KillUnpack, "kill unpack 2": w.KillUnpack,
			"full disk": w.FillDisk, "kill repair": w.KillRepair, "kill rollback": w.KillRollback,
		})
	}
	for name, action := range list {
		list[name] = w.do(strings.TrimSuffix(name, " 2"), action)
	}
	return list
}

// did is how often an action was done, and how long it took.
type did struct {
	times int
	took  time.Duration
}

func (d did) String() string {
	return fmt.Sprintf("%d (%v each)", d.times, (d.took / time.Duration(d.times)).Round(time.Millisecond))
}

// do is an action that is counted.
func (w *world) do(name string, action func(*rapid.T)) func(*rapid.T) {
	return func(t *rapid.T) {
		w.t = t
		began := time.Now()
		action(t)
		d := w.did[name]
		w.did[name] = did{d.times + 1, d.took + time.Since(began)}
	}
}
