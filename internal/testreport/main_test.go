package main

import (
	"strings"
	"testing"
)

// TestReport hears of a pass, a skip and a failure.
func TestReport(t *testing.T) {
	const pass = `{"Action":"pass","Package":"p","Test":"TestA"}
{"Action":"output","Package":"p","Test":"TestB","Output":"=== RUN   TestB\n"}
{"Action":"output","Package":"p","Test":"TestB","Output":"    b_test.go:1: NOT TESTED for want of docker\n"}
{"Action":"output","Package":"p","Test":"TestB","Output":"--- SKIP: TestB\n"}
{"Action":"skip","Package":"p","Test":"TestB"}
{"Action":"pass","Package":"p"}
`
	const fail = `{"Action":"output","Package":"p","Test":"TestC","Output":"it broke\n"}
{"Action":"fail","Package":"p","Test":"TestC"}
`
	for name, c := range map[string]struct {
		in   string
		ok   bool
		says []string
	}{
		"pass":    {pass, true, []string{"ok    p", "1 TESTS WERE SKIPPED", "p TestB", "for want of docker", "1 tests passed"}},
		"fail":    {pass + fail, false, []string{"FAIL  p TestC", "it broke", "FAILED"}},
		"build":   {pass + `{"ImportPath":"q","Action":"build-output","Output":"syntax error\n"}` + "\n" + `{"ImportPath":"q","Action":"build-fail"}`, false, []string{"syntax error"}},
		"nothing": {"", false, []string{"FAILED"}},
	} {
		t.Run(name, func(t *testing.T) {
			var out strings.Builder
			ok, err := report(strings.NewReader(c.in), &out)
			if err != nil || ok != c.ok {
				t.Errorf("ok %v, error %v", ok, err)
			}
			for _, want := range c.says {
				if !strings.Contains(out.String(), want) {
					t.Errorf("it does not say %q:\n%s", want, out.String())
				}
			}
		})
	}
}
