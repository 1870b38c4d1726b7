package main

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"

	"airgap/cmd/airgap/internal/ui"
)

var update = flag.Bool("update", false, "write docs/reference.md and docs/man anew")

// TestDocs demands that the documentation made from the commands is that in
// docs/, or with -update makes it so.
func TestDocs(t *testing.T) {
	pages := map[string][]byte{"reference.md": reference(commands(t))}
	for _, cmd := range commands(t) {
		name := strings.ReplaceAll(cmd.CommandPath(), " ", "-") + ".1"
		pages[filepath.Join("man", name)] = manPage(t, cmd)
	}
	if len(pages) < 8 {
		t.Fatalf("%d pages: commands are missing", len(pages))
	}
	dir := filepath.Join("..", "..", "docs")
	for name, want := range pages {
		path := filepath.Join(dir, name)
		if *update {
			write(t, path, want)
		} else if have, err := os.ReadFile(path); err != nil || !bytes.Equal(have, want) {
			t.Errorf("docs/%s is not what the commands say: make docs (%v)", filepath.ToSlash(name), err)
		}
	}
	old, err := filepath.Glob(filepath.Join(dir, "man", "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range old {
		if pages[filepath.Join("man", filepath.Base(path))] == nil {
			t.Errorf("%s is about a command that is not there", path)
		}
	}
}

func write(t *testing.T, path string, content []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, content, 0o644); err != nil {
		t.Fatal(err)
	}
}

// commands are all, in the order in which a user meets them.
func commands(t *testing.T) []*cobra.Command {
	t.Helper()
	root := newRoot(&ui.Env{Getenv: func(string) string { return "" }})
	list := []*cobra.Command{root}
	for _, cmd := range root.Commands() {
		if cmd.IsAvailableCommand() && cmd.Name() != "help" {
			list = append(list, cmd)
		}
	}
	return list
}

// reference is the help of every command on one page.
func reference(list []*cobra.Command) []byte {
	var b bytes.Buffer
	b.WriteString("# Commands\n\nMade by `make docs` from the commands' own help; not to be edited.\n")
	for _, cmd := range list {
		var text bytes.Buffer
		cmd.InitDefaultHelpFlag()
		cmd.SetOut(&text)
		help(cmd, nil)
		fmt.Fprintf(&b, "\n## %s\n\n```text\n%s```\n", cmd.CommandPath(), &text)
	}
	return b.Bytes()
}

func manPage(t *testing.T, cmd *cobra.Command) []byte {
	t.Helper()
	page := *cmd
	page.DisableAutoGenTag = true
	page.Long = literal(cmd.Long) + "\n\n# EXIT STATUS\n" + literal(strings.TrimPrefix(cmd.Annotations["statuses"], "Exit status:\n"))
	date := time.Date(2026, time.November, 1, 0, 0, 0, 0, time.UTC)
	var b bytes.Buffer
	if err := doc.GenMan(&page, &doc.GenManHeader{Section: "1", Source: "airgap", Manual: "airgap", Date: &date}, &b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// literal marks what is indented as code for the page's maker.
func literal(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "  ") {
			line = "  " + line
		}
		b.WriteString(line)
	}
	return b.String()
}
