// Package list finds out which images a file asks for: a plain list, a compose
// file, or Kubernetes manifests. Which of these a file is, its content says.
//
// It is the only door to compose's own loader and to YAML.
package list

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"go.yaml.in/yaml/v4"
)

// maxFile is the largest file that is read, in bytes.
const maxFile = 64 << 20

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

	known map[string]bool // the images
}

// Built is a service of a compose file that names no image.
type Built struct {
	Service string
	Image   string // what `docker compose build` would call it
}

// Read reads a file.
func Read(ctx context.Context, r io.Reader, o Options) (List, error) {
	raw, err := io.ReadAll(io.LimitReader(r, maxFile+1))
	if err != nil {
		return List{}, err
	}
	if len(raw) > maxFile {
		return List{}, fmt.Errorf("it has more than %d bytes", maxFile)
	}
	raw = bytes.TrimPrefix(raw, []byte("\ufeff"))
	docs, err := documents(raw)
	l := List{Kind: "list"}
	switch {
	case isCompose(docs):
		l.Kind = "compose"
		err = l.compose(ctx, raw, o)
	case isKubernetes(docs):
		// What follows a document that is none would not be seen.
		l.Kind = "kubernetes"
		if err == nil {
			err = l.kubernetes(docs)
		}
	default:
		err = l.plain(raw)
	}
	return l, err
}

// documents reads YAML as far as it is that. Lines of names are a document
// too, mostly: one text.
func documents(raw []byte) (docs []any, err error) {
	for dec := yaml.NewDecoder(bytes.NewReader(raw)); ; {
		var doc any
		switch err := dec.Decode(&doc); {
		case errors.Is(err, io.EOF):
			return docs, nil
		case err != nil:
			return docs, err
		}
		docs = append(docs, doc)
	}
}

func isCompose(docs []any) bool {
	return len(docs) > 0 && has(docs[0], "services") && !has(docs[0], "kind")
}

// isKubernetes also knows rendered templates whose first documents are empty.
func isKubernetes(docs []any) bool {
	for _, doc := range docs {
		if has(doc, "kind") && has(doc, "apiVersion") {
			return true
		}
	}
	return false
}

func has(doc any, key string) bool {
	m, ok := doc.(map[string]any)
	_, found := m[key]
	return ok && found
}

// plain takes a name per line. A # starts a comment.
func (l *List) plain(raw []byte) error {
	lines := bufio.NewScanner(bytes.NewReader(raw))
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
