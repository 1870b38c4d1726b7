//go:build linux

package world

import "regexp"

// excused are failures that are known and being mended: a sequence ends there
// without a word. What is mended is taken out.
var excused = []struct {
	why      string
	line, is *regexp.Regexp // the last line of the script, and what is wrong
}{
	{"a file of the user's that is called as parity or a volume would be is replaced",
		regexp.MustCompile(`^airgap (pack|send) `), regexp.MustCompile(`a file of the user was replaced|a renamed volume of the user was replaced`)},
	{"a pack into volumes makes its parity of the file of that name, if there is one",
		regexp.MustCompile(`^airgap pack .*--volume-size 1MiB --parity .* # 1$`), regexp.MustCompile(`: it was (left|changed)`)},
	{"renamed volumes and parity are removed, by the name inside their footers",
		regexp.MustCompile(`^airgap (pack|send) `), regexp.MustCompile(`: it went|that no earlier run has left went`)},
	{"volumes, parity and strangers beside a file that is named win over it, or make it unreadable",
		regexp.MustCompile(`^airgap (verify|inspect|unpack|repair) `), regexp.MustCompile(`is sound and holds .* and is refused|was named, which may be`)},
}

// over is what a sequence ends with at something that is excused.
type over struct{}

func (w *world) excuse(problem string) {
	line := w.script[len(w.script)-1]
	for _, e := range excused {
		if e.line.MatchString(line) && e.is.MatchString(problem) {
			w.ended = true
			w.excuses[e.why]++
			panic(over{})
		}
	}
}
