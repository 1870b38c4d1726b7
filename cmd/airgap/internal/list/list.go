// Package list finds out which images a file asks for: a plain list, a compose
// file, or Kubernetes manifests. Which of these a file is, its content says.
//
// It is the only door to compose's own loader and to YAML. What may come through
// it is unknown, so that it opens in a process of its own: see reader.go.
package list

import (
	"bufio"
	"bytes"
	"cmp"
	"fmt"
	"io"
	"strings"

	"go.yaml.in/yaml/v4"
)

// Options say how a file is understood.
type Options struct {
	Path     string   // the file's own, or empty for standard input
	Profiles []string // of a compose file; those of COMPOSE_PROFILES if there are none
}

// List is what a file asks for.
type List struct {
	Kind   string   // "list", "compose" or "kubernetes"
	Images []string // as they are written, in order, each once
	Built  []Built  // services that are not to be had from anywhere
	Bound  []Bound  // services that run on a platform of their own

	known map[string]bool // the images
}

// Bound is a service of a compose file that says on which platform it runs.
type Bound struct{ Service, Image, Platform string }

// Built is a service of a compose file that names no image.
type Built struct {
	Service string
	Image   string // what `docker compose build` would call it
}

// understand finds out what a file asks for, in the reader's process. What
// follows its first document is not kept: together they may be large.
func understand(file pieces, o Options) (List, error) {
	pods, manifests := List{Kind: "kubernetes"}, false
	var broken, wrong error
	for i, docs := 1, yaml.NewDecoder(file.reader()); ; i++ {
		var doc any
		if err := docs.Decode(&doc); err != nil {
			if err != io.EOF {
				broken = err
			}
			break
		}
		if i == 1 && isCompose(doc) {
			l := List{Kind: "compose"}
			return l, l.compose(file, o)
		}
		manifests = manifests || isManifest(doc)
		if err := pods.walk(doc); err != nil && wrong == nil {
			wrong = fmt.Errorf("document %d: %w", i, err)
		}
	}
	if manifests { // also behind documents of templates that have rendered nothing
		return pods, cmp.Or(broken, wrong) // what follows a document that is none would not be seen
	}
	l := List{Kind: "list"} // whose lines are YAML too, mostly: one text
	return l, l.plain(file)
}

func isCompose(doc any) bool { return has(doc, "services") && !has(doc, "kind") }

func isManifest(doc any) bool { return has(doc, "kind") && has(doc, "apiVersion") }

func has(doc any, key string) bool {
	m, ok := doc.(map[string]any)
	_, found := m[key]
	return ok && found
}

// plain takes a name per line. A # starts a comment.
func (l *List) plain(file pieces) error {
	lines := bufio.NewScanner(file.reader())
	for lines.Scan() {
		text, _, _ := strings.Cut(lines.Text(), "#")
		l.add(strings.TrimSpace(text))
	}
	return lines.Err()
}

// add takes an image once.
func (l *List) add(name string) {
	if name == "" || l.known[name] {
		return
	}
	if l.known == nil {
		l.known = map[string]bool{}
	}
	l.known[name], l.Images = true, append(l.Images, name)
}

// pieces are what a file is received in.
type pieces [][]byte

// reader reads the file, without the mark that some editors put before it.
func (p pieces) reader() io.Reader {
	var all []io.Reader
	for i, piece := range p {
		if i == 0 {
			piece = bytes.TrimPrefix(piece, []byte("\ufeff"))
		}
		all = append(all, bytes.NewReader(piece))
	}
	return io.MultiReader(all...)
}
