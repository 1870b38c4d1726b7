package ui

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"
)

// world is an Env that keeps what is printed, with a clock that stands still.
type world struct {
	*Env
	out, err strings.Builder
	now      time.Time
}

func newWorld(vars ...string) *world {
	w := &world{now: time.Unix(1e9, 0)}
	w.Env = &Env{In: strings.NewReader(""), Out: &w.out, Err: &w.err, Now: func() time.Time { return w.now }}
	w.Getenv = func(name string) string {
		for _, v := range vars {
			if key, value, _ := strings.Cut(v, "="); key == name {
				return value
			}
		}
		return ""
	}
	return w
}

// hostile are runes that must not reach a terminal, each in some text.
var hostile = map[string]string{
	"a\x1b[31mb":    `a\x1b[31mb`,
	"a\x07b":        `a\ab`,
	"a\nb":          `a\nb`,
	"a\rb":          `a\rb`,
	"a\tb":          `a\tb`,
	"a\x00b":        `a\x00b`,
	"a\x7fb":        `a\x7fb`,
	"a\u0085b":      `a\u0085b`,
	"a\u009bb":      `a\u009bb`,
	"a\u202eb":      `a\u202eb`,
	"a\u2066b":      `a\u2066b`,
	"a\u200bb":      `a\u200bb`,
	"a\u200db":      `a\u200db`,
	"a\ufeffb":      `a\ufeffb`,
	"a\u2028b":      `a\u2028b`,
	"a\u00a0b":      `a\u00a0b`,
	"a\u00adb":      `a\u00adb`,
	"a\u115fb":      `a\u115fb`,
	"a\u3164b":      `a\u3164b`,
	"a\ufe0fb":      `a\ufe0fb`,
	"a\U000e0041b":  `a\U000e0041b`,
	"a\xffb":        `a\xffb`,
	"a\xc2b":        `a\xc2b`,
	"a\xed\xa0\x80": `a\xed\xa0\x80`,
}

// TestEscape shows what is hostile and leaves the rest alone.
func TestEscape(t *testing.T) {
	for in, want := range hostile {
		if got := Escape(in); got != want {
			t.Errorf("%q: %s, expected %s", in, got, want)
		}
	}
	for _, s := range []string{"", "plain text", `C:\path`, "größe", "日本語", "e\u0301", "🚀", "…", "\ufffd"} {
		if got := Escape(s); got != s {
			t.Errorf("%q became %q", s, got)
		}
	}
}

// FuzzEscape demands that nothing unsafe is left, and that what was safe is as
// it was.
func FuzzEscape(f *testing.F) {
	for in := range hostile {
		f.Add(in)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := Escape(s)
		if !utf8.ValidString(got) {
			t.Errorf("%q: not UTF-8", got)
		}
		for _, r := range got {
			if !safe(r) {
				t.Errorf("%q: %U is left", got, r)
			}
		}
		if Escape(got) != got {
			t.Errorf("%q changes when it is escaped again", got)
		}
	})
}

type answer struct {
	Name string `json:"name"`
	Rows [][]string
}

func (a answer) Text(p *Printer) {
	p.Line("name %s", a.Name)
	p.Table([]string{"A", "SIZE"}, a.Rows)
}

// TestReport gives one answer as text and as JSON, safe in both.
func TestReport(t *testing.T) {
	a := answer{"x\x1b\u202e\U000e0041", [][]string{{"a\nb", "1.0 kB"}, {"long name", "20 B"}}}
	text := newWorld()
	if err := text.Report("kind", a); err != nil {
		t.Fatal(err)
	}
	want := "name x\\x1b\\u202e\\U000e0041\nA            SIZE\na\\nb       1.0 kB\nlong name    20 B\n"
	if got := text.out.String(); got != want {
		t.Errorf("got\n%s\nexpected\n%s", got, want)
	}
	machine := newWorld()
	machine.JSON = true
	if err := machine.Report("kind", a); err != nil {
		t.Fatal(err)
	}
	for _, r := range strings.TrimSuffix(machine.out.String(), "\n") {
		if !safe(r) {
			t.Errorf("JSON holds %U", r)
		}
	}
	var back struct {
		Type string
		answer
	}
	if err := json.Unmarshal([]byte(machine.out.String()), &back); err != nil {
		t.Fatal(err)
	}
	if back.Type != "kind" || back.Name != a.Name {
		t.Errorf("read back: %+v", back)
	}
}

// TestFail prints an error with its state and hints, for people and machines.
func TestFail(t *testing.T) {
	w := newWorld()
	w.JSON = true
	code := w.Fail(fmt.Errorf("outer: %w", &Error{
		Err: errors.Join(errors.New("one\x1b"), errors.New("two")), State: "all is as it was", Hints: []string{"airgap help"}, Code: Damaged,
	}))
	if code != Damaged {
		t.Errorf("status %d", code)
	}
	want := "airgap: error: outer: one\\x1b; two\nairgap: all is as it was\nairgap: hint: airgap help\n"
	if got := w.err.String(); got != want {
		t.Errorf("got\n%s\nexpected\n%s", got, want)
	}
	wantJSON := `{"type":"error","status":3,"error":"outer: one\u001b; two","state":"all is as it was","hints":["airgap help"]}` + "\n"
	if got := w.out.String(); got != wantJSON {
		t.Errorf("got\n%s\nexpected\n%s", got, wantJSON)
	}
	if code := newWorld().Fail(errors.New("unknown")); code != Failed {
		t.Errorf("an unknown error has the status %d", code)
	}
}

// TestColour is only on terminals that want it.
func TestColour(t *testing.T) {
	for name, c := range map[string]struct {
		terminal bool
		vars     []string
		want     bool
	}{
		"terminal":    {true, []string{"TERM=xterm"}, true},
		"no terminal": {false, []string{"TERM=xterm"}, false},
		"NO_COLOR":    {true, []string{"TERM=xterm", "NO_COLOR=1"}, false},
		"dumb":        {true, []string{"TERM=dumb"}, false},
	} {
		w := newWorld(c.vars...)
		w.ErrTerminal = c.terminal
		w.Fail(errors.New("it broke"))
		if got := strings.Contains(w.err.String(), "\x1b["); got != c.want {
			t.Errorf("%s: colour %v: %q", name, got, w.err.String())
		}
	}
}

// TestVoices tells what is printed with which flags.
func TestVoices(t *testing.T) {
	for name, c := range map[string]struct {
		quiet, verbose bool
		want           string
	}{
		"plain":   {false, false, "airgap: note\nairgap: warning: beware\n"},
		"quiet":   {true, false, "airgap: warning: beware\n"},
		"verbose": {false, true, "airgap: note\nairgap: detail\nairgap: warning: beware\n"},
	} {
		w := newWorld()
		w.Quiet, w.Verbose = c.quiet, c.verbose
		w.Note("note")
		w.Detail("detail")
		w.Warn("beware")
		if got := w.err.String(); got != c.want {
			t.Errorf("%s: %q", name, got)
		}
	}
}

// TestProgressLines moves the clock and counts lines.
func TestProgressLines(t *testing.T) {
	w := newWorld()
	p := w.Progress("packing\x1b", 100_000_000)
	p.stopTicks()
	at := func(ms int, n int64) {
		w.now = time.Unix(1e9, 0).Add(time.Duration(ms) * time.Millisecond)
		p.Set(n)
		p.show()
	}
	at(500, 30_000_000)  // a tenth, but too soon
	at(1000, 35_000_000) // now it is time
	at(2500, 39_000_000) // no new tenth
	at(6000, 39_500_000) // but five seconds
	at(8000, 120_000_000)
	p.Done()
	want := `airgap: packing\x1b: 35 %, 35.0 MB of 100 MB, 35.0 MB/s, 1.9 s left
airgap: packing\x1b: 40 %, 39.5 MB of 100 MB, 6.6 MB/s, 9.2 s left
airgap: packing\x1b: 120 MB, 15.0 MB/s
airgap: packing\x1b: done, 120 MB in 8.0 s, 15.0 MB/s
`
	if got := w.err.String(); got != want {
		t.Errorf("got\n%s\nexpected\n%s", got, want)
	}
}

// stopTicks leaves showing to the test.
func (p *Progress) stopTicks() {
	p.stop <- struct{}{}
	p.stopped.Wait()
	p.stop = make(chan struct{})
}

// TestProgressQuiet prints nothing at all.
func TestProgressQuiet(t *testing.T) {
	for _, terminal := range []bool{false, true} {
		w := newWorld("TERM=xterm")
		w.Quiet, w.ErrTerminal = true, terminal
		p := w.Progress("packing", 10)
		p.Add(10)
		p.Done()
		if w.err.Len() > 0 {
			t.Errorf("terminal %v: %q", terminal, w.err.String())
		}
	}
}

// TestProgressBar draws on a terminal, gives way to messages, and is gone at
// the end.
func TestProgressBar(t *testing.T) {
	w := newWorld("TERM=xterm")
	w.ErrTerminal = true
	p := w.Progress("packing", 1000)
	p.stopTicks()
	var group sync.WaitGroup
	for range 10 {
		group.Go(func() { p.Add(50) })
	}
	group.Wait()
	p.show()
	p.show()
	if got := w.err.String(); !strings.Contains(got, "packing") || !strings.Contains(got, "50%") {
		t.Errorf("no bar: %q", got)
	}
	w.Note("by the way")
	if got := w.err.String(); !strings.HasSuffix(got, "\x1b[2K\rairgap: by the way\n") {
		t.Errorf("the bar is in the way: %q", got)
	}
	p.show()
	p.Done()
	if got := w.err.String(); !strings.HasSuffix(got, "\x1b[2K\r") {
		t.Errorf("the bar is still there: %q", got)
	}
}

// TestAskNobody asks where nobody is.
func TestAskNobody(t *testing.T) {
	w := newWorld()
	if _, err := w.Secret(t.Context(), "password: "); !errors.Is(err, ErrNobody) {
		t.Errorf("error %v", err)
	}
	if _, err := w.Confirm(t.Context(), "sure?"); !errors.Is(err, ErrNobody) {
		t.Errorf("error %v", err)
	}
}

// TestUnits are what people read.
func TestUnits(t *testing.T) {
	for n, want := range map[int64]string{
		0: "0 B", 999: "999 B", 1000: "1.0 kB", 99_949: "99.9 kB", 99_950: "100 kB", 999_499: "999 kB", 999_500: "1.0 MB", 359_000_000: "359 MB", 1 << 62: "4.6 EB",
	} {
		if got := Size(n); got != want {
			t.Errorf("%d: %s, expected %s", n, got, want)
		}
	}
	for d, want := range map[time.Duration]string{
		0: "0.0 s", 1500 * time.Millisecond: "1.5 s", 59 * time.Second: "59 s", 61 * time.Second: "1 min 01 s", 3700 * time.Second: "1 h 01 min",
	} {
		if got := Duration(d); got != want {
			t.Errorf("%v: %s, expected %s", d, got, want)
		}
	}
	if got := Percent(1, 0) + Percent(1, 3); got != "0 %33 %" {
		t.Error(got)
	}
}

// TestStatuses lists all that a command can have, in order.
func TestStatuses(t *testing.T) {
	got := Statuses(Damaged, Engine)
	for _, want := range []string{"    0  all done", "    1  failed", "    2  usage", "    3  the bundle", "    9  engine", "  130  interrupted"} {
		before, after, ok := strings.Cut(got, want)
		if !ok {
			t.Errorf("no %q in\n%s", want, before)
		}
		got = after
	}
}
