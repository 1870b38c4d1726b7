package sftp

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"airgap/internal/seed"
	"airgap/transfer"
	"airgap/transfer/transfertest"
)

// open connects with settings of the test's own.
func open(ctx context.Context, s settings, dir string, o Options) (*Place, error) {
	p := newPlace(Dest{Host: s.Host, Port: s.Port, Dir: dir}, o)
	if err := p.openSettled(ctx, s, o); err != nil {
		return nil, err
	}
	return p, nil
}

func settingsFor(t testing.TB, addr, knownHosts string) settings {
	t.Helper()
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	return settings{Alias: host, Host: host, Port: port, User: "somebody", KnownHosts: []string{knownHosts}, Strict: "ask"}
}

func anybody(c *ssh.ServerConfig) { c.NoClientAuth = true }

// TestInProcess runs the suite on a server without a shell, which handles
// packets out of order, and on one with a shell.
func TestInProcess(t *testing.T) {
	for name, shell := range map[string]bool{"files only": false, "with a shell": true} {
		t.Run(name, func(t *testing.T) {
			server := transfertest.NewServer(t, shell, anybody)
			known := server.KnownHosts(t)
			transfertest.Suite{New: func(t *testing.T) transfertest.Target {
				dir := t.TempDir()
				return transfertest.Target{Dir: dir, Resumes: true, Open: func(t *testing.T) (transfer.Place, error) {
					return open(t.Context(), settingsFor(t, server.Addr, known), dir, Options{})
				}}
			}}.Run(t)
		})
	}
}

// TestSSHD runs the suite on OpenSSH.
func TestSSHD(t *testing.T) {
	addr, key, known := transfertest.SSHD(t)
	transfertest.Suite{New: func(t *testing.T) transfertest.Target {
		dir := t.TempDir()
		return transfertest.Target{Dir: dir, Resumes: true, Open: func(t *testing.T) (transfer.Place, error) {
			s := settingsFor(t, addr, known)
			s.User, s.Keys = currentUser(t), []string{key}
			return open(t.Context(), s, dir, Options{})
		}}
	}}.Run(t)
}

func currentUser(t testing.TB) string {
	s, err := defaults(Dest{Host: "x"})
	if err != nil {
		t.Fatal(err)
	}
	return s.User
}

// TestCommand runs the suite over the system's ssh.
func TestCommand(t *testing.T) {
	if _, err := exec.LookPath("ssh"); err != nil {
		t.Skip("SKIPPED for want of ssh")
	}
	addr, key, known := transfertest.SSHD(t)
	_, port, _ := net.SplitHostPort(addr)
	command := "ssh -F none -o IdentitiesOnly=yes -i '" + key + "' -o UserKnownHostsFile=" + known
	transfertest.Suite{New: func(t *testing.T) transfertest.Target {
		dir := t.TempDir()
		return transfertest.Target{Dir: dir, Resumes: true, Open: func(t *testing.T) (transfer.Place, error) {
			return Open(t.Context(), Dest{User: currentUser(t), Host: "127.0.0.1", Port: port, Dir: dir}, Options{SSH: command})
		}}
	}}.Run(t)
}

// TestCuts cuts the line again and again: every Send that fails can be resumed,
// the final name never stands for less than the whole, and little is sent twice.
func TestCuts(t *testing.T) {
	servers := map[string]func(t *testing.T) (addr string, s func(addr string) settings){
		"in process": func(t *testing.T) (string, func(string) settings) {
			server := transfertest.NewServer(t, true, anybody)
			known := server.KnownHosts(t)
			return server.Addr, func(addr string) settings {
				s := settingsFor(t, addr, known)
				s.KeyAlias = "" // the line has another port: see below
				return s
			}
		},
		"sshd": func(t *testing.T) (string, func(string) settings) {
			addr, key, known := transfertest.SSHD(t)
			return addr, func(addr string) settings {
				s := settingsFor(t, addr, known)
				s.User, s.Keys = currentUser(t), []string{key}
				return s
			}
		},
	}
	for name, start := range servers {
		t.Run(name, func(t *testing.T) {
			addr, make := start(t)
			line := transfertest.NewLine(t, addr)
			s := make(line.Addr)
			s.KnownHosts = []string{knownAs(t, s.KnownHosts[0], line.Addr)}
			cutAndResume(t, line, s)
		})
	}
}

// knownAs is a known_hosts file with the one key of another, for addr.
func knownAs(t testing.TB, file, addr string) string {
	t.Helper()
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	_, _, key, _, _, err := ssh.ParseKnownHosts(raw)
	if err != nil {
		t.Fatal(err)
	}
	host, port, _ := net.SplitHostPort(addr)
	path := filepath.Join(t.TempDir(), "known_hosts")
	line := "[" + host + "]:" + port + " " + string(ssh.MarshalAuthorizedKey(key))
	if err := os.WriteFile(path, []byte(line), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func cutAndResume(t *testing.T, line *transfertest.Line, s settings) {
	dir := t.TempDir()
	f, raw := transfertest.Content("bundle", 40<<20)
	cuts, sent := 0, int64(0)
	for after := int64(9 << 20); ; after += 1 << 20 {
		line.CutAfter(after)
		if cuts == 4 {
			line.Heal()
		}
		p, err := open(t.Context(), s, dir, Options{})
		if err != nil {
			t.Fatal(err)
		}
		r, err := transfer.Send(t.Context(), p, f, transfer.SendOptions{})
		p.Close()
		sent += r.Sent
		if err == nil {
			break
		}
		var cut *transfer.InterruptedError
		if !errors.As(err, &cut) || cut.Partial == "" {
			t.Fatalf("error %v", err)
		}
		if _, err := os.Stat(filepath.Join(dir, f.Name)); err == nil {
			t.Fatal("the final name is there after a cut")
		}
		cuts++
	}
	transfertest.Arrived(t, dir, f, raw)
	if most := f.Size + f.Size/50 + int64(cuts)*(4<<20); cuts < 3 || sent > most {
		t.Errorf("%d bytes sent for %d with %d cuts, at most %d expected", sent, f.Size, cuts, most)
	}
}

// TestCutAnywhere cuts a conversation about a small file at one place after the
// other, from the greeting to the last name, where an older one is already: the
// final name is on either, whole, and sums are those of what has it. The next
// Send leaves nothing else. AIRGAP_CUTS has it cut at many more places.
func TestCutAnywhere(t *testing.T) {
	addr, key, known := transfertest.SSHD(t)
	line := transfertest.NewLine(t, addr)
	s := settingsFor(t, line.Addr, knownAs(t, known, line.Addr))
	s.User, s.Keys = currentUser(t), []string{key}
	f, raw := transfertest.Content("bundle", 1<<10)
	older, old := transfertest.Content("bundle", 2<<10)
	// A lock that was cut off before it had its text is nobody's to remove until it
	// is stale, and what was on the way may still come.
	o := transfer.SendOptions{Wait: true, Pace: transfer.Pace{Beat: 200 * time.Millisecond, Stale: 2 * time.Second}}
	step := int64(211)
	if os.Getenv("AIRGAP_CUTS") != "" {
		step = 13
	}
	cuts, renamed := 0, 0
	for at := int64(1); ; at += step {
		dir := t.TempDir()
		line.Heal()
		if err := sendTo(t, s, dir, older, o); err != nil {
			t.Fatal(err)
		}
		line.CutAfter(at)
		err := sendTo(t, s, dir, f, o)
		line.Heal()
		if err == nil {
			break
		}
		cuts++
		sum := older.SHA256
		switch got, err := os.ReadFile(filepath.Join(dir, f.Name)); {
		case string(got) == string(raw):
			renamed++
			sum = f.SHA256
		case string(got) != string(old):
			t.Fatalf("cut after %d bytes: the final name is on %d other bytes, %v", at, len(got), err)
		}
		if sums, err := os.ReadFile(filepath.Join(dir, f.Name+".sha256")); err == nil && !strings.HasPrefix(string(sums), sum) {
			t.Errorf("cut after %d bytes: the sums are another file's: %s", at, sums)
		}
		var cut *transfer.InterruptedError
		if !errors.As(err, &cut) {
			t.Errorf("cut after %d bytes: error %v", at, err)
		}
		if err := sendTo(t, s, dir, f, o); err != nil {
			t.Fatalf("after a cut after %d bytes: %v", at, err)
		}
		transfertest.Arrived(t, dir, f, raw)
		transfertest.Only(t, dir, f.Name, f.Name+".sha256")
	}
	t.Logf("F15: cut at %d places, %d of them after the renaming; wrong results 0", cuts, renamed)
	if cuts < 20 {
		t.Error("these are too few")
	}
}

// TestInterrupted ends a Send with its context, at once.
func TestInterrupted(t *testing.T) {
	server := transfertest.NewServer(t, true, anybody)
	dir := t.TempDir()
	p, err := open(t.Context(), settingsFor(t, server.Addr, server.KnownHosts(t)), dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	f, _ := transfertest.Content("bundle", 20<<20)
	ctx, cancel := context.WithCancel(t.Context())
	seen := int64(0)
	_, err = transfer.Send(ctx, p, f, transfer.SendOptions{Progress: func(n int64) {
		if seen += n; seen > 8<<20 {
			cancel()
		}
	}})
	var cut *transfer.InterruptedError
	if !errors.Is(err, context.Canceled) || !errors.As(err, &cut) || !strings.HasSuffix(cut.Partial, f.Partial(f.Name)) {
		t.Errorf("error %v", err)
	}
	transfertest.Only(t, dir, f.Partial(f.Name))
}

// TestFolder finds folder and name as scp does.
func TestFolder(t *testing.T) {
	server := transfertest.NewServer(t, false, anybody)
	known := server.KnownHosts(t)
	base := t.TempDir()
	if err := os.Mkdir(filepath.Join(base, "in"), 0o755); err != nil {
		t.Fatal(err)
	}
	for dest, want := range map[string]string{
		base: base + "/bundle", base + "/in": base + "/in/bundle", base + "/in/": base + "/in/bundle",
		base + "/other.tar.zst": base + "/other.tar.zst", base + "/no/such": "", base + "/nosuch/": "",
	} {
		f, raw := transfertest.Content("bundle", 1000)
		p, err := open(t.Context(), settingsFor(t, server.Addr, known), dest, Options{})
		if err != nil {
			t.Fatal(err)
		}
		r, err := transfer.Send(t.Context(), p, f, transfer.SendOptions{})
		p.Close()
		if want == "" {
			if err == nil {
				t.Errorf("%s: sent to %s", dest, r.Path)
			}
			continue
		}
		sums, _ := os.ReadFile(want + ".sha256")
		if line := f.SHA256 + "  " + filepath.Base(want) + "\n"; string(sums) != line {
			t.Errorf("%s: sums %q", dest, sums)
		}
		got, readErr := os.ReadFile(want)
		if err != nil || r.Path != want || readErr != nil || len(got) != len(raw) {
			t.Errorf("%s: %+v, %v, %v", dest, r, err, readErr)
		}
	}
}

// TestHome sends to a user's home, as a shell there knows it; nothing is made that
// only has its name.
func TestHome(t *testing.T) {
	me, err := user.Current()
	if err != nil {
		t.Skip("SKIPPED for want of a user: ", err)
	}
	dir := t.TempDir()
	below, err := filepath.Rel(me.HomeDir, dir)
	if err != nil {
		t.Fatal(err)
	}
	home := "~" + me.Username
	for dest, want := range map[string]string{
		home + "/" + below: dir, home + "/" + below + "/": dir, home + "/" + below + "/no/such": "",
		"~nobody-of-that-name": "", "~nobody-of-that-name/in": "", "~$(touch canary)": "", "~+": "", "~-": "",
	} {
		for _, shell := range []bool{true, false} {
			server := transfertest.NewServer(t, shell, anybody)
			server.Profile = "echo welcome"
			p, err := open(t.Context(), settingsFor(t, server.Addr, server.KnownHosts(t)), dest, Options{})
			if err != nil {
				t.Fatal(err)
			}
			f, raw := transfertest.Content("bundle", 1000)
			r, err := transfer.Send(t.Context(), p, f, transfer.SendOptions{})
			p.Close()
			switch {
			case want == "" || !shell:
				if !errors.Is(err, fs.ErrNotExist) {
					t.Errorf("%s: sent to %s, %v", dest, r.Path, err)
				}
			case err != nil || r.Path != want+"/bundle":
				t.Errorf("%s: sent to %s, %v", dest, r.Path, err)
			default:
				transfertest.Arrived(t, dir, f, raw)
			}
			noCanary(t)
		}
	}
}

// TestSendsOn has the line cut at random, ten times or as often as AIRGAP_CUTS
// says: one SendOn brings the whole, and sends little of it twice.
func TestSendsOn(t *testing.T) {
	cuts := 10
	if s := os.Getenv("AIRGAP_CUTS"); s != "" {
		var err error
		if cuts, err = strconv.Atoi(s); err != nil {
			t.Fatal(err)
		}
	}
	addr, key, known := transfertest.SSHD(t)
	line := transfertest.NewLine(t, addr)
	s := settingsFor(t, line.Addr, knownAs(t, known, line.Addr))
	s.User, s.Keys = currentUser(t), []string{key}
	dir := t.TempDir()
	f, raw := transfertest.Content("bundle", 64<<20)
	random := seed.Random(t)
	opened, told := 0, int64(0)
	var p *Place
	connect := func(ctx context.Context) (transfer.Place, error) {
		p.Close()
		if opened++; opened > cuts {
			line.Heal()
		} else {
			line.CutAfter(random.Int64N(10 << 20)) // now and then before anybody has logged in
		}
		next, err := open(ctx, s, dir, Options{})
		if err != nil {
			return nil, err
		}
		p = next
		return p, nil
	}
	line.Heal()
	p, err := open(t.Context(), s, dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { p.Close() }()
	line.CutAfter(5 << 20)
	r, err := transfer.SendOn(t.Context(), p, f, transfer.SendOptions{Progress: func(n int64) {
		told += n
		if _, err := os.Stat(filepath.Join(dir, f.Name)); err == nil && told < f.Size {
			t.Error("the final name is there before the whole is")
		}
	}}, transfer.Persistence{Reopen: connect, Pause: func(context.Context, time.Duration) error { return nil }})
	if err != nil {
		t.Fatal(err)
	}
	transfertest.Arrived(t, dir, f, raw)
	transfertest.Only(t, dir, f.Name, f.Name+".sha256")
	most := f.Size + f.Size/50 + int64(opened)*(4<<20)
	t.Logf("%d connections, %d cuts, %d bytes sent for %d (at most %d)", opened+1, r.Cuts, r.Sent, f.Size, most)
	if r.Sent > most || told != f.Size || r.Cuts == 0 {
		t.Errorf("%d bytes sent, %d told of, %d cuts", r.Sent, told, r.Cuts)
	}
}

// TestModes gives a file and its sums one mode: that which the server gives new
// files or, where the file has been there, the file's.
func TestModes(t *testing.T) {
	for umask, want := range map[string]os.FileMode{"022": 0o644, "002": 0o644, "077": 0o600} {
		addr, key, known := transfertest.SSHD(t, "Subsystem sftp internal-sftp -u "+umask)
		dir := t.TempDir()
		f, raw := transfertest.Content("bundle", 1000)
		send := func() {
			s := settingsFor(t, addr, known)
			s.User, s.Keys = currentUser(t), []string{key}
			p, err := open(t.Context(), s, dir, Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer p.Close()
			if _, err := transfer.Send(t.Context(), p, f, transfer.SendOptions{}); err != nil {
				t.Fatal(err)
			}
			transfertest.Arrived(t, dir, f, raw)
			for _, name := range []string{f.Name, f.Name + ".sha256"} {
				if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Mode().Perm() != want {
					t.Errorf("umask %s: %s has mode %v, %v; expected %v", umask, name, info.Mode(), err, want)
				}
			}
		}
		send()
		want = 0o640
		if err := os.Chmod(filepath.Join(dir, f.Name), want); err != nil {
			t.Fatal(err)
		}
		send()
		want &= 0o644 &^ map[string]os.FileMode{"022": 0o022, "002": 0o022, "077": 0o077}[umask] // of the one that it replaces, too
		f, raw = transfertest.Content("bundle", 1001)
		send()
		want = 0o600 // of the file here
		f, raw = transfertest.Content("bundle", 1002)
		f.Mode = 0o600
		send()
	}
}

// TestMissingFolder takes what is not there for the file's name only where that
// may be one.
func TestMissingFolder(t *testing.T) {
	server := transfertest.NewServer(t, false, anybody)
	known := server.KnownHosts(t)
	base := t.TempDir()
	o := Options{IsFile: func(name string) bool { return strings.HasSuffix(name, ".zst") }}
	for _, c := range [][2]string{{"/none", "/none"}, {"/none/", "/none"}, {"/a/b.zst", "/a"}, {"/b.zst/", "/b.zst"}, {"/b.zst", ""}} { // the last is there then
		dest, missing := c[0], c[1]
		f, _ := transfertest.Content("bundle", 1000)
		p, err := open(t.Context(), settingsFor(t, server.Addr, known), base+dest, o)
		if err != nil {
			t.Fatal(err)
		}
		_, err = transfer.Send(t.Context(), p, f, transfer.SendOptions{})
		p.Close()
		var none *FolderError
		if missing == "" && err != nil || missing != "" && (!errors.As(err, &none) || none.Dir != base+missing || !errors.Is(err, fs.ErrNotExist)) {
			t.Errorf("%s: %v", dest, err)
		}
	}
	transfertest.Only(t, base, "b.zst", "b.zst.sha256")
}

// TestServerSaysNothing finds out why OpenSSH fails where it does not say so.
func TestServerSaysNothing(t *testing.T) {
	addr, key, known := transfertest.SSHD(t)
	fails := func(dir, name string, want error) {
		t.Helper()
		s := settingsFor(t, addr, known)
		s.User, s.Keys = currentUser(t), []string{key}
		p, err := open(t.Context(), s, dir, Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		f, _ := transfertest.Content(name, 1000)
		_, err = transfer.Send(t.Context(), p, f, transfer.SendOptions{})
		if none := (*FolderError)(nil); errors.As(err, &none) && filepath.Base(none.File) != "file" {
			t.Errorf("%v: in the way is %q", err, none.File)
		}
		if !errors.Is(err, want) || strings.Contains(err.Error(), "quota") {
			t.Errorf("error %v, expected %v", err, want)
		}
	}
	base := t.TempDir()
	if err := os.WriteFile(filepath.Join(base, "file"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, below := range []string{"/", "/a", "/a/b/c"} {
		fails(base+"/file"+below, "bundle", fs.ErrNotExist)
	}
	fails(t.TempDir(), strings.Repeat("a", 240), syscall.ENAMETOOLONG)
	dir := t.TempDir()
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "ro", "none", dir).CombinedOutput(); err != nil {
		t.Skipf("NOT TESTED for want of a read-only file system: %s", out)
	}
	t.Cleanup(func() { _ = exec.Command("umount", dir).Run() })
	fails(dir, "bundle", syscall.EROFS)
}
