package ui

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/schollz/progressbar/v3"
)

// How often a bar moves, and how often a line says how far things are where
// there is no terminal: at each tenth, but not more than once a second, and at
// least every five seconds.
const (
	barEvery    = 100 * time.Millisecond
	lineAtMost  = time.Second
	lineAtLeast = 5 * time.Second
)

// Progress shows how far a piece of work is: as a bar on a terminal, as lines
// elsewhere, not at all where quiet is asked for. Its methods may be called
// from several goroutines.
type Progress struct {
	env   *Env
	what  string
	total int64
	done  atomic.Int64

	start time.Time
	bar   *progressbar.ProgressBar // nil where there are lines
	begun bool                     // the bar has been made for bytes that come
	last  time.Time                // of the last line
	tenth int64                    // that the last line told

	stop    chan struct{}
	stopped sync.WaitGroup
	once    sync.Once
}

// Progress starts to show a piece of work of so many bytes; 0 if that is not
// known. Its caller calls Done.
func (e *Env) Progress(what string, total int64) *Progress {
	p := &Progress{env: e, what: Escape(what), total: total, start: e.Now(), stop: make(chan struct{})}
	p.last = p.start
	if e.Quiet {
		return p
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.active.hide()
	e.active = p
	if e.lively() {
		p.bar = newBar(e, p.what, 0)
	}
	p.stopped.Go(p.tick)
	return p
}

func newBar(e *Env, what string, total int64) *progressbar.ProgressBar {
	if total <= 0 {
		total = -1
	}
	return progressbar.NewOptions64(total,
		progressbar.OptionSetWriter(e.Err),
		progressbar.OptionSetDescription(what),
		progressbar.OptionShowBytes(true),
		progressbar.OptionShowTotalBytes(true),
		progressbar.OptionShowCount(),
		progressbar.OptionFullWidth(),
		progressbar.OptionUseANSICodes(true),
		progressbar.OptionSetRenderBlankState(true),
		progressbar.OptionSetSpinnerChangeInterval(0), // no goroutine of its own
		progressbar.OptionClearOnFinish(),
	)
}

// Add tells of n more bytes.
func (p *Progress) Add(n int64) { p.done.Add(n) }

// Set tells how many bytes there are now in all.
func (p *Progress) Set(n int64) { p.done.Store(n) }

// tick shows the state until Done.
func (p *Progress) tick() {
	ticker := time.NewTicker(barEvery)
	defer ticker.Stop()
	for {
		select {
		case <-p.stop:
			return
		case <-ticker.C:
			p.show()
		}
	}
}

func (p *Progress) show() {
	p.env.mu.Lock()
	defer p.env.mu.Unlock()
	if p.env.active != p {
		return
	}
	if p.bar != nil {
		p.move()
	} else if now := p.env.Now(); p.due(now) {
		p.last = now
		p.print(p.describe(now))
	}
}

// move redraws the bar. Until the first byte it only shows that something goes
// on, for an engine can think for a while, which says nothing of the rate. A
// bar that reaches its end is over, which only Done may say: estimates can be
// too low.
func (p *Progress) move() {
	n := p.done.Load()
	if n > 0 && !p.begun {
		p.begun = true
		p.bar.Clear()
		p.bar = newBar(p.env, p.what, p.total)
		return
	}
	if p.begun && p.total > 0 {
		n = min(n, p.total-1)
	}
	p.bar.Set64(n)
}

// due says whether it is time for a line.
func (p *Progress) due(now time.Time) bool {
	since := now.Sub(p.last)
	tenth := int64(0)
	if p.total > 0 {
		tenth = p.done.Load() * 10 / p.total
	}
	if since >= lineAtLeast || since >= lineAtMost && tenth > p.tenth {
		p.tenth = tenth
		return true
	}
	return false
}

// describe says how far the work is.
func (p *Progress) describe(now time.Time) string {
	n, elapsed := p.done.Load(), now.Sub(p.start)
	rate := Rate(n, elapsed)
	if p.total <= 0 || n > p.total {
		return fmt.Sprintf("%s, %s", Size(n), rate)
	}
	text := fmt.Sprintf("%s, %s of %s, %s", Percent(n, p.total), Size(n), Size(p.total), rate)
	if n > 0 && n < p.total {
		left := time.Duration(float64(elapsed) * float64(p.total-n) / float64(n))
		text += ", " + Duration(left) + " left"
	}
	return text
}

// print writes a line; the caller holds the Env's lock.
func (p *Progress) print(text string) { fmt.Fprintf(p.env.Err, "airgap: %s: %s\n", p.what, text) }

// hide takes the bar off the terminal so that a line can be written; the next
// tick draws it again. The caller holds the Env's lock.
func (p *Progress) hide() {
	if p != nil && p.bar != nil {
		p.bar.Clear()
	}
}

// Done ends the showing. Where there are lines, the last one says what was
// done in what time.
func (p *Progress) Done() { p.end(true) }

// Stop ends the showing of work that did not come to its end.
func (p *Progress) Stop() { p.end(false) }

func (p *Progress) end(complete bool) {
	p.once.Do(func() {
		close(p.stop)
		p.stopped.Wait()
		p.env.mu.Lock()
		defer p.env.mu.Unlock()
		if p.env.active != p {
			return
		}
		p.hide()
		p.env.active = nil
		if p.bar == nil && complete {
			elapsed := p.env.Now().Sub(p.start)
			p.print(fmt.Sprintf("done, %s in %s, %s", Size(p.done.Load()), Duration(elapsed), Rate(p.done.Load(), elapsed)))
		}
	})
}

// pause takes a bar off the terminal, for what is about to be printed there.
func (e *Env) pause() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.active.hide()
}
