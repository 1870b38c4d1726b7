//go:build linux

package faults_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"airgap/internal/seed"
	"airgap/transfer/transfertest"
)

// TestCuts (F15, F16, F20) has sends cut off at random bytes, in every way that
// there is, again and again until all has arrived. Airgap goes on by itself, or
// when it was itself killed, or had not logged in yet, by the same command; it
// sends little twice; and the final name is never seen with anything but the
// whole.
func TestCuts(t *testing.T) {
	b, err := larger()
	if err != nil {
		t.Fatal(err)
	}
	far, random := newFar(t), seed.Random(t)
	total := map[string]int{}
	for range times(1, 50) {
		for kind, n := range far.journey(t, b, random) {
			total[kind] += n
		}
	}
	all, told := 0, []string(nil)
	for _, kind := range cutKinds {
		all += total[kind]
		told = append(told, fmt.Sprintf("%s %d", kind, total[kind]))
		if total[kind] == 0 {
			t.Errorf("no cut by %s", kind)
		}
	}
	t.Logf("F15, F16, F20: %d cuts at random bytes (%s), %d survived, wrong results 0", all, strings.Join(told, ", "), all)
}

// maxStarts is how often a journey is begun, at most.
const maxStarts = 20

// cutKinds are the ways to be cut off.
var cutKinds = []string{"reset", "stall", "client killed", "session killed", "sftp-server killed", "sshd killed and started again"}

// far is a host behind a line.
type far struct {
	host
	line   *transfertest.Line
	server *transfertest.OpenSSH
	down   *sync.WaitGroup // while it is
}

func newFar(t *testing.T) far {
	t.Helper()
	needRoot(t, "sshd")
	server := transfertest.NewOpenSSH(t, "PermitRootLogin yes", "Subsystem sftp "+need(t, "sshd", "sftp-server"),
		"SetEnv PATH="+world.dir+":/usr/bin:/bin") // it has this airgap
	line := transfertest.NewLine(t, server.Addr)
	key, err := os.ReadFile(server.KnownHosts)
	if err != nil {
		t.Fatal(err)
	}
	known := filepath.Join(folder(t), "known_hosts")
	put(t, known, []byte(strings.Replace(string(key), port(t, server.Addr), port(t, line.Addr), 1)))
	// A stall is to be noticed within seconds.
	h := reached(t, line.Addr, server.Key, known, "ServerAliveInterval 1", "ServerAliveCountMax 2")
	return far{h, line, server, &sync.WaitGroup{}}
}

// journey is one bundle on its way, and answers the cuts.
func (f far) journey(t *testing.T, b sample, random *rand.Rand) map[string]int {
	t.Helper()
	dir := folder(t)
	stop := b.watch(t, dir)
	before := f.line.Passed()
	var client atomic.Pointer[exec.Cmd]
	var kills atomic.Int32 // of it
	cuts := map[string]int{}
	kinds := slices.Clone(cutKinds)
	random.Shuffle(len(kinds), func(i, j int) { kinds[i], kinds[j] = kinds[j], kinds[i] })
	var arm func(within int64)
	stretch := int64(len(b.raw) / (len(cutKinds) + 2)) // all cuts come before the end
	arm = func(within int64) {
		if len(kinds) == 0 {
			f.line.Heal()
			return
		}
		if random.IntN(4) == 0 {
			within = 8 << 10 // while it logs in and looks around
		}
		f.line.At(random.Int64N(within), func() transfertest.Fate {
			if kinds[0] == "client killed" {
				kills.Add(1) // before it ends
			}
			fate, hit := f.cut(t, kinds[0], client.Load())
			if !hit {
				arm(16 << 10) // soon again
				return fate
			}
			cuts[kinds[0]]++
			kinds = kinds[1:]
			arm(stretch)
			return fate
		})
	}
	arm(stretch)
	var out strings.Builder
	starts := 0
	for status := -1; status != 0; starts++ {
		if starts == maxStarts {
			t.Fatalf("started %d times:\n%s", starts, out.String())
		}
		before := kills.Load()
		cmd := command(t, world.airgap, "send", f.dest(dir))
		cmd.Dir = b.dir
		from := out.Len()
		cmd.Stdout, cmd.Stderr = &out, &out
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		client.Store(cmd)
		status = finished(t, cmd, cmd.Wait())
		// That a host does not answer at all is told at once.
		unreached := status == exitTransfer && !strings.Contains(out.String()[from:], "connecting again")
		if ours := kills.Load() > before; status < 0 && !ours || status > 0 && !unreached {
			t.Fatalf("status %d, killed by us: %t\n%s", status, ours, out.String())
		}
		f.down.Wait() // whoever starts it again waits for the host, too
	}
	f.line.Heal()
	f.down.Wait()
	looks := stop()
	b.arrived(t, dir)
	n := 0
	for _, times := range cuts {
		n += times
	}
	sent, most := f.line.Passed()-before, int64(len(b.raw))+int64(len(b.raw))/50+int64(n)*(4<<20)
	t.Logf("%d cuts, %d bytes on the line for %d (at most %d), looked %d times", n, sent, len(b.raw), most, looks)
	if sent > most {
		t.Errorf("%d bytes sent:\n%s", sent, out.String())
	}
	if again := strings.Count(out.String(), "connecting again"); again < n-starts+1 {
		t.Errorf("%d cuts and %d starts, but %d times is it told that airgap connects again:\n%s", n, starts, again, out.String())
	}
	return cuts
}

// cut cuts in one way. hit is false if there was nobody to kill.
func (f far) cut(t *testing.T, kind string, client *exec.Cmd) (fate transfertest.Fate, hit bool) {
	switch kind {
	case "reset":
		return transfertest.Reset, true
	case "stall":
		return transfertest.Stall, true
	case "client killed":
		hit = client.Process.Kill() == nil
	case "session killed":
		hit = killed(session)
	case "sftp-server killed":
		hit = killed(func(name string) bool {
			program, _, _ := strings.Cut(name, "\x00")
			return filepath.Base(program) == "sftp-server"
		})
	default:
		hit = f.restarted(t)
	}
	if hit {
		return transfertest.Doomed, true
	}
	return transfertest.Pass, false
}

// restarted kills sshd with all its sessions, and starts it again.
func (f far) restarted(t *testing.T) bool {
	killed(session)
	f.server.Kill()
	f.down.Add(1)
	time.AfterFunc(time.Second, func() { // so long nothing answers there
		defer f.down.Done()
		if err := f.server.Start(); err != nil {
			t.Error(err)
		}
	})
	return true
}

// TestAskedAgain (F15) cuts sends that unpack there, while the host is asked what
// it has or while the bundle travels: it is asked again, and all is imported.
func TestAskedAgain(t *testing.T) {
	b, far, random := bundleOf(t), newFar(t), seed.Random(t)
	n := times(4, 40)
	for i := range n {
		dir := folder(t)
		after := 5<<10 + random.Int64N(12<<10) // the login is behind
		if i%4 == 3 {
			after = random.Int64N(int64(len(b.raw)))
		}
		far.line.At(max(after, 5<<10), func() transfertest.Fate { return transfertest.Reset })
		layout := filepath.Join(dir, "layout")
		text := ends(t, 0, "connecting again", "send", "--unpack", "--to", "oci:"+layout, far.dest(dir))
		if !strings.Contains(text, "unpacked there") || sizeOf(filepath.Join(layout, "index.json")) < 0 {
			t.Errorf("cut after %d bytes:\n%s", after, text)
		}
	}
	t.Logf("F15: %d sends that unpack cut, %d survived, wrong results 0", n, n)
}

// session tells the processes of sessions from the one that listens.
func session(name string) bool {
	return strings.HasPrefix(name, "sshd") && !strings.Contains(name, "[listener]")
}

// killed kills those processes below ours whose command is as wanted, and says
// whether there were any.
func killed(wanted func(name string) bool) (any bool) {
	for _, pid := range descendants(os.Getpid()) {
		raw, _ := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cmdline") // it may just have ended
		if wanted(string(raw)) && syscall.Kill(pid, syscall.SIGKILL) == nil {
			any = true
		}
	}
	return any
}

// descendants are the processes below one.
func descendants(of int) []int {
	children := map[int][]int{}
	list, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, stat := range list {
		raw, err := os.ReadFile(stat)
		_, rest, ok := strings.Cut(string(raw), ") ")
		fields := strings.Fields(rest)
		if err != nil || !ok || len(fields) < 2 {
			continue // it has just ended
		}
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(stat)))
		parent, _ := strconv.Atoi(fields[1])
		children[parent] = append(children[parent], pid)
	}
	for todo, all := children[of], []int(nil); ; todo = todo[1:] {
		if len(todo) == 0 {
			return all
		}
		all = append(all, todo[0])
		todo = append(todo, children[todo[0]]...)
	}
}
