package policy

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// order is the partial order of our packages: what stands to the left of "<"
// may be imported by what stands to the right, and by nothing else. "*" stands
// for every package one level below. Tests are exempt.
//
// Do not add an edge to make a build pass: an edge is a decision about the
// house.
const order = `
bundle/image < bundle/image/layer, bundle/image/dockertar, bundle, bundle/store, bundle/store/*, bundle/serve, verify, verify/load
bundle/image/layer < bundle, bundle/store/*, verify, verify/load
bundle/image/dockertar < bundle/store/docker, bundle/store/archive, bundle/store/layout, bundle/store/containerd
bundle/store/* < bundle/store
bundle/delta, bundle/regzip < bundle
bundle < verify, verify/load, bundle/serve
verify < verify/load
transfer < transfer/*
transfer/volume/parity < transfer/volume
verify/sshsig < verify
internal/durable < bundle, bundle/store/layout, transfer, verify/load
internal/lock < bundle/store/layout
internal/scratch < bundle, transfer/volume, transfer/volume/parity
internal/sums < bundle, transfer
`

// doors lists the packages that may import a third-party library. Everything
// below the library's path is meant, unless a longer path is listed.
const doors = `
github.com/Microsoft/go-winio: bundle/store/docker, transfer/sftp
github.com/cespare/xxhash/v2: bundle
github.com/compose-spec/compose-go/v2: cmd/airgap/internal/list
github.com/containerd/containerd/api: bundle/store/containerd
github.com/containerd/containerd/v2: bundle/store/containerd
github.com/containerd/errdefs: bundle/store/containerd, bundle/store/docker
github.com/distribution/reference: bundle/image
github.com/google/go-containerregistry/pkg/v1: bundle/image
github.com/google/go-containerregistry/pkg/v1/types: bundle, bundle/image, bundle/image/*, bundle/serve, bundle/store, bundle/store/*, verify, verify/load
github.com/google/go-containerregistry/pkg/v1/remote: bundle/store/registry
github.com/google/go-containerregistry/pkg/v1/remote/transport: bundle/store/registry
github.com/google/go-containerregistry/pkg/authn: bundle/store/registry
github.com/google/go-containerregistry/pkg/name: bundle/store/registry
github.com/klauspost/compress: bundle, bundle/image/layer, bundle/delta
github.com/klauspost/compress/gzip: bundle/image/layer
github.com/klauspost/reedsolomon: transfer/volume/parity
github.com/moby/moby: bundle/store/docker
github.com/opencontainers/go-digest: bundle/store/containerd
github.com/opencontainers/image-spec: bundle/image, bundle/store/*
github.com/pkg/sftp: transfer/sftp
github.com/schollz/progressbar/v3: cmd/airgap/internal/ui
github.com/sirupsen/logrus: cmd/airgap/internal/list
github.com/spf13: cmd/airgap
go.yaml.in/yaml/v4: cmd/airgap/internal/list
golang.org/x/crypto/bcrypt: bundle/serve
golang.org/x/crypto/ssh: transfer/sftp, verify/sshsig
golang.org/x/net/netutil: cmd/airgap
golang.org/x/sync: *
golang.org/x/sys: *
golang.org/x/term: cmd/airgap/internal/ui
golang.org/x/time/rate: transfer
google.golang.org/grpc: bundle/store/containerd
google.golang.org/protobuf: bundle/store/containerd
`

// outside are packages that the order does not speak of: the command, which
// joins the rooms, and what only tests, benches and the demonstration use.
var outside = []string{"cmd", "internal", "testdata", "bundle/store/storetest", "transfer/transfertest"}

const module = "airgap/"

// listed is what `go list` says of a package.
type listed struct {
	ImportPath string
	Dir        string
	GoFiles    []string
	Imports    []string
}

// packages lists the packages of the module for a system.
func packages(t *testing.T, goos string) []listed {
	t.Helper()
	cmd := exec.Command("go", "list", "-e", "-json=ImportPath,Dir,GoFiles,Imports", module+"...")
	cmd.Env = append(cmd.Environ(), "GOOS="+goos, "CGO_ENABLED=0")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, &stderr)
	}
	var list []listed
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listed
		switch err := dec.Decode(&p); {
		case errors.Is(err, io.EOF):
			return list
		case err != nil:
			t.Fatal(err)
		}
		list = append(list, p)
	}
}

// rule is a line of a policy: what may be imported, and by whom.
type rule struct {
	imported, by []string
}

func parse(t *testing.T, text, sign string) []rule {
	t.Helper()
	var rules []rule
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		left, right, ok := strings.Cut(line, sign)
		if !ok {
			t.Fatalf("no %q in the rule %q", sign, line)
		}
		rules = append(rules, rule{strings.Split(left, ", "), strings.Split(strings.TrimSpace(right), ", ")})
	}
	return rules
}

// under says whether a package is one of the patterns' or, with below, in a
// folder of theirs.
func under(pkg string, patterns []string, below bool) bool {
	return slices.ContainsFunc(patterns, func(pattern string) bool {
		pattern = strings.TrimSpace(pattern)
		if ok, _ := path.Match(pattern, pkg); ok || pattern == "*" {
			return true
		}
		return below && strings.HasPrefix(pkg, pattern+"/")
	})
}

// TestImports checks every import of every package, on every system.
func TestImports(t *testing.T) {
	edges := parse(t, order, " < ")
	libraries := parse(t, doors, ":")
	used := map[string]bool{}
	for _, goos := range []string{"linux", "darwin", "windows"} {
		list := packages(t, goos)
		if len(list) < 10 {
			t.Fatalf("go list shows %d packages for %s: nothing has been checked", len(list), goos)
		}
		for _, p := range list {
			for _, imported := range p.Imports {
				from := strings.TrimPrefix(p.ImportPath, module)
				if err := allowed(from, imported, edges, libraries, used); err != nil {
					t.Errorf("%s: %v", goos, err)
				}
			}
		}
	}
	for _, r := range libraries {
		if !used[r.imported[0]] {
			t.Logf("nobody imports %s", r.imported[0])
		}
	}
}

// allowed judges one import.
func allowed(from, imported string, edges, libraries []rule, used map[string]bool) error {
	if ours, ok := strings.CutPrefix(imported, module); ok {
		return allowedEdge(from, ours, edges)
	}
	if !strings.Contains(strings.Split(imported, "/")[0], ".") || isTool(from) {
		return nil // the standard library
	}
	door, found := rule{}, ""
	for _, r := range libraries {
		if under(imported, r.imported, true) && len(r.imported[0]) > len(found) {
			door, found = r, r.imported[0]
		}
	}
	used[found] = true
	// go-containerregistry's root packages are many things: only its
	// vocabulary is meant when the path itself is listed.
	if found == "github.com/google/go-containerregistry/pkg/v1" && imported != found {
		found = ""
	}
	if found == "" || !under(from, door.by, false) {
		return fmt.Errorf("%s imports %s: not through this door", from, imported)
	}
	return nil
}

func allowedEdge(from, imported string, edges []rule) error {
	if under(from, outside, true) {
		return nil
	}
	for _, r := range edges {
		if under(imported, r.imported, false) && under(from, r.by, false) && from != imported {
			return nil
		}
	}
	return fmt.Errorf("%s imports %s: the order has no such edge", from, imported)
}

// isTool says whether a package is not part of the command.
func isTool(pkg string) bool { return under(pkg, outside[1:], true) }

// TestPolicyRefuses tries edges that must not be.
func TestPolicyRefuses(t *testing.T) {
	edges, libraries := parse(t, order, " < "), parse(t, doors, ":")
	for _, bad := range [][2]string{
		{"transfer", "airgap/bundle"},
		{"transfer/sftp", "airgap/bundle/image"},
		{"bundle", "airgap/verify"},
		{"bundle/image", "airgap/bundle"},
		{"bundle/store/docker", "airgap/bundle"},
		{"bundle/store/docker", "airgap/bundle/store/registry"},
		{"verify/load", "airgap/bundle/store"},
		{"verify", "airgap/transfer"},
		{"bundle", "github.com/moby/moby/client"},
		{"bundle/store/docker", "github.com/google/go-containerregistry/pkg/v1/remote"},
		{"verify", "github.com/google/go-containerregistry/pkg/v1/validate"},
		{"transfer", "golang.org/x/crypto/ssh"},
		{"bundle", "example.com/unknown"},
	} {
		if allowed(bad[0], bad[1], edges, libraries, map[string]bool{}) == nil {
			t.Errorf("%s may import %s", bad[0], bad[1])
		}
	}
	for _, good := range [][2]string{
		{"bundle", "airgap/bundle/image"}, {"verify/load", "airgap/verify"}, {"bundle/store", "airgap/bundle/store/layout"},
		{"transfer/sftp", "airgap/transfer"}, {"cmd/airgap", "airgap/verify/load"}, {"bundle", "os"},
	} {
		if err := allowed(good[0], good[1], edges, libraries, map[string]bool{}); err != nil {
			t.Error(err)
		}
	}
}

// forbidden are calls that only the command may make: a library that ends the
// process, moves it to another folder or looks at the clock surprises its user.
var forbidden = []string{"os.Exit", "os.Chdir", "time.Now"}

// TestCalls looks for them.
func TestCalls(t *testing.T) {
	files := 0
	for _, p := range packages(t, "linux") {
		if under(strings.TrimPrefix(p.ImportPath, module), outside, true) {
			continue
		}
		matches, err := filepath.Glob(filepath.Join(p.Dir, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range matches {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			files++
			checkCalls(t, name)
		}
	}
	if files < 10 {
		t.Fatalf("%d files: nothing has been checked", files)
	}
}

func checkCalls(t *testing.T, name string) {
	t.Helper()
	file, set := parsed(t, name)
	selected(file, func(sel *ast.SelectorExpr, x string) {
		if slices.Contains(forbidden, x+"."+sel.Sel.Name) {
			t.Errorf("%s: %s.%s belongs to the command", set.Position(sel.Pos()), x, sel.Sel.Name)
		}
	})
}

func parsed(t *testing.T, name string) (*ast.File, *token.FileSet) {
	t.Helper()
	set := token.NewFileSet()
	file, err := parser.ParseFile(set, name, nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	return file, set
}

// selected visits what a file selects from something that has a name.
func selected(file *ast.File, visit func(sel *ast.SelectorExpr, x string)) {
	ast.Inspect(file, func(n ast.Node) bool {
		if sel, ok := n.(*ast.SelectorExpr); ok {
			if x, ok := sel.X.(*ast.Ident); ok {
				visit(sel, x.Name)
			}
		}
		return true
	})
}

// TestHostKeysChecked looks for the one name with which a host would be trusted
// whatever key it shows, in tests as well.
func TestHostKeysChecked(t *testing.T) {
	name := []byte("Insecure" + "IgnoreHostKey")
	files := 0
	walkGo(t, func(file string) {
		files++
		raw, err := os.ReadFile(filepath.Join("..", "..", file))
		if err != nil || bytes.Contains(raw, name) {
			t.Errorf("%s: %s, %v", file, name, err)
		}
	})
	if files < 50 {
		t.Fatalf("%d files: nothing has been checked", files)
	}
}

// seeded are what a test may have of math/rand: generators with a seed. The
// functions of the package are another test in every run.
var seeded = []string{"New", "NewPCG", "NewChaCha8", "NewZipf", "Rand", "Source", "PCG", "ChaCha8", "Zipf"}

// TestSeeds looks for anything else in tests and in what helps them. Package
// seed draws a test's seed, and logs it.
func TestSeeds(t *testing.T) {
	files := 0
	walkGo(t, func(name string) {
		pkg := filepath.ToSlash(filepath.Dir(name))
		if pkg == "internal/seed" || !strings.HasSuffix(name, "_test.go") && !isTool(pkg) {
			return
		}
		files++
		file, set := parsed(t, filepath.Join("..", "..", name))
		for _, spec := range file.Imports {
			if path, _ := strconv.Unquote(spec.Path.Value); path != "math/rand" && path != "math/rand/v2" {
				continue
			}
			name := "rand"
			if spec.Name != nil {
				name = spec.Name.Name
			}
			selected(file, func(sel *ast.SelectorExpr, x string) {
				if x == name && !slices.Contains(seeded, sel.Sel.Name) {
					t.Errorf("%s: %s.%s is no function of a seed: see package seed", set.Position(sel.Pos()), x, sel.Sel.Name)
				}
			})
		}
	})
	if files < 50 {
		t.Fatalf("%d files: nothing has been checked", files)
	}
}

// walkGo calls visit with every Go file, as it is named from the top of the tree.
func walkGo(t *testing.T, visit func(name string)) {
	t.Helper()
	err := fs.WalkDir(os.DirFS(filepath.Join("..", "..")), ".", func(name string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && path.Ext(name) == ".go" {
			visit(name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestSmallFiles keeps what is built out of what is kept: nothing of ours that
// somebody writes is so large.
func TestSmallFiles(t *testing.T) {
	const most = 256 << 10
	list, err := exec.Command("git", "-C", "../..", "ls-files", "-z").Output()
	if err != nil {
		t.Skipf("SKIPPED for want of a git checkout: %v", err)
	}
	names := strings.FieldsFunc(string(list), func(r rune) bool { return r == 0 })
	if len(names) == 0 {
		t.Error("git knows of no files")
	}
	for _, name := range names {
		info, err := os.Lstat(filepath.Join("../..", name))
		if err == nil && info.Size() > most {
			t.Errorf("%s has %d bytes, and at most %d are expected: is it built?", name, info.Size(), most)
		}
	}
}
